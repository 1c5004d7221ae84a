"""The run that breaks `get_epsilon(delta) <= cap`, reproduced, and what is left of it under the weighted filter.

Twenty randomized responses of epsilon 0.1; then, depending on the number j that came out one way, one more mechanism,
which with probability w_j answers a randomized response of parameter c_j and otherwise says nothing. c_j is the one
that does most harm and w_j the largest that the rule of admission lets pass. Every branch is admitted; what counts is
the delta of all branches together.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache

import mpmath
import numpy as np
import pytest

from ledger.renyi_filter import RenyiFilter, add

EPSILON, DELTA, ROUNDS, SMALL = 3.0, 1e-6, 20, 0.1
PARAMETERS = np.linspace(0.01, 60.0, 6000)
Vector = tuple[float, ...]
Branch = tuple[float, float]  # c and w


def response(loss: np.ndarray | float, order: np.ndarray) -> np.ndarray:
    """log E_Q[(P/Q)^a] of a randomized response, which is (a - 1) times its Renyi cost."""
    return np.logaddexp(order * loss, (1 - order) * loss) - np.log1p(np.exp(loss))


def rounds(orders: Sequence[float]) -> Vector:
    a = np.array(orders)
    return tuple(ROUNDS * response(SMALL, a) / (a - 1))


def last(c: float, w: float, orders: Sequence[float]) -> Vector:
    """The Renyi costs of the last mechanism."""
    a = np.array(orders)
    with np.errstate(over="ignore"):
        log_moment = np.logaddexp(math.log1p(-w) if w < 1 else -np.inf, math.log(w) + response(c, a))
    return tuple(np.maximum(log_moment, 0.0) / (a - 1))


def exact_delta(branches: Sequence[Branch]) -> mpmath.mpf:
    """The delta at EPSILON of the whole run: over all that can come out, what exceeds e^epsilon times the other world,
    in forty digits."""
    with mpmath.workdps(40):
        cap, small = mpmath.exp(EPSILON), mpmath.exp(mpmath.mpf(SMALL))
        total, seen = mpmath.mpf(0), mpmath.mpf(0)
        for j, (c, w) in enumerate(branches):
            ways = mpmath.binomial(ROUNDS, j) / (1 + small) ** ROUNDS
            p, q = ways * small**j, ways * small ** (ROUNDS - j)
            yes, says = mpmath.exp(mpmath.mpf(c)) / (1 + mpmath.exp(mpmath.mpf(c))), mpmath.mpf(w)
            for here, there in (
                (p * (1 - says), q * (1 - says)),
                (p * says * yes, q * says * (1 - yes)),
                (p * says * (1 - yes), q * says * yes),
            ):
                total += max(here - cap * there, mpmath.mpf(0))
                seen += here
        assert abs(seen - 1) < mpmath.mpf(10) ** -35
        return total


def strongest(orders: Sequence[float], caps: Sequence[float]) -> list[float]:
    """For each j the parameter that does most harm, by what `some order: sum <= cap` leaves."""
    a = np.array(orders)
    room = (a - 1) * (np.array(caps) - np.array(rounds(orders)))
    with np.errstate(over="ignore"):
        gain = np.expm1(np.minimum(response(PARAMETERS[:, None], a[None, :]), 700.0))
        w = np.clip(np.expm1(np.minimum(room, 600.0))[None, :] / gain, 0.0, 1.0).max(axis=1)
    yes, cap, chosen = np.exp(-np.log1p(np.exp(-PARAMETERS))), math.exp(EPSILON), []
    for j in range(ROUNDS + 1):
        p, q = (math.comb(ROUNDS, j) * math.exp(k * SMALL) / (1 + math.exp(SMALL)) ** ROUNDS for k in (j, ROUNDS - j))
        harm = np.maximum(p * yes - cap * q * (1 - yes), 0) + np.maximum(p * (1 - yes) - cap * q * yes, 0)
        total = (1 - w) * max(p - cap * q, 0) + w * harm
        chosen.append(float(PARAMETERS[int(total.argmax())]))
    return chosen


def largest(c: float, admits: Callable[[float, float], bool]) -> float:
    """The largest probability w that the rule itself, asked again and again, lets pass."""
    if admits(c, 1.0):
        return 1.0
    low, high = 0.0, 1.0
    for _ in range(90):
        middle = math.sqrt(low * high) if low else high / 16
        low, high = (middle, high) if admits(c, middle) else (low, middle)
    assert admits(c, low)
    return low


@cache
def naive_orders() -> Vector:
    from dp_accounting.rdp.rdp_privacy_accountant import DEFAULT_RDP_ORDERS

    return tuple(map(float, DEFAULT_RDP_ORDERS))


def naive_epsilon(c: float, w: float) -> float:
    """What `RdpAccountant.get_epsilon` would read after a branch."""
    from dp_accounting.rdp.rdp_privacy_accountant import compute_epsilon

    costs = np.array(rounds(naive_orders())) + np.array(last(c, w, naive_orders()))
    return float(compute_epsilon(naive_orders(), costs, DELTA)[0])


def test_the_costs_are_those_that_dp_accounting_gives() -> None:
    import dp_accounting as google
    from dp_accounting.rdp import RdpAccountant

    def event(loss: float) -> google.DpEvent:
        return google.RandomizedResponseDpEvent(2 / (1 + math.exp(loss)), 2)

    orders, relation = naive_orders(), google.NeighboringRelation.REPLACE_ONE  # of whoever answers
    theirs = RdpAccountant(list(orders), relation).compose(google.SelfComposedDpEvent(event(SMALL), ROUNDS)).rdp
    assert rounds(orders) == pytest.approx(tuple(theirs), rel=1e-9, abs=1e-12)
    assert last(2.0, 1.0, orders) == pytest.approx(
        tuple(RdpAccountant(list(orders), relation).compose(event(2.0)).rdp), rel=1e-9, abs=1e-12
    )


def test_the_best_of_many_orders_is_no_filter() -> None:
    """Every branch reads at most 3.0; the run is not (3.0, 1e-6)-differentially private, and not nearly so."""
    orders = naive_orders()
    assert len(orders) == 156
    a = np.array(orders)
    caps = EPSILON - np.log1p(-1 / a) + np.log(DELTA * a) / (a - 1)
    chosen = strongest(orders, list(caps))
    branches = [(c, largest(c, lambda c, w: naive_epsilon(c, w) <= EPSILON)) for c in chosen]
    assert all(naive_epsilon(c, w) <= EPSILON for c, w in branches)
    assert len({c for c, _ in branches}) > 10  # he does adapt
    assert 1.80 * DELTA < exact_delta(branches) < 1.86 * DELTA


@pytest.mark.parametrize(
    ("planned", "share"), [(8.1, 0.795), (12.0, 0.800), (16.0, 0.702), (5.6, 0.033), (None, 0.176)]
)
def test_the_weighted_filter_holds_against_the_same_attacker(planned: float | None, share: float) -> None:
    rule = RenyiFilter.planned(EPSILON, DELTA, planned)

    def admits(c: float, w: float) -> bool:
        return rule.admits(add(rounds(rule.orders), tuple(map(float, last(c, w, rule.orders)))))

    branches = [(c, largest(c, admits)) for c in strongest(rule.orders, rule.caps)]
    delta = exact_delta(branches)
    assert delta <= DELTA
    assert delta == pytest.approx(share * DELTA, abs=0.01 * DELTA)  # he gets as far as he can: this is no idle test


def test_one_order_alone_is_a_filter() -> None:
    """Feldman and Zrnic's case, which the weighted filter is made of: with all of delta on one order, still below."""
    for order in (5.6, 8.1, 12.0):
        caps = [EPSILON - math.log1p(-1 / order) + math.log(DELTA * order) / (order - 1)]

        def admits(c: float, w: float, order: float = order, caps: list[float] = caps) -> bool:
            return rounds([order])[0] + last(c, w, [order])[0] <= caps[0]

        branches = [(c, largest(c, admits)) for c in strongest([order], caps)]
        assert exact_delta(branches) <= DELTA
