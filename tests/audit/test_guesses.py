"""How well an attack tells canaries is said with intervals that hold, and what says nothing is refused.

Simulations have a fixed seed: they are of scores whose law is known.
"""

import math

import numpy as np
import pytest
from scipy.stats import binomtest, norm

from dpsynth_assets.audit.guesses import Guesses, area_under_curve, coins, true_positive_rate

RUNS = 200


def test_area_and_rate_with_their_intervals():
    rng = np.random.default_rng(5)
    missed = [0, 0]
    for _ in range(RUNS):
        included = rng.random(120) < 0.5
        scores = included + rng.standard_normal(120)
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
    ("scores", "included", "said"),
    [
        (np.zeros(9), np.arange(10) < 5, "one score and one coin"),
        (np.full(10, np.nan), np.arange(10) < 5, "no number"),
        (np.zeros(10), np.zeros(10), "truth value"),
    ],
    ids=str,
)
def test_what_are_no_scores_is_refused(scores, included, said):
    for read in (area_under_curve, true_positive_rate):
        with pytest.raises(ValueError, match=said):
            read(scores, included)


def test_coins_that_fell_alike_say_nothing():
    for read in (area_under_curve, true_positive_rate):
        with pytest.raises(ValueError, match="take more"):
            read(np.zeros(3), np.ones(3, dtype=bool))
    with pytest.raises(ValueError, match="cannot be"):
        Guesses(10, 11, 3)
