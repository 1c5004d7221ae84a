"""A population's terms and what stands charged against them: the decision about a charge, from what entries say.

A *budget* is read from a population's registration and its latest change of cap. A *standing* is what one block has
been charged so far. Both are frozen values; `charge` and `uncharge` give the next standing. No storage here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ledger import chain, renyi_filter
from ledger.chain import Record
from ledger.closed_plan import ClosedPlan
from ledger.errors import LedgerBroken
from ledger.events import Event
from ledger.renyi_filter import RenyiFilter, Vector

EVERYTHING = "everything"  # the block of a population that is not divided


@dataclass(frozen=True)
class Standing:
    """What stands charged to one block: sums by order, how many charges, and the places of a closed plan in use.

    `closed` is false where something from outside a closed plan was charged: nothing is admitted on it any more.
    """

    sums: Vector
    charges: int = 0
    used: frozenset[int] | None = None
    closed: bool = True

    def to_json(self) -> dict[str, Any]:
        stated: dict[str, Any] = {"sums": chain.numbers(self.sums), "charges": self.charges}
        if self.used is not None:
            stated |= {"used": sorted(self.used), "closed": self.closed}
        return stated

    @classmethod
    def from_json(cls, stated: Mapping[str, Any]) -> Standing:
        charges, used = stated["charges"], stated.get("used")
        if isinstance(charges, bool) or not isinstance(charges, int) or charges < 0:
            raise LedgerBroken(f"a number of charges is {charges!r}")
        if used is not None and not all(type(place) is int and place >= 0 for place in used):
            raise LedgerBroken("the places used of a closed plan must be whole numbers")
        places = None if used is None else frozenset(used)
        return cls(chain.vector(stated["sums"]), charges, places, stated.get("closed", True) is True)


@dataclass(frozen=True)
class Budget:
    """One population's terms as they stand. `rule` and `plan` never change but for the caps of `rule`."""

    population: str
    unit: str
    neighbouring_relation: str
    blocks_by: str | None
    rule: RenyiFilter
    plan: ClosedPlan | None
    planned_order: float | None
    unit_by: str | None
    registered: int
    highest_cap: float  # there ever was: what holds where a cap was lowered, since lowering may follow on releases

    @classmethod
    def from_records(cls, records: Sequence[Record]) -> Budget:
        """From the registration and the changes of cap after it, oldest first."""
        registration = records[0]
        if registration.kind != "registered" or any(record.kind != "cap_changed" for record in records[1:]):
            raise LedgerBroken(f"population {registration.population!r} does not begin with one registration")
        terms = registration.payload
        rule = RenyiFilter(
            terms["epsilon"],
            terms["delta"],
            chain.vector(terms["orders"]),
            chain.vector(terms["weights"]),
            chain.vector(terms["caps"]),
        )
        if len(records) > 1:
            changed = records[-1].payload
            rule = replace(rule, epsilon=changed["epsilon"], caps=chain.vector(changed["caps"]))
        closed = terms["rule"] == "closed_plan"
        return cls(
            population=str(registration.population),
            unit=terms["unit"],
            neighbouring_relation=terms["neighbouring_relation"],
            blocks_by=terms["blocks_by"],
            rule=rule,
            plan=ClosedPlan.from_json(terms["plan"], chain.real(terms["plan_epsilon"])) if closed else None,
            planned_order=terms["planned_order"],
            unit_by=terms.get("unit_by"),  # entries of before have none: `protocol.budget_of` fills it in
            registered=registration.seq,
            highest_cap=max(record.payload["epsilon"] for record in records),
        )

    def empty(self) -> Standing:
        return Standing(renyi_filter.zeros(self.rule.orders), used=frozenset() if self.plan else None)

    def charge(self, before: Standing, cost: Vector, release: str, event: Event) -> tuple[Standing, str | None]:
        """The standing with a charge on top, and why it may not be admitted (None if it may)."""
        after = replace(before, sums=renyi_filter.add(before.sums, cost), charges=before.charges + 1)
        if self.plan is None:
            return after, None if self.rule.admits(after.sums) else "it does not fit into what is left"
        assert before.used is not None
        if not before.closed:
            return after, "something was charged from outside the closed plan, which therefore holds no longer"
        if self.plan.epsilon > self.rule.epsilon:
            return after, "the cap was lowered below what the closed plan costs"
        place = self.plan.place(release, event, before.used)
        if place is None:
            return after, "it is not in the closed plan, or was used already"
        return replace(after, used=before.used | {place}), None

    def charge_outside(self, before: Standing, cost: Vector, *, charges: int = 1) -> Standing:
        """The standing after a charge that no rule was asked about: spending elsewhere, or steps run again."""
        return replace(
            before,
            sums=renyi_filter.add(before.sums, cost),
            charges=before.charges + charges,
            closed=before.closed and self.plan is None,
        )

    def uncharge(self, before: Standing, cost: Vector, release: str, event: Event) -> Standing:
        """The standing without a charge that was never activated."""
        charges = before.charges - 1
        if charges < 0:
            raise LedgerBroken(f"a charge to population {self.population!r} is to be voided that does not stand")
        zero = renyi_filter.zeros(cost)
        # Where nothing stands any more the exact sum is known, free of the rounding that refunds leave behind.
        sums = renyi_filter.replace(before.sums, cost, zero) if charges else zero
        used = before.used
        if self.plan is not None and used is not None:
            place = self.plan.place_of(release, event, used)
            used = used if place is None else used - {place}
        return replace(before, sums=sums, charges=charges, used=used)

    def spent(self, standing: Standing) -> float:
        """The epsilon that stands used of this budget. A closed plan counts as a whole from its first release on:
        what holds is the guarantee of all of it."""
        if self.plan is None:
            return self.rule.spent(standing.sums)
        if not standing.closed:
            return math.inf
        return self.plan.epsilon if standing.charges else 0.0

    def remaining(self, standing: Standing) -> float:
        return max(0.0, self.rule.epsilon - self.spent(standing))


Standings = dict[str, Standing]  # by block
Budgets = Mapping[str, Budget]  # by population


def tightest(budgets: Budgets, standings: Standings, among: Mapping[str, str]) -> tuple[str, str] | None:
    """Of the blocks `among`, the one with the least left and what is said of it; None if there are none."""
    if not among:
        return None
    block = min(among, key=lambda block: (budgets[population_of(block)].remaining(standings[block]), block))
    return block, among[block]


def spent(budgets: Budgets, standings: Standings) -> float:
    """The epsilon that stands used of the block with the least left."""
    found = tightest(budgets, standings, dict.fromkeys(standings, ""))
    assert found is not None
    return budgets[population_of(found[0])].spent(standings[found[0]])


def block_name(population: str, block: str) -> str:
    return f"{population}/{block}"


def population_of(block: str) -> str:
    return block.split("/", 1)[0]
