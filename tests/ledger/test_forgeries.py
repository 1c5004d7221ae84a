"""Forged entries with valid hashes: each kind of lie is named by the entry that tells it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from ledger.chain import Record, digest
from ledger.verification import problems_of

FINGERPRINT = "hmac-sha256:6f1ed002ab5595859014ebf0951522d9"
ALICE = "alice@example.org"
Reseal = Callable[..., Record]
Rechain = Callable[[list[Record]], list[Record]]
Change = Callable[[dict[str, Any]], object]


def say(**values: Any) -> Change:
    return lambda said: said["payload"].update(values)


def within(*path: str, **values: Any) -> Change:
    """Other values further inside the payload."""

    def change(said: dict[str, Any]) -> None:
        inner = said["payload"]
        for name in path:
            inner = inner[name]
        inner.update(values)

    return change


def halve(*path: str) -> Change:
    def change(said: dict[str, Any]) -> None:
        inner = said["payload"]
        for name in path[:-1]:
            inner = inner[name]
        inner[path[-1]] = [x / 2 for x in inner[path[-1]]]

    return change


def drop(name: str) -> Change:
    return lambda said: said["payload"].pop(name)


INBOX = ("standing", "inbox/everything")
NOT_THE_SUM = "is not what the charges before it add up to"
LESS = "it was charged less than its event costs"

FORGERIES: dict[str, tuple[int, Change, str]] = {
    # The beginning, people and budgets.
    "another ledger's beginning": (1, say(ledger="other"), "begins with exactly one entry"),
    "a larger epsilon than was asked for": (3, say(epsilon=5.0), "is not what proposal 2 asked for"),
    "a larger delta than was asked for": (3, say(delta=1e-5), "is not what proposal 2 asked for"),
    "another unit than was asked for": (3, say(unit="message"), "is not what proposal 2 asked for"),
    "a division nobody asked for": (3, say(blocks_by="month"), "is not what proposal 2 asked for"),
    "a registration by one person": (3, lambda said: said.update(owner=ALICE), "by whoever asked for it"),
    "one person in capitals": (3, lambda said: said.update(owner=" ALICE@example.org "), "by whoever asked for it"),
    "a registration nobody asked for": (3, say(proposal=None), "it lacks a second person"),
    "a registration by a proposal of later": (3, say(proposal=21), "it lacks a second person"),
    "another relation": (3, say(neighbouring_relation="replace_one"), "is not what proposal 2 asked for"),
    "higher caps": (3, lambda s: s["payload"].update(caps=[x + 1 for x in s["payload"]["caps"]]), "caps are higher"),
    "more weight than there is": (3, lambda s: s["payload"].update(weights=[0.5] * 14), "sum to at most 1"),
    "an infinite epsilon": (3, say(epsilon="inf"), "its contents cannot be right"),
    "an epsilon beyond all floats": (3, say(epsilon=10**400), "its contents cannot be right"),
    "a head start": (3, within(*INBOX, charges=1), NOT_THE_SUM),
    "a cap raised by one person": (22, lambda said: said.update(owner=ALICE), "by whoever asked for it"),
    "a cap raised without approval": (22, say(proposal=None), "is raised with approval and lowered without"),
    "a cap raised by a proposal that was used": (22, say(proposal=2), "no open proposal asked for it"),
    "a cap raised further than was agreed": (22, say(epsilon=6.0), "is not what proposal 21 asked for"),
    "caps raised further than epsilon": (
        22,
        lambda said: said["payload"].update(caps=[x + 0.1 for x in said["payload"]["caps"]]),
        "caps are higher than its epsilon",
    ),
    "a lowering that raises": (19, say(epsilon=3.5), "this is neither"),
    "a cap that another population's people agreed to": (22, lambda s: s.update(population="archive"), "entry 22"),
    "other terms than were asked for": (24, say(terms={"release": {"rows": 1}}), "is not what proposal 23 asked for"),
    "terms under another digest": (24, say(digest="0" * 64), "its digest is not that of its terms"),
    "another contract's terms": (24, say(contract="bills"), "is not what proposal 23 asked for"),
    "terms set by one person": (24, lambda said: said.update(owner="Alice@Example.org"), "by whoever asked for it"),
    "a proposal of something else": (21, within("change", epsilon=9.0), "is not what proposal 21 asked for"),
    "a proposal of nothing known": (21, within("change", kind="raise_delta"), "'raise_delta' is unknown"),
    "a cheaper plan": (27, say(plan_epsilon=0.1), "its plan_epsilon is not what its plan costs"),
    "a longer plan": (27, lambda s: s["payload"]["plan"].append(s["payload"]["plan"][0]), "not what proposal 26 asked"),
    "a plan held by another rule": (27, say(rule="renyi_filter"), "entry 27 (registered)"),
    # Data sets.
    "a source in an unregistered population": (4, lambda said: said.update(population="other"), "entry 4 (bound)"),
    "a source bound twice": (28, say(key=FINGERPRINT), "already belongs to population 'inbox'"),
    "a source without an overlap": (28, say(overlaps=[]), NOT_THE_SUM),
    "an overlap with nothing": (28, say(overlaps=["inbox/january"]), "it overlaps with 'inbox/january'"),
    "a source of no block": (28, say(blocks=[]), "its blocks are not its population's"),
    "a source of undivided blocks": (28, say(blocks=["archive/everything"]), "not of the division that was registered"),
    "a source of a foreign block": (28, say(blocks=["inbox/everything"]), "its blocks are not its population's"),
    "a new block with a past": (28, within("standing", "archive/january", charges=1), NOT_THE_SUM),
    "a new block with a place in use": (28, within("standing", "archive/january", used=[0]), NOT_THE_SUM),
    # Charges.
    "a cheaper charge": (5, halve("cost", "inbox"), LESS),
    "a charge to some populations": (29, lambda s: s["payload"]["cost"].pop("inbox"), "for the populations that it"),
    "a charge to some blocks": (29, lambda s: s["payload"]["standing"].pop("archive/january"), NOT_THE_SUM),
    "a charge without overlap": (29, lambda s: s["payload"]["standing"].pop("inbox/everything"), NOT_THE_SUM),
    "lower sums": (5, halve(*INBOX, "sums"), NOT_THE_SUM),
    "lower sums later": (18, halve(*INBOX, "sums"), NOT_THE_SUM),
    "lower sums by overlap": (29, halve(*INBOX, "sums"), NOT_THE_SUM),
    "fewer charges": (11, within(*INBOX, charges=1), NOT_THE_SUM),
    "a plan's place used twice": (30, within("standing", "archive/january", used=[0]), NOT_THE_SUM),
    "a release that is not in the plan": (30, lambda said: said.update(release="adapter"), "budget did not allow it"),
    "a reopened plan": (30, within("standing", "archive/january", closed=False), NOT_THE_SUM),
    "a charge to other data": (5, say(source="hmac:something"), "is not bound to its population"),
    "a prettier epsilon": (5, say(epsilon_alone=0.1), "its epsilon_alone is 0.1"),
    "a prettier past": (14, say(epsilon_spent=0.1), "its epsilon_spent is 0.1"),
    "a refusal made up": (14, say(epsilon_would_be=9.0), "its epsilon_would_be is 9.0"),
    "a refusal of what fits": (
        14,
        within("event", noise_multiplier=40.0),
        "it was refused although the budget allowed it",
    ),
    "a refusal turned into a charge": (14, lambda s: s.update(kind="reserved", reservation=14), "entry 14 (reserved)"),
    "more noise than there was": (5, within("event", noise_multiplier=9.0), "what ran is not what was reserved"),
    "a NaN": (5, within(*INBOX, sums=["nan"] * 14), "a stored number is 'nan'"),
    "a missing field": (5, drop("standing"), NOT_THE_SUM),
    "an extra field": (5, lambda said: said.update(extra=1), "does not have the fields of an entry"),
    "an unknown kind": (9, lambda said: said.update(kind="granted"), "its kind 'granted' is unknown"),
    # Steps.
    "a void after activation": (6, lambda s: s.update(kind="voided"), "entry 7 (redeemed): redeemed cannot follow"),
    "a commit without redeeming": (7, lambda s: s.update(kind="committed"), "entry 8 (committed): committed cannot"),
    "another owner": (6, lambda said: said.update(owner="run-2"), "its release or owner is not that"),
    "the owner of before": (18, lambda said: said.update(release="other"), "its release or owner is not that"),
    "other data read": (7, say(source="hmac:something"), "rows of another data set were read than were charged"),
    "a step of nothing": (6, lambda said: said.update(reservation=4), "cannot follow on a reservation that is missing"),
    "a cheaper end": (8, halve("cost", "inbox"), LESS),
    "a dearer reservation": (8, lambda s: s["payload"]["event"].update(steps=201), "ran is not what was reserved"),
    "lower sums in the end": (8, halve(*INBOX, "sums"), NOT_THE_SUM),
    "a prettier end": (8, say(epsilon_alone=0.1), "its epsilon_alone is 0.1"),
    "a void that gives back more": (10, halve(*INBOX, "sums"), NOT_THE_SUM),
    "a resumption without its charge": (18, say(event=None, cost={}), NOT_THE_SUM),
    "a resumption of fewer steps": (18, within("event", steps=10), "it was charged more than its event costs"),
    "a cheaper resumption": (18, halve("cost", "inbox"), LESS),
    "a prettier resumption": (18, say(epsilon_alone=0.001), "its epsilon_alone is 0.001"),
    "a resumption of other steps": (18, within("event", noise_multiplier=9.0), "entry 18 (resumed)"),
    "a resumption refused of nothing": (20, lambda s: s.update(reservation=9), "could not have been resumed"),
    "a refused resumption made up": (20, say(epsilon_would_be=9.0), "its epsilon_would_be is 9.0"),
    "a resumption refused that fits": (20, within("event", steps=1), "entry 20 (refused)"),
    "a resumption that was refused": (
        20,
        lambda s: s.update(kind="resumed", payload={**s["payload"], "cost": {}, "standing": {}}),
        "entry 20 (resumed)",
    ),
    # Spending elsewhere, restoration.
    "cheaper spending elsewhere": (25, halve("cost", "inbox"), LESS),
    "spending elsewhere that was not charged": (25, halve(*INBOX, "sums"), NOT_THE_SUM),
    "prettier spending elsewhere": (25, say(epsilon_alone=0.001), "its epsilon_alone is 0.001"),
    "spending elsewhere on no block": (25, say(blocks=[]), NOT_THE_SUM),
    "spending elsewhere on one block twice": (
        25,
        say(blocks=["inbox/everything"] * 2),
        "its blocks are not some of its population's, each once",
    ),
    "a repetition of what was not reserved": (
        18,
        say(event={"event": "gaussian", "version": 1, "noise_multiplier": 30.0}),
        "what it repeats is no part of what was reserved",
    ),
    "a restoration of another journal": (31, say(head={"seq": 30, "hash": "0" * 64}), "entry 31 (restored)"),
    "a restoration of a longer journal": (31, within("head", seq=40), "entry 31 (restored)"),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_forged_entries_are_named(
    ledger_id: str, records: list[Record], resealed: Reseal, rechained: Rechain, name: str
) -> None:
    number, change, complaint = FORGERIES[name]
    forged = list(records)
    forged[number - 1] = resealed(records[number - 1], change)

    careless = problems_of(ledger_id, forged, [])
    assert careless, "a forger who mends only one hash"
    assert any(f"entry {number + 1} " in p and "the chain is broken" in p for p in careless) or number == len(records)

    careful = problems_of(ledger_id, rechained(forged), [])
    assert any(complaint in problem for problem in careful), careful
    assert not any("the chain is broken" in problem for problem in careful)
    assert careful[0].startswith(tuple(f"entry {n} " for n in range(number, len(records) + 1)))


def test_a_body_in_another_form_is_named(ledger_id: str, records: list[Record]) -> None:
    """A key that stands twice says one thing to one reader and another to the next."""
    body = records[-1].body.replace('{"kind":', '{"kind":"created","kind":', 1)
    assert body != records[-1].body
    forged = [*records[:-1], replace(records[-1], body=body, hash=digest(body))]
    assert "not in the one form that entries have" in problems_of(ledger_id, forged, [])[0]


def test_a_proposal_takes_effect_once(ledger_id: str, records: list[Record], rechained: Rechain) -> None:
    doubled = rechained([*records[:22], records[21], *records[22:]])
    assert any("no open proposal asked for it" in problem for problem in problems_of(ledger_id, doubled, []))


def test_a_charge_written_twice_and_a_place_used_twice(
    ledger_id: str, records: list[Record], rechained: Rechain
) -> None:
    for record in (records[29], records[24], records[17]):
        doubled = rechained([*records[: record.seq], record, *records[record.seq :]])
        assert any(NOT_THE_SUM in problem for problem in problems_of(ledger_id, doubled, []))


@pytest.mark.parametrize("number", [2, 6, 7, 13, 14, 19, 20, 21, 22, 23, 24, 31])
def test_only_what_moves_a_charge_may_say_what_stands_charged(
    ledger_id: str, records: list[Record], resealed: Reseal, number: int
) -> None:
    """Such an entry at the end needs no rewriting of history, so no checkpoint would contradict it."""
    nothing = {"inbox/everything": {"sums": [0.0] * 14, "charges": 0}}
    forged = resealed(records[number - 1], say(standing=nothing))
    problems = problems_of(ledger_id, [*records[: number - 1], forged], [])
    assert problems
    assert problems[0].startswith(f"entry {number} ")
