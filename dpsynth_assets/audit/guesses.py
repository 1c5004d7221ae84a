"""Guesses about which canaries were in, and how well an attack told those that were from those that were not.

m canaries are each put in by a fair coin of its own, which is not told to the attack. Scores and coins are sensitive:
they are made in the run. What is computed here of them is about canaries alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import binomtest, mannwhitneyu

from dpsynth_assets.privacy.randomness import SecretStream

if TYPE_CHECKING:
    from numpy.typing import NDArray

_FALSE_POSITIVES = 0.01


@dataclass(frozen=True)
class Guesses:
    """How many guesses were made about how many canaries, and how many were right."""

    canaries: int
    made: int
    right: int

    def __post_init__(self) -> None:
        if not 0 <= self.right <= self.made <= self.canaries or self.made == 0:
            raise ValueError(f"{self.right} right of {self.made} guesses about {self.canaries} canaries cannot be")


@dataclass(frozen=True)
class Rate:
    """A probability: its estimate and an interval."""

    estimate: float
    low: float
    high: float


def coins(canaries: int) -> NDArray[np.bool_]:
    """Which canaries are put in: fair coins that nobody can foretell, shape (canaries,)."""
    fair: NDArray[np.bool_] = SecretStream().words(canaries) % 2 == 1
    return fair


def area_under_curve(scores: NDArray[np.float64], included: NDArray[np.bool_], confidence: float = 0.95) -> Rate:
    """The probability that a canary that is in has a higher score than one that is out; ties count half.

    The estimate is of all pairs. They are not independent, so the interval (Clopper-Pearson, hence exact for canaries
    whose scores are independent draws) is of pairs that have no canary in common, and a tie is held against it.
    """
    inside, outside = _parts(scores, included)
    pairs = min(len(inside), len(outside))
    higher = int((inside[:pairs] > outside[:pairs]).sum())
    ties = int((inside[:pairs] == outside[:pairs]).sum())
    estimate = float(mannwhitneyu(inside, outside).statistic) / (len(inside) * len(outside))
    return Rate(estimate, _interval(higher, pairs, confidence)[0], _interval(higher + ties, pairs, confidence)[1])


def true_positive_rate(scores: NDArray[np.float64], included: NDArray[np.bool_], confidence: float = 0.95) -> Rate:
    """The share of canaries that are in, above the score that at most 1 % of those that are out exceed.

    The interval (Clopper-Pearson) is exact given that score, for canaries whose scores are independent draws. That the
    score has 1 % of false positives is itself an estimate: with a hundred canaries out, it is that of one of them.
    """
    inside, outside = _parts(scores, included)
    threshold = np.sort(outside)[::-1][int(_FALSE_POSITIVES * len(outside))]
    above = int((inside > threshold).sum())
    return Rate(above / len(inside), *_interval(above, len(inside), confidence))


def _interval(count: int, of: int, confidence: float) -> tuple[float, float]:
    found = binomtest(count, of).proportion_ci(confidence, method="exact")
    return float(found.low), float(found.high)


def _parts(scores: NDArray[np.float64], included: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    _check(scores, included)
    if included.all() or not included.any():
        raise ValueError(f"all {len(included)} coins fell alike; with so few canaries nothing can be said, take more")
    return scores[included], scores[~included]


def _check(scores: NDArray[np.float64], included: NDArray[np.bool_]) -> None:
    if scores.ndim != 1 or scores.shape != included.shape or included.dtype != np.bool_:
        raise ValueError("each canary needs one score and one coin, a truth value")
    if np.isnan(scores).any():
        raise ValueError("a score is no number: was a canary's gradient infinite?")
