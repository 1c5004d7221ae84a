"""No way of launching a run gets past the gate."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import dagster as dg
import pytest

from dpsynth_assets.assets.release import release_asset
from dpsynth_assets.releases.adapter import ADAPTER
from resources.platform import platform_resources

ROOT = Path(__file__).parents[2]
ONE_RUN = Path(__file__).with_name("one_run.py")


def charges(book):
    return [charge.state for charge in book.reservations() if charge.release == "small/adapter"]


def refusals(book):
    return len(book.statement("small-bank", with_pld=False).refusals)


@pytest.fixture
def exhausted(book, contract, reserve):
    """The source in the store and its budget spent, without a run."""
    from dpsynth_assets.privacy.plan import TrainingPlan

    book.activate(reserve(TrainingPlan.from_contract(contract).event(), release="before"))
    return book


def test_materialize(exhausted, contract, home, rooms, refusal_of):
    result = dg.materialize(
        [release_asset(contract, ADAPTER)], resources=platform_resources(str(home.root)), raise_on_error=False
    )
    assert refusal_of(result, "adapter").metadata["refused_by_privacy_ledger"].value is True
    assert refusals(exhausted) == 1
    assert rooms.read == 0


def test_an_asset_called_by_hand(exhausted, contract, home, rooms):
    resources = {name: value for name, value in platform_resources(str(home.root)).items() if name != "warehouse"}
    with pytest.raises(Exception, match=r"run|invoked"):  # there is no run to charge
        list(release_asset(contract, ADAPTER)(dg.build_asset_context(resources=resources)))
    assert rooms.read == 0


def test_a_retry_policy_neither_repeats_a_refusal_nor_a_charge(book, contract, home, rooms, run):
    from dpsynth_assets.factory import build_contract_defs

    def fail(frame):
        raise RuntimeError

    rooms.train = fail
    defs = dg.Definitions.merge(
        build_contract_defs(contract),
        dg.Definitions(
            resources=platform_resources(str(home.root)),
            jobs=[
                dg.define_asset_job(
                    "eager", ["small/source", "small/adapter"], op_retry_policy=dg.RetryPolicy(max_retries=3)
                )
            ],
        ),
    )
    for _ in range(2):
        defs.resolve_job_def("eager").execute_in_process(raise_on_error=False)
    assert rooms.read == 1
    assert charges(book) == ["forfeited"]
    assert refusals(book) == 1


def job_of_the_small_contract() -> dg.JobDefinition:
    """For Dagster, which makes the job anew where it re-executes it."""
    from dpsynth_assets.contract import load_contract
    from dpsynth_assets.factory import build_contract_defs

    contract = load_contract(os.environ["SMALL_CONTRACT"])
    job = dg.define_asset_job("releases", ["small/source", "small/adapter"])
    rest = dg.Definitions(resources=platform_resources(), jobs=[job], executor=dg.in_process_executor)
    return dg.Definitions.merge(build_contract_defs(contract), rest).resolve_job_def("releases")


def test_a_re_execution_of_a_run_that_was_charged_is_not_charged_again(
    book, contract_path, rooms, instance, monkeypatch
):
    monkeypatch.setenv("SMALL_CONTRACT", str(contract_path))

    def fail(frame):
        raise RuntimeError

    rooms.train = fail
    job = dg.reconstructable(job_of_the_small_contract)
    first = dg.execute_job(job, instance)
    assert not first.success
    rooms.train = lambda frame: None
    options = dg.ReexecutionOptions.from_failure(first.run_id, instance)
    again = dg.execute_job(job, instance, reexecution_options=options)
    assert not again.success
    assert charges(book) == ["forfeited"]
    assert refusals(book) == 0, "it does not get as far as the budget"
    assert rooms.read == 1


def environment(home, contract_path):
    return {
        **os.environ,
        "DPSYNTH_HOME": str(home.root),
        "DAGSTER_HOME": str(home.dagster),
        "DPSYNTH_CONTRACTS": str(contract_path.parent),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        ["dagster", "asset", "materialize", "--select", "small/adapter", "-m", "dpsynth_assets.definitions"],
        ["dg", "launch", "--assets", "small/adapter"],
        ["dpsynth", "run", "{contract}", "--yes", "--only", "adapter"],
    ],
    ids=["dagster", "dg", "dpsynth"],
)
def test_programs(exhausted, home, contract_path, command):
    done = subprocess.run(
        [part.format(contract=contract_path) for part in command],
        cwd=ROOT,
        env=environment(home, contract_path),
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == (3 if command[0] == "dpsynth" else 0), done.stderr[-2000:]
    assert refusals(exhausted) == 1, done.stderr[-2000:]
    assert charges(exhausted) == []
    if command[0] == "dpsynth":
        assert "Refused by the privacy ledger" in done.stdout
        assert "Traceback" not in done.stdout + done.stderr


def start(contract_path, home, mode):
    return subprocess.Popen(
        [sys.executable, str(ONE_RUN), str(contract_path), mode],
        cwd=ROOT,
        env=environment(home, contract_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


@pytest.mark.slow
def test_a_run_killed_before_its_first_step_goes_on_for_nothing(snapshotted, contract_path, home):
    process = start(contract_path, home, "hang")
    begun = contract_path.with_name("training")
    deadline = time.monotonic() + 200
    while not begun.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.2)
    assert begun.exists()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert charges(snapshotted) == ["redeemed"]
    balance = snapshotted.balance("small-bank", with_pld=False)
    assert balance.epsilon_spent > 6
    assert balance.epsilon_reserved == 0
    again = start(contract_path, home, "train")
    assert again.communicate(timeout=200)[0].strip() == "True"
    assert charges(snapshotted) == ["committed"]
    assert snapshotted.balance("small-bank", with_pld=False).epsilon_spent == balance.epsilon_spent
    assert snapshotted.verify() == []


@pytest.mark.slow
def test_two_runs_at_the_same_moment_cannot_spend_over_the_cap(snapshotted, contract_path, home):
    both = [start(contract_path, home, "train") for _ in range(2)]
    succeeded = sorted(process.communicate(timeout=400)[0].strip() for process in both)
    assert succeeded == ["False", "True"]
    assert charges(snapshotted) == ["committed"]
    assert refusals(snapshotted) == 1
    assert snapshotted.balance("small-bank", with_pld=False).epsilon_spent <= 8
