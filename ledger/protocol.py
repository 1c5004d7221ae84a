"""Steps inside one open transaction: find what a request is about, demand that it is as it must be, append a step.

Everything the book asks of the entries before it writes stands here, each with the sentence it refuses in. All of it
goes through `Transaction`, so every record was checked against its hash before it is believed.
"""

from __future__ import annotations

import hmac
from typing import Any

from ledger import chain
from ledger.chain import Draft, Record
from ledger.errors import LedgerBroken, LedgerError, ProtocolError, TermsConflict
from ledger.events import Event
from ledger.journal import STEPS, charges_of, reservation_of, reservation_seq, standing, state_of, sums_of
from ledger.records import Grant, Reservation, Scope, State, name
from ledger.renyi_filter import Vector
from ledger.store import Transaction


def registration_of(book: Transaction, population: str) -> Record | None:
    found = book.find(kind="registered", population=name("population", population))
    if len(found) > 1:
        raise LedgerBroken(f"population {population!r} was registered twice; run `dpsynth audit verify`")
    return found[0] if found else None


def require_registration(book: Transaction, population: str) -> Record:
    registration = registration_of(book, population)
    if registration is None:
        raise LedgerError(
            f"population {population!r} has no budget in this ledger: register its scope (population, unit, epsilon, "
            "delta) first"
        )
    return registration


def newest_of(book: Transaction, population: str) -> Record:
    """The population's newest entry, which carries the sums."""
    require_registration(book, population)
    newest = book.newest(population)
    assert newest is not None
    return newest


def require_same_terms(scope: Scope, registration: Record) -> None:
    terms = registration.payload
    for field in ("unit", "neighbouring_relation", "epsilon", "delta"):
        if terms[field] != getattr(scope, field):
            raise TermsConflict(
                f"population {scope.population!r} was registered by entry {registration.seq} with {field} "
                f"{terms[field]!r}, now {getattr(scope, field)!r} is asked for. A scope's terms never change; set the "
                "contract back to the registered terms"
            )


def open_reservation(book: Transaction, population: str, key: str, owner: str) -> Record | None:
    """The reservation by this key and owner that is still merely reserved."""
    for record in book.find(kind="reserved", population=population, key=key):
        if record.said["owner"] == owner and state_of(book.find(reservation=record.seq)) == "reserved":
            return record
    return None


def require_same_request(stored: Reservation, release: str, event: Event, plan_digest: str) -> None:
    if (stored.release, stored.event, stored.plan_digest) != (release, event, plan_digest):
        raise ProtocolError(
            f"owner {stored.owner!r} already reserved key {stored.key!r} for other contents ({stored.id}); a key names "
            "one plan: void that reservation, or use another key"
        )


def history_of(book: Transaction, identifier: str) -> list[Record]:
    history = book.find(reservation=reservation_seq(book.ledger_id, identifier))
    if not history:
        raise ProtocolError(f"there is no reservation {identifier!r} in this ledger")
    return history


def demand_grant(grant: object) -> None:
    if not isinstance(grant, Grant) or not isinstance(grant.token, str):
        raise ProtocolError(f"a grant is needed, not {type(grant).__name__}: reserve and activate to get one")


def require_grant(book: Transaction, grant: Grant) -> list[Record]:
    """The history of the reservation behind a grant whose token and contents are those that were handed out."""
    demand_grant(grant)
    history = history_of(book, grant.reservation_id)
    stored = reservation_of(book.ledger_id, history)
    kept = next((str(record.payload["token_sha256"]) for record in history if record.kind == "activated"), "")
    same = hmac.compare_digest(chain.digest(grant.token), kept) and all(
        getattr(grant, field) == getattr(stored, field)
        for field in ("population", "release", "event", "owner", "plan_digest")
    )
    if not same:
        raise ProtocolError(
            f"the grant {grant.reservation_id} is not one this ledger handed out; reserve and activate to get one"
        )
    return history


def append_step(
    book: Transaction,
    history: list[Record],
    kind: State,
    facts: dict[str, Any],
    after: tuple[Vector, int] | None = None,
) -> Record:
    """Append a reservation's next step if it is allowed from its state; `after` where the step moves the sums."""
    state, first = state_of(history), history[0]
    if kind not in STEPS[state]:
        allowed = " or ".join(sorted(STEPS[state])) or "nothing more"
        raise ProtocolError(
            f"reservation {reservation_of(book.ledger_id, history).id} is {state}, so it cannot be {kind}: {allowed} "
            "can follow. A new release needs a new reservation"
        )
    population = str(first.population)
    sums = standing(*after) if after else carried(newest_of(book, population))
    said = first.said
    return book.append(
        Draft(
            kind=kind,
            population=population,
            release=said["release"],
            owner=said["owner"],
            reservation=first.seq,
            payload={**facts, **sums},
        )
    )


def carried(newest: Record) -> dict[str, Any]:
    return standing(sums_of(newest), charges_of(newest))
