"""What changes while a run prepares itself: between a first look at the approvals and the charge, models are loaded."""

from __future__ import annotations

import pytest

from dpsynth_assets.contract.diff import terms_for_approval
from dpsynth_assets.language import finetuning
from ledger import SetTerms
from resources.sensitive_store import SensitiveStore


@pytest.fixture
def meanwhile(monkeypatch):
    """`meanwhile(act)`: `act` happens as the next release loads its model."""

    def plan(act):
        monkeypatch.setattr(finetuning, "prepare", lambda contract, plan: act())

    return plan


def test_terms_that_were_tightened_meanwhile_are_those_that_count(
    run, rooms, book, contract, home, meanwhile, failure_of
):
    def tighten():
        terms = terms_for_approval(contract.seen_from(book.folder))
        terms["unit"] = terms["unit"] | {"max_records": 1}
        change = SetTerms(contract.id, terms, contract.privacy.population)
        number = book.propose(change, actor="owner@example.org", reason="too many records of one customer")
        book.approve(number, actor="privacy@example.org", reason="agreed")

    meanwhile(tighten)
    result = run("source", "adapter")
    assert "needs approval" in failure_of(result, "adapter").step_failure_data.user_failure_data.description
    assert book.reservations() == []
    assert rooms.read == 0


def test_rows_that_were_forgotten_meanwhile_are_not_paid_for(run, rooms, book, home, meanwhile, failure_of):
    meanwhile(lambda: SensitiveStore(home=str(home.root)).forget("small"))
    result = run("source", "adapter")
    assert "kept no longer" in failure_of(result, "adapter").step_failure_data.user_failure_data.description
    assert book.reservations() == []
