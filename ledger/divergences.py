"""Renyi divergences that dp_accounting does not have, as numbers from numbers. Nothing here knows events or budgets.

Each function gives an upper bound, exact up to rounding unless it says otherwise; `accounting` adds the margin for
rounding. Orders are above 1; costs are those of one release, under adding or removing one unit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from statistics import NormalDist
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# A polynomial's power is built order by order up to here; a mixture's cost at a higher order is given as infinite.
MAX_MIXTURE_ORDER = 64
# Cells of the sum that bounds the integral for removing a unit. More are tighter; none are too few to be sound.
CELLS = 20_000


def randomized_response(loss: float, order: float) -> float:
    """Between randomized responses with e^loss : 1 odds: log(cosh((a - 1/2) loss) / cosh(loss / 2)) / (a - 1),
    without cancellation."""
    if order * loss > 60:
        # cosh is half an exponential to far below rounding, except cosh(loss / 2), which is kept whole.
        log_cosh = loss / 2 + math.log1p(math.exp(-loss))
        return min(loss, ((order - 0.5) * loss - log_cosh + 1e-15) / (order - 1))
    growth = 2 * math.sinh(order * loss / 2) * math.sinh((order - 1) * loss / 2) / math.cosh(loss / 2)
    return min(loss, math.log1p(growth) / (order - 1))


def between_whole_orders(whole: Mapping[int, float], order: float) -> float:
    """The cost at a fractional order from those at the whole orders around it: an upper bound, since
    (a - 1) rho(a) is convex in a [van Erven and Harremoes 2014, arXiv 1206.2459, Corollary 2] and 0 at a = 1."""
    below, above = math.floor(order), math.ceil(order)
    if below == above:
        return whole[below]
    low = (below - 1) * whole[below] if below > 1 else 0.0
    return ((above - order) * low + (order - below) * (above - 1) * whole[above]) / (order - 1)


@lru_cache(maxsize=256)
def binomial_mixture(rate: float, records: int, noise: float) -> Mapping[int, float]:
    """Between P = sum over i of Binomial(records, rate)(i) N(i, noise^2) and Q = N(0, noise^2), the pair that
    dominates a step of record-sampled DP-SGD [Choquette-Choo et al. 2023, arXiv 2310.15526], at whole orders 2 to 64.

    Adding a unit: E_Q[(P/Q)^a] is a polynomial in e^(x / noise^2) with positive coefficients, each term of which has
    a closed form, so it is exact. Removing one, E_Q[(P/Q)^(1 - a)] is bounded from above twice, and the smaller bound
    taken: its integrand decreases, so its left ends over cells of equal probability add up to more; and with
    r = P/Q - 1, of mean 0 and at least b - 1 where b = (1 - rate)^records, Taylor's theorem gives
    (1 + r)^(1 - a) <= 1 - (a - 1) r + a (a - 1) / 2 b^-(a + 1) r^2, where E[r^2] is known from a = 2. The larger of
    adding and removing is the cost.
    """
    import numpy as np

    if rate == 1:  # every record joins: plain Gaussian noise with sensitivity `records`
        return {order: order * records**2 / (2 * noise**2) for order in range(2, MAX_MIXTURE_ORDER + 1)}
    log_share = _log_binomial(records, rate)
    steps = np.arange(records + 1)
    log_term = log_share - steps**2 / (2 * noise**2)
    log_power = log_term.copy()  # of the polynomial, coefficient by coefficient
    log_ratios = _log_ratios(log_term, noise)
    costs = {}
    for order in range(2, MAX_MIXTURE_ORDER + 1):
        grown = np.full(len(log_power) + records, -np.inf)
        for i, term in enumerate(log_term):
            window = slice(i, i + len(log_power))
            grown[window] = np.logaddexp(grown[window], log_power + term)
        log_power = grown
        exponents = np.arange(len(log_power)) ** 2 / (2 * noise**2)
        adding = float(np.logaddexp.reduce(log_power + exponents)) / (order - 1)
        if order == 2:
            chi_square = math.expm1(min(adding, 700.0))
        cells = float(np.logaddexp.reduce((1 - order) * log_ratios) - math.log(CELLS))
        log_remainder = math.log(order * (order - 1) / 2) - (order + 1) * records * math.log1p(-rate)
        taylor = math.log1p(chi_square * math.exp(log_remainder)) if log_remainder < 300 else math.inf
        costs[order] = max(adding, min(cells, taylor) / (order - 1), 0.0)
    return costs


def _log_binomial(records: int, rate: float) -> NDArray[np.float64]:
    import numpy as np

    return np.array(
        [
            math.log(math.comb(records, i)) + i * math.log(rate) + (records - i) * math.log1p(-rate)
            for i in range(records + 1)
        ]
    )


def _log_ratios(log_term: NDArray[np.float64], noise: float) -> NDArray[np.float64]:
    """log(P/Q) at the left end of each of CELLS cells of equal probability under Q; the first cell's is its limit at
    minus infinity. P/Q increases, so these are lower ends of it in each cell."""
    import numpy as np

    ends = np.array([NormalDist().inv_cdf(cell / CELLS) for cell in range(1, CELLS)])
    left = (ends - 1e-12 * (1 + abs(ends))) * noise  # an end that rounding put a little too far right comes back
    exponents = log_term[None, :] + np.outer(left, np.arange(len(log_term))) / noise**2
    return np.concatenate([log_term[:1], np.logaddexp.reduce(exponents, axis=1)])


def repeat_and_select(
    cost: Callable[[Sequence[float]], Sequence[float]],
    orders: Sequence[float],
    grid: Sequence[float],
    mean: float,
    shape: float,
) -> list[float]:
    """Of the best of K runs, K from the truncated negative binomial distribution with this shape and mean
    [Papernot and Steinke 2022, arXiv 2110.03620, Theorem 2]: for any order b >= 1 with cost rho(b) of one run,

        rho(a) + (1 + shape) (1 - 1/b) rho(b) + (1 + shape) log(1/gamma) / b + log(mean) / (a - 1).

    The least over the b in `grid` is taken, and, as costs grow with the order, the least over orders above a.
    `cost` gives one run's costs at given orders.
    """
    gamma = _gamma(shape, mean)
    runs = cost(grid)
    rest = min((1 - 1 / b) * run - math.log(gamma) / b for b, run in zip(grid, runs, strict=True))
    candidates = sorted({*orders, *grid})
    bound, best = {}, math.inf
    for order, run in sorted(zip(candidates, cost(candidates), strict=True), reverse=True):
        best = min(best, run + (1 + shape) * rest + math.log(mean) / (order - 1))
        bound[order] = best
    return [bound[order] for order in orders]


def _gamma(shape: float, mean: float) -> float:
    """The distribution's parameter for a mean of K, rounded down (a smaller one has a larger mean and costs more)."""

    def mean_of(gamma: float) -> float:
        log_gamma = math.log(gamma)
        if shape == 0:
            return (1 / gamma - 1) / -log_gamma
        return shape * (1 - gamma) / (gamma * -math.expm1(shape * log_gamma))

    low, high = 1e-15, 1 - 1e-15
    if mean_of(low) < mean:
        return low * mean_of(low) / mean  # never reached by means that events allow at moderate shapes
    while high - low > 1e-13 * low:
        middle = math.sqrt(low * high)
        if not low < middle < high:
            break
        low, high = (middle, high) if mean_of(middle) >= mean else (low, middle)
    return low
