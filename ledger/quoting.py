"""What releases would cost before anything is asked for, and the words in which a charge is refused.

Numbers in, numbers and sentences out: nothing here reads or writes a ledger.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from ledger import accounting
from ledger.closed_plan import ClosedPlan
from ledger.errors import BudgetRefused
from ledger.events import Event
from ledger.records import Item, Line, Quote, Scope
from ledger.renyi_filter import RenyiFilter
from ledger.scopes import Budget, Budgets, Standing, Standings, population_of


def quote_unregistered(scope: Scope, items: Iterable[Item]) -> Quote:
    """What releases would cost a scope that nothing was ever charged to: needs no ledger at all.

    Under a closed plan, raises LedgerError where the plan does not hold within the scope's epsilon.
    """
    budget = budget_of(scope)
    return quote(budget, budget.empty(), items, registered=False)


def budget_of(scope: Scope, registered: int = 0) -> Budget:
    """The budget that a registration of the scope gives: orders weighed by what is planned, caps, the closed plan."""
    order = accounting.planned_order(scope.planned, scope.delta)
    plan = scope.closed_plan
    return Budget(
        population=scope.population,
        unit=scope.unit,
        neighbouring_relation=scope.neighbouring_relation,
        blocks_by=scope.blocks_by,
        rule=RenyiFilter.planned(scope.epsilon, scope.delta, order),
        plan=None if plan is None else ClosedPlan.of(plan, scope.epsilon, scope.delta),
        planned_order=order,
        unit_by=scope.unit_by,
        registered=registered,
        highest_cap=scope.epsilon,
    )


def quote(budget: Budget, standing: Standing, items: Iterable[Item], *, registered: bool) -> Quote:
    """The releases one after another on a block's standing; one that would be refused leaves it as it was."""
    before, lines, listed = standing, [], tuple(items)
    for release, event in listed:
        cost = accounting.renyi_vector(event, budget.rule.orders)
        after, why = budget.charge(standing, cost, release, event)
        alone = accounting.epsilon(event, budget.rule.delta)
        standing = standing if why else after
        lines.append(Line(event, alone, budget.spent(after), budget.remaining(standing), why is None))
    return Quote(
        population=budget.population,
        registered=registered,
        epsilon_cap=budget.rule.epsilon,
        delta=budget.rule.delta,
        epsilon_spent=budget.spent(before),
        lines=tuple(lines),
        plan_epsilon=accounting.pld_epsilon((event for _, event in listed), budget.rule.delta),
    )


def refusal(
    block: str,
    why: str,
    release: str,
    event: Event,
    budgets: Budgets,
    before: Standings,
    after: Standings,
    alone: float,
    entry: int,
) -> BudgetRefused:
    budget = budgets[population_of(block)]
    rule = budget.rule
    spent, left, would_be = budget.spent(before[block]), budget.remaining(before[block]), budget.spent(after[block])
    return BudgetRefused(
        f"refused: release {release!r} ({event.describe()}) asks ε = {_up(alone)} of {block!r}, of whose budget "
        f"ε = {rule.epsilon:g} at δ = {rule.delta:g} there is {_up(spent)} spent and {_down(left)} left; with it ε "
        f"would be {_up(would_be)}: {why}. Nothing was charged and nothing may be read (entry {entry}). Ask for less "
        "(more noise, fewer steps), or use a release that was already committed: that costs nothing",
        release=release,
        population=budget.population,
        block=block,
        why=why,
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
