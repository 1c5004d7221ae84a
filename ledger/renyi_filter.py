"""The admission rule: a Renyi privacy filter over several orders, each with its own share of delta.

The next mechanism may be chosen after earlier outputs were seen. An accountant's epsilon, taken at whichever order
happens to be best, is then no bound: a branching run whose every branch reads eps <= 3 at delta = 1e-6 can truly have
1.8 times that delta. What follows is a bound for such runs.

Fix, before any data is seen, orders a with weights w_a, sum of w_a <= 1, and the cap per order

    B(a) = epsilon - log(1 - 1/a) + log(w_a * delta * a) / (a - 1).

Admit a charge iff SOME order has (sum of rho(a) over everything charged) <= B(a).

Why that is (epsilon, delta)-differentially private, whatever the choices: what truly ran costs at every order at most
what stands charged, and after each admission, void or refund some order is within its cap; so each finished
transcript has an order within its cap, and as true costs only grow, every prefix of it was within that cap too. Give
each transcript to its first such order; the sets S_a are disjoint. On S_a the run coincides with the run of the
filter that knows order a alone, which is (a, B(a))-RDP [Feldman and Zrnic, arXiv 2008.11193; for concurrent
interactive mechanisms Haney et al., arXiv 2309.05901], hence (epsilon, w_a * delta)-DP [Canonne, Kamath and Steinke,
arXiv 2004.00010, Prop. 12; also Balle et al., arXiv 1905.09982]. So P(E and S_a) <= e^epsilon Q(E and S_a) + w_a
delta; sum over a.

The weights stand by themselves: they are fixed when a scope is registered, mostly on the order that suits the planned
releases, and never move. This module knows numbers only: no mechanisms, no storage.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from ledger.errors import LedgerBroken, LedgerError

FIXED_ORDERS = (2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 10.0, 12.0, 16.0, 24.0, 32.0, 64.0)
PLANNED_WEIGHT = 0.8  # costs the planned order log(1 / 0.8) / (a - 1), about 1 % of epsilon
MAX_EPSILON = 1e4

Vector = tuple[float, ...]


def checked_budget(epsilon: object, delta: object) -> tuple[float, float]:
    """Epsilon and delta as floats, or a refusal: NaN or a delta of 1 would admit anything."""
    for name, value in (("epsilon", epsilon), ("delta", delta)):
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < math.inf:
            raise LedgerError(f"{name} is {value!r}: it must be a finite number")
    assert isinstance(epsilon, int | float)
    assert isinstance(delta, int | float)
    if not 0 < epsilon <= MAX_EPSILON:
        raise LedgerError(f"epsilon is {epsilon!r}: it must lie in (0, {MAX_EPSILON:g}]")
    if not 1e-30 <= delta < 1:
        raise LedgerError(f"delta is {delta!r}: it must lie in [1e-30, 1)")
    return float(epsilon), float(delta)


def conversion(order: float, weighted_delta: float) -> float:
    """What turns an RDP value at `order` into an epsilon at `weighted_delta`, rounded up.

    The terms are few and of moderate size, so a relative margin of 1e-12 dwarfs their rounding.
    """
    terms = (math.log1p(-1 / order), -math.log(weighted_delta * order) / (order - 1))
    return math.fsum(terms) + 1e-12 * (1 + sum(map(abs, terms)))


@dataclass(frozen=True)
class RenyiFilter:
    """Orders, weights and caps of one scope. Built once at registration, stored, and never derived anew."""

    epsilon: float
    delta: float
    orders: Vector
    weights: Vector
    caps: Vector

    @classmethod
    def planned(cls, epsilon: float, delta: float, planned_order: float | None) -> RenyiFilter:
        """The filter with most of delta on `planned_order`, or evenly spread where nothing is planned."""
        epsilon, delta = checked_budget(epsilon, delta)
        orders: Vector = FIXED_ORDERS
        if planned_order is None:
            weights = [1 / len(orders)] * len(orders)
        else:
            orders = tuple(sorted({*FIXED_ORDERS, float(planned_order)}))
            rest = (1 - PLANNED_WEIGHT) / (len(orders) - 1)
            weights = [PLANNED_WEIGHT if order == planned_order else rest for order in orders]
        weights = [weight * (1 - 1e-12) for weight in weights]  # so that the exact sum cannot exceed 1
        return cls(epsilon, delta, orders, tuple(weights), caps_of(epsilon, delta, orders, weights))

    def __post_init__(self) -> None:
        """A filter read back from storage must be one that could have been built; otherwise nothing is admitted."""
        checked_budget(self.epsilon, self.delta)
        if not self.orders or not len(self.orders) == len(self.weights) == len(self.caps):
            raise LedgerBroken("a scope's orders, weights and caps differ in number")
        if not all(math.isfinite(x) for x in (*self.orders, *self.weights, *self.caps)):
            raise LedgerBroken("a scope's orders, weights and caps must be finite")
        if min(self.orders) <= 1 or list(self.orders) != sorted(set(self.orders)):
            raise LedgerBroken("a scope's orders must be distinct, ascending and above 1")
        if min(self.weights) <= 0 or sum(map(Fraction, self.weights)) > 1:
            raise LedgerBroken("a scope's order weights must be positive and sum to at most 1")
        limits = caps_of(self.epsilon, self.delta, self.orders, self.weights)
        # Another machine's logarithm may differ in the last digits; what is stored may not be more than that.
        if any(cap > limit + 1e-9 for cap, limit in zip(self.caps, limits, strict=True)):
            raise LedgerBroken("a scope's caps are higher than its epsilon, delta and weights allow")

    def with_cap(self, epsilon: object) -> RenyiFilter:
        """The same orders, weights and delta under another epsilon."""
        checked, _ = checked_budget(epsilon, self.delta)
        return dataclasses.replace(self, epsilon=checked, caps=caps_of(checked, self.delta, self.orders, self.weights))

    def admits(self, sums: Sequence[float]) -> bool:
        """Whether some order is within its cap. The one question that decides."""
        return any(total <= cap for total, cap in zip(checked(sums), self.caps, strict=True))

    def spent(self, sums: Sequence[float]) -> float:
        """The epsilon for which this filter would just admit the sums: <= epsilon exactly when `admits`.

        0 when nothing is charged; otherwise never below 0, and rounded up. Infinite when every order is.
        """
        if not any(checked(sums)):
            return 0.0
        return max(0.0, min(map(self._epsilon_at, sums, self.caps)))

    def remaining(self, sums: Sequence[float]) -> float:
        return max(0.0, self.epsilon - self.spent(sums))

    def _epsilon_at(self, total: float, cap: float) -> float:
        excess = total - cap  # its sign is exact, so rounding below cannot disagree with `admits`
        if excess <= 0:
            return min(self.epsilon, math.nextafter(self.epsilon + excess, math.inf))
        return max(math.nextafter(self.epsilon + excess, math.inf), math.nextafter(self.epsilon, math.inf))


def caps_of(epsilon: float, delta: float, orders: Sequence[float], weights: Sequence[float]) -> Vector:
    """B(a) for every order, rounded down."""
    return tuple(
        math.nextafter(epsilon - conversion(order, weight * delta), -math.inf)
        for order, weight in zip(orders, weights, strict=True)
    )


def checked(vector: Sequence[float]) -> Sequence[float]:
    """A vector of costs in which nothing is NaN or negative. Infinite is allowed: that order admits nothing."""
    for value in vector:
        if not isinstance(value, float) or not value >= 0:
            raise LedgerBroken(f"a Renyi cost of {value!r} is not a number >= 0; nothing is admitted on it")
    return vector


def add(sums: Sequence[float], charge: Sequence[float]) -> Vector:
    """The sums after a charge, rounded up: never below the exact total."""
    pairs = zip(checked(sums), checked(charge), strict=True)
    return tuple(math.nextafter(total + cost, math.inf) if cost else total for total, cost in pairs)


def replace(sums: Sequence[float], old: Sequence[float], new: Sequence[float]) -> Vector:
    """The sums after the charge `old` turned out to be the smaller `new`, rounded up and never above `sums`.

    An order that was ever charged infinity stays infinite: infinity minus itself has no value, and an order that
    admits nothing is safe.
    """
    result = []
    for total, before, after in zip(checked(sums), checked(old), checked(new), strict=True):
        if after > before:
            raise LedgerError("a charge can only be replaced by a smaller one")
        # The smaller difference is taken first: its rounding error is then the smallest.
        refund = math.nextafter(before - after, 0.0) if before < math.inf else 0.0
        result.append(min(total, max(math.nextafter(total - refund, math.inf), after)) if refund else total)
    return tuple(result)


def zeros(orders: Sequence[float]) -> Vector:
    return (0.0,) * len(orders)
