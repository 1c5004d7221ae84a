"""What a run holds for the releases that it comes to later, and who gives it back."""

from __future__ import annotations

import uuid

import dagster as dg
import pytest

from dpsynth_assets.contract import load_contract
from dpsynth_assets.factory import build_contract_defs
from dpsynth_assets.gate.ahead import give_back
from dpsynth_assets.gate.binding import bind
from dpsynth_assets.gate.sources import source_of
from dpsynth_assets.gate.spec import spec_keys
from dpsynth_assets.language import finetuning
from dpsynth_assets.releases.adapter import ADAPTER
from ledger import Gaussian, Ledger, LedgerBusy
from ledger.charging import Charging
from resources.artifact_store import ArtifactStore
from resources.platform import platform_resources
from resources.sensitive_store import SensitiveStore

BASELINE = """\
            dp_baseline: {mechanism: dp_sgd, classifier: minilm, epsilon: 2.0, expected_batch_size: 8, steps: 3,
                          learning_rate: 0.5}
"""


@pytest.fixture
def store(home):
    return SensitiveStore(home=str(home.root))


def states(book) -> list[tuple[str, str]]:
    return [(each.release.partition("/")[2], each.state) for each in book.reservations()]


@pytest.fixture
def while_training(monkeypatch):
    """What stands in the ledger as the adapter's model is loaded."""
    seen: list[list[tuple[str, str]]] = []

    def watch(book) -> list[list[tuple[str, str]]]:
        monkeypatch.setattr(finetuning, "prepare", lambda contract, plan: seen.append(states(book)))
        return seen

    return watch


def test_what_cannot_be_gone_on_with_is_held_too(run, rooms, book, contract, store, while_training):
    """A lost release of an earlier run says nothing about whether there is room for another one."""
    assert run("source").success
    plan, source = ADAPTER.plan(contract, 1.0), store.latest(source_of(contract)).identity
    about = {"source": source, "release": "small/adapter", "owner": "lost", "plan_digest": plan.digest()}
    key = spec_keys("small/adapter", plan)[0]
    lost = book.charge("small-bank", Gaussian(noise_multiplier=50.0), key=key, ready=lambda: None, **about)
    book.redeem(lost, population="small-bank", fingerprint=source)
    seen = while_training(book)
    assert run("label_histogram", "adapter").success
    assert seen[0][-2:] == [("label_histogram", "committed"), ("adapter", "reserved")]


def test_a_release_that_is_taken_over_holds_what_comes_after_it(
    contract_path, home, agree, instance, rooms, while_training
):
    text = contract_path.read_text(encoding="utf-8").replace("epsilon: 7.0", "epsilon: 3.0")
    contract_path.write_text(
        text.replace("          generation:", BASELINE + "          generation:"), encoding="utf-8"
    )
    contract, book = load_contract(contract_path), Ledger(home.ledger_file)
    agree(contract, book)
    job = dg.Definitions.merge(
        build_contract_defs(contract), dg.Definitions(resources=platform_resources(str(home.root)))
    ).resolve_implicit_global_asset_job_def()

    def run(*names):
        keys = [dg.AssetKey(["small", name]) for name in names]
        return job.execute_in_process(instance=instance, raise_on_error=False, asset_selection=keys)

    def stop(frame):
        raise KeyboardInterrupt

    rooms.train = stop
    assert not run("source", "label_histogram", "adapter", "dp_baseline").success
    assert states(book)[1:] == [("adapter", "redeemed"), ("dp_baseline", "voided")]
    rooms.train = lambda frame: None
    seen = while_training(book)
    run("source", "adapter", "dp_baseline")
    assert seen[0][-1] == ("dp_baseline", "reserved")


def test_a_run_goes_on_with_the_snapshot_that_it_was_admitted_on(run, rooms, book, contract, home, store, monkeypatch):
    """Another run of the contract takes a smaller one meanwhile, of which the adapter would be another release."""
    assert run("source").success
    admitted, commit = store.latest(source_of(contract)).id, Charging.commit

    def meanwhile(self, grant, **more):
        bind(contract, store.ingest(source_of(contract), size=0.5), book, store)
        return commit(self, grant, **more)

    monkeypatch.setattr(Charging, "commit", meanwhile)
    assert run("label_histogram", "adapter").success
    assert states(book) == [("label_histogram", "committed"), ("adapter", "committed")]
    made = ArtifactStore(home=str(home.root)).latest("small", "adapter")
    assert (made.receipt["about"]["snapshot"], made.receipt["about"]["size"]) == (admitted, 1.0)


@pytest.fixture
def left(reserve, home):
    """What a run that died holds: a reservation, and a lock that nobody has."""
    owner = str(uuid.uuid4())
    lock = home.sensitive / "runs" / f"{owner}.lock"
    lock.parent.mkdir(mode=0o700, exist_ok=True)
    lock.touch(mode=0o600)
    return reserve(Gaussian(noise_multiplier=50.0), owner=owner), lock


def test_what_the_ledger_cannot_take_back_now_is_given_back_later(left, book, home, monkeypatch):
    held, lock = left

    def busy(self, *given, **more):
        raise LedgerBusy("another process has held it for 120 s")

    with monkeypatch.context() as patched:
        patched.setattr(Charging, "void", busy)
        give_back([held], book, str(home.root))
    assert lock.exists(), "by which the next run finds it"
    give_back(book.reservations("reserved"), book, str(home.root))
    assert (book.state(held.id), lock.exists()) == ("voided", False)


def test_a_lock_that_cannot_be_had_stops_no_other_run(left, book, home):
    held, lock = left
    lock.unlink()
    lock.mkdir()
    give_back([held], book, str(home.root))
    assert book.state(held.id) == "reserved"


def test_what_dead_runs_about_other_people_hold_is_given_back(
    left, run, rooms, book, contract_path, agree, home, instance
):
    """Their records may be among those that are asked about now."""
    held, _ = left
    text = (
        contract_path.read_text(encoding="utf-8").replace("small-bank", "other-bank").replace("id: small", "id: other")
    )
    path = contract_path.with_name("other.odcs.yaml")
    path.write_text(text.replace("id: small", "id: other"), encoding="utf-8")
    other = load_contract(path)
    agree(other, book)
    job = dg.Definitions.merge(
        build_contract_defs(other), dg.Definitions(resources=platform_resources(str(home.root)))
    ).resolve_implicit_global_asset_job_def()
    keys = [dg.AssetKey(["other", name]) for name in ("source", "label_histogram")]
    assert job.execute_in_process(instance=instance, raise_on_error=False, asset_selection=keys).success
    assert book.state(held.id) == "voided"
