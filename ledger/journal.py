"""What entries mean: the terms of a scope, the running sums, the state of a reservation, all read off the entries.

There are no tables of balances or states that could drift from the entries: each entry of a population carries the
sums as they stand after it, and a reservation's state is the kind of its last entry. The admission path reads the
newest entry; the audit reads all of them and recomputes. This module never writes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ledger import chain, events
from ledger.chain import Record
from ledger.errors import LedgerBroken, LedgerError, ProtocolError
from ledger.records import Entry, Reservation, State
from ledger.renyi_filter import RenyiFilter, Vector

# From each state, the steps allowed. What is not here is refused.
STEPS: dict[str, frozenset[State]] = {
    "reserved": frozenset({"activated", "voided"}),
    "activated": frozenset({"redeemed", "forfeited"}),
    "redeemed": frozenset({"committed", "forfeited"}),
    "committed": frozenset(),
    "forfeited": frozenset(),
    "voided": frozenset(),
}


def standing(sums: Vector, charges: int) -> dict[str, Any]:
    """What every entry of a population carries: the sums after it, and how many charges stand in them."""
    return {"sums": chain.numbers(sums), "charges": charges}


def sums_of(record: Record) -> Vector:
    return chain.vector(record.payload["sums"])


def charges_of(record: Record) -> int:
    charges = record.payload["charges"]
    if isinstance(charges, bool) or not isinstance(charges, int) or charges < 0:
        raise LedgerBroken(f"entry {record.seq} holds {charges!r} as its number of charges")
    return charges


def rule_of(registration: Record) -> RenyiFilter:
    """The filter as it was stored at registration, checked to be one that could have been built."""
    terms = registration.payload
    return RenyiFilter(
        terms["epsilon"],
        terms["delta"],
        chain.vector(terms["orders"]),
        chain.vector(terms["weights"]),
        chain.vector(terms["caps"]),
    )


def cost_of(record: Record) -> Vector:
    return chain.vector(record.payload["cost"])


def event_of(record: Record) -> events.Event:
    return events.from_json(record.payload["event"])


def state_of(history: Sequence[Record]) -> State:
    """The state that a reservation's entries lead to; LedgerBroken if they could not follow one another."""
    if not history or history[0].kind != "reserved":
        raise LedgerBroken("a reservation's first entry is missing")
    state: State = "reserved"
    for record in history[1:]:
        step = next((step for step in STEPS[state] if step == record.kind), None)
        if step is None:
            raise LedgerBroken(f"entry {record.seq} ({record.kind}) cannot follow on {state}")
        state = step
    return state


def reservation_of(ledger_id: str, history: Sequence[Record]) -> Reservation:
    state = state_of(history)
    first = history[0]
    said, payload = first.said, first.payload
    return Reservation(
        id=reservation_id(ledger_id, first.seq),
        population=said["population"],
        release=said["release"],
        event=event_of(first),
        key=payload["key"],
        owner=said["owner"],
        plan_digest=payload["plan_digest"],
        epsilon_alone=chain.real(payload["epsilon_alone"]),
        state=state,
    )


def histories(records: Sequence[Record]) -> dict[int, list[Record]]:
    """The entries of each reservation, by the number of the entry that reserved."""
    found: dict[int, list[Record]] = {}
    for record in records:
        if record.reservation is not None:
            found.setdefault(record.reservation, []).append(record)
    return found


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
    payload = dict(said["payload"])
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
