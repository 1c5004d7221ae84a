"""Costs of events: against dp_accounting, against exact arithmetic, and against what must never happen."""

from __future__ import annotations

import doctest
import itertools
import math
from collections.abc import Callable

import mpmath
import pytest
from scipy.stats import norm

from ledger import (
    Composed,
    DiscreteLaplace,
    Event,
    Gaussian,
    InvalidEvent,
    Laplace,
    LedgerError,
    PoissonSampledGaussian,
    accounting,
    divergences,
    events,
)
from ledger.accounting import (
    CANDIDATE_ORDERS,
    calibrate,
    epsilon,
    planned_order,
    pld_epsilon,
    privacy_curve,
    renyi_vector,
)
from ledger.renyi_filter import FIXED_ORDERS, RenyiFilter, add, zeros

DELTA = 1e-6
FIVE = [PoissonSampledGaussian(0.01, sigma, 2000) for sigma in (2.061, 1.513, 1.2464, 1.0924, 0.993)]
ORDERS = (*FIXED_ORDERS, 5.6)


def exact_sampled_gaussian(rate: float, sigma: float, order: float) -> mpmath.mpf:
    """One step's Renyi divergence by quadrature of E[((1 - q) + q e^((2x - 1) / 2 sigma^2))^a], x ~ N(0, sigma^2)."""
    with mpmath.workdps(20):
        q, s, a = mpmath.mpf(rate), mpmath.mpf(sigma), mpmath.mpf(order)

        def integrand(x: mpmath.mpf) -> mpmath.mpf:
            ratio = (1 - q) + q * mpmath.exp((2 * x - 1) / (2 * s**2))
            return mpmath.npdf(x, 0, s) * ratio**a

        points = [-40 * s, -5 * s, 0, 1, a / 2, a, a + 10 * s, a + 40 * s]
        return mpmath.log(mpmath.quad(integrand, sorted(map(mpmath.mpf, points)))) / (a - 1)


@pytest.mark.parametrize("event", [*FIVE, Gaussian(1.3), Laplace(3.0, 1.5)], ids=repr)
def test_vectors_are_those_of_dp_accounting_rounded_up(event: Event) -> None:
    from dp_accounting.rdp import RdpAccountant

    theirs = RdpAccountant(orders=list(ORDERS)).compose(accounting.to_dp_event(event)).rdp
    for ours, value in zip(renyi_vector(event, ORDERS), theirs, strict=True):
        assert value < ours <= value * (1 + 1e-8) + 1e-7


@pytest.mark.slow
@pytest.mark.parametrize("order", [1.5, 2.0, 2.7, 5.6, 16.0, 64.0])
@pytest.mark.parametrize(("rate", "sigma"), [(0.01, 1.0), (0.2, 2.0), (1e-4, 0.7), (0.5, 10.0)])
def test_sampled_gaussian_is_an_upper_bound_on_the_exact_divergence(rate: float, sigma: float, order: float) -> None:
    ours = renyi_vector(PoissonSampledGaussian(rate, sigma, 1), (order,))[0]
    assert exact_sampled_gaussian(rate, sigma, order) < ours
    above = exact_sampled_gaussian(rate, sigma, math.ceil(order))  # the exact cost itself at whole orders
    assert ours <= above * (1 + 1e-6) + 2e-11


def test_where_the_series_does_not_converge_the_bound_still_holds() -> None:
    """dp_accounting answers infinity here; convexity between whole orders gives a finite bound."""
    ours = renyi_vector(PoissonSampledGaussian(0.16, 1.0, 1), (1.5,))[0]
    exact = exact_sampled_gaussian(0.16, 1.0, 1.5)
    assert exact < ours < 2 * exact < math.inf


@pytest.mark.parametrize("scale", [0.05, 0.5, 3.0, 12.0])
@pytest.mark.parametrize("sensitivity", [1, 2, 7])
def test_discrete_laplace_bounds_the_exact_divergence(scale: float, sensitivity: int) -> None:
    """Against sums over the integers, for every way to spread the sensitivity over one or over many counts."""

    def exact(shift: int, order: float) -> mpmath.mpf:
        decay = mpmath.exp(-1 / mpmath.mpf(scale))
        reach = int(90 * scale) + 3 * shift + 10
        mass = (1 - decay) / (1 + decay)
        total = sum(
            mass * decay ** (order * abs(k - shift) - (order - 1) * abs(k)) for k in range(-reach, shift + reach)
        )
        return mpmath.log(total) / (order - 1)

    with mpmath.workdps(20):
        for order in (2.0, 5.6):
            ours = renyi_vector(DiscreteLaplace(scale, sensitivity), (order,))[0]
            one_count, many_counts = exact(sensitivity, order), sensitivity * exact(1, order)
            assert max(one_count, many_counts) < ours
            if sensitivity == 1:
                assert ours < one_count * (1 + 1e-6) + 1e-10


@pytest.mark.parametrize("loss", [1e-3, 0.1, 1.0, 59.0 / 64, 61.0 / 64, 30.0, 900.0])
def test_randomized_response_is_accurate_in_every_regime(loss: float) -> None:
    with mpmath.workdps(50):
        for order in (1.5, 2.0, 5.6, 64.0, 1024.0):
            a, e = mpmath.mpf(order), mpmath.mpf(loss)
            exact = mpmath.log(mpmath.cosh((a - 0.5) * e) / mpmath.cosh(e / 2)) / (a - 1)
            assert abs(divergences.randomized_response(loss, order) - exact) <= 1e-13 * (1 + exact)


def test_composition_adds_and_never_rounds_down() -> None:
    parts = (Gaussian(1.0), Laplace(2.0, 1.0), Gaussian(1.0))
    whole = renyi_vector(Composed(parts), ORDERS)
    total = zeros(ORDERS)
    for part in parts:
        total = add(total, renyi_vector(part, ORDERS))
    for together, apart in zip(whole, total, strict=True):
        assert apart <= together <= apart * (1 + 1e-8)


def test_the_five_releases_of_the_design() -> None:
    """Five DP-SGD runs whose sizes are known: the filter is 1 % above the best order, the basic sum twice as much."""
    order = planned_order(FIVE, DELTA)
    rule = RenyiFilter.planned(5.37, DELTA, order)
    sums = zeros(rule.orders)
    for event in FIVE:
        sums = add(sums, renyi_vector(event, rule.orders))
    assert order == pytest.approx(5.6)
    assert rule.spent(sums) == pytest.approx(5.364, abs=0.01)
    assert rule.admits(sums)
    assert not RenyiFilter.planned(5.35, DELTA, order).admits(sums)
    assert sum(pld_epsilon([event], DELTA) for event in FIVE) == pytest.approx(10.0, abs=0.05)


def test_pld_is_reported_below_the_filter() -> None:
    assert pld_epsilon(FIVE, DELTA) == pytest.approx(4.945, abs=0.02)
    assert pld_epsilon([], DELTA) == 0.0


def test_releases_whose_epsilons_sum_to_the_cap_are_admitted_together() -> None:
    """What makes `share` in a contract mean something, for mechanisms of very different shape."""
    cap = 8.0
    for shares in ((0.05, 0.95), (0.5, 0.5), (0.3, 0.3, 0.4), (1.0,)):
        makers: list[Callable[[float], Event]] = [
            lambda x: DiscreteLaplace(x, 4),
            lambda x: PoissonSampledGaussian(0.05, x, 500),
            Gaussian,
        ]
        plan = [make(calibrate(make, share * cap, DELTA)) for make, share in zip(makers, shares, strict=False)]
        rule = RenyiFilter.planned(cap, DELTA, planned_order(plan, DELTA))
        sums = zeros(rule.orders)
        for event in plan:
            sums = add(sums, renyi_vector(event, rule.orders))
            assert rule.admits(sums)


@pytest.mark.parametrize(
    "make",
    [
        Gaussian,
        lambda x: Laplace(x, 1.0),
        lambda x: DiscreteLaplace(x, 8),
        lambda x: PoissonSampledGaussian(0.02, x, 300),
    ],
)
@pytest.mark.parametrize("target", [0.25, 3.0])
def test_calibration_is_the_least_noise_and_never_too_little(make: Callable[[float], Event], target: float) -> None:
    sigma = calibrate(make, target, DELTA)
    assert epsilon(make(sigma), DELTA) <= target
    assert epsilon(make(sigma * 0.9998), DELTA) > target
    assert sigma == float(f"{sigma:.5g}")


def test_calibration_says_when_no_noise_will_do() -> None:
    with pytest.raises(LedgerError, match=r"no noise up to 1e\+09 reaches epsilon 0\.001"):
        calibrate(Gaussian, 1e-3, DELTA)


def test_calibration_finds_its_way_from_outside_the_range_of_noise() -> None:
    scale = calibrate(lambda x: DiscreteLaplace(x, 10_000), 1.0, DELTA)  # a scale of 1 would be refused as an event
    assert epsilon(DiscreteLaplace(scale, 10_000), DELTA) <= 1.0


def test_epsilon_never_falls_below_what_the_definition_allows() -> None:
    """A Gaussian's true delta at the claimed epsilon, in closed form, is at most the delta claimed."""
    for sigma in (0.5, 1.0, 5.0, 50.0):
        claimed = epsilon(Gaussian(sigma), DELTA)
        with mpmath.workdps(30):
            s, e = mpmath.mpf(sigma), mpmath.mpf(claimed)
            delta = mpmath.ncdf(1 / (2 * s) - e * s) - mpmath.exp(e) * mpmath.ncdf(-1 / (2 * s) - e * s)
        assert delta <= DELTA


@pytest.mark.parametrize("value", [math.nan, -math.inf, -1e-3])
def test_costs_that_are_no_costs_are_refused_before_they_compose(value: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounting, "_composed_by_google", lambda event, orders: (1.0, value))
    with pytest.raises(InvalidEvent, match="not a number >= 0"):
        accounting._round_vector((1.0, value), Gaussian(1.0))
    with pytest.raises(InvalidEvent):
        renyi_vector(Gaussian(1.234567), (2.0, 3.0))


def test_a_smuggled_nan_denies() -> None:
    """Composing GaussianDpEvent(nan) lowers dp_accounting's epsilon to 0; here it cannot get that far."""
    event = Gaussian(1.0)
    object.__setattr__(event, "noise_multiplier", math.nan)
    with pytest.raises(InvalidEvent):
        renyi_vector(event, ORDERS)
    with pytest.raises(InvalidEvent):
        renyi_vector(Composed((Gaussian(2.0), event)), ORDERS)


@pytest.mark.parametrize("delta", [0.0, 1.0, -1e-6, math.nan, math.inf, True, "1e-6"])
def test_delta_is_checked(delta: float) -> None:
    with pytest.raises(LedgerError, match="delta"):
        epsilon(Gaussian(1.0), delta)


def test_candidate_orders_are_sorted_and_above_one() -> None:
    assert list(CANDIDATE_ORDERS) == sorted(set(CANDIDATE_ORDERS))
    assert min(CANDIDATE_ORDERS) > 1


def test_the_examples_in_the_docstrings_are_true() -> None:
    for module in (accounting, events):
        results = doctest.testmod(module)
        assert (results.failed, results.attempted) == (0, 1)


def test_the_privacy_curve_falls_and_meets_the_epsilon_of_the_same_distribution() -> None:
    event = PoissonSampledGaussian(0.1, 1.0, 20)
    curve = privacy_curve([event, event], (0.0, 1.0, 2.0, 4.0))
    assert curve is not None
    assert all(0 < later < earlier <= 1 for earlier, later in itertools.pairwise(curve))
    found = pld_epsilon([event, event], curve[2])
    assert found == pytest.approx(2.0, abs=2e-3)


def test_the_privacy_curve_of_a_gaussian_is_the_known_one_and_never_below() -> None:
    """Balle and Wang 2018, theorem 8."""
    epsilons = (0.0, 0.5, 1.0, 3.0)
    curve = privacy_curve([Gaussian(1.5)], epsilons)
    assert curve is not None
    for epsilon_, delta in zip(epsilons, curve, strict=True):
        exact = norm.cdf(0.5 / 1.5 - epsilon_ * 1.5) - math.exp(epsilon_) * norm.cdf(-0.5 / 1.5 - epsilon_ * 1.5)
        assert exact <= delta <= exact * 1.01 + 1e-9


def test_what_has_no_distribution_has_no_curve() -> None:
    assert privacy_curve([], (0.0, 1.0)) is None
    assert privacy_curve([Gaussian(0.01)], (0.0, 1.0)) is None
