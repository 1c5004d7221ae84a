"""The admission rule as arithmetic: rounding only ever denies."""

from __future__ import annotations

import math
from fractions import Fraction

import mpmath
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger import LedgerBroken, LedgerError
from ledger.renyi_filter import FIXED_ORDERS, RenyiFilter, add, replace, zeros

unhurried = settings(max_examples=60)
RULE = RenyiFilter.planned(3.0, 1e-6, 5.6)
costs = st.one_of(st.just(0.0), st.floats(0, 1e3), st.floats(0, 1e-300), st.just(math.inf))
vectors = st.lists(costs, min_size=len(RULE.orders), max_size=len(RULE.orders)).map(tuple)
orders = st.floats(1.5, 1024.0)


@unhurried
@given(vectors)
def test_a_charge_is_admitted_exactly_when_the_epsilon_spent_stays_within_the_cap(sums: tuple[float, ...]) -> None:
    assert RULE.admits(sums) == (RULE.spent(sums) <= RULE.epsilon)
    assert RULE.spent(sums) >= 0
    assert RULE.remaining(sums) == max(0.0, RULE.epsilon - RULE.spent(sums))


@unhurried
@given(st.sampled_from(range(len(RULE.orders))), st.integers(-3, 3))
def test_admission_and_epsilon_agree_at_the_very_edge(index: int, steps: int) -> None:
    sums = [math.inf] * len(RULE.orders)
    if RULE.caps[index] <= 0:
        return
    sums[index] = RULE.caps[index]
    for _ in range(abs(steps)):
        sums[index] = math.nextafter(sums[index], math.inf if steps > 0 else 0.0)
    assert RULE.admits(sums) == (steps <= 0) == (RULE.spent(sums) <= RULE.epsilon)


def test_nothing_charged_is_nothing_spent() -> None:
    assert RULE.spent(zeros(RULE.orders)) == 0.0
    assert RULE.spent((math.inf,) * len(RULE.orders)) == math.inf


@unhurried
@given(st.floats(1e-3, 1e3), st.floats(1e-12, 0.5), st.one_of(st.none(), orders))
def test_caps_are_rounded_down_and_weights_sum_to_at_most_one(
    epsilon: float, delta: float, order: float | None
) -> None:
    rule = RenyiFilter.planned(epsilon, delta, order)
    assert sum(map(Fraction, rule.weights)) <= 1
    assert set(FIXED_ORDERS) <= set(rule.orders)
    assert order is None or rule.weights[rule.orders.index(order)] == pytest.approx(0.8)
    with mpmath.workdps(40):
        for a, weight, cap in zip(rule.orders, rule.weights, rule.caps, strict=True):
            x, share = mpmath.mpf(a), mpmath.mpf(weight) * mpmath.mpf(delta)
            exact = mpmath.mpf(epsilon) - mpmath.log(1 - 1 / x) + mpmath.log(share * x) / (x - 1)
            assert cap <= exact
            assert cap == pytest.approx(float(exact), rel=1e-9, abs=1e-9)


@unhurried
@given(st.lists(st.tuples(st.floats(0, 10), st.floats(0, 1)), min_size=1, max_size=20), st.data())
def test_sums_never_fall_below_the_exact_total(charges: list[tuple[float, float]], data: st.DataObject) -> None:
    """Whatever is charged, refunded in part or voided, in any order."""
    stored, exact = (0.0,), Fraction(0)
    standing = []
    for cost, share in charges:
        stored, exact = add(stored, (cost,)), exact + Fraction(cost)
        standing.append(cost)
        if data.draw(st.booleans()):
            old = standing.pop(data.draw(st.integers(0, len(standing) - 1)))
            new = old * share
            stored, exact = replace(stored, (old,), (new,)), exact - Fraction(old) + Fraction(new)
        assert Fraction(stored[0]) >= exact
        assert stored[0] == pytest.approx(float(exact), abs=1e-12)


def test_an_infinite_charge_closes_its_order_for_good_and_no_other() -> None:
    sums = add((1.0, 1.0), (math.inf, 0.5))
    assert replace(sums, (math.inf, 0.5), (0.0, 0.0))[0] == math.inf
    assert replace(sums, (math.inf, 0.5), (0.0, 0.0))[1] == pytest.approx(1.0)


def test_a_charge_is_never_replaced_by_a_larger_one() -> None:
    with pytest.raises(LedgerError, match="smaller"):
        replace((1.0,), (0.5,), (0.6,))


@pytest.mark.parametrize("bad", [math.nan, -1e-9, -math.inf, "1", None, True])
def test_what_is_no_cost_denies(bad: float) -> None:
    for question in (
        lambda: RULE.admits((bad, *zeros(RULE.orders)[1:])),
        lambda: RULE.spent((bad, *zeros(RULE.orders)[1:])),
        lambda: add((1.0,), (bad,)),
        lambda: add((bad,), (1.0,)),
        lambda: replace((1.0,), (1.0,), (bad,)),
    ):
        with pytest.raises(LedgerBroken):
            question()


@pytest.mark.parametrize(
    "change",
    [
        {"caps": tuple(cap + 1e-6 for cap in RULE.caps)},
        {"weights": tuple(weight * 1.001 for weight in RULE.weights)},
        {"weights": (math.nan, *RULE.weights[1:])},
        {"orders": (1.0, *RULE.orders[1:])},
        {"orders": RULE.orders[::-1]},
        {"caps": RULE.caps[1:]},
        {"caps": (math.inf, *RULE.caps[1:])},
    ],
)
def test_a_stored_rule_that_could_not_have_been_built_is_refused(change: dict[str, tuple[float, ...]]) -> None:
    fields = {name: getattr(RULE, name) for name in ("epsilon", "delta", "orders", "weights", "caps")}
    with pytest.raises(LedgerBroken):
        RenyiFilter(**(fields | change))
