"""What releases would cost before anything is asked for, and the words in which a charge is refused.

Numbers in, numbers and sentences out: nothing here reads or writes a ledger.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from ledger import accounting, renyi_filter
from ledger.errors import BudgetRefused
from ledger.events import Event
from ledger.records import Line, Quote, Scope
from ledger.renyi_filter import RenyiFilter, Vector


def quote_unregistered(scope: Scope, events: Iterable[Event]) -> Quote:
    """What releases would cost a scope that nothing was ever charged to: needs no ledger at all."""
    order = accounting.planned_order(scope.planned, scope.delta)
    rule = RenyiFilter.planned(scope.epsilon, scope.delta, order)
    return quote(scope.population, rule, renyi_filter.zeros(rule.orders), events, registered=False)


def quote(population: str, rule: RenyiFilter, sums: Vector, requested: Iterable[Event], *, registered: bool) -> Quote:
    before, lines = sums, []
    for event in requested:
        after = renyi_filter.add(sums, accounting.renyi_vector(event, rule.orders))
        admitted = rule.admits(after)
        alone = accounting.epsilon(event, rule.delta)
        sums = after if admitted else sums
        lines.append(Line(event, alone, rule.spent(after), rule.remaining(sums), admitted))
    return Quote(population, registered, rule.epsilon, rule.delta, rule.spent(before), tuple(lines))


def refusal(
    population: str,
    release: str,
    event: Event,
    rule: RenyiFilter,
    before: Vector,
    after: Vector,
    alone: float,
    entry: int,
) -> BudgetRefused:
    spent, left, would_be = rule.spent(before), rule.remaining(before), rule.spent(after)
    return BudgetRefused(
        f"refused: release {release!r} ({event.describe()}) asks ε = {_up(alone)} of population {population!r}, of "
        f"whose budget ε = {rule.epsilon:g} at δ = {rule.delta:g} there is {_up(spent)} spent and {_down(left)} left; "
        f"with it ε would be {_up(would_be)}. Nothing was charged and nothing may be read (entry {entry}). Ask for "
        "less (more noise, fewer steps), or use a release that was already committed: that costs nothing",
        population=population,
        spent=spent,
        asked=alone,
        left=left,
        would_be=would_be,
        cap=rule.epsilon,
        delta=rule.delta,
        entry=entry,
    )


def _up(value: float) -> str:
    return f"{math.ceil(value * 1e3) / 1e3:g}" if math.isfinite(value) else "infinity"


def _down(value: float) -> str:
    return f"{math.floor(value * 1e3) / 1e3:g}"
