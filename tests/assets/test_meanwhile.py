"""What changes while a run prepares itself: between a first look at the approvals and the charge, models are loaded.

And what a disk that fills up meanwhile leaves."""

from __future__ import annotations

import errno

import pytest

from dpsynth_assets.contract.diff import terms_for_approval
from dpsynth_assets.language import finetuning
from ledger import SetTerms
from resources.artifact_store import ArtifactStore
from resources.sensitive_store import SensitiveStore


@pytest.fixture
def meanwhile(monkeypatch):
    """`meanwhile(act)`: `act` happens as the next release loads its model."""

    def plan(act):
        monkeypatch.setattr(finetuning, "prepare", lambda contract, plan: act())

    return plan


def test_terms_that_were_tightened_meanwhile_are_those_that_count(
    run, rooms, book, contract, home, meanwhile, refusal_of
):
    def tighten():
        terms = terms_for_approval(contract.seen_from(book.folder))
        terms["unit"] = terms["unit"] | {"max_records": 1}
        change = SetTerms(contract.id, terms, contract.privacy.population)
        number = book.propose(change, actor="owner@example.org", reason="too many records of one customer")
        book.approve(number, actor="privacy@example.org", reason="agreed")

    meanwhile(tighten)
    result = run("source", "adapter")
    assert "needs approval" in refusal_of(result, "adapter").description
    assert book.reservations() == []
    assert rooms.read == 0


def test_rows_that_were_forgotten_meanwhile_are_not_paid_for(run, rooms, book, home, meanwhile, failure_of):
    meanwhile(lambda: SensitiveStore(home=str(home.root)).forget("small"))
    result = run("source", "adapter")
    assert "kept no longer" in failure_of(result, "adapter").step_failure_data.user_failure_data.description
    assert book.reservations() == []


def test_what_cannot_be_sealed_on_a_full_disk_says_where_it_lies(run, rooms, book, home, monkeypatch, failure_of):
    from resources import artifact_store

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    assert run("source").success
    monkeypatch.setattr(artifact_store, "replace_atomically", full)
    result = run("label_histogram")
    told = failure_of(result, "label_histogram").step_failure_data.user_failure_data
    assert told is not None, "a trace in place of a sentence"
    assert "nothing is charged for it" in told.description
    assert "No space left on device" in told.description
    assert [charge.state for charge in book.reservations()] == ["committed"]
    monkeypatch.undo()
    assert [made.kind for made in ArtifactStore(home=str(home.root)).seal_committed()] == ["label_histogram"]


def test_on_a_full_disk_nothing_is_charged(run, rooms, book, home, monkeypatch, failure_of):
    """The ledger's entry may still fit, and what follows on it not: a charge that nothing came of."""
    from dpsynth_assets.gate import resumption

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    assert run("source").success
    monkeypatch.setattr(resumption, "write_private", full)
    result = run("label_histogram")
    told = failure_of(result, "label_histogram").step_failure_data.user_failure_data
    assert "No space left on device" in told.description
    assert "Nothing was charged" in told.description
    assert book.reservations() == []
    monkeypatch.undo()
    assert not list(home.sensitive.glob("checkpoints/.room"))
