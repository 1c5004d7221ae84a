"""What nobody means, and an enemy may hand in: it is refused, so that no entry of it has to be judged."""

from __future__ import annotations

import base64
from contextlib import suppress
from typing import Any

import pytest

from ledger import (
    AddPopulation,
    Event,
    Gaussian,
    InvalidEvent,
    Ledger,
    LedgerError,
    ProtocolError,
    Scope,
    SelfComposed,
    SetTerms,
    TermsConflict,
)
from ledger.events import MAX_DEPTH, intact
from ledger.replay import key_of as replayed_key
from ledger.signatures import SignatureRefused, public_key
from tests.ledger.people.signers import MALLORY, OWNER, PEOPLE, STRANGERS, TRUDY, agree

PRIME = (1 << 255) - 19
SMALL = (
    0,
    1,
    2707385501144840649318225287225658788936804267575313519463743609750303021,
    55188659117513257062467267217118295137698188065244968500265048394206261417927,
    PRIME - 1,
)


def line_of(raw: bytes) -> str:
    blob = b"".join(len(part).to_bytes(4, "big") + part for part in (b"ssh-ed25519", raw))
    return f"ssh-ed25519 {base64.b64encode(blob).decode()}"


@pytest.mark.parametrize("sign", [0, 1 << 255])
@pytest.mark.parametrize("y", [*SMALL, PRIME, PRIME + 1])
def test_a_key_by_which_anybody_can_sign_is_nobodys(y: int, sign: int) -> None:
    line = line_of((y | sign).to_bytes(32, "little"))
    with pytest.raises(SignatureRefused, match="anybody can sign"):
        public_key(line)
    with pytest.raises(Exception, match="small order"):
        replayed_key(line)


def test_strangers_set_no_terms_for_people_who_are_not_registered_yet(blank: Ledger, scope: Scope) -> None:
    """Whether or not the terms say whom they are about."""
    blank.propose(AddPopulation(scope, STRANGERS), actor=MALLORY, reason="mine")  # and nobody agrees
    with pytest.raises(ProtocolError, match="is not registered yet"):
        agree(blank, SetTerms("letters", {"retention_days": 1}, "inbox"), asker=MALLORY, approver=TRUDY)
    agree(blank, AddPopulation(scope, PEOPLE))
    agree(blank, SetTerms("letters", {"retention_days": 1}, "inbox"))
    assert blank.verify() == []


def test_terms_that_do_not_name_their_population_agree_with_it_too(blank: Ledger, scope: Scope) -> None:
    agree(blank, AddPopulation(scope, PEOPLE))
    with pytest.raises(TermsConflict, match="unit_by"):
        agree(blank, SetTerms("letters", {"unit": {"name": scope.unit, "column": "another"}}, "inbox"))


@pytest.mark.parametrize(
    "terms",
    [{"unit": "customer"}, {"budget": [1]}, {"blocks": {"column": 0}}, {"unit": {"column": ["a"]}}],
    ids=repr,
)
def test_terms_of_another_form_are_refused(blank: Ledger, scope: Scope, terms: dict[str, Any]) -> None:
    agree(blank, AddPopulation(scope, PEOPLE))
    with pytest.raises(LedgerError, match="the terms' `"):
        blank.propose(SetTerms("letters", terms, "inbox"), actor=OWNER, reason="please")


def test_an_event_that_no_seal_could_state_is_not_charged(blank: Ledger, scope: Scope) -> None:
    """A seal composes the events of what an artifact was made from, which is one level more."""
    agree(blank, AddPopulation(scope, PEOPLE))
    blank.bind_source("inbox", "hmac-sha256:one")
    event: Event = Gaussian(8.0)
    with suppress(InvalidEvent):
        for _ in range(2 * MAX_DEPTH):
            event = intact(SelfComposed(event, 1))
    with pytest.raises(InvalidEvent):
        blank.reserve("inbox", event, source="hmac-sha256:one", release="x", key="k", owner="run", plan_digest="d" * 64)
    assert blank.reservations() == []
