"""What an event costs: its Renyi DP vector, and the epsilons that are derived from vectors.

Sampled Gaussian, Gaussian and Laplace vectors come from Google's dp_accounting under ADD_OR_REMOVE_ONE (the only
relation supported: under REPLACE_ONE its accountants disagree with each other). Discrete Laplace uses the bound
below; mixtures and tuning use those in `divergences`. Every value is checked to be a number >= 0 and rounded up before
it may be composed. dp_accounting is imported inside functions: importing the ledger costs nothing.

Vector-valued Laplace: if coordinate i moves by s_i with sum s, the cost is the sum of f(s_i), where f is the cost in
one dimension. f is convex with f(0) = 0 (a log-sum-exp of linear functions), hence at most f(s): one coordinate is
worst.

Discrete Laplace: with l1 sensitivity s the mechanism is (s / scale, 0)-DP, and any (e, 0)-DP mechanism is a
post-processing of randomized response with e [Kairouz, Oh and Viswanath, arXiv 1311.0776, Theorem 2], so its cost is
at most randomized response's, rho(a) = log(cosh((a - 1/2) e) / cosh(e / 2)) / (a - 1). For s = 1 this is exact: the
privacy loss then only ever is +e or -e.
"""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from ledger.divergences import (
    MAX_MIXTURE_ORDER,
    between_whole_orders,
    binomial_mixture,
    randomized_response,
    repeat_and_select,
)
from ledger.errors import InvalidEvent, LedgerError
from ledger.events import (
    NOISE_RANGE,
    Composed,
    DiscreteLaplace,
    Event,
    Gaussian,
    Laplace,
    MixtureOfGaussians,
    PoissonSampledGaussian,
    RepeatAndSelect,
    SelfComposed,
    check_known,
    parts_of,
)
from ledger.renyi_filter import PLANNED_WEIGHT, Vector, add, checked_budget, conversion, zeros

# Where a planned order may lie, and where a release's own epsilon is taken. Below 1.5 fractional series lose digits.
CANDIDATE_ORDERS: Vector = (
    *(tenths / 10 for tenths in range(15, 110)),
    *(float(order) for order in range(11, 65)),
    *(80.0, 96.0, 128.0, 192.0, 256.0, 512.0, 1024.0),
)
# Added per step and relative to the value: well above the rounding of dp_accounting's log-space sums (at most some
# 1e-12 of a log-moment), well below anything that matters (1e-5 in epsilon for a million steps).
STEP_MARGIN = 1e-11
RELATIVE_MARGIN = 1e-9
# A distribution has a point for each interval of its loss: above this it would take more memory than there is.
MAX_PLD_EPSILON = 200.0
_ANY_DELTA = 1e-6  # to see by whether a distribution is too wide; hardly anything depends on it


def renyi_vector(event: Event, orders: Sequence[float]) -> Vector:
    """The event's Renyi cost at each order, rounded up. Possibly infinite at some orders, never NaN."""
    return _vector(check_known(event), tuple(orders))


def epsilon(event: Event, delta: float) -> float:
    """The epsilon of one release alone, in the currency that is enforced: the weighted-order filter planned for it.

    Releases calibrated this way add up: a scope that plans releases whose epsilons sum to at most its cap admits them
    all. (At the smallest of their best orders each costs no more than at its own, and one conversion term is paid
    instead of several.)
    """
    _, delta = checked_budget(1.0, delta)
    return _best((event,), delta)[0]


def planned_order(events: Iterable[Event], delta: float) -> float | None:
    """The order at which the planned releases together cost least; None where nothing is planned."""
    events = tuple(events)
    _, delta = checked_budget(1.0, delta)
    return _best(events, delta)[1] if events else None


def calibrate(make_event: Callable[[float], Event], epsilon: float, delta: float) -> float:
    """The smallest noise for which `make_event(noise)` costs at most `epsilon`, rounded up to five digits.

        >>> calibrate(lambda sigma: PoissonSampledGaussian(0.01, sigma, 2000), epsilon=3.0, delta=1e-6)
        1.045

    `make_event` must cost less with more noise. What is returned was itself checked to cost at most `epsilon`.
    """
    target, delta = checked_budget(epsilon, delta)

    def excess(noise: float) -> float:
        """How far above the target, in logarithms. Noise outside the event's range counts as infinitely costly."""
        try:
            cost = _best((make_event(noise),), delta)[0]
        except InvalidEvent:
            return math.inf
        return math.log(cost / target) if cost > 0 else -math.inf

    low = high = 1.0
    above = below = excess(1.0)
    while below > 0 and high < NOISE_RANGE[1]:
        low, above, high = high, below, min(high * 2, NOISE_RANGE[1])
        below = excess(high)
    while above <= 0 and low > NOISE_RANGE[0]:
        high, below, low = low, above, max(low / 2, NOISE_RANGE[0])
        above = excess(low)
    if below > 0:
        raise LedgerError(
            f"no noise up to {NOISE_RANGE[1]:g} reaches epsilon {target:g} at delta {delta:g}; give the release a "
            "larger epsilon, fewer steps or a smaller sampling rate"
        )
    if above > 0:
        high = _least(excess, low, high, above, below)
    for digits in (5, 6, 8, 12):
        rounded = _round_up(high, digits)
        if excess(rounded) <= 0:
            return rounded
    raise LedgerError(f"the release's cost does not fall with its noise near {high:g}; nothing was calibrated")


def _least(excess: Callable[[float], float], low: float, high: float, above: float, below: float) -> float:
    """The upper end of a bracket, 2e-6 wide, around where `excess` turns from positive to not. Illinois' false position
    in logarithms, where an epsilon is nearly a straight line: a third of the evaluations of bisection."""
    edge, side = 5e-7, 0
    while high / low > 1 + 2e-6:
        share = above / (above - below) if math.isfinite(above - below) else 0.5
        guess = min(max(low * (high / low) ** share, low * (1 + edge)), high / (1 + edge))
        value = excess(guess)
        if value > 0:
            low, above = guess, value
            below, side = (below / 2 if side == 1 else below), 1
        else:
            high, below = guess, value
            above, side = (above / 2 if side == -1 else above), -1
    return high


def pld_epsilon(events: Iterable[Event], delta: float, *, interval: float = 1e-3) -> float | None:
    """Epsilon of the whole by privacy loss distributions, rounded up to a grid of `interval`.

    It holds for a plan fixed in advance. As a limit on adaptively chosen releases it is unsound (arXiv 2602.06756): a
    scope with a closed plan is admitted by it, everywhere else it is only reported. None where some event has no
    privacy loss distribution here: tuning by repeat-and-select, and next to no noise.
    """
    counted = Counter(events)
    if not all(map(has_pld, counted)):
        return None
    if not counted:
        return 0.0
    if not _best(tuple(counted.elements()), delta)[0] <= MAX_PLD_EPSILON:
        return None
    return _pld_epsilon(tuple(sorted(counted.items(), key=repr)), delta, interval)


def privacy_curve(events: Iterable[Event], epsilons: Sequence[float]) -> tuple[float, ...] | None:
    """delta of the whole at each epsilon, by privacy loss distributions: never less than the mechanism's own, under
    add/remove of one unit both ways. None where some event has no privacy loss distribution here, or one too wide."""
    counted = Counter(events)
    if not counted or not all(map(has_pld, counted)):
        return None
    if not _best(tuple(counted.elements()), _ANY_DELTA)[0] <= MAX_PLD_EPSILON:
        return None
    accountant = _pld_accountant(tuple(sorted(counted.items(), key=repr)), 1e-3)
    return tuple(min(1.0, max(0.0, float(accountant.get_delta(epsilon)))) for epsilon in epsilons)


def has_pld(event: Event) -> bool:
    return not isinstance(event, RepeatAndSelect) and all(map(has_pld, parts_of(event)))


@lru_cache(maxsize=4096)
def _vector(event: Event, orders: Vector) -> Vector:
    if isinstance(event, Composed):
        total = zeros(orders)
        for part, count in Counter(event.events).items():
            total = add(total, _round_vector((count * cost for cost in _vector(part, orders)), event))
        return total
    if isinstance(event, PoissonSampledGaussian):
        # Cached by step, so that another number of steps costs a multiplication.
        step = _sampled_gaussian(event.sampling_rate, event.noise_multiplier, orders)
        return _round_vector((event.steps * (cost + STEP_MARGIN) for cost in step), event)
    if isinstance(event, MixtureOfGaussians):
        whole = binomial_mixture(event.sampling_rate, event.records, event.noise_multiplier)
        costs = [between_whole_orders(whole, order) if order <= MAX_MIXTURE_ORDER else math.inf for order in orders]
        return _round_vector((event.steps * (cost + STEP_MARGIN) for cost in costs), event)
    if isinstance(event, RepeatAndSelect):
        trial = event.trial
        bound = repeat_and_select(
            lambda asked: _vector(trial, tuple(asked)), orders, CANDIDATE_ORDERS, event.mean, event.shape
        )
        return _round_vector((cost + STEP_MARGIN for cost in bound), event)
    if isinstance(event, SelfComposed):
        return _round_vector((event.times * cost for cost in _vector(event.part, orders)), event)
    if isinstance(event, DiscreteLaplace):
        loss = event.sensitivity / event.scale
        return _round_vector((randomized_response(loss, order) + STEP_MARGIN for order in orders), event)
    return _round_vector((cost + STEP_MARGIN for cost in _composed_by_google(event, orders)), event)


def _round_vector(values: Iterable[float], event: Event) -> Vector:
    vector = tuple(float(value) * (1 + RELATIVE_MARGIN) for value in values)
    if not all(value >= 0 for value in vector):  # also catches NaN, which compares false
        raise InvalidEvent(f"accounting gave a cost that is not a number >= 0 for {event.describe()}; refused")
    return vector


@lru_cache(maxsize=1024)
def _sampled_gaussian(rate: float, noise_multiplier: float, orders: Vector) -> Vector:
    """One step of DP-SGD.

    For a fractional order dp_accounting sums absolute values of an alternating series: an upper bound, loose at low
    orders, and infinite where the series does not converge. Since (a - 1) rho(a) is convex in a and 0 at a = 1, its
    interpolation between the whole orders around a is an upper bound too; the smaller of the two is taken.
    """
    fractional = [order for order in orders if not order.is_integer()]
    sides = {float(side) for order in fractional for side in (math.floor(order), math.ceil(order))} - {1.0}
    needed = tuple(sorted({*orders, *sides}))
    event = PoissonSampledGaussian(rate, noise_multiplier, 1)
    cost = dict(zip(needed, _composed_by_google(event, needed), strict=True))
    whole = {int(order): value for order, value in cost.items() if order.is_integer()}
    for order in fractional:
        cost[order] = min(cost[order], between_whole_orders(whole, order), key=_nan_first)
    return tuple(cost[order] for order in orders)


def _nan_first(value: float) -> float:
    """A sort key by which NaN comes out of a minimum, to be refused, instead of hiding behind a number."""
    return -math.inf if math.isnan(value) else value


def _composed_by_google(event: Event, orders: Vector) -> Vector:
    import numpy
    from dp_accounting.rdp import RdpAccountant

    accountant = RdpAccountant(orders=list(orders))
    try:
        with numpy.errstate(all="ignore"), _quiet_series():  # judged by the result, which is checked
            accountant.compose(to_dp_event(event))
    except (ArithmeticError, ValueError):
        raise InvalidEvent(f"accounting cannot evaluate {event.describe()}; use moderate parameters") from None
    return tuple(float(value) for value in accountant.rdp)


@contextmanager
def _quiet_series() -> Iterator[None]:
    """Drops dp_accounting's warning about a series without convergence: `_sampled_gaussian` deals with those orders."""

    def other(record: logging.LogRecord) -> bool:
        return "failed to converge" not in str(record.msg)

    logger = logging.getLogger("absl")
    logger.addFilter(other)
    try:
        yield
    finally:
        logger.removeFilter(other)


def to_dp_event(event: Event) -> Any:
    """The dp_accounting event of the same cost. Pure-DP vectors become the randomized response that dominates them."""
    import dp_accounting as google

    match check_known(event):
        case Gaussian(noise_multiplier=noise):
            return google.GaussianDpEvent(noise)
        case Laplace(scale=scale, sensitivity=sensitivity):
            return google.LaplaceDpEvent(scale / sensitivity)
        case DiscreteLaplace(scale=scale, sensitivity=sensitivity):
            return google.dp_event.DiscreteLaplaceDpEvent(noise_parameter=sensitivity / scale, sensitivity=1)
        case PoissonSampledGaussian(sampling_rate=rate, noise_multiplier=noise, steps=steps):
            step = google.PoissonSampledDpEvent(rate, google.GaussianDpEvent(noise))
            return google.SelfComposedDpEvent(step, steps)
        case MixtureOfGaussians(sampling_rate=rate, records=records, noise_multiplier=noise, steps=steps):
            shares = [math.comb(records, i) * rate**i * (1 - rate) ** (records - i) for i in range(records + 1)]
            step = google.dp_event.MixtureOfGaussiansDpEvent(noise, list(range(records + 1)), shares)
            return google.SelfComposedDpEvent(step, steps)
        case RepeatAndSelect(trial=trial, mean=mean, shape=shape):
            return google.dp_event.RepeatAndSelectDpEvent(to_dp_event(trial), mean, shape)
        case Composed(events=events):
            return google.ComposedDpEvent([to_dp_event(part) for part in events])
        case SelfComposed(part=part, times=times):
            return google.SelfComposedDpEvent(to_dp_event(part), times)
    raise AssertionError("check_known admits no other event")


def _best(events: tuple[Event, ...], delta: float) -> tuple[float, float]:
    """The least epsilon over the candidate orders, each as the planned order of a filter, and where it lies."""
    total = zeros(CANDIDATE_ORDERS)
    for event in events:
        total = add(total, renyi_vector(event, CANDIDATE_ORDERS))
    weighted = PLANNED_WEIGHT * (1 - 1e-12) * delta
    best, order = min(
        (math.nextafter(cost + conversion(order, weighted), math.inf), order)
        for cost, order in zip(total, CANDIDATE_ORDERS, strict=True)
    )
    return max(0.0, best), order


def _round_up(value: float, digits: int) -> float:
    unit = 10.0 ** (math.floor(math.log10(value)) - digits + 1)
    return float(f"{math.ceil(value / unit) * unit:.{digits}g}")


@lru_cache(maxsize=256)
def _pld_epsilon(counted: tuple[tuple[Event, int], ...], delta: float, interval: float) -> float:
    return float(_pld_accountant(counted, interval).get_epsilon(delta))


def _pld_accountant(counted: tuple[tuple[Event, int], ...], interval: float) -> Any:
    import numpy
    from dp_accounting.pld import PLDAccountant

    accountant = PLDAccountant(value_discretization_interval=interval)
    with numpy.errstate(all="ignore"):
        for event, count in counted:
            accountant.compose(to_dp_event(event), count)
    return accountant
