"""Records sampled one by one, and tuning: costs against integrals in high precision, in both directions."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import mpmath
import pytest

from ledger import (
    Composed,
    Event,
    Gaussian,
    InvalidEvent,
    Laplace,
    MixtureOfGaussians,
    PoissonSampledGaussian,
    RepeatAndSelect,
    SelfComposed,
    accounting,
)
from ledger.accounting import CANDIDATE_ORDERS, epsilon, pld_epsilon, renyi_vector
from ledger.divergences import CELLS, MAX_MIXTURE_ORDER, between_whole_orders, binomial_mixture
from ledger.renyi_filter import FIXED_ORDERS

DELTA = 1e-6
TUNED = PoissonSampledGaussian(0.01, 1.2533, 2000)


def exact_mixture(rate: float, records: int, sigma: float, order: float) -> tuple[mpmath.mpf, mpmath.mpf]:
    """The Renyi divergences of a step, of adding a unit and of removing one, by quadrature."""
    with mpmath.workdps(25):
        q, s, a = mpmath.mpf(rate), mpmath.mpf(sigma), mpmath.mpf(order)
        shares = [mpmath.binomial(records, i) * q**i * (1 - q) ** (records - i) for i in range(records + 1)]

        def ratio(x: mpmath.mpf) -> mpmath.mpf:
            return sum(share * mpmath.exp((2 * i * x - i * i) / (2 * s**2)) for i, share in enumerate(shares))

        reach = records * a + 14 * s
        points = sorted({-14 * s, mpmath.mpf(0), mpmath.mpf(records), records * a / 2, records * a, reach})
        adding = mpmath.quad(lambda x: mpmath.npdf(x, 0, s) * ratio(x) ** a, points)
        removing = mpmath.quad(lambda x: mpmath.npdf(x, 0, s) * ratio(x) ** (1 - a), points)
        return mpmath.log(adding) / (a - 1), mpmath.log(removing) / (a - 1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rate", "records", "sigma"),
    [
        (0.01, 1, 1.0),
        (0.01, 2, 1.0),
        (0.01, 8, 1.0),
        (0.05, 4, 3.0),
        (0.3, 3, 2.0),
        (0.9, 2, 1.5),
        (1e-4, 5, 0.6),
        (0.99, 3, 3.0),
        (0.5, 1, 10.0),
    ],
)
@pytest.mark.parametrize("order", [2, 6, 16])
def test_mixtures_are_bounded_in_both_directions(rate: float, records: int, sigma: float, order: int) -> None:
    adding, removing = exact_mixture(rate, records, sigma, order)
    ours = renyi_vector(MixtureOfGaussians(rate, records, sigma, 1), (float(order),))[0]
    assert max(adding, removing) < ours
    assert ours <= max(adding, removing + coarseness(rate, records, order)) * (1 + 1e-6) + 1e-10


def coarseness(rate: float, records: int, order: float) -> float:
    """By how much a sum over cells may exceed the integral for removing a unit: one cell of its largest value."""
    return float((1 - rate) ** (records * (1 - order)) / CELLS / (order - 1))


@pytest.mark.parametrize("order", [1.5, 2.5, 5.6, 9.7])
@pytest.mark.parametrize(("rate", "records", "sigma"), [(0.01, 4, 1.0), (0.3, 3, 2.0)])
def test_mixtures_between_whole_orders_are_bounds_too(rate: float, records: int, sigma: float, order: float) -> None:
    ours = renyi_vector(MixtureOfGaussians(rate, records, sigma, 1), (order,))[0]
    assert max(exact_mixture(rate, records, sigma, order)) < ours
    at_next = renyi_vector(MixtureOfGaussians(rate, records, sigma, 1), (float(math.ceil(order)),))[0]
    assert ours <= at_next * (1 + 1e-9)


@pytest.mark.parametrize(("rate", "sigma"), [(0.01, 1.0), (0.2, 2.0), (1e-4, 0.7), (0.5, 10.0)])
def test_one_record_a_unit_is_the_sampled_gaussian(rate: float, sigma: float) -> None:
    orders = (*FIXED_ORDERS, 5.6)
    mixture = renyi_vector(MixtureOfGaussians(rate, 1, sigma, 300), orders)
    sampled = renyi_vector(PoissonSampledGaussian(rate, sigma, 300), orders)
    for order, ours, theirs in zip(orders, mixture, sampled, strict=True):
        if order.is_integer():
            assert ours <= (theirs + 300 * coarseness(rate, 1, order)) * (1 + 1e-6)
            if rate in (0.01, 0.2) and order >= 4:  # where adding a unit is the dearer direction by far
                assert ours == pytest.approx(theirs, rel=1e-6, abs=1e-7)
        assert ours >= theirs * (1 - 1e-9)


@pytest.mark.parametrize("records", [1, 2, 7, 64])
def test_where_every_record_joins_it_is_plain_gaussian_noise(records: int) -> None:
    ours = renyi_vector(MixtureOfGaussians(1.0, records, 50.0, 10), FIXED_ORDERS)
    for order, cost in zip(FIXED_ORDERS, ours, strict=True):
        assert 10 * order * records**2 / (2 * 50.0**2) < cost < 10 * order * records**2 / (2 * 50.0**2) * (1 + 1e-6)


def test_more_records_more_steps_and_more_chance_cost_more() -> None:
    def cost(rate: float = 0.05, records: int = 3, sigma: float = 2.0, steps: int = 10) -> tuple[float, ...]:
        return renyi_vector(MixtureOfGaussians(rate, records, sigma, steps), FIXED_ORDERS)

    for dearer in (cost(rate=0.06), cost(records=4), cost(sigma=1.9), cost(steps=11)):
        assert all(less < more for less, more in zip(cost(), dearer, strict=True))


@pytest.mark.parametrize(
    "event",
    [
        MixtureOfGaussians(1e-9, 64, 0.001, 10**9),
        MixtureOfGaussians(1e-9, 64, 1e9, 1),
        MixtureOfGaussians(1.0, 64, 0.001, 10**9),
        MixtureOfGaussians(0.5, 64, 0.001, 1),
        MixtureOfGaussians(1 - 1e-12, 64, 1e9, 10**9),
    ],
    ids=repr,
)
def test_the_ends_of_the_range_have_a_cost(event: Event) -> None:
    vector = renyi_vector(event, (*FIXED_ORDERS, 5.6, 80.0))
    assert all(cost > 0 for cost in vector)
    assert not any(map(math.isnan, vector))
    assert vector[-1] == math.inf  # beyond the orders that are computed nothing is promised
    assert epsilon(event, DELTA) >= 0


def test_orders_beyond_those_computed_admit_nothing() -> None:
    whole = binomial_mixture(0.01, 2, 1.0)
    assert set(whole) == set(range(2, MAX_MIXTURE_ORDER + 1))
    assert between_whole_orders(whole, 64.0) == whole[64]
    assert renyi_vector(MixtureOfGaussians(0.01, 2, 1.0, 1), (64.0, 64.5, 96.0))[1:] == (math.inf, math.inf)


@pytest.mark.slow
@pytest.mark.parametrize(("records", "figure"), [(1, 2.13), (2, 4.56), (4, 10.0), (8, 23.1)])
def test_what_users_with_several_records_face(records: int, figure: float) -> None:
    event = MixtureOfGaussians(0.01, records, 1.0, 1000)
    reported = pld_epsilon([event], DELTA)
    assert reported == pytest.approx(figure, abs=0.05)
    assert reported is not None
    assert reported < epsilon(event, DELTA)


# Tuning ---------------------------------------------------------------------------------------------------------------


def exact_gamma(shape: float, mean: float) -> mpmath.mpf:
    def mean_of(gamma: mpmath.mpf) -> mpmath.mpf:
        if shape == 0:
            return (1 / gamma - 1) / mpmath.log(1 / gamma)
        return shape * (1 - gamma) / (gamma * (1 - gamma**shape))

    low, high = mpmath.mpf(10) ** -30, 1 - mpmath.mpf(10) ** -30
    for _ in range(200):
        middle = mpmath.sqrt(low * high)
        low, high = (middle, high) if mean_of(middle) > mean else (low, middle)
    return low


def theorem(cost: Callable[[float], mpmath.mpf], order: float, mean: float, shape: float) -> mpmath.mpf:
    """Papernot and Steinke, Theorem 2, at the best of the orders that are tried."""
    log_gamma = mpmath.log(exact_gamma(shape, mean))
    rest = min((1 - 1 / mpmath.mpf(b)) * cost(b) - log_gamma / mpmath.mpf(b) for b in CANDIDATE_ORDERS)
    return min(
        cost(a) + (1 + shape) * rest + mpmath.log(mean) / (mpmath.mpf(a) - 1)
        for a in {order, *CANDIDATE_ORDERS}
        if a >= order
    )


@pytest.mark.parametrize("shape", [0.0, 0.5, 1.0, 3.0])
@pytest.mark.parametrize("mean", [1.01, 10.0, 1e4])
def test_tuning_costs_what_the_theorem_says(mean: float, shape: float) -> None:
    sigma = 4.0
    with mpmath.workdps(40):
        for order in (2.0, 5.6, 32.0):
            due = theorem(lambda a: mpmath.mpf(a) / (2 * mpmath.mpf(sigma) ** 2), order, mean, shape)
            ours = renyi_vector(RepeatAndSelect(Gaussian(sigma), mean, shape), (order,))[0]
            assert due < ours <= due * (1 + 1e-6) + 1e-9


@pytest.mark.parametrize("shape", [0.0, 1.0, 2.0])
@pytest.mark.parametrize("trial", [Gaussian(2.0), Laplace(5.0, 1.0), TUNED], ids=repr)
def test_tuning_agrees_with_dp_accounting(trial: Event, shape: float) -> None:
    from dp_accounting.rdp import RdpAccountant

    event = RepeatAndSelect(trial, 10.0, shape)
    orders = [order for order in CANDIDATE_ORDERS if order.is_integer() and order <= 64]
    theirs = RdpAccountant(orders).compose(accounting.to_dp_event(event)).rdp
    for ours, value in zip(renyi_vector(event, orders), theirs, strict=True):
        assert ours <= value * (1 + 1e-6) + 1e-6  # more orders are tried here, so never dearer


def best_of(shape: float, mean: float) -> Callable[[mpmath.mpf], mpmath.mpf]:
    """The derivative of the number of runs' generating function: times a run's density, the density of the best."""
    gamma = exact_gamma(shape, mean)

    def slope(x: mpmath.mpf) -> mpmath.mpf:
        base = 1 - (1 - gamma) * x
        if shape == 0:
            return (1 - gamma) / (base * mpmath.log(1 / gamma))
        return shape * (1 - gamma) * base ** (-shape - 1) / (gamma**-shape - 1)

    return slope


@pytest.mark.slow
@pytest.mark.parametrize(("mean", "shape"), [(2.0, 1.0), (10.0, 1.0), (10.0, 0.0), (5.0, 2.0)])
def test_the_best_of_noisy_answers_truly_costs_less(mean: float, shape: float) -> None:
    """One number with Gaussian noise, run a hidden number of times, the largest shown: its divergence by quadrature."""
    sigma = 2.0
    with mpmath.workdps(20):
        slope = best_of(shape, mean)

        def density(x: mpmath.mpf, at: int) -> mpmath.mpf:
            return slope(mpmath.ncdf(x, at, sigma)) * mpmath.npdf(x, at, sigma)

        points = [-20, -5, 0, 5, 12, 25]
        assert abs(mpmath.quad(lambda x: density(x, 0), points) - 1) < 1e-10
        for order in (2.0, 6.0):
            ours = renyi_vector(RepeatAndSelect(Gaussian(sigma), mean, shape), (order,))[0]
            for here, there in ((1, 0), (0, 1)):
                moment = mpmath.quad(
                    lambda x, here=here, there=there, order=order: (
                        density(x, here) ** order * density(x, there) ** (1 - order)
                    ),
                    points,
                )
                assert mpmath.log(moment) / (order - 1) < ours


def test_a_sweep_costs_more_than_one_run_and_less_than_all() -> None:
    one, best, all_of_them = (
        epsilon(event, DELTA) for event in (TUNED, RepeatAndSelect(TUNED, 10.0, 1.0), SelfComposed(TUNED, 10))
    )
    assert one == pytest.approx(2.17, abs=0.01)
    assert best == pytest.approx(4.07, abs=0.05)
    assert all_of_them == pytest.approx(7.45, abs=0.05)
    assert epsilon(RepeatAndSelect(TUNED, 100.0, 1.0), DELTA) > best


@pytest.mark.parametrize("mean", [1.0, 0.5, 0.0, -3.0, math.nan, math.inf, True, "10", None, 1e10])
def test_a_mean_number_of_runs_is_above_one(mean: Any) -> None:
    with pytest.raises(InvalidEvent, match="mean"):
        RepeatAndSelect(Gaussian(1.0), mean, 1.0)


@pytest.mark.parametrize("shape", [-1e-9, -0.5, math.nan, math.inf, False, "1", None, 1e4])
def test_shapes_are_not_negative(shape: Any) -> None:
    with pytest.raises(InvalidEvent, match="shape"):
        RepeatAndSelect(Gaussian(1.0), 10.0, shape)


@pytest.mark.parametrize("records", [0, -1, 65, 1.0, True, "2", None, math.nan])
def test_records_are_a_small_whole_number(records: Any) -> None:
    with pytest.raises(InvalidEvent, match="records"):
        MixtureOfGaussians(0.01, records, 1.0, 10)


def test_tuning_has_no_privacy_loss_distribution_here_and_says_so() -> None:
    sweep = RepeatAndSelect(Gaussian(4.0), 10.0, 1.0)
    for events in ([sweep], [Gaussian(4.0), sweep], [Composed((Gaussian(4.0), SelfComposed(sweep, 2)))]):
        assert pld_epsilon(events, DELTA) is None
    assert pld_epsilon([Gaussian(4.0)], DELTA) is not None


def test_next_to_no_noise_is_not_given_a_distribution(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its grid would need more memory than there is, and an audit would die of one careless external charge."""
    from dp_accounting.pld import PLDAccountant

    def never(self: Any, event: Any, count: int = 1) -> None:
        raise AssertionError("a distribution of some 1e10 points was asked for")

    monkeypatch.setattr(PLDAccountant, "compose", never)
    hopeless: Sequence[Event] = (Gaussian(1e-3), Laplace(1e-3, 1.0), MixtureOfGaussians(1.0, 64, 1e-3, 10))
    for event in hopeless:
        assert pld_epsilon([event], DELTA) in (None, math.inf)
