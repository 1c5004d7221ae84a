"""A release that nobody knows but this file: from the value alone come terms, lint, plan, asset, partitions, the gate
with all it keeps, receipts, verification and audit."""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from typing import Literal

import dagster as dg
import pytest

from dpsynth_assets.cli.app import run as command_line
from dpsynth_assets.contract import lint_contract, load_contract
from dpsynth_assets.factory import build_contract_defs
from dpsynth_assets.privacy.checkpoint import CheckpointFolder
from dpsynth_assets.privacy.plan import DpSgd, DpSgdPlan, Learning, calibrated
from dpsynth_assets.releases.adapter import ADAPTER
from dpsynth_assets.releases.registry import registered
from dpsynth_assets.releases.release import Ran, Release
from dpsynth_assets.releases.terms import ReleaseTerms
from ledger import BudgetRefused
from resources.artifact_store import ArtifactStore

MARKER = "XYZZY-4471-PLUGH"

# The release: 20 lines -----------------------------------------------------------------------------------------------


class LengthTerms(ReleaseTerms):
    mechanism: Literal["dp_sgd"] = "dp_sgd"
    steps: int


def plan(contract, release, size):
    terms, unit = contract.privacy.releases[release], contract.privacy.unit
    epsilon, delta = terms.epsilon_of(contract.privacy.budget), contract.privacy.budget.delta
    mechanism = calibrated(DpSgd(0.2, 0.0, 1.0, 8, terms.steps), epsilon, delta)
    return DpSgdPlan(mechanism, Learning(0.1), epsilon, delta, unit.name, unit.neighbouring_relation, unit.max_records)


def check(contract, plan, made_from, progress, launch=None):
    HAPPENS["check"]()


def run(contract, plan, rows, ready, work):
    folder = CheckpointFolder(work.checkpoints, plan.digest())
    with folder.open() as checkpoints:
        for step in range((checkpoints.load() or {"step": 0})["step"] + 1, plan.mechanism.steps + 1):
            checkpoints.begin_step()
            HAPPENS["step"](step, rows)
            checkpoints.save({"step": step})
    (work.folder / "length.json").write_text(json.dumps(12), encoding="utf-8")
    return Ran(plan.event(), plan.mechanism.event_of_replay(folder.steps_of_attempts()), {"length": 12})


LENGTHS = Release(
    name="mean_length",
    terms=LengthTerms,
    meaning="how long texts are",
    title="Mean length",
    result="the mean length of a sensitive source's texts",
    describe=lambda contract: "How long texts are.",
    planner=plan,
    work=sys.modules[__name__],
)

# What comes of it -----------------------------------------------------------------------------------------------------

HAPPENS = {}


@pytest.fixture(autouse=True)
def made_up():
    HAPPENS.update(check=lambda: None, step=lambda step, rows: None)
    with registered(LENGTHS):
        yield


@pytest.fixture
def contract_path(contract_path):
    text = contract_path.read_text(encoding="utf-8")
    planned = "releases:\n            mean_length: {epsilon: 0.4, steps: 5}"
    contract_path.write_text(text.replace("releases:", planned, 1), encoding="utf-8")
    return contract_path


@pytest.fixture
def dpsynth(monkeypatch, capfd, forget_console):
    def call(*arguments):
        capfd.readouterr()
        monkeypatch.setattr(sys, "argv", ["dpsynth", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            command_line()
        forget_console()
        return ended.value.code or 0, " ".join(capfd.readouterr().out.split())

    return call


def states(book):
    return [charge.state for charge in book.reservations() if charge.release == "small/mean_length"]


def said(path, was, becomes):
    path.write_text(path.read_text(encoding="utf-8").replace(was, becomes), encoding="utf-8")
    return [f"{problem.where}: {problem.what}" for problem in lint_contract(path)]


def test_lint_knows_its_terms(contract_path):
    assert lint_contract(contract_path) == []
    place = "privacy.releases.mean_length"
    assert said(contract_path, "steps: 5}", "stepz: 5}") == [f"{place}.stepz: the key `stepz` is not known here"]
    assert said(contract_path, "{epsilon: 0.4, stepz: 5}", "{epsilon: 40.0, steps: 5}") == [
        f"{place}.epsilon: this release alone costs epsilon 40, the budget is 8"
    ]


def test_it_is_an_asset_and_each_variant_has_one(contract_path):
    said(contract_path, "          generation:", VARIANTS + "          generation:")
    assets = {asset.key.path[-1]: asset for asset in build_contract_defs(load_contract(contract_path)).assets}
    asset = assets["mean_length"]
    assert asset.partitions_def.get_partition_keys() == ["main", "lora-4", "nothing"]
    [spec] = asset.specs
    assert spec.description.startswith("How long texts are.")
    assert spec.tags["spends_budget"] == "yes"
    assert spec.key in {dep.asset_key for dep in next(iter(assets["budget"].specs)).deps}


VARIANTS = "          variants: {methods: [{method: lora, learning_rate: 0.01}], epsilons: [4.0]}\n"


def test_a_variant_pays_its_share_of_it(contract_path):
    from dpsynth_assets.variants import variant

    said(contract_path, "          generation:", VARIANTS + "          generation:")
    contract = load_contract(contract_path)
    price = variant(contract, "lora-4").privacy.releases[LENGTHS].epsilon
    assert price == pytest.approx(4.0 * 0.4 / (0.5 + 7.0 + 0.4))


def test_the_plan_prices_it(dpsynth, book, contract_path):
    code, out = dpsynth("plan", contract_path)
    assert code == 0
    assert "small/mean_length" in out


def test_it_runs_through_the_gate_and_what_it_leaves_can_be_checked(dpsynth, run, home, book, contract):
    assert run("source", "mean_length").success
    assert states(book) == ["committed"]
    made = ArtifactStore(home=str(home.root)).latest("small", "mean_length")
    assert [receipt["release"] for receipt in made.receipts] == ["small/mean_length"]
    assert made.seal.guarantee.epsilon == pytest.approx(0.4, rel=0.01)
    code, out = dpsynth("verify", made.folder)
    assert code == 0
    assert "the mean length of a sensitive source's texts" in out
    code, out = dpsynth("audit")
    assert "small/mean_length" in out
    assert dpsynth("audit", "verify")[0] == 0


def test_over_budget_it_is_refused_before_a_row(run, book, contract, reserve, refusal_of):
    for release in (ADAPTER, LENGTHS):
        with suppress(BudgetRefused):
            for _ in range(200):
                book.activate(reserve(release.plan(contract).event(), release="before"))
    read = []
    HAPPENS["step"] = lambda step, rows: read.append(step)
    result = run("mean_length")
    assert "The privacy ledger refused small/mean_length" in refusal_of(result, "mean_length").description
    assert (read, states(book)) == ([], [])


def test_what_can_fail_before_a_row_costs_nothing(run, book, failure_of):
    def fail():
        raise ValueError("there is no ruler")

    HAPPENS["check"] = fail
    result = run("source", "mean_length")
    assert "there is no ruler" in str(failure_of(result, "mean_length"))
    assert states(book) == []


@pytest.mark.parametrize(("ready", "left"), [(True, ["committed"]), (False, [])])
def test_nothing_is_charged_that_was_not_checked(run, book, monkeypatch, ready, left):
    """The ledger would have refused when it first looked, and admits it when it is to be charged."""
    from ledger import admission

    looked, decide = [], admission._with_charge

    def no_at_first(*given):
        looked.append(given)
        after, refused = decide(*given)
        return after, ("small-bank/everything", "full") if len(looked) == 1 else refused

    monkeypatch.setattr(admission, "_with_charge", no_at_first)
    HAPPENS["check"] = (lambda: None) if ready else (lambda: 1 / 0)
    assert run("source", "mean_length").success is ready
    assert states(book) == left


def test_where_no_checkpoint_could_be_kept_nothing_is_charged(run, book, home):
    assert run("source").success
    (home.sensitive / "checkpoints").write_text("in the way", encoding="utf-8")
    assert not run("mean_length").success
    assert states(book) == []


def test_a_crash_is_charged_and_says_nothing_of_the_rows(run, book, home, instance, capfd, failure_of):
    def fail(step, rows):
        print(rows["text"].iloc[0])
        raise ValueError(rows["text"].iloc[0])

    HAPPENS["step"] = fail
    result = run("source", "mean_length")
    assert states(book) == ["forfeited"]
    files = [path for path in home.root.rglob("*") if path.is_file() and home.sensitive not in path.parents]
    written = "".join(path.read_bytes().decode("utf-8", "replace") for path in files)
    logged = "".join(str(record) for record in instance.all_logs(result.run_id))
    assert MARKER not in written + logged + "".join(capfd.readouterr())


def test_a_killed_run_is_finished_under_its_own_charge(run, book):
    def stop(step, rows):
        if step == 3:
            raise KeyboardInterrupt

    HAPPENS["step"] = stop
    with suppress(KeyboardInterrupt, dg.DagsterError):  # how far an interrupt gets is Dagster's business
        run("source", "mean_length")
    assert states(book) == ["redeemed"]
    HAPPENS["step"] = lambda step, rows: None
    assert run("mean_length").success
    assert states(book) == ["committed"]
    [charge] = book.reservations(key=book.reservations()[0].key)
    assert [event.steps for event in charge.replayed] == [1]
