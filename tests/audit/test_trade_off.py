"""A curve is refuted when it should be and not before: against the exact optimum of the theorem's constraints, against
mechanisms that are as bad as their curve allows, and against simulated sums.

Simulations have a fixed seed: they are of mechanisms written here, whose curve is known.
"""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog
from scipy.stats import binom, binomtest, norm

from dpsynth_assets.audit.guesses import Guesses
from dpsynth_assets.audit.trade_off import PrivacyCurve, fewest_to_refute, is_refuted

GRID = np.arange(0.0, 12.0, 0.1)


def gaussian_curve(noise):
    """Balle and Wang 2018, theorem 8: the exact delta of the Gaussian mechanism of sensitivity 1."""
    return PrivacyCurve(
        GRID, np.maximum(0, norm.cdf(0.5 / noise - GRID * noise) - np.exp(GRID) * norm.cdf(-0.5 / noise - GRID * noise))
    )


def most_probable(curve_points, m, r, v):
    """The largest P(V >= v) under the theorem's constraints and no others, by linear programming over V's law."""
    right, places = np.arange(r + 1), np.arange(r + 1)
    rows, limits = [], []
    for k in range(1, r + 1):
        in_ = np.where(places >= k, right, 0) / m
        out = np.where(places >= k - 1, r - right, 0) / m
        for epsilon, delta in curve_points:
            rows += [in_ - math.exp(epsilon) * out, math.exp(epsilon) * in_ - out]
            limits += [delta, math.exp(epsilon) - 1 + delta]
    # with fewer guesses than canaries the law of V still sums to 1
    found = linprog(
        -(places >= v).astype(float), A_ub=rows, b_ub=limits, A_eq=[np.ones(r + 1)], b_eq=[1.0], method="highs"
    )
    assert found.success
    return -found.fun


@settings(max_examples=150, deadline=None)
@given(
    made=st.integers(2, 12),
    spare=st.integers(0, 8),
    data=st.data(),
    points=st.lists(st.tuples(st.floats(0, 4), st.floats(0, 0.4)), min_size=1, max_size=4),
)
def test_what_is_refuted_is_what_the_constraints_do_not_allow(made, spare, data, points):
    m, v = made + spare, data.draw(st.integers(1, made))
    level = data.draw(st.floats(0.001, 0.5))
    curve = PrivacyCurve(*zip(*points, strict=True))
    allowed = most_probable(points, m, made, v)
    if is_refuted(curve, Guesses(m, made, v), level):
        assert allowed < level * (1 + 1e-6)
    elif v / made > 0.5:  # where a right guess is no more probable than a wrong one, nothing need be refuted
        assert allowed > level * (1 - 1e-6)


@pytest.mark.parametrize("epsilon", [0.1, 1.0, 3.0])
@pytest.mark.parametrize("made", [20, 200])
def test_randomised_response_is_refuted_no_sooner_than_its_own_law_says(epsilon, made):
    fewest = fewest_to_refute(PrivacyCurve([epsilon], [0.0]), made, made, 0.05)
    exact = int(binom.ppf(0.95, made, 1 / (1 + math.exp(-epsilon)))) + 1  # the least v with P(V >= v) <= 0.05
    assert fewest is None or fewest >= exact
    assert exact > made or fewest <= exact + 1


def test_a_mechanism_that_may_tell_all_at_once_is_never_refuted_while_it_does_so_as_often_as_the_level():
    everything = Guesses(200, 200, 200)
    assert not is_refuted(PrivacyCurve(GRID, np.full(len(GRID), 0.06)), everything, 0.05)
    assert is_refuted(PrivacyCurve(GRID, np.full(len(GRID), 0.04)), everything, 0.05)


@pytest.mark.parametrize("noise", [0.4, 1.0, 3.0])
@pytest.mark.parametrize(("canaries", "made"), [(200, 200), (200, 40)])
def test_right_sums_of_orthogonal_canaries_are_rarely_refuted(noise, canaries, made):
    rng = np.random.default_rng(5)
    refuted = 0
    fewest = fewest_to_refute(gaussian_curve(noise), canaries, made, 0.05) or canaries + 1
    for _ in range(300):
        included = rng.random(canaries) < 0.5
        order = np.argsort(included + noise * rng.standard_normal(canaries))
        right = int((~included[order[: made // 2]]).sum() + included[order[-made // 2 :]].sum())
        refuted += right >= fewest
    assert binomtest(refuted, 300, 0.05, alternative="greater").pvalue > 0.01


def test_a_sum_with_a_tenth_of_its_noise_is_refuted_where_one_point_of_its_curve_would_not_be():
    """Claimed: the Gaussian mechanism with noise 0.7 (epsilon 7.4 at delta 1e-5)."""
    rng = np.random.default_rng(5)
    included = rng.random(200) < 0.5
    order = np.argsort(included + 0.07 * rng.standard_normal(200))
    right = int((~included[order[:100]]).sum() + included[order[100:]].sum())
    assert is_refuted(gaussian_curve(0.7), Guesses(200, 200, right), 0.05)
    assert not is_refuted(PrivacyCurve([7.4], [1e-5]), Guesses(200, 200, right), 0.05)


def test_more_right_guesses_refute_more():
    curve = gaussian_curve(1.0)
    refuted = [is_refuted(curve, Guesses(100, 100, right), 0.05) for right in range(101)]
    assert refuted == sorted(refuted)
    assert refuted[-1]
    assert not refuted[50]


@pytest.mark.parametrize(("epsilons", "deltas"), [([], []), ([1.0], [0.1, 0.2]), ([-1.0], [0.1]), ([1.0], [1.5])])
def test_what_is_no_curve_is_refused(epsilons, deltas):
    with pytest.raises(ValueError, match=r"epsilon needs one delta|deltas lie in"):
        PrivacyCurve(epsilons, deltas)


@pytest.mark.parametrize("level", [0.0, 1.0])
def test_a_level_is_a_probability(level):
    with pytest.raises(ValueError, match="level"):
        is_refuted(gaussian_curve(1.0), Guesses(10, 10, 9), level)
