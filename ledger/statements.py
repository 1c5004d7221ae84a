"""What stands about a population, for people: `dpsynth audit`, the budget asset, a certificate."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ledger import accounting, chain
from ledger.chain import Record
from ledger.events import Event
from ledger.incidents import Incident, incident_of
from ledger.journal import (
    charged_events,
    commitment_of,
    costs_of,
    entry_of,
    event_of,
    histories,
    reservation_of,
    standing_of,
    state_of,
)
from ledger.records import Balance, BlockBalance, Entry, Reservation, Spending
from ledger.scopes import Budget, Standing, population_of


@dataclass(frozen=True)
class Statement:
    """Everything a reader asks about one population.

    `reservations` are those that touch its blocks, other populations' among them; `refusals` those that were asked of
    itself; `external` are the charges for spending done elsewhere; `incidents` say which of the reservations an audit
    refuted.
    """

    ledger_id: str
    balance: Balance
    planned_order: float | None
    guarantee: str
    reservations: tuple[Reservation, ...]
    refusals: tuple[Entry, ...]
    external: tuple[Entry, ...]
    incidents: tuple[Incident, ...]
    head: Entry


def spending_of(budget: Budget, standings: Mapping[str, Standing], reserved: Iterable[Record]) -> Spending:
    """What is spent of a budget, from what stands charged to its blocks and the charges that are merely reserved."""
    worst = _worst(budget, standings)
    settled = spent = budget.empty() if worst is None else standings[worst]
    for record in reserved:
        if worst in record.blocks:
            cost = costs_of(record)[budget.population]
            settled = budget.uncharge(settled, cost, str(record.said["release"]), event_of(record))
    epsilon, rest = budget.spent(spent), budget.spent(settled)
    return Spending(
        epsilon_cap=budget.rule.epsilon,
        epsilon_spent=epsilon,
        epsilon_reserved=max(0.0, epsilon - rest) if math.isfinite(epsilon) else 0.0,
        epsilon_remaining=budget.remaining(spent),
        delta=budget.rule.delta,
    )


def _worst(budget: Budget, standings: Mapping[str, Standing]) -> str | None:
    """The most charged block, which speaks for all; None where there is no block yet."""
    return max(standings, key=lambda block: (budget.spent(standings[block]), standings[block].charges), default=None)


def statement_of(
    ledger_id: str, budget: Budget, records: Sequence[Record], head: Record, *, with_pld: bool = True
) -> Statement:
    """The statement of one population from all entries about it or its blocks, oldest first."""
    population = budget.population
    paths = [path for path in histories(records).values() if population in map(population_of, path[0].blocks)]
    external = [r for r in records if r.kind == "external_charge" and r.population == population]
    standings = _standings(population, records)
    balances = tuple(
        BlockBalance(block, budget.spent(standing), budget.remaining(standing), standing.charges)
        for block, standing in standings.items()
    )
    worst = _worst(budget, standings)
    touching = [path for path in paths if worst in path[0].blocks]
    counted: list[Event] = []
    alone: list[float] = []
    for path in touching:
        if state_of(path) != "voided":
            counted += charged_events(path)
            alone += [_alone(path), *(chain.real(r.payload["epsilon_alone"]) for r in path if r.kind == "resumed")]
    for record in external:
        if worst in record.blocks:
            counted.append(event_of(record))
            alone.append(chain.real(record.payload["epsilon_alone"]))
    spending = spending_of(budget, standings, [path[0] for path in touching if state_of(path) == "reserved"])
    balance = Balance(
        population=population,
        unit=budget.unit,
        neighbouring_relation=budget.neighbouring_relation,
        rule="closed_plan" if budget.plan else "renyi_filter",
        **vars(spending),
        frozen=spending.epsilon_spent > spending.epsilon_cap,
        charges=standings[worst].charges if worst else 0,
        blocks=balances,
        pld_epsilon=accounting.pld_epsilon(counted, budget.rule.delta) if with_pld else None,
        basic_sum_epsilon=math.fsum(alone),
        basic_sum_delta=len(alone) * budget.rule.delta,
    )
    incidents = tuple(incident_of(ledger_id, r) for path in paths for r in path if r.kind == "incident")
    return Statement(
        ledger_id=ledger_id,
        balance=balance,
        planned_order=budget.planned_order,
        guarantee=_guarantee(balance, budget.highest_cap) + _overlaps(population, records) + _refuted(incidents),
        reservations=tuple(reservation_of(ledger_id, path) for path in paths),
        refusals=tuple(entry_of(ledger_id, r) for r in records if r.kind == "refused" and r.population == population),
        external=tuple(entry_of(ledger_id, r) for r in external),
        incidents=incidents,
        head=entry_of(ledger_id, head),
    )


def _standings(population: str, records: Iterable[Record]) -> dict[str, Standing]:
    newest = {block: record for record in records for block in record.blocks if population_of(block) == population}
    return {block: standing_of(newest[block], block) for block in sorted(newest)}


def _alone(path: Sequence[Record]) -> float:
    return chain.real((commitment_of(path) or path[0]).payload["epsilon_alone"])


def _guarantee(balance: Balance, highest_cap: float) -> str:
    """The formal statement is about the highest cap there was: it alone holds whatever is released next, and however a
    cap was lowered after releases were seen. What is spent says how much of the present cap is used, by the same rule.
    """
    if not math.isfinite(balance.epsilon_spent):
        return (
            f"Population {balance.population!r} had a closed plan, and something from outside it was charged: what all "
            f"releases are together is the sum of both, at most ε = {balance.basic_sum_epsilon:g} at "
            f"δ = {balance.basic_sum_delta:g}. Nothing further is admitted."
        )
    epsilon = max(highest_cap, balance.epsilon_spent)  # spending elsewhere may have gone beyond every cap
    how = (
        "all releases and their parameters having been fixed before the first one (privacy loss distributions)"
        if balance.rule == "closed_plan"
        else "also when later releases are chosen after seeing earlier ones (weighted-order Rényi filter)"
    )
    divided = f", in whichever of the {len(balance.blocks)} blocks it lies" if len(balance.blocks) > 1 else ""
    return (
        f"Everything ever released about population {balance.population!r} is together ({_up(epsilon)}, "
        f"{balance.delta:g})-differentially private for adding or removing everything that one {balance.unit} "
        f"contributed{divided}, {how}. Of ε = {balance.epsilon_cap:g}, {_up(balance.epsilon_spent)} is used by "
        f"{balance.charges} charge{'' if balance.charges == 1 else 's'}."
        + (" The cap was lowered below that: nothing further is admitted." if balance.frozen else "")
    )


def _overlaps(population: str, records: Iterable[Record]) -> str:
    """Whoever is in two populations is protected by the cap of the one that was bound first: charges to the later
    one's data are made to both, those to the earlier one's are not."""
    bound = (r.payload["overlaps"] for r in records if r.kind == "bound" and r.population == population)
    others = sorted({block for overlaps in bound for block in overlaps})
    if not others:
        return ""
    return (
        f" For those whose records are also held by {', '.join(others)}, what was released about both populations "
        "together is bounded by the other one's cap, to which all of this one's charges are made as well."
    )


def _refuted(incidents: Iterable[Incident]) -> str:
    """What all of it promises rests on each release costing what was charged."""
    found = [f"{each.release} (charge {each.reservation}, entry {each.seq})" for each in incidents]
    if not found:
        return ""
    return f" It does not hold as it stands: an audit refuted what was claimed of {', '.join(found)}."


def _up(value: float) -> str:
    return f"{math.ceil(value * 1e4) / 1e4:g}"
