"""Admission by a closed plan: every release and all its parameters are listed before the first access.

For such a plan the epsilon of its privacy loss distributions is a bound: nothing is chosen after seeing anything. A
release may be dropped from the plan, or stop after fewer steps; none may be added, repeated or changed. So the rule is
membership: a charge is admitted if and only if its pair of release and event is in the plan and not yet used.

This module knows events and numbers; no storage.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ledger import accounting
from ledger.errors import LedgerError
from ledger.events import Event, check_known, from_json

MAX_RELEASES = 10_000
# The distributions are rounded up to this grid. Finer would be tighter by less than a thousandth, and slow.
INTERVAL = 1e-4

Item = tuple[str, Event]


@dataclass(frozen=True)
class ClosedPlan:
    """The releases of a plan, in order, and the epsilon of all of them together at the scope's delta."""

    items: tuple[Item, ...]
    epsilon: float

    @classmethod
    def of(cls, items: Iterable[Item], epsilon: float, delta: float) -> ClosedPlan:
        """The plan, if all of it costs at most `epsilon` at `delta`.

        Raises:
            LedgerError: it costs more, is empty, or has an event without privacy loss distribution.
        """
        listed = tuple((str(release), check_known(event)) for release, event in items)
        if not 1 <= len(listed) <= MAX_RELEASES:
            raise LedgerError(f"a closed plan lists 1 to {MAX_RELEASES} releases, not {len(listed)}")
        cost = accounting.pld_epsilon((event for _, event in listed), delta, interval=INTERVAL)
        if cost is None:
            raise LedgerError(
                "a closed plan is held to its privacy loss distributions, which there are none of here for tuning by "
                "repeat-and-select and for mechanisms with next to no noise: leave them out, or use the filter"
            )
        if not cost <= epsilon:  # also refuses NaN
            raise LedgerError(
                f"the closed plan costs ε = {math.ceil(cost * 1e4) / 1e4:g} at δ = {delta:g}, more than the budget's "
                f"{epsilon:g}: give its releases more noise or fewer steps, or the budget a larger ε"
            )
        return cls(listed, cost)

    @classmethod
    def from_json(cls, items: Sequence[Any], epsilon: float) -> ClosedPlan:
        return cls(tuple((str(release), from_json(event)) for release, event in items), epsilon)

    def to_json(self) -> list[list[Any]]:
        return [[release, event.to_json()] for release, event in self.items]

    def place(self, release: str, event: Event, used: frozenset[int]) -> int | None:
        """The first place in the plan that is this release and not yet used; None if there is none."""
        return next((i for i, item in enumerate(self.items) if i not in used and item == (release, event)), None)

    def place_of(self, release: str, event: Event, used: frozenset[int]) -> int | None:
        """A used place of this release, to be freed again; None if there is none."""
        return next((i for i, item in enumerate(self.items) if i in used and item == (release, event)), None)
