"""What strangers write into a ledger, with all hashes right, is found by `verify` and by `replay`."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from ledger import (
    AddPopulation,
    Gaussian,
    Ledger,
    People,
    RaiseCap,
    Scope,
    SetPeople,
    SetTerms,
    TermsConflict,
    chain,
)
from ledger.authority import Authority
from ledger.chain import Record
from tests.ledger.people.signers import (
    ALICE,
    ALICES,
    ASKS,
    BOB,
    BOBS,
    MALLORY,
    OTHER,
    OWNER,
    STRANGERS,
    TERMS,
    TRUDY,
    agree,
    found_by_both,
    records_of,
    restored,
    say,
    signed_approval,
)


@pytest.fixture
def forgeable(keyed: Ledger) -> list[Record]:
    """created, population, keys: 1 to 5. Terms asked for by the owner and signed by Alice: 6, 7. A cap lowered: 8."""
    asked = keyed.propose(SetTerms("letters", TERMS, "inbox"), actor=OWNER, reason="new")
    signed_approval(keyed, asked)
    lowered = keyed.to_lower_cap("inbox", 2.0, actor=BOB, reason="less")
    keyed.lower_cap("inbox", 2.0, actor=BOB, reason="less", signature=BOBS.sign(lowered))
    keyed.bind_source("inbox", "hmac-sha256:original")
    return records_of(keyed)


FORGERIES: dict[str, tuple[int, Callable[[dict[str, Any]], object]]] = {
    "terms agreed to by somebody who does not stand there": (
        7,
        lambda s: (s.update(owner=TRUDY), say(signature=None)(s)),
    ),
    "terms asked for by somebody who does not stand there": (6, lambda s: s.update(owner=MALLORY)),
    "terms agreed to by an owner": (7, lambda s: (s.update(owner=OWNER), say(signature=None)(s))),
    "terms without the signature": (7, say(signature=None)),
    "terms that say nothing of a signature": (7, lambda s: s["payload"].pop("signature")),
    "a signature over another statement": (7, say(signature=ALICES.sign("something else"))),
    "a signature for another purpose": (7, lambda s: say(signature=ALICES.sign("x", b"git"))(s)),
    "another reason than was signed": (7, say(reason="after long thought")),
    "a cap lowered in somebody's name": (8, say(signature=None)),
    "a cap lowered further than was signed": (8, say(reason="much less")),
    "people named by nobody": (5, say(people=STRANGERS.to_json())),
    "people agreed to by a stranger": (5, lambda s: s.update(owner=TRUDY)),
    "a registration by strangers": (2, lambda s: s.update(owner=MALLORY)),
    "a registration that names other people": (3, say(people=STRANGERS.to_json())),
    "a registration that names nobody": (3, lambda s: s["payload"].pop("people")),
    "a registration by another column": (3, say(unit_by="column customer")),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forged_entry_is_found_by_verify_and_by_replay(
    keyed: Ledger,
    forgeable: list[Record],
    name: str,
    resealed: Callable[..., Record],
    rechained: Callable[[list[Record]], list[Record]],
) -> None:
    assert found_by_both(keyed, forgeable) == ([], [])
    number, change = FORGERIES[name]
    forged = [*forgeable]
    forged[number - 1] = resealed(forged[number - 1], change)
    for problems in found_by_both(keyed, rechained(forged)):
        assert any(problem.startswith(f"entry {number} ") or f"entry {number + 1} " in problem for problem in problems)


def test_a_signature_repeated_in_a_forged_entry_is_found(
    keyed: Ledger, forgeable: list[Record], rechained: Callable[[list[Record]], list[Record]]
) -> None:
    """Alice signed for these terms once; somebody writes proposal and approval down a second time."""
    for problems in found_by_both(keyed, rechained([*forgeable, forgeable[5], forgeable[6]])):
        assert any(problem.startswith("entry 11 (terms_set)") for problem in problems)


def test_an_overlap_that_strangers_signed_for_is_found(
    book: Ledger, scope: Scope, resealed: Callable[..., Record], rechained: Callable[[list[Record]], list[Record]]
) -> None:
    book.bind_source("inbox", "hmac-sha256:original")
    agree(book, AddPopulation(replace(scope, population="theirs"), STRANGERS), MALLORY, TRUDY)
    book.bind_source("theirs", "hmac-sha256:one-row-less")
    records = records_of(book)
    records[-1] = resealed(records[-1], say(overlaps=["inbox/everything"]))
    for problems in found_by_both(book, rechained(records)):
        assert problems
        assert all(problem.startswith("entry 7 (bound)") for problem in problems)
        assert "sign" in problems[0] or "asked for" in problems[0]


def test_another_key_than_the_one_there_does_not_reach_the_same_records(
    keyed: Ledger, scope: Scope, resealed: Callable[..., Record], rechained: Callable[[list[Record]], list[Record]]
) -> None:
    """Two owners give an approver of theirs another key in a population of their own, and sign as the approver."""
    keyed.bind_source("inbox", "hmac-sha256:original")
    people = People((OWNER, MALLORY), (TRUDY, ALICE), {ALICE: ALICES.public})
    agree(keyed, AddPopulation(replace(scope, population="theirs"), people), OWNER, TRUDY)
    agree(keyed, SetPeople("theirs", people.with_key(ALICE, OTHER.public)), OWNER, TRUDY)
    signed_approval(keyed, keyed.propose(SetTerms("copy", TERMS, "theirs"), **ASKS), OTHER)
    with pytest.raises(TermsConflict, match="are held by 'inbox' too"):
        keyed.bind_source("theirs", "hmac-sha256:copy", overlaps=("inbox/everything",))
    keyed.bind_source("theirs", "hmac-sha256:copy")
    records = records_of(keyed)
    records[-1] = resealed(records[-1], say(overlaps=["inbox/everything"]))
    for problems in found_by_both(keyed, rechained(records)):
        assert any(problem.startswith(f"entry {len(records)} (bound)") for problem in problems)


FORGED: dict[str, Callable[[Ledger, Scope, int], object]] = {
    "terms that name another population": lambda book, scope, asked: book.propose(
        SetTerms("evil", {"population": "inbox"}, "theirs"), actor=MALLORY, reason="mine"
    ),
    "people of no population": lambda book, scope, asked: book.propose(
        SetPeople("ghost", STRANGERS), actor=MALLORY, reason="mine"
    ),
    "somebody listed without the key": lambda book, scope, asked: book.propose(
        AddPopulation(replace(scope, population="copy"), People((OWNER,), (ALICE,))), **ASKS
    ),
    "agreed to when something was decided since": lambda book, scope, asked: signed_approval(book, asked),
    "spending written down by a stranger": lambda book, scope, asked: book.external_charge(
        "inbox", Gaussian(30.0), actor=MALLORY, reason="mine"
    ),
    "spending written down in a name with a key": lambda book, scope, asked: book.external_charge(
        "inbox", Gaussian(30.0), actor=BOB, reason="mine"
    ),
    "restored in a name with a key": lambda book, scope, asked: restored(book, BOB),
}


@pytest.mark.parametrize(
    "terms",
    [
        {"unit": {"name": "message"}},
        {"unit": {"column": "customer"}},
        {"unit": {"neighbouring_relation": "replace_one_unit"}},
        {"budget": {"delta": 1e-3}},
        {"budget": {"rule": "closed_plan"}},
        {"blocks": {"column": "month"}},
    ],
    ids=str,
)
def test_terms_of_what_never_changes_are_found_by_both(
    book: Ledger, terms: dict[str, Any], resealed: Any, rechained: Any
) -> None:
    agree(book, SetTerms("letters", {"population": "inbox", "unit": {"name": "customer"}}, "inbox"))
    assert found_by_both(book, records_of(book)) == ([], [])
    records, forged = records_of(book), {"population": "inbox", **terms}
    change = SetTerms("letters", forged, "inbox").to_json()
    records[-2] = resealed(records[-2], say(change=change))
    digest = hashlib.sha256(chain.canonical(forged).encode()).hexdigest()
    records[-1] = resealed(records[-1], say(terms=forged, digest=digest))
    records = rechained(records)
    for problems in found_by_both(book, records):
        assert len(problems) == 1
        assert problems[0].startswith(f"entry {len(records)} (terms_set)")


@pytest.fixture
def overtaken(keyed: Ledger, scope: Scope) -> tuple[Ledger, int]:
    """A ledger, with a proposal about which something was decided since."""
    agree(keyed, AddPopulation(replace(scope, population="theirs"), STRANGERS), MALLORY, TRUDY)
    asked = keyed.propose(RaiseCap("inbox", 4.0), **ASKS)
    keyed.lower_cap("inbox", 2.0, actor=OWNER, reason="less")
    restored(keyed, OWNER)
    return keyed, asked


@pytest.mark.parametrize("name", FORGED)
def test_an_act_that_the_ledger_refuses_is_found_by_both(
    overtaken: tuple[Ledger, int], scope: Scope, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    book, asked = overtaken
    assert found_by_both(book, records_of(book)) == ([], [])
    with monkeypatch.context() as lawless:
        for judge in ("require_proposal", "require_approval"):
            lawless.setattr(Authority, judge, lambda *given, **more: None)
        FORGED[name](book, scope, asked)
    last = len(records_of(book))
    for problems in found_by_both(book, records_of(book)):
        assert problems
        assert all(problem.startswith(f"entry {last} ") for problem in problems)


@pytest.mark.parametrize(
    "change",
    [
        lambda said: said.update(population="theirs"),
        lambda said: said["payload"].update(key="letters"),
        lambda said: said["payload"].update(after="0" * 64),
        lambda said: said["payload"].pop("after"),
    ],
    ids=["population", "key", "after", "without after"],
)
def test_a_proposal_is_filed_where_it_belongs(
    overtaken: tuple[Ledger, int], change: Callable[[dict[str, Any]], object], resealed: Any, rechained: Any
) -> None:
    book, asked = overtaken
    records = records_of(book)
    records[asked - 1] = resealed(records[asked - 1], change)
    for problems in found_by_both(book, rechained(records)):
        assert any(problem.startswith(f"entry {asked} (proposed)") for problem in problems)
