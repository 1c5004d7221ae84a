"""Who may sign stands in the ledger: strangers are refused, and entries forged by them are found by both checks."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger import (
    AddPopulation,
    Gaussian,
    Ledger,
    LedgerError,
    People,
    ProtocolError,
    RaiseCap,
    Scope,
    SetPeople,
    SetTerms,
    TermsConflict,
    chain,
)
from ledger.authority import Authority
from ledger.chain import Draft, Record, canonical, digest
from ledger.replay import Replay
from ledger.signatures import SignatureRefused, public_key, require_signature, unarmored
from ledger.verification import problems_of

OWNER, ALICE, BOB = "owner@example.org", "alice@example.org", "bob@example.org"
MALLORY, TRUDY = "mallory@example.org", "trudy@example.org"
PEOPLE = People((OWNER,), (ALICE, BOB))
STRANGERS = People((MALLORY,), (TRUDY,))
TERMS = {"source_is_public": False}
ASKS: dict[str, Any] = {"actor": OWNER, "reason": "please"}


def field(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


class Key:
    """An SSH key pair, and signatures as `ssh-keygen -Y sign` makes them."""

    def __init__(self, number: int) -> None:
        self.private = Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32)
        self.blob = field(b"ssh-ed25519") + field(self.private.public_key().public_bytes_raw())
        self.public = "ssh-ed25519 " + base64.b64encode(self.blob).decode()

    def sign(self, statement: str, purpose: bytes = b"dpsynth-approval", algorithm: str = "sha512") -> str:
        digest = hashlib.new(algorithm, statement.encode()).digest()
        head = field(purpose) + field(b"") + field(algorithm.encode())
        made = self.private.sign(b"SSHSIG" + head + field(digest))
        signature = field(field(b"ssh-ed25519") + field(made))
        return base64.b64encode(b"SSHSIG\0\0\0\1" + field(self.blob) + head + signature).decode()


ALICES, BOBS, OTHER = Key(1), Key(2), Key(3)


@pytest.fixture
def book(blank: Ledger, scope: Scope) -> Ledger:
    blank.approve(blank.propose(AddPopulation(scope, PEOPLE), actor=OWNER, reason="new"), actor=ALICE, reason="agreed")
    return blank


def agree(book: Ledger, change: Any, asker: str = OWNER, approver: str = ALICE) -> None:
    book.approve(book.propose(change, actor=asker, reason="please"), actor=approver, reason="agreed")


@pytest.fixture
def keyed(book: Ledger) -> Ledger:
    """Both approvers have a key."""
    agree(book, SetPeople("inbox", PEOPLE.with_key(ALICE, ALICES.public).with_key(BOB, BOBS.public)))
    return book


def signed_approval(book: Ledger, proposal: int, key: Key = ALICES, actor: str = ALICE) -> Any:
    signature = key.sign(book.to_approve(proposal, actor=actor, reason="agreed"))
    return book.approve(proposal, actor=actor, reason="agreed", signature=signature)


def found_by_both(book: Ledger, records: list[Record]) -> tuple[list[str], list[str]]:
    replay = Replay()
    for record in records:
        replay.read(json.dumps({"body": record.body, "hash": record.hash}).encode())
    return problems_of(book.id, records, []), replay.problems


def records_of(book: Ledger) -> list[Record]:
    return list(book._store.everything()[1])


# Names ----------------------------------------------------------------------------------------------------------------


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


# Keys -----------------------------------------------------------------------------------------------------------------


def test_whoever_has_a_key_must_sign(keyed: Ledger) -> None:
    asked = keyed.propose(RaiseCap("inbox", 4.0), actor=OWNER, reason="more")  # the owner has none
    with pytest.raises(ProtocolError, match="has a key in this ledger"):
        keyed.approve(asked, actor=ALICE, reason="agreed")
    with pytest.raises(ProtocolError, match="has a key in this ledger"):
        keyed.propose(RaiseCap("inbox", 5.0), actor=BOB, reason="in Bob's name")
    with pytest.raises(ProtocolError, match="has a key in this ledger"):
        keyed.lower_cap("inbox", 1.0, actor=BOB, reason="in Bob's name")
    entry = signed_approval(keyed, asked)
    assert entry.payload["signature"]
    lowered = keyed.to_lower_cap("inbox", 1.0, actor=BOB, reason="less")
    keyed.lower_cap("inbox", 1.0, actor=BOB, reason="less", signature=BOBS.sign(lowered, algorithm="sha256"))
    assert [each.signed for each in keyed.proposals()] == [False, False, False]
    assert found_by_both(keyed, records_of(keyed)) == ([], [])


def test_a_signature_is_good_for_one_act_of_one_person_in_one_ledger(
    keyed: Ledger, blank_ledger: Callable[[], Ledger], scope: Scope
) -> None:
    change = RaiseCap("inbox", 4.0)
    asked = keyed.propose(change, actor=OWNER, reason="more")
    right = keyed.to_approve(asked, actor=ALICE, reason="agreed")
    again = keyed.propose(change, actor=OWNER, reason="more")
    wrong = {
        "another key's": OTHER.sign(right),
        "another approver's": BOBS.sign(right),
        "another purpose's": ALICES.sign(right, purpose=b"file"),
        "over another reason": ALICES.sign(keyed.to_approve(asked, actor=ALICE, reason="no")),
        "over another proposal": ALICES.sign(keyed.to_approve(again, actor=ALICE, reason="agreed")),
        "over another actor": ALICES.sign(keyed.to_approve(asked, actor=BOB, reason="agreed")),
        "over asking for it": ALICES.sign(keyed.to_propose(change, actor=ALICE, reason="agreed")),
        "over another ledger": ALICES.sign(right.replace('"memory"', '"another"')),
        "cut off": ALICES.sign(right)[:-8],
        "empty": "",
        "words": "I agree",
    }
    for what, signature in wrong.items():
        with pytest.raises(LedgerError):
            pytest.fail(f"{what}: {keyed.approve(asked, actor=ALICE, reason='agreed', signature=signature)}")
    keyed.approve(asked, actor=ALICE, reason="agreed", signature=ALICES.sign(right))


def test_a_proposal_is_not_repeated_with_its_signature(keyed: Ledger) -> None:
    change = RaiseCap("inbox", 4.0)
    signature = BOBS.sign(keyed.to_propose(change, actor=BOB, reason="for May"))
    asked = keyed.propose(change, actor=BOB, reason="for May", signature=signature)
    signed_approval(keyed, asked)
    lowered = keyed.to_lower_cap("inbox", 1.0, actor=BOB, reason="May is over")
    keyed.lower_cap("inbox", 1.0, actor=BOB, reason="May is over", signature=BOBS.sign(lowered))
    with pytest.raises(ProtocolError, match="not over this statement"):
        keyed.propose(change, actor=BOB, reason="for May", signature=signature)


def test_a_revoked_key_signs_nothing_and_a_new_one_does(keyed: Ledger) -> None:
    waiting = keyed.propose(
        RaiseCap("inbox", 4.0),
        actor=BOB,
        reason="more",
        signature=BOBS.sign(keyed.to_propose(RaiseCap("inbox", 4.0), actor=BOB, reason="more")),
    )
    people = keyed.people("inbox")
    assert people
    asked = keyed.propose(
        SetPeople("inbox", people.with_key(BOB, OTHER.public)), actor=OWNER, reason="Bob's was stolen"
    )
    with pytest.raises(ProtocolError, match="is not by the key"):  # a thief does not keep it in place of Bob
        signed_approval(keyed, asked, OTHER)
    signed_approval(keyed, asked)
    with pytest.raises(ProtocolError, match="no longer holds"):
        signed_approval(keyed, waiting)
    raised = keyed.propose(RaiseCap("inbox", 4.0), actor=OWNER, reason="more")
    with pytest.raises(ProtocolError, match="is not by the key"):
        signed_approval(keyed, raised, BOBS, BOB)
    signed_approval(keyed, raised, OTHER, BOB)
    assert found_by_both(keyed, records_of(keyed)) == ([], [])


def test_a_signature_by_a_key_that_nobody_enrolled_is_refused(book: Ledger) -> None:
    asked = book.propose(RaiseCap("inbox", 4.0), actor=OWNER, reason="more")
    with pytest.raises(ProtocolError, match="no key stands for"):
        signed_approval(book, asked)


def test_keys_can_stand_from_the_registration_on(blank: Ledger, scope: Scope) -> None:
    change = AddPopulation(scope, PEOPLE.with_key(OWNER, OTHER.public).with_key(ALICE, ALICES.public))
    with pytest.raises(ProtocolError, match="has a key"):
        blank.propose(change, actor=OWNER, reason="new")
    statement = blank.to_propose(change, actor=OWNER, reason="new")
    asked = blank.propose(change, actor=OWNER, reason="new", signature=OTHER.sign(statement))
    signed_approval(blank, asked)
    assert found_by_both(blank, records_of(blank)) == ([], [])


def test_one_key_is_one_person() -> None:
    with pytest.raises(LedgerError, match="they are one person"):
        PEOPLE.with_key(ALICE, ALICES.public).with_key(BOB, ALICES.public + " bob@laptop")


@pytest.mark.parametrize(
    "line",
    [
        "",
        "ssh-rsa AAAAB3NzaC1yc2E",
        "sk-ssh-ed25519@openssh.com AAAA",
        "ssh-ed25519",
        "ssh-ed25519 AAAA",
        "ssh-ed25519 !",
    ],
)
def test_only_whole_ed25519_keys_are_taken(line: str) -> None:
    with pytest.raises(SignatureRefused):
        public_key(line)


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="needs OpenSSH")
def test_ssh_keygen_signs_what_is_verified_here(tmp_path: Path) -> None:
    key, statement = tmp_path / "key", tmp_path / "statement"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "me@laptop", "-f", key], check=True)
    statement.write_text("{\n}\n", encoding="utf-8")
    subprocess.run(["ssh-keygen", "-q", "-Y", "sign", "-n", "dpsynth-approval", "-f", key, statement], check=True)
    signature = unarmored((tmp_path / "statement.sig").read_text(encoding="utf-8"))
    public = public_key((tmp_path / "key.pub").read_text(encoding="utf-8"))
    require_signature(public, "{\n}\n", signature)
    with pytest.raises(SignatureRefused, match="not over this statement"):
        require_signature(public, "{\n }\n", signature)


# Forged entries -------------------------------------------------------------------------------------------------------


@pytest.fixture
def forgeable(keyed: Ledger) -> list[Record]:
    """created, population, keys: 1 to 5. Terms asked for by the owner and signed by Alice: 6, 7. A cap lowered: 8."""
    asked = keyed.propose(SetTerms("letters", TERMS, "inbox"), actor=OWNER, reason="new")
    signed_approval(keyed, asked)
    lowered = keyed.to_lower_cap("inbox", 2.0, actor=BOB, reason="less")
    keyed.lower_cap("inbox", 2.0, actor=BOB, reason="less", signature=BOBS.sign(lowered))
    keyed.bind_source("inbox", "hmac-sha256:original")
    return records_of(keyed)


def say(**values: Any) -> Callable[[dict[str, Any]], object]:
    return lambda said: said["payload"].update(values)


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


# A key is asked for wherever its name is ------------------------------------------------------------------------------


def test_nobody_with_a_key_is_listed_anywhere_without_it(keyed: Ledger, scope: Scope) -> None:
    """Else an owner alone registers the same records anew and types the approver's name under it."""
    copy = replace(scope, population="copy")
    agree(keyed, AddPopulation(replace(scope, population="theirs"), STRANGERS), MALLORY, TRUDY)
    for people in (People((OWNER,), (ALICE,)), People((OWNER,), (ALICE,), {ALICE: OTHER.public})):
        for change, actor in ((AddPopulation(copy, people), OWNER), (SetPeople("theirs", people), MALLORY)):
            with pytest.raises(ProtocolError, match=f"{ALICE} has a key in this ledger, and would stand for"):
                keyed.propose(change, actor=actor, reason="please")
    change = AddPopulation(copy, People((OWNER,), (ALICE,), {ALICE: ALICES.public}))
    asked = keyed.propose(change, actor=OWNER, reason="please")
    with pytest.raises(ProtocolError, match="is not signed by it"):
        keyed.approve(asked, actor=ALICE, reason="typed by the owner")
    signed_approval(keyed, asked)
    assert found_by_both(keyed, records_of(keyed)) == ([], [])


def test_a_key_is_asked_for_where_its_name_stood_before_it(book: Ledger, scope: Scope) -> None:
    agree(book, AddPopulation(replace(scope, population="second"), PEOPLE))
    agree(book, SetPeople("inbox", PEOPLE.with_key(ALICE, ALICES.public)))
    assert book.key_of(ALICE, "second") == ALICES.public
    asked = book.propose(RaiseCap("second", 5000.0), actor=OWNER, reason="more")
    with pytest.raises(ProtocolError, match="is not signed by it"):
        book.approve(asked, actor=ALICE, reason="typed by the owner")
    with pytest.raises(ProtocolError, match="is not signed by it"):
        book.lower_cap("second", 1.0, actor=ALICE, reason="typed by the owner")
    signed_approval(book, asked)
    assert found_by_both(book, records_of(book)) == ([], [])


def test_a_key_is_replaced_and_revoked_place_by_place(keyed: Ledger, scope: Scope) -> None:
    second = People((OWNER,), (ALICE, BOB), {ALICE: ALICES.public, BOB: BOBS.public})
    signed_approval(keyed, keyed.propose(AddPopulation(replace(scope, population="second"), second), **ASKS))
    for key in (OTHER.public, None):
        for place in ("inbox", "second"):
            people = keyed.people(place)
            assert people
            asked = keyed.propose(SetPeople(place, people.with_key(ALICE, key)), **ASKS)
            signed_approval(keyed, asked, BOBS, BOB)
            if place == "inbox":
                third = AddPopulation(replace(scope, population="third"), people.with_key(ALICE, key))
                with pytest.raises(ProtocolError, match="would stand for"):  # where places disagree, nowhere else
                    keyed.propose(third, **ASKS)
    assert keyed.key_of(ALICE, "inbox") is None
    agree(keyed, RaiseCap("second", 4.0))
    assert found_by_both(keyed, records_of(keyed)) == ([], [])


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


def test_who_signed_by_the_key_of_then_signed(keyed: Ledger, scope: Scope) -> None:
    """A key that was replaced since was the right one at its time."""
    keyed.bind_source("inbox", "hmac-sha256:original")
    people = People((OWNER,), (ALICE, BOB), {ALICE: ALICES.public, BOB: BOBS.public})
    signed_approval(keyed, keyed.propose(AddPopulation(replace(scope, population="copy"), people), **ASKS))
    asked = keyed.propose(SetPeople("inbox", people.with_key(ALICE, OTHER.public)), **ASKS)
    signed_approval(keyed, asked, BOBS, BOB)
    keyed.bind_source("copy", "hmac-sha256:one-row-less", overlaps=("inbox/everything",))
    assert found_by_both(keyed, records_of(keyed)) == ([], [])


def test_one_key_does_not_sign_as_two_people(blank: Ledger, scope: Scope, rechained: Any) -> None:
    """Bob was listed elsewhere, by strangers, with Alice's key."""
    agree(blank, AddPopulation(scope, PEOPLE))
    elsewhere = People((MALLORY,), (TRUDY, BOB)).with_key(BOB, ALICES.public)
    asked = blank.propose(AddPopulation(replace(scope, population="other"), elsewhere), actor=MALLORY, reason="mine")
    blank.approve(asked, actor=TRUDY, reason="ours")
    own = People((OWNER,), (ALICE, TRUDY)).with_key(ALICE, ALICES.public)
    asked = blank.propose(AddPopulation(replace(scope, population="third"), own), actor=OWNER, reason="mine")
    blank.approve(asked, actor=TRUDY, reason="ours")
    change = RaiseCap("inbox", 500.0)
    signature = ALICES.sign(blank.to_propose(change, actor=ALICE, reason="more"))
    asked = blank.propose(change, actor=ALICE, reason="more", signature=signature)
    with pytest.raises(ProtocolError, match="signed by one key"):
        signed_approval(blank, asked, ALICES, BOB)
    assert found_by_both(blank, records_of(blank)) == ([], [])


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


def test_what_was_asked_for_before_something_was_decided_is_agreed_to_no_more(keyed: Ledger) -> None:
    """Else a signature that was made and not handed in is good later, over what its signer thought better of."""
    asked = keyed.propose(RaiseCap("inbox", 8.0), **ASKS)
    late = ALICES.sign(keyed.to_approve(asked, actor=ALICE, reason="agreed"))
    lowered = keyed.to_lower_cap("inbox", 1.0, actor=ALICE, reason="a leak elsewhere")
    keyed.lower_cap("inbox", 1.0, actor=ALICE, reason="a leak elsewhere", signature=ALICES.sign(lowered))
    with pytest.raises(ProtocolError, match="entry 7 decided about the same since"):
        keyed.approve(asked, actor=ALICE, reason="agreed", signature=late)
    assert [each.overtaken for each in keyed.proposals()][-1] == 7
    signed_approval(keyed, keyed.propose(RaiseCap("inbox", 8.0), **ASKS))  # asked for anew


def test_terms_and_people_that_were_overtaken_are_agreed_to_no_more(book: Ledger) -> None:
    for early, late in (
        (SetTerms("letters", {"retention_days": 900}, "inbox"), SetTerms("letters", {"retention_days": 3}, "inbox")),
        (SetPeople("inbox", People((OWNER, MALLORY), (ALICE, BOB))), SetPeople("inbox", People((), (ALICE, BOB)))),
    ):
        asked = book.propose(early, **ASKS)
        agree(book, late)
        with pytest.raises(ProtocolError, match="decided about the same since"):
            book.approve(asked, actor=ALICE, reason="agreed")


def test_spending_elsewhere_is_written_down_by_those_who_stand_and_sign(keyed: Ledger) -> None:
    event, said = Gaussian(30.0), {"actor": BOB, "reason": "a table in a paper"}
    with pytest.raises(ProtocolError, match="does not stand for population inbox"):
        keyed.external_charge("inbox", event, actor=MALLORY, reason="out of spite")
    with pytest.raises(ProtocolError, match="is not signed by it"):
        keyed.external_charge("inbox", event, **said)
    signature = BOBS.sign(keyed.to_charge_elsewhere("inbox", event, **said))
    with pytest.raises(ProtocolError, match="not over this statement"):
        keyed.external_charge("inbox", Gaussian(0.5), signature=signature, **said)
    keyed.external_charge("inbox", event, signature=signature, **said)
    with pytest.raises(ProtocolError, match="not over this statement"):  # once
        keyed.external_charge("inbox", event, signature=signature, **said)
    assert found_by_both(keyed, records_of(keyed)) == ([], [])


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


def restored(book: Ledger, actor: str) -> None:
    head, store = records_of(book)[-1], book._store
    facts = {"reason": "the disk", "head": {"seq": head.seq, "hash": head.hash}, "missing": None}
    with store.transaction() as transaction:
        transaction.append(Draft("restored", owner=actor, payload=facts))


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


# Ledgers of before ----------------------------------------------------------------------------------------------------


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
