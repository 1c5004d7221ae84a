"""A lower bound on epsilon from one run, and how well an attack told canaries that were in from those that were not.

m canaries are each put in by a fair coin of its own. An attack gives each a score from what the run released. The r/2
highest scores are guessed to be in, the r/2 lowest to be out, on the rest no guess is made.

**Theorem** (Steinke, Nasr, Jagielski 2023, "Privacy auditing with one (1) training run", theorem 5.2). Let the run be
(epsilon, delta)-DP under add/remove of one unit, the coins fair and independent, and r of m guesses be made from its
output alone. Let V be how many are right, and B ~ Bin(r, e^epsilon / (1 + e^epsilon)). Then for each v

    P(V >= v)  <=  P(B >= v) + 2 m delta max_{i >= 1} P(v - i <= B < v) / i.

**Guarantee.** `lower_bound` exceeds the epsilon of a run that is (epsilon, delta)-DP with a probability of at most
1 - confidence, over the coins and the run. It never proves a run private: a bound of 0 says that this attack failed.

**Proof.** 1. *One r, fixed before.* The right side, p(epsilon), is a p-value of "the run is (epsilon, delta)-DP". With
c = 2 m delta <= 1 it is the maximum over i of (1 - c/i) P(B >= v) + (c/i) P(B >= v - i), each increasing in epsilon. So
the bound, where p crosses 1 - confidence, passes the true epsilon only if p there is at most 1 - confidence. More
canaries than c <= 1 allows are refused.
2. *Several r.* Which r serves best depends on how strong the attack is, which nobody knows beforehand. Each of a list
that is fixed before the run is tested at level (1 - confidence) / (length of the list), and the highest bound is taken:
by the union bound one of them is wrong with probability at most 1 - confidence, however they depend on each other. To
take the best of all r without that correction would be no bound at all. ∎

**What would break it:** scores, a choice between scores, or a list of r that has seen the coins; one coin that decides
several canaries; something an attacker may not see, a clean sum say, in what scores are made of; a canary of more than
one unit. Equal canaries, and such as influence each other, are no harm.

Scores and coins are sensitive: they are made in the run. What is computed here of them is about canaries alone, but
other units took part in the run; whoever publishes it does so on the strength of the run's own guarantee, since it is
computed from what the run released and from coins that are ours.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import binom, binomtest, mannwhitneyu

from dpsynth_assets.privacy.randomness import SecretStream

if TYPE_CHECKING:
    from numpy.typing import NDArray

_PRECISION = 1e-4  # of the bound, which is rounded down
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

    def p_value(self, epsilon: float, delta: float) -> float:
        """At most how probable so many right guesses are, or more, if the run is (epsilon, delta)-DP."""
        law = binom.pmf(np.arange(self.made + 1), self.made, 1 / (1 + math.exp(-epsilon)))
        below = np.cumsum(law[: self.right][::-1])  # P(v - i <= B < v), i = 1, ..., v
        excess = float(np.max(below / np.arange(1, self.right + 1), initial=0.0))
        return min(1.0, float(law[self.right :].sum()) + 2 * self.canaries * delta * excess)

    def lower_bound(self, delta: float, level: float) -> float:
        """The epsilon up to which all are refuted, each with a probability of `level` at most of being true."""
        if 2 * self.canaries * delta > 1:
            raise ValueError(
                f"{self.canaries} canaries are too many for delta {delta!r}: at most {int(0.5 / delta)} have a bound"
            )
        low, high = 0.0, 1.0
        if self.p_value(low, delta) > level:
            return low
        while self.p_value(high, delta) <= level:
            low, high = high, 2 * high
        while high - low > _PRECISION:
            middle = (low + high) / 2
            low, high = (middle, high) if self.p_value(middle, delta) <= level else (low, middle)
        return low


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


def lower_bound(
    scores: NDArray[np.float64],
    included: NDArray[np.bool_],
    *,
    delta: float,
    guesses: Sequence[int],
    confidence: float = 0.95,
) -> float:
    """What epsilon is at least, by the module's guarantee.

    Args:
        scores: one per canary, made without knowing `included`; higher where the canary is rather in.
        included: the coins.
        guesses: fixed before the run. Even numbers; the highest bound counts, each at its part of the level.
    """
    _check(scores, included)
    if not guesses or not all(r % 2 == 0 and 2 <= r <= len(scores) for r in guesses):
        raise ValueError(f"guesses are even numbers from 2 to the {len(scores)} canaries, not {list(guesses)}")
    if not 0 < confidence < 1 or not 0 <= delta < 1:
        raise ValueError(f"confidence lies in (0, 1) and delta in [0, 1), not {confidence!r} and {delta!r}")
    in_order = included[np.argsort(scores, kind="stable")]  # ties by number, which no coin decides
    level = (1 - confidence) / len(guesses)

    def bound(r: int) -> float:
        right = int((~in_order[: r // 2]).sum()) + int(in_order[-(r // 2) :].sum())
        return Guesses(len(scores), r, right).lower_bound(delta, level)

    return max(map(bound, guesses))


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
