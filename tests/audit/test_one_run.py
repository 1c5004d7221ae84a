"""The bound holds as often as it says, is reached by an attack that uses all there is, and refuses what has no bound.

Simulations have a fixed seed: they are of mechanisms written here, whose epsilon is known.
"""

import math

import numpy as np
import pytest
from scipy.stats import binom, binomtest, norm

from dpsynth_assets.audit.one_run import Guesses, area_under_curve, coins, lower_bound, true_positive_rate

RUNS = 200


def false_alarms_are_rare(bounds, epsilon, level=0.05):
    """Whether so many of the bounds above epsilon are to be expected where each is wrong with probability `level`."""
    wrong = int((np.array(bounds) > epsilon).sum())
    return binomtest(wrong, len(bounds), level, alternative="greater").pvalue > 0.01


def randomised_response(rng, epsilon, m):
    """Scores that tell each coin rightly with the probability that epsilon allows: the theorem is tight for them."""
    included = rng.random(m) < 0.5
    told = rng.random(m) < 1 / (1 + math.exp(-epsilon))
    return np.where(told == included, 1.0, -1.0) * (1 + rng.random(m)), included


def gaussian_sum(rng, noise, m):
    """The white-box attack on a sum of orthogonal canaries of length 1, with noise of that deviation."""
    included = rng.random(m) < 0.5
    return included + noise * rng.standard_normal(m), included


def epsilon_of_gaussian(noise, delta):
    """The exact epsilon of the Gaussian mechanism of sensitivity 1 (Balle and Wang 2018)."""
    low, high = 0.0, 200.0
    while high - low > 1e-6:
        e = (low + high) / 2
        a, b = 1 / (2 * noise) - e * noise, -1 / (2 * noise) - e * noise
        low, high = (e, high) if norm.cdf(a) - math.exp(e + norm.logcdf(b)) > delta else (low, e)
    return high


@pytest.mark.parametrize("epsilon", [0.5, 2.0])
@pytest.mark.parametrize("guesses", [[200], [20], [200, 100, 50, 20]], ids=str)
def test_randomised_response_is_rarely_said_to_be_worse_than_it_is(epsilon, guesses):
    rng = np.random.default_rng(1)
    runs = (randomised_response(rng, epsilon, 200) for _ in range(RUNS))
    bounds = [lower_bound(scores, included, delta=0.0, guesses=guesses) for scores, included in runs]
    assert false_alarms_are_rare(bounds, epsilon)
    assert max(bounds) > epsilon * 0.6  # nor is it so low that it could not be wrong


@pytest.mark.slow
def test_the_best_of_all_guesses_without_a_correction_would_be_wrong_too_often():
    rng = np.random.default_rng(1)
    bounds = []
    for _ in range(2 * RUNS):
        scores, included = randomised_response(rng, 1.0, 100)
        every = [lower_bound(scores, included, delta=0.0, guesses=[r]) for r in range(2, 102, 4)]
        bounds.append(max(every))
    assert not false_alarms_are_rare(bounds, 1.0)


@pytest.mark.parametrize("noise", [0.5, 1.0, 4.0])
def test_a_gaussian_sum_is_rarely_said_to_be_worse_than_it_is(noise):
    rng = np.random.default_rng(2)
    epsilon = epsilon_of_gaussian(noise, 1e-5)
    runs = (gaussian_sum(rng, noise, 200) for _ in range(RUNS))
    bounds = [lower_bound(s, i, delta=1e-5, guesses=[200, 100, 50, 20]) for s, i in runs]
    assert false_alarms_are_rare(bounds, epsilon)


@pytest.mark.parametrize("delta", [0.001, 0.02, 0.1])
@pytest.mark.parametrize("how", ["all", "one"])
def test_what_delta_allows_is_allowed(how, delta):
    """Two ways to spend delta on top of randomised response: with that probability to tell all coins; or to tell each
    coin with that probability for certain, and guess those first."""
    rng, m, level = np.random.default_rng(3), 5, 0.05
    wrong = 0
    for _ in range(10 * RUNS):
        scores, included = randomised_response(rng, 0.5, m)
        told = rng.random(m if how == "one" else 1) < delta
        scores = np.where(told, np.where(included, 9.0, -9.0), scores)
        right = int((np.sign(scores) == np.where(included, 1, -1)).sum())
        wrong += Guesses(m, m, right).p_value(0.5, delta) <= level
    assert binomtest(wrong, 10 * RUNS, level, alternative="greater").pvalue > 0.01


def test_the_p_value_is_that_of_the_theorem_summed_term_by_term():
    m, r, v, delta = 30, 12, 9, 0.003
    q = math.exp(0.7) / (1 + math.exp(0.7))
    pmf = [math.comb(r, k) * q**k * (1 - q) ** (r - k) for k in range(r + 1)]
    excess = max(sum(pmf[v - i : v]) / i for i in range(1, v + 1))
    assert Guesses(m, r, v).p_value(0.7, delta) == pytest.approx(sum(pmf[v:]) + 2 * m * delta * excess)


@pytest.mark.parametrize("delta", [0.0, 1e-3, 0.5 / 60])
def test_the_p_value_grows_with_epsilon_so_that_one_crossing_is_the_first(delta):
    for right in (0, 1, 25, 39, 40):
        values = [Guesses(60, 40, right).p_value(epsilon, delta) for epsilon in np.linspace(0, 12, 200)]
        assert np.all(np.diff(values) >= -1e-12)


def test_all_right_is_bounded_by_how_many_guesses_there_were():
    scores, included = np.arange(400.0), np.arange(400) >= 200
    low = lower_bound(scores, included, delta=0.0, guesses=[400])
    assert binom.sf(399, 400, 1 / (1 + math.exp(-low))) == pytest.approx(0.05, rel=1e-3)
    assert lower_bound(scores, included, delta=0.0, guesses=[100]) < low
    assert lower_bound(scores, included, delta=1e-5, guesses=[400]) < low
    assert lower_bound(scores, included, delta=0.0, guesses=[400, 100]) < low
    assert lower_bound(scores, included, delta=0.0, guesses=[400], confidence=0.99) < low
    assert lower_bound(-scores, included, delta=0.0, guesses=[400]) == 0.0
    assert lower_bound(np.zeros(400), np.arange(400) % 2 == 0, delta=0.0, guesses=[400]) == 0.0


def test_who_is_not_guessed_does_not_count():
    rng = np.random.default_rng(4)
    scores, included = gaussian_sum(rng, 0.3, 200)
    middle = np.argsort(scores)[20:-20]
    flipped = included.copy()
    flipped[middle] ^= True
    assert lower_bound(scores, included, delta=1e-6, guesses=[40]) == lower_bound(
        scores, flipped, delta=1e-6, guesses=[40]
    )


def test_area_and_rate_with_their_intervals():
    rng = np.random.default_rng(5)
    missed = [0, 0]
    for _ in range(RUNS):
        scores, included = gaussian_sum(rng, 1.0, 120)
        area = area_under_curve(scores, included)
        missed[0] += not area.low <= norm.cdf(1 / math.sqrt(2)) <= area.high
        rate, cut = true_positive_rate(scores, included), np.sort(scores[~included])[::-1]
        threshold = cut[int(0.01 * len(cut))]
        missed[1] += not rate.low <= norm.sf(threshold - 1) <= rate.high
    assert all(binomtest(count, RUNS, 0.05, alternative="greater").pvalue > 0.01 for count in missed)

    included = np.arange(300) >= 150
    assert area_under_curve(np.arange(300.0), included).estimate == 1.0
    flat = area_under_curve(np.zeros(300), included)
    assert (flat.low, flat.estimate, flat.high) == (0.0, 0.5, 1.0)
    scores = np.where(included, 2.0, 1.0)
    scores[0] = 3.0  # one false positive in 150 is less than 1 %
    assert true_positive_rate(scores, included).estimate == 1.0
    scores[1] = 3.0
    assert true_positive_rate(scores, included).estimate == 0.0


def test_coins_are_fair_and_each_run_has_its_own():
    heads = int(coins(100_000).sum())
    assert binomtest(heads, 100_000, 0.5).pvalue > 1e-9
    assert not np.array_equal(coins(256), coins(256))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"scores": np.zeros(9)}, "one score and one coin"),
        ({"scores": np.full(10, np.nan)}, "no number"),
        ({"included": np.zeros(10)}, "truth value"),
        ({"guesses": []}, "even numbers"),
        ({"guesses": [3]}, "even numbers"),
        ({"guesses": [12]}, "even numbers from 2 to the 10"),
        ({"delta": 1.0}, "delta in"),
        ({"confidence": 1.0}, "confidence lies"),
        ({"delta": 0.1}, "at most 5 have a bound"),
    ],
    ids=str,
)
def test_what_has_no_bound_is_refused(change, said):
    given = {"scores": np.zeros(10), "included": np.arange(10) < 5, "delta": 0.0, "guesses": [10]} | change
    with pytest.raises(ValueError, match=said):
        lower_bound(given.pop("scores"), given.pop("included"), **given)


def test_coins_that_fell_alike_say_nothing():
    for read in (area_under_curve, true_positive_rate):
        with pytest.raises(ValueError, match="take more"):
            read(np.zeros(3), np.ones(3, dtype=bool))
    with pytest.raises(ValueError, match="cannot be"):
        Guesses(10, 11, 3)
