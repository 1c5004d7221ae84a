"""Ledgers of before, when a file named who may sign: they are read as they were meant, and new acts obey new rules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from ledger import (
    AddPopulation,
    Gaussian,
    Ledger,
    People,
    ProtocolError,
    RaiseCap,
    Scope,
    SetPeople,
    SetTerms,
    TermsConflict,
)
from ledger.authority import Authority
from ledger.chain import Record
from tests.ledger.people.signers import (
    ALICE,
    ALICES,
    ASKS,
    BOB,
    MALLORY,
    OWNER,
    PEOPLE,
    TRUDY,
    agree,
    found_by_both,
    records_of,
    restored,
)


def as_before(record: Record, resealed: Callable[..., Record]) -> Record:
    """The entry as ledgers wrote it before people stood in them."""

    def strip(said: dict[str, Any]) -> None:
        for name in ("people", "unit_by", "signature", "after"):
            said["payload"].pop(name, None)
        change = said["payload"].get("change", {})
        for name in ("people", "unit_by", *(["population"] if change.get("kind") == "set_terms" else [])):
            change.pop(name, None)
        if said["kind"] == "terms_set":
            said["population"] = None

    return resealed(record, strip)


def before(
    book: Ledger, scope: Scope, terms: dict[str, Any], resealed: Any, rechained: Any, more: Any = lambda book: None
) -> Ledger:
    """A ledger of before: a population, and the terms of its contract, by Owner and Alice."""
    column = terms.get("unit", {}).get("column")
    told_by = f"column {column}" if column else None  # which the stripped entry does not say
    agree(book, AddPopulation(replace(scope, unit="customer", unit_by=told_by), PEOPLE))
    agree(book, SetTerms("letters", terms, "inbox"))
    more(book)
    store: Any = book._store
    store.records = rechained([as_before(record, resealed) for record in store.records])
    return book


OLD_TERMS = {
    "population": "inbox",
    "unit": {"name": "customer", "column": "customer_id"},
    "owners": [OWNER],
    "approvers": [ALICE, BOB],
}


def test_a_population_of_before_has_the_people_and_the_unit_of_its_first_terms(
    blank: Ledger, scope: Scope, resealed: Any, rechained: Any
) -> None:
    book = before(blank, scope, OLD_TERMS, resealed, rechained)
    assert book.people("inbox") == PEOPLE
    assert book.terms("letters") == OLD_TERMS
    book.require(replace(scope, unit_by="column customer_id"))
    with pytest.raises(TermsConflict, match="unit_by"):
        book.require(scope)
    with pytest.raises(ProtocolError, match="does not stand"):
        book.propose(RaiseCap("inbox", 5000.0), actor=MALLORY, reason="mine")
    agree(book, RaiseCap("inbox", 4.0), approver=BOB)
    assert found_by_both(book, records_of(book)) == ([], [])


def test_an_overlap_with_a_unit_of_before_is_one_of_records(
    blank: Ledger, scope: Scope, resealed: Any, rechained: Any
) -> None:
    """Its registration says otherwise what a unit is called; what it is are records, here as there."""
    terms = {**OLD_TERMS, "unit": {"name": "customer", "column": None}}
    book = before(blank, scope, terms, resealed, rechained, lambda book: book.bind_source("inbox", "hmac-sha256:one"))
    agree(book, AddPopulation(replace(scope, population="copy", unit="record"), PEOPLE))
    book.bind_source("copy", "hmac-sha256:two", overlaps=("inbox/everything",))
    assert found_by_both(book, records_of(book)) == ([], [])


def test_a_unit_of_before_without_a_column_is_called_a_record(
    blank: Ledger, scope: Scope, resealed: Any, rechained: Any
) -> None:
    terms = {**OLD_TERMS, "unit": {"name": "customer", "column": None}}
    book = before(blank, scope, terms, resealed, rechained)
    book.require(replace(scope, unit="record"))
    assert "one record contributed" in book.statement("inbox", with_pld=False).guarantee


def test_terms_that_strangers_signed_before_do_not_stand(
    blank: Ledger, scope: Scope, resealed: Any, rechained: Any
) -> None:
    """Before, a file named who may sign it. Such terms need those who stand now."""
    public = {**OLD_TERMS, "source_is_public": True, "owners": [MALLORY], "approvers": [TRUDY]}
    book = before(
        blank, scope, OLD_TERMS, resealed, rechained, lambda book: agree(book, SetTerms("letters", public, "inbox"))
    )
    store: Any = book._store
    names = {6: MALLORY, 7: TRUDY}
    store.records = rechained(
        [resealed(r, lambda s, r=r: s.update(owner=names.get(r.seq, s["owner"]))) for r in store.records]
    )
    assert book.terms("letters") == OLD_TERMS
    assert found_by_both(book, records_of(book)) == ([], [])


def test_without_terms_the_two_who_registered_it_stand(
    blank: Ledger, scope: Scope, resealed: Any, rechained: Any
) -> None:
    book = before(blank, scope, {"retention_days": 30}, resealed, rechained)
    people = book.people("inbox")
    assert people == People((OWNER,), (ALICE,))
    agree(book, RaiseCap("inbox", 4.0))
    assert found_by_both(book, records_of(book)) == ([], [])


def test_entries_of_before_do_not_come_after_entries_of_now(
    blank: Ledger, scope: Scope, resealed: Any, rechained: Any
) -> None:
    """Else a forger would write as in the old days, when a file named its approvers."""
    book = before(blank, scope, OLD_TERMS, resealed, rechained)
    agree(book, RaiseCap("inbox", 4.0))
    agree(book, RaiseCap("inbox", 5.0))
    records = records_of(book)
    records[-2:] = [as_before(record, resealed) for record in records[-2:]]
    for problems in found_by_both(book, rechained(records)):
        assert any(problem.startswith("entry 8 (proposed)") for problem in problems)


def test_a_release_goes_on_under_a_population_of_before(
    blank: Ledger, scope: Scope, resealed: Any, rechained: Any
) -> None:
    book = before(blank, scope, OLD_TERMS, resealed, rechained)
    book.bind_source("inbox", "hmac-sha256:original")
    asked = {"source": "hmac-sha256:original", "release": "r", "key": "k", "owner": "run", "plan_digest": "a" * 64}
    book.activate(book.reserve("inbox", Gaussian(10.0), **asked))
    assert found_by_both(book, records_of(book)) == ([], [])


# Ledgers of lately: a key was asked for only where it had been enrolled -----------------------------------------------


def as_lately(record: Record, resealed: Callable[..., Record]) -> Record:
    def strip(said: dict[str, Any]) -> None:
        said["payload"].pop("after", None)
        if said["kind"] == "external_charge":
            said["payload"].pop("signature")

    return resealed(record, strip)


def test_what_was_done_lately_still_holds_and_new_acts_obey(
    book: Ledger, scope: Scope, resealed: Any, rechained: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as lawless:
        for judge in ("require_proposal", "require_approval"):
            lawless.setattr(Authority, judge, lambda *given, **more: None)
        agree(book, AddPopulation(replace(scope, population="second"), PEOPLE))
        agree(book, SetPeople("inbox", PEOPLE.with_key(ALICE, ALICES.public)))
        raised = book.propose(RaiseCap("second", 4.0), **ASKS)
        agree(book, SetPeople("second", People((OWNER, MALLORY), (ALICE, BOB))))
        book.approve(raised, actor=ALICE, reason="as a keyless name there, after something was decided")
        agree(book, SetTerms("evil", {"population": "inbox"}, "second"))
        book.external_charge("inbox", Gaussian(30.0), actor=ALICE, reason="by a name only")
    store: Any = book._store
    store.records = rechained([as_lately(record, resealed) for record in store.records])
    restored(book, ALICE)
    assert found_by_both(book, records_of(book)) == ([], [])
    assert book.terms("evil") is None  # nobody of the inbox was asked
    with pytest.raises(ProtocolError, match="is not signed by it"):
        agree(book, RaiseCap("second", 5.0))
    agree(book, RaiseCap("second", 5.0), approver=BOB)
    assert found_by_both(book, records_of(book)) == ([], [])
    records = records_of(book)
    records[-1] = as_lately(records[-1], resealed)
    for problems in found_by_both(book, rechained(records)):
        assert any(problem.startswith(f"entry {len(records)} (cap_changed)") for problem in problems)
