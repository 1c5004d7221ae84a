"""What entries mean: the state of a charge, the standing of a block, a budget, as one reads them off the records.

There are no tables of balances or states that could drift from the entries: each entry that charges states the
standing of every block it touched, and a reservation's state follows from its entries. The admission path reads the
newest entry of a block; the audit reads all of them and recomputes. This module never writes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ledger import chain, events
from ledger.acts import subject_decided, subject_of
from ledger.chain import Record
from ledger.errors import LedgerBroken, LedgerError, ProtocolError
from ledger.records import Entry, Proposal, Reservation, State
from ledger.renyi_filter import Vector
from ledger.scopes import Standing

# From each state, the steps allowed. What is not here is refused.
STEPS: dict[str, frozenset[str]] = {
    "reserved": frozenset({"activated", "voided"}),
    "activated": frozenset({"redeemed", "resumed", "forfeited"}),
    "redeemed": frozenset({"committed", "resumed", "forfeited"}),
    "committed": frozenset(),
    "forfeited": frozenset(),
    "voided": frozenset(),
}
NO_STEPS = frozenset({"refused", "incident"})  # entries about a charge that leave it in its state
REFUTABLE = frozenset({"activated", "redeemed", "committed"})  # states in which rows may have been read for a release
_STATES: dict[str, State] = {
    "activated": "activated",
    "resumed": "activated",
    "redeemed": "redeemed",
    "committed": "committed",
    "forfeited": "forfeited",
    "voided": "voided",
}
EFFECTS = {
    "add_population": "registered",
    "raise_cap": "cap_changed",
    "set_terms": "terms_set",
    "set_people": "people_set",
}

Costs = dict[str, Vector]  # by population


def standing_of(record: Record, block: str) -> Standing:
    return Standing.from_json(record.payload["standing"][block])


def costs_of(record: Record) -> Costs:
    return {population: chain.vector(cost) for population, cost in record.payload["cost"].items()}


def event_of(record: Record) -> events.Event:
    return events.from_json(record.payload["event"])


def state_of(history: Sequence[Record]) -> State:
    """The state that a reservation's entries lead to; LedgerBroken if they could not follow one another."""
    if not history or history[0].kind != "reserved":
        raise LedgerBroken("a reservation's first entry is missing")
    state: State = "reserved"
    for record in history[1:]:
        if record.kind in NO_STEPS:
            continue
        if record.kind not in STEPS[state]:
            raise LedgerBroken(f"entry {record.seq} ({record.kind}) cannot follow on {state}")
        state = _STATES[record.kind]
    return state


def reservation_of(ledger_id: str, history: Sequence[Record]) -> Reservation:
    state = state_of(history)
    first = history[0]
    said, payload = first.said, first.payload
    resumed = [record for record in history if record.kind == "resumed"]
    return Reservation(
        id=reservation_id(ledger_id, first.seq),
        population=said["population"],
        release=said["release"],
        event=event_of(first),
        key=payload["key"],
        owner=(resumed or [first])[-1].said["owner"],
        plan_digest=payload["plan_digest"],
        source=payload["source"],
        blocks=first.blocks,
        epsilon_alone=chain.real(payload["epsilon_alone"]),
        state=state,
        replayed=tuple(event_of(record) for record in resumed if record.payload["event"] is not None),
        redeemed=any(record.kind == "redeemed" for record in history),
    )


def commitment_of(history: Sequence[Record]) -> Record | None:
    """The entry that committed a charge. It need not be the last: an incident may follow."""
    return next((record for record in history if record.kind == "committed"), None)


def released_as(history: Sequence[Record]) -> str | None:
    """The digest that a charge was committed with, or None where it was not."""
    final = commitment_of(history)
    return None if final is None else str(final.payload["artifact_digest"])


def charged_events(history: Sequence[Record]) -> list[events.Event]:
    """What a charge stands for: the event that ran, or that was reserved, and the steps that ran a second time."""
    return [event_of(commitment_of(history) or history[0]), *reservation_of("", history).replayed]


def histories(records: Sequence[Record]) -> dict[int, list[Record]]:
    """The entries of each reservation, by the number of the entry that reserved."""
    found: dict[int, list[Record]] = {}
    for record in records:
        if record.reservation is not None:
            found.setdefault(record.reservation, []).append(record)
    return found


def proposals_of(records: Sequence[Record]) -> list[Proposal]:
    """All proposals among the records, each with the entry that made it so, if any."""
    effects = {
        record.payload["proposal"]: record.seq
        for record in records
        if record.kind in EFFECTS.values() and record.payload["proposal"] is not None
    }
    decided = {subject_decided(record): record.seq for record in records if record.kind in EFFECTS.values()}
    return [
        Proposal(
            seq=record.seq,
            change=record.payload["change"],
            actor=str(record.said["owner"]),
            reason=record.payload["reason"],
            time=str(record.said["time"]),
            effect=effects.get(record.seq),
            overtaken=_later(decided.get(subject_of(record.payload["change"])), record.seq, effects),
            signed=record.payload.get("signature") is not None,
        )
        for record in records
        if record.kind == "proposed"
    ]


def _later(decided: int | None, proposal: int, effects: dict[int, int]) -> int | None:
    """The entry that decided about the same since, where a proposal waits in vain."""
    return decided if proposal not in effects and (decided or 0) > proposal else None


def reservation_id(ledger_id: str, seq: int) -> str:
    """Carries the ledger's own id: a reservation of another ledger is not mistaken for one of this."""
    return f"{ledger_id}-{seq}"


def reservation_seq(ledger_id: str, identifier: object) -> int:
    prefix = ledger_id + "-"
    if isinstance(identifier, str) and identifier.startswith(prefix):
        number = identifier.removeprefix(prefix)
        if number.isascii() and number.isdigit() and len(number) < 19:
            return int(number)
    raise ProtocolError(f"{identifier!r} is not a reservation of this ledger ({ledger_id})")


def entry_of(ledger_id: str, record: Record) -> Entry:
    said = record.said
    payload: dict[str, Any] = dict(said["payload"])
    event = payload.get("event")
    try:
        decoded = None if event is None else events.from_json(event)
    except LedgerError as error:
        raise LedgerBroken(f"entry {record.seq} holds an event that cannot be read: {error}") from None
    return Entry(
        seq=record.seq,
        time=said["time"],
        kind=record.kind,
        population=record.population,
        release=said["release"],
        event=decoded,
        reservation_id=None if record.reservation is None else reservation_id(ledger_id, record.reservation),
        owner=said["owner"],
        prev_hash=said["previous"],
        hash=record.hash,
        payload=payload,
    )
