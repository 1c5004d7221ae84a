"""Who may sign stands in the ledger: strangers are refused, and so are records that they reach under another name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ledger import (
    AddPopulation,
    Ledger,
    LedgerError,
    People,
    ProtocolError,
    RaiseCap,
    Scope,
    SetPeople,
    SetTerms,
    TermsConflict,
)
from ledger.chain import Record, canonical, digest
from tests.ledger.people.signers import (
    ALICE,
    BOB,
    MALLORY,
    OWNER,
    PEOPLE,
    STRANGERS,
    TERMS,
    TRUDY,
    agree,
    found_by_both,
    records_of,
)


def test_the_people_of_the_registration_stand_and_nobody_else(book: Ledger) -> None:
    assert book.people("inbox") == PEOPLE
    for change in (RaiseCap("inbox", 5000.0), SetTerms("letters", TERMS, "inbox"), SetPeople("inbox", STRANGERS)):
        count = len(book.entries())
        for stranger in (MALLORY, TRUDY):
            with pytest.raises(ProtocolError, match="does not stand for population inbox"):
                book.propose(change, actor=stranger, reason="because")
        asked = book.propose(change, actor=OWNER, reason="please")
        with pytest.raises(ProtocolError, match="is no approver of population inbox"):
            book.approve(asked, actor=TRUDY, reason="because")
        assert len(book.entries()) == count + 1
    with pytest.raises(ProtocolError, match="does not stand for"):
        book.lower_cap("inbox", 0.1, actor=MALLORY, reason="out of spite")
    assert book.balance("inbox", with_pld=False).epsilon_cap == 3.0


def test_an_owner_asks_and_cannot_agree(book: Ledger) -> None:
    asked = book.propose(RaiseCap("inbox", 4.0), actor=ALICE, reason="more")
    with pytest.raises(ProtocolError, match="is no approver"):
        book.approve(asked, actor=OWNER, reason="agreed")
    book.approve(asked, actor=BOB, reason="agreed")


def test_people_change_by_those_who_stand(book: Ledger) -> None:
    agree(book, SetPeople("inbox", People((OWNER,), (BOB,))))
    with pytest.raises(ProtocolError, match="does not stand for"):
        book.propose(RaiseCap("inbox", 4.0), actor=ALICE, reason="I was one")
    agree(book, RaiseCap("inbox", 4.0), approver=BOB)
    with pytest.raises(ProtocolError, match="stand there already"):
        book.propose(SetPeople("inbox", People((OWNER,), (BOB,))), actor=BOB, reason="again")
    assert found_by_both(book, records_of(book)) == ([], [])


def test_what_somebody_asked_for_who_stands_no_more_is_not_agreed_to(book: Ledger) -> None:
    asked = book.propose(RaiseCap("inbox", 4.0), actor=BOB, reason="more")
    agree(book, SetPeople("inbox", People((OWNER,), (ALICE,))))
    with pytest.raises(ProtocolError, match="no longer holds"):
        book.approve(asked, actor=ALICE, reason="agreed")


def test_a_contract_is_not_taken_to_another_population_by_that_ones_people_alone(book: Ledger, scope: Scope) -> None:
    agree(book, SetTerms("letters", TERMS, "inbox"))
    agree(book, AddPopulation(replace(scope, population="theirs"), STRANGERS), MALLORY, TRUDY)
    with pytest.raises(ProtocolError, match="does not stand for population inbox"):
        book.propose(SetTerms("letters", {"source_is_public": True}, "theirs"), actor=MALLORY, reason="mine now")
    assert book.terms("letters") == TERMS


def test_a_ledger_with_people_of_its_own_lets_only_them_register(tmp_path: Path, scope: Scope) -> None:
    book = Ledger.create(tmp_path / "ledger.duckdb", PEOPLE)
    with pytest.raises(ProtocolError, match="does not stand for the ledger"):
        book.propose(AddPopulation(scope, STRANGERS), actor=MALLORY, reason="mine")
    agree(book, AddPopulation(scope, STRANGERS))  # named for it by those who stand
    agree(book, SetTerms("letters", TERMS, "inbox"), MALLORY, TRUDY)
    with pytest.raises(ProtocolError, match="does not stand for population inbox"):
        book.propose(RaiseCap("inbox", 4.0), actor=OWNER, reason="mine")
    agree(book, SetPeople(None, People((OWNER,), (BOB,))))
    assert book.people() == People((OWNER,), (BOB,))
    assert found_by_both(book, records_of(book)) == ([], [])


def test_nobody_names_themselves_for_a_ledger_that_has_no_people(book: Ledger) -> None:
    with pytest.raises(ProtocolError, match="without people of its own"):
        book.propose(SetPeople(None, STRANGERS), actor=MALLORY, reason="mine")


@pytest.mark.parametrize(
    ("owners", "approvers"),
    [
        ((), (ALICE,)),
        ((OWNER,), ()),
        ((ALICE,), (" " + ALICE,)),
        ((ALICE,), (ALICE.upper(),)),
        ((ALICE,), ("\u0430lice@example.org",)),  # Cyrillic
        ((ALICE,), ("\uff41lice@example.org",)),  # full width
        ((ALICE,), ("alice@example.org\ufe0f",)),  # a variation selector, which nobody sees
        ((ALICE,), ("alice@example.org\u200b",)),  # a blank of no width
        ((ALICE,), (BOB, BOB.title())),
        ((ALICE,), ("",)),
    ],
)
def test_people_are_two_by_more_than_spelling(owners: tuple[str, ...], approvers: tuple[str, ...]) -> None:
    with pytest.raises(LedgerError):
        People(owners, approvers)


# Records that two populations hold ------------------------------------------------------------------------------------


def test_strangers_do_not_reach_the_same_records_under_a_new_name(book: Ledger, scope: Scope) -> None:
    book.bind_source("inbox", "hmac-sha256:original")
    agree(book, AddPopulation(replace(scope, population="theirs"), STRANGERS), MALLORY, TRUDY)
    agree(book, SetTerms("copy", {"source_is_public": True}, "theirs"), MALLORY, TRUDY)
    with pytest.raises(TermsConflict, match=r"mallory@example\.org asked for"):
        book.bind_source("theirs", "hmac-sha256:one-row-less", overlaps=("inbox/everything",))
    agree(book, SetPeople("theirs", PEOPLE), MALLORY, TRUDY)  # dressing up changes nothing of what was signed
    with pytest.raises(TermsConflict, match=r"mallory@example\.org asked for"):
        book.bind_source("theirs", "hmac-sha256:one-row-less", overlaps=("inbox/everything",))


def test_what_holds_records_of_another_population_is_changed_by_its_people_too(book: Ledger, scope: Scope) -> None:
    book.bind_source("inbox", "hmac-sha256:original")
    both = People((OWNER, MALLORY), (ALICE, TRUDY))
    agree(book, AddPopulation(replace(scope, population="copy"), both))
    book.bind_source("copy", "hmac-sha256:one-row-less", overlaps=("inbox/everything",))
    with pytest.raises(ProtocolError, match="does not stand for population inbox"):
        book.propose(SetTerms("copy", {"source_is_public": True}, "copy"), actor=MALLORY, reason="mine")
    asked = book.propose(SetTerms("copy", TERMS, "copy"), actor=OWNER, reason="ours")
    with pytest.raises(ProtocolError, match="is no approver of population inbox"):
        book.approve(asked, actor=TRUDY, reason="mine")
    book.approve(asked, actor=ALICE, reason="agreed")
    assert found_by_both(book, records_of(book)) == ([], [])


def test_units_by_another_column_share_nothing(book: Ledger, scope: Scope) -> None:
    book.bind_source("inbox", "hmac-sha256:original")
    by_column = replace(scope, unit_by="column customer")
    with pytest.raises(TermsConflict, match="another unit_by"):
        book.require(by_column)
    agree(book, AddPopulation(replace(by_column, population="columns"), PEOPLE))
    with pytest.raises(TermsConflict, match="by column customer"):
        book.bind_source("columns", "hmac-sha256:copy", overlaps=("inbox/everything",))


def typed_terms(kind: str) -> dict[str, Any]:
    return {"population": "columns", "unit": {"name": "customer", "column": "customer", "logical_type": kind}}


@pytest.fixture
def untyped(book: Ledger, scope: Scope) -> Ledger:
    """A population that was registered before the type of its unit's column stood in the ledger."""
    agree(book, AddPopulation(replace(scope, population="columns", unit_by="column customer"), PEOPLE))
    return book


def test_a_population_of_before_keeps_the_type_of_the_first_terms_that_state_it(untyped: Ledger, scope: Scope) -> None:
    numbers, texts = (
        replace(scope, population="columns", unit_by=f"column customer as {kind}") for kind in ("integer", "string")
    )
    untyped.require(numbers)
    untyped.require(texts)
    agree(untyped, SetTerms("letters", {**typed_terms("integer"), "unit": {"column": "customer"}}, "columns"))
    untyped.require(texts)
    agree(untyped, SetTerms("letters", typed_terms("integer"), "columns"))
    untyped.require(numbers)
    with pytest.raises(TermsConflict, match=r"column customer as integer.*It never changes"):
        untyped.require(texts)
    with pytest.raises(TermsConflict, match="another unit_by"):
        untyped.propose(SetTerms("cards", typed_terms("string"), "columns"), actor=OWNER, reason="as text")
    assert found_by_both(untyped, records_of(untyped)) == ([], [])


def test_units_by_another_type_of_a_column_share_nothing(untyped: Ledger, scope: Scope) -> None:
    for name, kind in (("numbers", "integer"), ("texts", "string")):
        typed = replace(scope, population=name, unit_by=f"column customer as {kind}")
        agree(untyped, AddPopulation(typed, PEOPLE))
    untyped.bind_source("columns", "hmac-sha256:original")
    untyped.bind_source("numbers", "hmac-sha256:copy", overlaps=("columns/everything",))  # it does not say its type
    with pytest.raises(TermsConflict, match="by column customer as integer"):
        untyped.bind_source("texts", "hmac-sha256:another", overlaps=("numbers/everything",))
    assert found_by_both(untyped, records_of(untyped)) == ([], [])


def test_terms_that_tell_units_apart_by_another_type_are_found_by_both(
    untyped: Ledger, resealed: Callable[..., Record], rechained: Callable[[list[Record]], list[Record]]
) -> None:
    agree(untyped, SetTerms("letters", typed_terms("integer"), "columns"))
    agree(untyped, SetTerms("cards", typed_terms("integer"), "columns"))

    def as_text(said: dict[str, Any]) -> None:
        payload, terms = said["payload"], typed_terms("string")
        payload.get("change", payload)["terms"] = terms
        if "digest" in payload:
            payload["digest"] = digest(canonical(terms))

    records = records_of(untyped)
    forged = rechained([*records[:-2], *(resealed(record, as_text) for record in records[-2:])])
    for problems in found_by_both(untyped, forged):
        assert any("(terms_set)" in problem and "unit" in problem for problem in problems), problems


def test_terms_of_one_population_are_not_set_for_another(book: Ledger, scope: Scope) -> None:
    agree(book, AddPopulation(replace(scope, population="theirs"), STRANGERS), MALLORY, TRUDY)
    for terms in ({"population": "inbox", "source_is_public": True}, {"population": None}):
        with pytest.raises(ProtocolError, match="name another population than theirs"):
            book.propose(SetTerms("evil", terms, "theirs"), actor=MALLORY, reason="mine")
    assert book.terms("evil") is None


def test_people_are_not_set_for_a_population_that_there_is_not(blank: Ledger, scope: Scope) -> None:
    blank.propose(AddPopulation(scope, STRANGERS), actor=MALLORY, reason="mine")
    with pytest.raises(ProtocolError, match="has no budget in this ledger"):
        blank.propose(SetPeople("inbox", STRANGERS), actor=MALLORY, reason="mine")
