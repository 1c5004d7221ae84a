"""Whoever has a key must sign with it, wherever the name stands; a signature is good for one act."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

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
)
from ledger.signatures import SignatureRefused, public_key, require_signature, unarmored
from tests.ledger.people.signers import (
    ALICE,
    ALICES,
    ASKS,
    BOB,
    BOBS,
    MALLORY,
    OTHER,
    OWNER,
    PEOPLE,
    STRANGERS,
    TRUDY,
    agree,
    found_by_both,
    records_of,
    signed_approval,
)


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
