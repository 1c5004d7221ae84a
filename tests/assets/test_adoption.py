"""A run that dies anywhere between charge and seal: the same command ends with the release, and it is paid for once."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest

from dpsynth_assets.contract import load_contract
from dpsynth_assets.factory import build_contract_defs
from dpsynth_assets.gate.approval import scope_of
from dpsynth_assets.gate.passage import ChargedPassage
from dpsynth_assets.releases import registry
from ledger import Finding, Gaussian, LedgerBusy
from ledger.charging import Charging
from ledger.sealing import Sealing
from resources.artifact_store import ArtifactMissingError
from resources.platform import platform_resources

ROOT = Path(__file__).parents[2]


@pytest.fixture
def killed(snapshotted, contract_path, home):
    """Runs the adapter in a process that kills itself at a place."""

    def run(place: str) -> None:
        environment = {**os.environ, "DPSYNTH_HOME": str(home.root), "DAGSTER_HOME": str(home.dagster)}
        script = [sys.executable, str(Path(__file__).with_name("one_run.py")), str(contract_path), place]
        assert subprocess.run(script, cwd=ROOT, env=environment, capture_output=True, check=False).returncode == -9

    return run


def spent(book) -> float:
    return book.balance("small-bank", with_pld=False).epsilon_spent


def states(book) -> list[str]:
    return [each.state for each in book.reservations()]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dies", "left"),
    [
        ("before charge", None),
        ("after charge", "activated"),
        ("before redeem", "activated"),
        ("after redeem", "redeemed"),
        ("before commit", "redeemed"),
        ("after commit", "committed"),
        ("before seal", "committed"),
        ("after seal", "committed"),
    ],
)
def test_a_killed_run_is_paid_for_once_and_ends_with_the_next(
    killed, run, rooms, book, store, home, refusal_of, dies, left
):
    killed(dies)
    assert states(book) == ([] if left is None else [left])
    before = spent(book)
    if dies == "after seal":
        assert refusal_of(run("adapter"), "adapter"), "it stands: another one is another charge"
    else:
        assert run("adapter").success
    assert states(book) == ["committed"]
    assert left is None or spent(book) == before
    made = store.latest("small", "adapter")
    rooms_read = 0 if left == "committed" or dies == "before commit" else 1
    assert [charge.reservation for charge in made.charges] == [book.reservations()[0].id]
    assert rooms.read == rooms_read, "finished files are found"
    assert book.verify() == []
    assert not [path for path in (home.sensitive / "checkpoints").iterdir() if path.is_dir()]


@pytest.mark.parametrize("dies", ["before seal", "after commit"])
def test_what_an_audit_refuted_is_not_adopted_and_stands_in_no_run_s_way(killed, run, rooms, book, refusal_of, dies):
    killed(dies)
    [reservation] = book.reservations()
    finding = Finding(6.0, 9.0, 0.95, 1e-5, files={"audit.json": "0" * 64})
    book.incident(reservation.id, finding, reason="An audit.")
    said = refusal_of(run("adapter"), "adapter").description
    assert "is not sealed" not in said, "it would be so in every run from now on"
    assert "budget" in said, "another release, for which this budget has no room"
    assert states(book)[0] == "committed"


def interrupted_once(monkeypatch, owner, name, error):
    """The ledger does not do it the first time."""
    real = getattr(owner, name)

    def fail(self, *given, **more):
        monkeypatch.setattr(owner, name, real)
        raise error

    monkeypatch.setattr(owner, name, fail)


@pytest.mark.parametrize(("owner", "name"), [(Charging, "commit"), (Sealing, "seal")])
def test_a_ledger_that_is_busy_at_the_end(run, rooms, book, store, monkeypatch, failure_of, owner, name):
    interrupted_once(monkeypatch, owner, name, LedgerBusy("another process has held it for 120 s"))
    result = run("source", "label_histogram")
    assert "nothing is charged for it" in str(failure_of(result, "label_histogram"))
    with pytest.raises(ArtifactMissingError):
        store.latest("small", "label_histogram")
    before = spent(book)
    assert run("label_histogram").success
    assert (states(book), spent(book)) == (["committed"], before)
    assert store.latest("small", "label_histogram").receipt["about"]["size"] == 1


def test_what_others_paid_for_is_not_adopted(
    run, rooms, book, store, home, contract_path, instance, agree, monkeypatch
):
    """The contract is about other people by now, in a run of whom nobody of the former ones is counted."""
    interrupted_once(monkeypatch, Charging, "commit", LedgerBusy("held"))
    assert not run("source", "label_histogram").success
    text = contract_path.read_text(encoding="utf-8").replace("population: small-bank", "population: other-bank")
    contract_path.write_text(text, encoding="utf-8")
    source = contract_path.with_name("train.jsonl")
    source.write_text(source.read_text(encoding="utf-8").replace("my ", "our "), encoding="utf-8")
    contract = load_contract(contract_path)
    agree(contract, book)
    job = dg.Definitions.merge(
        build_contract_defs(contract), dg.Definitions(resources=platform_resources(str(home.root)))
    ).resolve_implicit_global_asset_job_def()
    keys = [dg.AssetKey(["small", name]) for name in ("source", "label_histogram")]
    assert job.execute_in_process(instance=instance, raise_on_error=False, asset_selection=keys).success
    assert [charge.population for charge in store.latest("small", "label_histogram").charges] == ["other-bank"]
    assert states(book) == ["redeemed", "committed"]


def test_files_that_changed_since_are_not_taken_for_the_release(run, rooms, book, store, home, monkeypatch):
    interrupted_once(monkeypatch, Charging, "commit", LedgerBusy("held"))
    assert not run("source", "adapter").success
    [draft] = (home.artifacts / "small" / "adapter").glob(".unfinished/*")
    (draft / "adapter.txt").write_text("somebody else's", encoding="utf-8")
    before = spent(book)
    assert run("adapter").success
    assert (states(book), spent(book)) == (["committed"], before), "it goes on from its checkpoints instead"
    assert (store.latest("small", "adapter").folder / "adapter.txt").read_text(encoding="utf-8") != "somebody else's"


def test_without_its_folder_nobody_can_tell_what_ran(run, rooms, book, home, contract_path):
    """A folder that is gone is no folder in which no step began."""

    def stop(frame):
        raise KeyboardInterrupt

    rooms.train = stop
    run("source", "adapter")
    for folder in (home.sensitive / "checkpoints").glob("*/"):
        shutil.rmtree(folder)
    rooms.train = lambda frame: None
    run("adapter")
    assert states(book)[0] == "redeemed"
    assert len(states(book)) == 2 or book.entries()[-1].kind == "refused", "a new charge, or none"


def test_a_full_disk_leaves_a_release_that_goes_on(run, rooms, book):
    def stop(frame):
        raise OSError(errno.ENOSPC, "No space left on device")

    rooms.train = stop
    assert not run("source", "adapter").success
    assert states(book) == ["redeemed"]
    rooms.train = lambda frame: None
    assert run("adapter").success
    assert states(book) == ["committed"]


def room_for_either(contract, book) -> Gaussian:
    """What leaves room for each release of the contract and not for both."""
    scope, asked = scope_of(contract), [(name, plan.event()) for name, plan in registry.plans(contract).items()]
    for noise in range(80, 4, -1):
        other = ("other", Gaussian(noise / 10))
        if not book.quote(scope, [other, *asked]).admitted:
            assert all(book.quote(scope, [other, each]).admitted for each in asked)
            return other[1]
    raise AssertionError


def test_releases_of_one_run_are_admitted_together_or_not_at_all(run, rooms, contract, book, reserve, refusal_of):
    assert run("source").success
    reserve(room_for_either(contract, book), release="other", key="other")
    before = spent(book)
    result = run("adapter", "label_histogram")
    assert "refused small/adapter" in refusal_of(result, registry.releases()[0].name).description
    assert (spent(book), rooms.read) == (pytest.approx(before), 0)
    assert [entry.kind for entry in book.entries()[-2:]] == ["refused", "voided"]
    assert run("label_histogram").success, "alone it fits"


def test_a_release_that_ran_otherwise_than_planned_is_not_committed_as_planned(run, rooms, book, monkeypatch):
    """What ran is the ledger's to judge; a later run, which did not see it, makes it again."""
    finish = ChargedPassage.finish
    with monkeypatch.context() as patched:
        patched.setattr(
            ChargedPassage, "finish", lambda self, event, *more: finish(self, replace(event, steps=2), *more)
        )
        interrupted_once(patched, Charging, "commit", LedgerBusy("held"))
        assert not run("source", "adapter").success
    assert run("adapter").success
    assert states(book) == ["committed"]
    assert rooms.read == 2
