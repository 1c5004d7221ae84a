"""A population whose people are named, without keys and with them."""

from __future__ import annotations

import pytest

from ledger import AddPopulation, Ledger, Scope, SetPeople
from tests.ledger.people.signers import ALICE, ALICES, BOB, BOBS, OWNER, PEOPLE, agree


@pytest.fixture
def book(blank: Ledger, scope: Scope) -> Ledger:
    blank.approve(blank.propose(AddPopulation(scope, PEOPLE), actor=OWNER, reason="new"), actor=ALICE, reason="agreed")
    return blank


@pytest.fixture
def keyed(book: Ledger) -> Ledger:
    """Both approvers have a key."""
    agree(book, SetPeople("inbox", PEOPLE.with_key(ALICE, ALICES.public).with_key(BOB, BOBS.public)))
    return book
