"""A killed run is taken over under its own reservation, and what runs twice is paid for twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from dpsynth_assets.language import finetuning
from dpsynth_assets.privacy.checkpoint import CheckpointFolder
from ledger import BudgetRefused, Finding, Gaussian, Ledger, PoissonSampledGaussian

ROOT = Path(__file__).parents[2]


@pytest.fixture
def contract_path(contract_path):
    """The small contract with an adapter that leaves room for some steps more."""
    text = contract_path.read_text(encoding="utf-8")
    contract_path.write_text(
        text.replace("epsilon: 7.0", "epsilon: 3.0").replace("steps: 3", "steps: 10"), encoding="utf-8"
    )
    return contract_path


@pytest.fixture
def training(monkeypatch, rooms):
    """Training that keeps checkpoints every third step and is interrupted where the test says."""

    class Training:
        stop_at: int | None = None
        started_from: int

        def __call__(self, contract, plan, rows, folder, progress=None, checkpoints=None, prepared=None, launch=None):
            rooms.read += 1
            with CheckpointFolder(checkpoints.path, checkpoints.plan_digest, every=3).open() as opened:
                state = opened.load() or {"step": 0}
                step = self.started_from = state["step"]
                while step < plan.mechanism.steps:
                    opened.begin_step()
                    if checkpoints.steps_begun() == self.stop_at:
                        raise KeyboardInterrupt
                    step += 1
                    if step % 3 == 0:
                        opened.save({"step": step})
            (folder / "adapter.txt").write_text("an adapter", encoding="utf-8")
            mechanism = plan.mechanism
            return finetuning.FineTuned(
                folder, mechanism.event(), mechanism.event_of_replay(checkpoints.steps_of_attempts())
            )

    made = Training()
    monkeypatch.setattr(finetuning, "fine_tune", made)
    return made


def steps_again(book: Ledger) -> list[int]:
    [reservation] = [r for r in book.reservations() if r.release == "small/adapter"]
    return [event.steps for event in reservation.replayed if isinstance(event, PoissonSampledGaussian)]


def states(book: Ledger) -> list[str]:
    return [r.state for r in book.reservations() if r.release == "small/adapter"]


def test_one_reservation_and_the_steps_that_ran_again(run, training, rooms, book, home):
    training.stop_at = 8  # the checkpoint has 6 steps, 8 began
    assert not run("source", "adapter").success
    assert states(book) == ["redeemed"]
    before = book.balance("small-bank", with_pld=False).epsilon_spent
    training.stop_at = None
    result = run("adapter")
    assert result.success
    assert training.started_from == 6
    assert (states(book), steps_again(book)) == (["committed"], [2])
    after = book.balance("small-bank", with_pld=False)
    assert before < after.epsilon_spent < before + 1
    assert after.charges == 1
    assert not list((home.sensitive / "checkpoints").glob("*/*")), "committed: nothing is left of them"
    assert book.verify() == []
    made = next(e for e in result.get_asset_materialization_events() if e.asset_key.path[-1] == "adapter")
    assert "composed" in str(made.materialization.metadata["receipts"].value)


def test_killed_again_and_again(run, training, book):
    run("source")
    for stop in (2, 4, 8, 12):  # saved: 0, 0, 3, 6
        training.stop_at = stop
        assert not run("adapter").success
    training.stop_at = None
    assert run("adapter").success
    charged = sum(steps_again(book))
    assert states(book) == ["committed"]
    assert charged == 12 - training.started_from, "as many as ever began, less those in the adapter"
    assert book.verify() == []


def test_an_ordinary_failure_forfeits_and_starts_anew(run, training, rooms, book):
    def fail(contract, plan, rows, folder, progress=None, checkpoints=None, prepared=None, launch=None):
        checkpoints.path.mkdir(parents=True, exist_ok=True)
        (checkpoints.path / "state.pt").write_bytes(b"something")
        raise ValueError

    finetuning.fine_tune = fail  # the fixture puts the real one back
    assert not run("source", "adapter").success
    assert states(book) == ["forfeited"]


def test_more_than_is_left_is_refused_and_the_release_stays(run, training, book, contract, reserve, refusal_of):
    training.stop_at = 8
    run("source", "adapter")
    for noise in (2.0, 8.0, 32.0):  # others use up the rest
        with suppress(BudgetRefused):
            for number in range(100):
                reserve(Gaussian(noise), release="other", key=f"{noise} {number}")
    training.stop_at = None
    failed = refusal_of(run("adapter"), "adapter")
    assert "An earlier run began it" in failed.description
    assert "No sensitive row was read." not in failed.description
    assert failed.metadata["was_read_before"].value is True
    assert states(book).count("redeemed") >= 1
    assert book.entries()[-1].kind == "refused"
    assert book.entries()[-1].reservation_id is not None
    assert book.verify() == []


def test_what_an_audit_refuted_is_not_gone_on_with(run, training, book):
    training.stop_at = 8
    assert not run("source", "adapter").success
    [reservation] = [r for r in book.reservations() if r.release == "small/adapter"]
    finding = Finding(6.0, 9.0, 0.95, 1e-5, files={"audit.json": "0" * 64})
    book.incident(reservation.id, finding, reason="An audit.")
    training.stop_at = None
    assert run("adapter").success
    assert sorted(states(book)) == ["committed", "redeemed"], "another release, charged by itself"
    assert not [entry for entry in book.entries() if entry.kind == "resumed"]


def test_where_two_accountants_disagree_the_release_stays_and_goes_on_once_they_agree(
    run, training, book, charged_too_little, failure_of
):
    training.stop_at = 8
    assert not run("source", "adapter").success
    spent = book.balance("small-bank", with_pld=False).epsilon_spent
    with charged_too_little():
        failed = failure_of(run("adapter"), "adapter")
    assert "two accountants disagree" in failed.step_failure_data.user_failure_data.description
    assert (states(book), steps_again(book)) == (["redeemed"], [])
    assert book.balance("small-bank", with_pld=False).epsilon_spent == spent
    training.stop_at = None
    assert run("adapter").success
    assert states(book) == ["committed"]


def test_checkpoints_that_cannot_be_read_are_given_up(run, training, book, home):
    training.stop_at = 8
    run("source", "adapter")
    [state] = (home.sensitive / "checkpoints").glob("*/state.pt")
    state.write_bytes(b"torn")
    training.stop_at = None
    assert not run("adapter").success
    assert states(book) == ["forfeited"]


@pytest.mark.slow
def test_a_real_run_killed_with_nine_is_taken_over(snapshotted, contract_path, home):
    """Everything real but the clock: DP-SGD on the embedded model, killed in the middle of a step."""
    environment = {
        **os.environ,
        "DPSYNTH_HOME": str(home.root),
        "DAGSTER_HOME": str(home.dagster),
        "DPSYNTH_CONTRACTS": str(contract_path.parent),
    }
    script = [sys.executable, str(Path(__file__).with_name("one_run.py")), str(contract_path)]
    first = subprocess.Popen([*script, "slow"], cwd=ROOT, env=environment, stderr=subprocess.DEVNULL)
    begun = contract_path.with_name("training")
    deadline = time.monotonic() + 200
    while not begun.exists() and first.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)
    assert begun.exists()
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert states(snapshotted) == ["redeemed"]
    done = subprocess.run([*script, "real"], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.stdout.strip() == "True", done.stderr[-2000:]
    assert states(snapshotted) == ["committed"]
    assert sum(steps_again(snapshotted)) <= 1, "the step that it was in"
    assert snapshotted.verify() == []
