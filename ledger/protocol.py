"""Steps inside one open transaction: find what a request is about, demand that it is as it must be, append a step.

Everything the ledger asks of the entries before it writes stands here, each with the sentence it refuses in. All of
it goes through `Transaction`, so every record was checked against its hash before it is believed.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from ledger import chain
from ledger.authority import Authority
from ledger.chain import Draft, Record
from ledger.errors import LedgerBroken, LedgerError, ProtocolError, TermsConflict
from ledger.events import Event
from ledger.journal import STEPS, Costs, reservation_of, reservation_seq, standing_of, state_of
from ledger.mandates import KINDS
from ledger.records import Grant, Reservation, Scope, name
from ledger.scopes import Budget, Budgets, Standings, population_of
from ledger.transaction import Transaction
from ledger.units import is_typed, same_unit_by, told_by


def budget_of(book: Transaction, population: str) -> Budget | None:
    """The population's budget as it stands, or None where there is none."""
    found = book.find(kinds=("registered", "cap_changed"), population=name("population", population))
    if sum(record.kind == "registered" for record in found) > 1:
        raise LedgerBroken(f"population {population!r} was registered twice; run `dpsynth audit verify`")
    if not found:
        return None
    budget = Budget.from_records(found)
    by = found[0].payload.get("unit_by", "")  # None: each record is a unit
    if by is not None and not is_typed(by):  # an entry of before: terms that were signed since say the rest
        unit, unit_by = authority_of(book).units[population]
        budget = replace(budget, unit=unit, unit_by=unit_by)
    return budget


def authority_of(book: Transaction) -> Authority:
    """Who stands for what."""
    return Authority.of(book.find(kinds=KINDS))


def require_budget(book: Transaction, population: str) -> Budget:
    budget = budget_of(book, population)
    if budget is None:
        known = ", ".join(sorted(str(record.population) for record in book.find(kinds=("registered",)))) or "none yet"
        raise LedgerError(
            f"population {population!r} has no budget in this ledger, which knows {known}: name one of these, or one "
            "person proposes it and another one approves it, before anything may be read (`dpsynth approve`)"
        )
    return budget


_NEVER_CHANGES = (
    "It never changes: set the contract back to the registered terms, or, where it is about other people, give these "
    "another population"
)


def require_same_terms(scope: Scope, budget: Budget) -> None:
    """TermsConflict unless a scope has the terms that a population was registered with; the cap is not among them."""
    stands = {
        "unit": budget.unit,
        "neighbouring_relation": budget.neighbouring_relation,
        "delta": budget.rule.delta,
        "blocks_by": budget.blocks_by,
        "unit_by": scope.unit_by if same_unit_by(budget.unit_by, scope.unit_by) else budget.unit_by,
        "closed_plan": budget.plan.items if budget.plan else None,
    }
    for field, value in stands.items():
        if value != getattr(scope, field):
            raise TermsConflict(
                f"population {scope.population!r} was registered by entry {budget.registered} with another {field}"
                + ("" if field == "closed_plan" else f" ({value!r}, now {getattr(scope, field)!r} is asked for)")
                + f". {_NEVER_CHANGES}"
            )


def require_possible_terms(book: Transaction, population: str, terms: dict[str, Any], *, registered: bool) -> None:
    """Demand that a contract's terms do not contradict what the population that they are set for was registered with.

    Args:
        terms: as `dpsynth_assets.contract.diff.terms_for_approval` writes them.
        registered: whether the population must have been registered.

    Raises:
        TermsConflict: they do; what a population was registered with never changes.
        ProtocolError: it must be registered and is not.
    """
    _require_form(terms)
    budget = budget_of(book, population)
    if budget is None:
        if registered:
            raise ProtocolError(f"population {population!r} is not registered yet: approve its budget first")
        return
    # A population of before has its unit's column from its first terms, which may be these.
    require_agreeing_terms(terms, budget, unit_known=authority_of(book).knows_unit_of(population))


def _require_form(terms: dict[str, Any]) -> None:
    """ProtocolError unless what is compared with a registration is of the form in which it can be."""
    for part in ("unit", "budget", "blocks"):
        stated = terms.get(part)
        if stated is not None and not isinstance(stated, dict):
            raise ProtocolError(f"the terms' `{part}` is {type(stated).__name__}: it is a mapping")
        column = (stated or {}).get("column")
        if column is not None and not isinstance(column, str):
            raise ProtocolError(f"the terms' `{part}.column` is {type(column).__name__}: it is the name of a column")


def require_agreeing_terms(terms: dict[str, Any], budget: Budget, *, unit_known: bool) -> None:
    """TermsConflict where terms contradict what their population was registered with."""
    unit, asked, blocks = (terms.get(name) or {} for name in ("unit", "budget", "blocks"))
    told = told_by(unit) if unit_known and "column" in unit else budget.unit_by
    stands = {
        "unit": (budget.unit, unit.get("name", budget.unit)),
        "neighbouring_relation": (
            budget.neighbouring_relation,
            unit.get("neighbouring_relation", budget.neighbouring_relation),
        ),
        "delta": (budget.rule.delta, asked.get("delta", budget.rule.delta)),
        "rule": (rule := "closed_plan" if budget.plan else "renyi_filter", asked.get("rule", rule)),
        "blocks_by": (budget.blocks_by, _by_column(blocks.get("column"))),
        "unit_by": (budget.unit_by, budget.unit_by if same_unit_by(budget.unit_by, told) else told),
    }
    for field, (value, now) in stands.items():
        if value != now:
            raise TermsConflict(
                f"population {budget.population!r} was registered by entry {budget.registered} with another {field} "
                f"({value!r}, now {now!r} is asked for). {_NEVER_CHANGES}"
            )


def _by_column(name: str | None) -> str | None:
    return None if name is None else f"column {name}"


def require_same_cap(scope: Scope, budget: Budget) -> None:
    if scope.epsilon != budget.rule.epsilon:
        raise TermsConflict(
            f"the cap of population {scope.population!r} is ε = {budget.rule.epsilon:g}, now {scope.epsilon:g} is "
            "asked for. A cap is changed by an entry of its own: one person proposes to raise it and another one "
            "approves; anybody may lower it (`dpsynth approve`)"
        )


def public_key_of(book: Transaction) -> str:
    """The Ed25519 key, in hex, that the ledger was created with."""
    return str(book.find(kinds=("created",))[0].payload["public_key"])


def binding_of(book: Transaction, population: str, source: str) -> Record:
    """The entry that bound a data set, by its fingerprint, to the population."""
    bound = book.find(kinds=("bound",), key=source)
    if not bound or bound[-1].population != population:
        raise ProtocolError(
            f"this data set is not bound to population {population!r} in the ledger; snapshot and bind the source "
            "first (materialize its `source` asset)"
        )
    return bound[-1]


def touched_by(book: Transaction, population: str, source: str) -> tuple[str, ...]:
    """All blocks that a data set is charged to: its own, and those of other populations with the same records."""
    bound = binding_of(book, population, source).payload
    return tuple(sorted({*bound["blocks"], *bound["overlaps"]}))


def budgets_of(book: Transaction, population: str, blocks: Iterable[str]) -> Budgets:
    return {name: require_budget(book, name) for name in sorted({population, *map(population_of, blocks)})}


def standings_of(book: Transaction, blocks: tuple[str, ...]) -> Standings:
    found: Standings = {}
    for block in blocks:
        newest = book.newest(block)
        if newest is None:
            raise LedgerBroken(f"block {block!r} has no entry that states what stands charged to it")
        found[block] = standing_of(newest, block)
    return found


def open_reservation(book: Transaction, population: str, key: str, owner: str) -> Record | None:
    """The reservation by this key and owner that is still merely reserved."""
    for record in book.find(kinds=("reserved",), population=population, key=key):
        if record.said["owner"] == owner and state_of(book.find(reservation=record.seq)) == "reserved":
            return record
    return None


def require_same_request(stored: Reservation, release: str, event: Event, plan_digest: str, source: str) -> None:
    if (stored.release, stored.event, stored.plan_digest, stored.source) != (release, event, plan_digest, source):
        raise ProtocolError(
            f"owner {stored.owner!r} already reserved key {stored.key!r} for other contents ({stored.id}); a key names "
            "one plan: void that reservation, or use another key"
        )


def history_of(book: Transaction, identifier: str) -> list[Record]:
    history = book.find(reservation=reservation_seq(book.ledger_id, identifier))
    if not history or history[0].kind != "reserved":
        raise ProtocolError(f"there is no reservation {identifier!r} in this ledger")
    return history


def grant_of(stored: Reservation, token: str) -> Grant:
    return Grant(
        reservation_id=stored.id,
        population=stored.population,
        release=stored.release,
        event=stored.event,
        owner=stored.owner,
        plan_digest=stored.plan_digest,
        source=stored.source,
        token=token,
    )


def demand_grant(grant: object) -> None:
    if not isinstance(grant, Grant) or not isinstance(grant.token, str):
        raise ProtocolError(f"a grant is needed, not {type(grant).__name__}: reserve and activate to get one")


def require_grant(book: Transaction, grant: Grant) -> list[Record]:
    """The history of the reservation behind a grant whose token and contents are those handed out last. Where another
    run has resumed the release, the first one's grant is void."""
    demand_grant(grant)
    history = history_of(book, grant.reservation_id)
    stored = reservation_of(book.ledger_id, history)
    handed_out = [record for record in history if record.kind in ("activated", "resumed")]
    kept = str(handed_out[-1].payload["token_sha256"]) if handed_out else ""
    same = hmac.compare_digest(chain.digest(grant.token), kept) and all(
        getattr(grant, field) == getattr(stored, field)
        for field in ("population", "release", "event", "owner", "plan_digest", "source")
    )
    if not same:
        raise ProtocolError(
            f"the grant {grant.reservation_id} is not one this ledger handed out, or another run has resumed its "
            "release; reserve and activate to get one"
        )
    return history


def require_step(book: Transaction, history: list[Record], kind: str) -> None:
    """ProtocolError unless the step may follow on the reservation's state."""
    state = state_of(history)
    if kind not in STEPS[state]:
        allowed = " or ".join(sorted(STEPS[state])) or "nothing more"
        raise ProtocolError(
            f"reservation {reservation_of(book.ledger_id, history).id} is {state}, so it cannot be {kind}: {allowed} "
            "can follow. A new release needs a new reservation"
        )


def append_step(
    book: Transaction,
    history: list[Record],
    kind: str,
    facts: dict[str, Any],
    *,
    standings: Standings | None = None,
    owner: str | None = None,
) -> Record:
    """Append a reservation's next step if it may follow; `standings` where it moves what stands charged."""
    require_step(book, history, kind)
    stored = reservation_of(book.ledger_id, history)
    return book.append(
        Draft(
            kind=kind,
            population=stored.population,
            release=stored.release,
            owner=owner or stored.owner,
            reservation=history[0].seq,
            payload=facts if standings is None else {**facts, "standing": stated(standings)},
        )
    )


def blocks_of(book: Transaction, population: str) -> tuple[str, ...]:
    """The population's own blocks: the one it was registered with, or those that data sets brought."""
    found = book.find(kinds=("registered", "bound"), population=population)
    return tuple(sorted({b for record in found for b in record.blocks if population_of(b) == population}))


def stated_costs(costs: Costs) -> dict[str, Any]:
    return {population: chain.numbers(cost) for population, cost in costs.items()}


def stated(standings: Standings) -> dict[str, Any]:
    return {block: standing.to_json() for block, standing in standings.items()}
