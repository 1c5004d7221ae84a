"""Approvals: what takes two people, what takes one, and what nobody can change."""

from __future__ import annotations

import math
from typing import Any

import pytest

from ledger import (
    AddPopulation,
    BudgetRefused,
    Gaussian,
    Ledger,
    LedgerError,
    People,
    ProtocolError,
    RaiseCap,
    Scope,
    SetPeople,
    SetTerms,
)

FINGERPRINT = "hmac-sha256:6f1ed002ab5595859014ebf0951522d9"
PLAN = "a" * 64
ALICE, BOB = "alice@example.org", "bob@example.org"
PEOPLE = People((ALICE,), (ALICE, BOB))
TERMS = {"release": {"rows": 100, "columns": ["subject", "queue"]}}


def reserve(book: Ledger, event: Gaussian) -> str:
    key = f"key {len(book.entries())}"
    asked = {"source": FINGERPRINT, "release": "r", "key": key, "owner": "run", "plan_digest": PLAN}
    return book.reserve("inbox", event, **asked).id


def raise_cap(book: Ledger, epsilon: float, population: str = "inbox") -> None:
    asked = book.propose(RaiseCap(population, epsilon), actor=ALICE, reason="more is needed")
    book.approve(asked, actor=BOB, reason="agreed")


def test_a_population_begins_with_two_people(blank: Ledger, scope: Scope) -> None:
    asked = blank.propose(AddPopulation(scope, PEOPLE), actor=ALICE, reason="to sort letters")
    assert blank.populations() == []
    with pytest.raises(LedgerError, match="no budget"):
        blank.bind_source("inbox", FINGERPRINT)
    entry = blank.approve(asked, actor=BOB, reason="read and agreed")
    assert (entry.kind, entry.owner, entry.payload["proposal"]) == ("registered", BOB, asked)
    assert blank.populations() == ["inbox"]
    (proposal,) = blank.proposals()
    assert (proposal.seq, proposal.actor, proposal.reason, proposal.effect) == (
        asked,
        ALICE,
        "to sort letters",
        entry.seq,
    )
    assert blank.verify() == []


@pytest.mark.parametrize(
    "again", [ALICE, "Alice@Example.ORG", " alice@example.org", "alice@example.org  ", "ALICE@EXAMPLE.ORG "]
)
def test_the_same_person_cannot_approve(blank: Ledger, scope: Scope, again: str) -> None:
    for change in (AddPopulation(scope, PEOPLE), SetTerms("letters", TERMS, "inbox")):  # one after the other
        asked = blank.propose(change, actor=ALICE, reason="please")
        count = len(blank.entries())
        with pytest.raises(ProtocolError, match="a second, different person"):
            blank.approve(asked, actor=again, reason="agreed")
        assert len(blank.entries()) == count
        blank.approve(asked, actor=BOB, reason="agreed")


@pytest.mark.parametrize(
    ("one", "same"), [("Ann Lee", "Ann  Lee"), ("Ann Lee", " ann lee"), ("ann@x.org", "\uff41nn@x.org")]
)
def test_the_same_person_in_another_spelling_cannot_approve(book: Ledger, one: str, same: str) -> None:
    """Doubled blanks, capitals, full-width letters: alike on every screen."""
    people = People((ALICE,), ("Ann Lee", "ann@x.org", BOB))
    asked = book.propose(SetPeople("inbox", people), actor=ALICE, reason="Ann joins")
    book.approve(asked, actor=BOB, reason="agreed")
    asked = book.propose(RaiseCap("inbox", 4.0), actor=one, reason="please")
    with pytest.raises(ProtocolError, match="a second, different person"):
        book.approve(asked, actor=same, reason="agreed")


def test_a_proposal_takes_effect_once(book: Ledger) -> None:
    asked = book.propose(RaiseCap("inbox", 4.0), actor=ALICE, reason="more")
    entry = book.approve(asked, actor=BOB, reason="agreed")
    book.lower_cap("inbox", 2.0, actor=BOB, reason="less")
    with pytest.raises(ProtocolError, match=f"took effect by entry {entry.seq}"):
        book.approve(asked, actor=BOB, reason="once more")
    assert book.balance("inbox").epsilon_cap == 2.0


@pytest.mark.parametrize("number", [0, 1, 3, 4, 99, -2, None, "2", math.nan])
def test_only_proposals_can_be_approved(book: Ledger, number: Any) -> None:
    with pytest.raises(ProtocolError, match="is not a proposal"):
        book.approve(number, actor=BOB, reason="agreed")


@pytest.mark.parametrize("text", ["", "  ", "two\nlines", "x" * 301, None, 3])
def test_names_and_reasons_are_given(book: Ledger, text: Any) -> None:
    asked = book.propose(RaiseCap("inbox", 4.0), actor=ALICE, reason="more")
    count = len(book.entries())
    for actor, reason in ((text, "because"), (BOB, text)):
        for step in (
            lambda actor=actor, reason=reason: book.propose(RaiseCap("inbox", 5.0), actor=actor, reason=reason),
            lambda actor=actor, reason=reason: book.approve(asked, actor=actor, reason=reason),
            lambda actor=actor, reason=reason: book.lower_cap("inbox", 1.0, actor=actor, reason=reason),
        ):
            with pytest.raises(LedgerError):
                step()
    assert len(book.entries()) == count


# Caps -----------------------------------------------------------------------------------------------------------------


def test_raising_takes_two_and_lowering_one(book: Ledger) -> None:
    reserve(book, Gaussian(2.5))
    with pytest.raises(BudgetRefused):
        reserve(book, Gaussian(2.5))
    with pytest.raises(ProtocolError, match="one person proposes and another one approves"):
        book.lower_cap("inbox", 4.0, actor=ALICE, reason="more")
    with pytest.raises(ProtocolError, match="would raise it"):
        book.lower_cap("inbox", 3.0, actor=ALICE, reason="the same")
    asked = book.propose(RaiseCap("inbox", 4.0), actor=ALICE, reason="more")
    with pytest.raises(BudgetRefused):  # asking alone changes nothing
        reserve(book, Gaussian(2.5))
    book.approve(asked, actor=BOB, reason="agreed")
    reserve(book, Gaussian(2.5))
    assert 3.0 < book.balance("inbox").epsilon_spent <= 4.0
    entry = book.lower_cap("inbox", 3.5, actor=ALICE, reason="enough")
    assert (entry.payload["proposal"], entry.payload["reason"], entry.owner) == (None, "enough", ALICE)
    assert book.balance("inbox").epsilon_cap == 3.5
    assert book.verify() == []


def test_a_cap_below_what_is_spent_freezes_until_it_is_raised_again(book: Ledger) -> None:
    held = reserve(book, Gaussian(2.5))
    before = book.balance("inbox")
    assert not before.frozen
    book.lower_cap("inbox", 1.0, actor=ALICE, reason="a complaint")
    frozen = book.balance("inbox")
    assert (frozen.frozen, frozen.epsilon_remaining) == (True, 0.0)
    assert frozen.epsilon_spent == pytest.approx(before.epsilon_spent)
    for event in (Gaussian(4.0), Gaussian(1e6), Gaussian(1e9)):
        with pytest.raises(BudgetRefused):
            reserve(book, event)
    assert "nothing further is admitted" in book.statement("inbox").guarantee
    raise_cap(book, 3.0)
    assert not book.balance("inbox").frozen
    reserve(book, Gaussian(10.0))
    book.void(held, reason="its run died")
    assert book.verify() == []


def test_what_is_promised_is_the_highest_cap_there_was(book: Ledger) -> None:
    """Lowering may follow on what was released, so it promises nobody less than what might have been released."""
    reserve(book, Gaussian(20.0))
    book.lower_cap("inbox", 1.0, actor=ALICE, reason="enough")
    assert "is together (3, 1e-06)-differentially private" in book.statement("inbox").guarantee
    raise_cap(book, 5.0)
    book.lower_cap("inbox", 1.0, actor=ALICE, reason="enough")
    assert "is together (5, 1e-06)-differentially private" in book.statement("inbox").guarantee


def test_voiding_below_a_lowered_cap_unfreezes(book: Ledger) -> None:
    held = reserve(book, Gaussian(2.5))
    book.lower_cap("inbox", 1.0, actor=ALICE, reason="a complaint")
    book.void(held, reason="its run died")
    assert not book.balance("inbox").frozen
    reserve(book, Gaussian(20.0))
    assert 0.0 < book.balance("inbox").epsilon_spent <= 1.0


def test_a_stale_proposal_is_refused(book: Ledger) -> None:
    """Two ask; the larger is agreed to first, and the smaller would now lower the cap without saying so."""
    smaller = book.propose(RaiseCap("inbox", 4.0), actor=ALICE, reason="a little")
    larger = book.propose(RaiseCap("inbox", 5.0), actor=ALICE, reason="more")
    book.approve(larger, actor=BOB, reason="agreed")
    with pytest.raises(ProtocolError, match="entry 7 decided about the same since"):
        book.approve(smaller, actor=BOB, reason="agreed")
    assert book.balance("inbox").epsilon_cap == 5.0
    assert book.verify() == []


def test_a_population_proposed_twice_begins_once(blank: Ledger, scope: Scope) -> None:
    first, second = (blank.propose(AddPopulation(scope, PEOPLE), actor=ALICE, reason="please") for _ in range(2))
    blank.approve(first, actor=BOB, reason="agreed")
    with pytest.raises(ProtocolError, match="entry 4 decided about the same since"):
        blank.approve(second, actor=BOB, reason="agreed")
    assert blank.verify() == []


@pytest.mark.parametrize(
    "epsilon",
    [math.nan, math.inf, -math.inf, 0.0, -1.0, True, "5", None, 1e5, 10**400, [4.0]],
    ids=lambda x: str(x)[:9],
)
def test_a_cap_is_a_number(book: Ledger, epsilon: Any) -> None:
    count = len(book.entries())
    with pytest.raises(LedgerError):
        book.propose(RaiseCap("inbox", epsilon), actor=ALICE, reason="please")
    with pytest.raises(LedgerError):
        book.lower_cap("inbox", epsilon, actor=ALICE, reason="please")
    assert len(book.entries()) == count


def test_nobody_can_change_delta_unit_or_weights(book: Ledger, scope: Scope) -> None:
    """There is no change that names them, and a cap that moves leaves them as they were."""
    fields = ("delta", "unit", "neighbouring_relation", "orders", "weights")
    stood = {name: book.entries("inbox")[1].payload[name] for name in fields}
    raise_cap(book, 5.0)
    changed = book.entries("inbox")[-1].payload
    assert set(changed) == {"proposal", "reason", "signature", "after", "epsilon", "caps"}
    entry = book.reserve(
        "inbox", Gaussian(4.0), source=FINGERPRINT, release="r", key="key", owner="run", plan_digest=PLAN
    )
    assert entry.epsilon_alone > 0
    assert {name: book.entries("inbox")[1].payload[name] for name in fields} == stood
    for cap, before in zip(changed["caps"], book.entries("inbox")[1].payload["caps"], strict=True):
        assert cap == pytest.approx(before + 2.0)
    assert book.balance("inbox").delta == scope.delta
    assert book.verify() == []


# Terms of contracts ---------------------------------------------------------------------------------------------------


def test_terms_of_a_contract_are_those_approved_last(book: Ledger) -> None:
    assert book.terms("letters") is None
    asked = book.propose(SetTerms("letters", TERMS, "inbox"), actor=ALICE, reason="new")
    assert book.terms("letters") is None
    entry = book.approve(asked, actor=BOB, reason="agreed")
    assert book.terms("letters") == TERMS
    weaker = book.propose(SetTerms("letters", {"release": {"rows": 10**6}}, "inbox"), actor=BOB, reason="more rows")
    book.approve(weaker, actor=ALICE, reason="agreed")
    assert book.terms("letters") == {"release": {"rows": 10**6}}
    assert book.terms("bills") is None
    assert entry.payload["digest"] != book.entries()[-1].payload["digest"]
    assert book.verify() == []


def test_terms_handed_in_are_copied(book: Ledger) -> None:
    terms = {"rows": [1, 2]}
    asked = book.propose(SetTerms("letters", terms, "inbox"), actor=ALICE, reason="new")
    terms["rows"].append(3)
    book.approve(asked, actor=BOB, reason="agreed")
    assert book.terms("letters") == {"rows": [1, 2]}


@pytest.mark.parametrize("terms", [{"rows": math.nan}, {"rows": {1, 2}}, {"rows": object()}, {1: "a", "1": "b"}])
def test_terms_are_plain_json(book: Ledger, terms: dict[str, Any]) -> None:
    with pytest.raises(LedgerError):
        book.propose(SetTerms("letters", terms, "inbox"), actor=ALICE, reason="new")


@pytest.mark.parametrize("contract", ["", "Letters", "a/b", None])
def test_contracts_have_names(book: Ledger, contract: Any) -> None:
    with pytest.raises(LedgerError):
        book.propose(SetTerms(contract, TERMS, "inbox"), actor=ALICE, reason="new")
    with pytest.raises(LedgerError):
        book.terms(contract)
