"""Whether so many right guesses refute a mechanism's whole privacy curve, from one run.

A bound that knows one point (epsilon, delta) of the promise, as that of Steinke, Nasr and Jagielski 2023 does, can
never pass some epsilon, however right the guesses are: every mechanism of that epsilon is allowed for, randomised
response too, and 200 right guesses of 200 refute 4.2 at most. A mechanism that says more of itself, delta at *every*
epsilon, can be refuted by fewer.

**Setting.** m canaries, each in by a fair coin of its own; r guesses are made from the output alone, r fixed
beforehand; V is how many are right. The mechanism's curve is delta(epsilon) under add/remove of one unit, both ways:
whatever the other coins are, an event that has probability q with the canary out (in) has with it in (out) at most

    F(q) = min over epsilon >= 0 of  min(q e^epsilon + delta(epsilon),  1 - e^-epsilon (1 - q - delta(epsilon))),

the second by the complement of the event. F is concave, since it is a least of lines.

**Theorem.** (The idea of Mahloujifar, Melis and Chaudhuri 2025, "Auditing f-differential privacy in one run", whose
abstract is all that was used; statement and proof are ours.) With R_k = E[V; V >= k] / m and
H_k = E[r - V; V >= k] / m, for each k from 1 to r

    R_k <= F(H_(k-1)).

*Proof.* Let E(i, b) be the event that the guess about canary i is b and that at least k - 1 of the others are right.
Given the other coins it is an event of the output, so its probability with coin i at b is at most F of that with coin
i at not b. In the first case the guess is right and V >= k, in the second it is wrong and V >= k - 1. Take the mean
over the other coins, b and i: on the left that is R_k. On the right it is a mean of F's, which is at most F of the
mean by concavity, and the mean is H_(k-1). ∎

**Test.** Suppose P(V >= v) >= t. Write f for the inverse of F and c_j = j / (r - j), which grows with j. Then
1. R_v >= t v / m, so H_(v-1) >= f(t v / m).
2. Summed by parts, R_k = (R_v - c_(v-1) H_v) + c_k H_k + sum over k < j < v of (c_j - c_(j-1)) H_j. The first bracket
   is E[V - c_(v-1) (r - V); V >= v] / m, at least t (v - c_(v-1) (r - v)) / m. No factor of an H is negative, so
   lower bounds of H_(v-1), ..., H_k give one of R_k, hence one of H_(k-1) >= max(H_k, f(R_k)).
3. R_0 + H_0 = r / m. If the lower bounds add up to more, P(V >= v) < t.

**Guarantee.** `is_refuted` is true of a mechanism that has the curve with a probability of less than `level`, over the
coins and the run: with v* the least v that it refutes, P(V >= v*) < level. It never proves a run private.

**What would break it:** guesses, or a choice between sets of them, that have seen the coins; one coin that decides
several canaries; something an attacker may not see, a clean sum say, in what guesses are made of; a canary of more than
one unit; deltas that are too small for the mechanism. Equal canaries, and such as influence each other, are no harm;
nor is a coarse grid of epsilons, F is only larger.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from dpsynth_assets.audit.guesses import Guesses

_ROUNDING = 1e-9  # more than what the recursion's sums can be off by, relatively


class PrivacyCurve:
    """delta at each of some epsilons: what a mechanism promises under add/remove of one unit, both ways.

    Args:
        epsilons: not negative.
        deltas: at least the mechanism's own, in [0, 1].
    """

    def __init__(self, epsilons: Sequence[float], deltas: Sequence[float]) -> None:
        self._epsilons = np.asarray(epsilons, dtype=float)
        self._deltas = np.asarray(deltas, dtype=float)
        if self._epsilons.shape != self._deltas.shape or self._epsilons.ndim != 1 or not len(self._epsilons):
            raise ValueError("each epsilon needs one delta")
        if not (self._epsilons >= 0).all() or not ((self._deltas >= 0) & (self._deltas <= 1)).all():
            raise ValueError("epsilons are not negative and deltas lie in [0, 1]")

    def least(self, probability: float) -> float:
        """f: how probable an event is at least without the unit that has this probability with it, or the reverse."""
        e, d, p = self._epsilons, self._deltas, min(1.0, probability)  # sums that are rounded may come out above 1
        return max(0.0, float(np.max((p - d) * np.exp(-e))), float(np.max(1 - d - np.exp(e) * (1 - p))))


def is_refuted(curve: PrivacyCurve, guesses: Guesses, level: float) -> bool:
    """Whether so many right guesses, or more, have a probability below `level` under the curve.

    Raises:
        ValueError: `level` is no probability between 0 and 1.
    """
    if not 0 < level < 1:
        raise ValueError(f"level lies between 0 and 1, not {level!r}")
    m, r, v = guesses.canaries, guesses.made, guesses.right
    if v == 0:
        return False

    def factor(j: int) -> float:
        return j / (r - j)

    most = r / m * (1 + _ROUNDING)  # of R_k + H_k
    wrong = curve.least(level * v / m)  # bounds H_(v-1) from below, then H_(v-2), ...
    parts = level * (v - factor(v - 1) * (r - v)) / m  # of R_k: all but the term with H_k
    for k in range(v - 1, 0, -1):
        right = parts + factor(k) * wrong
        if right > most:
            return True
        following = max(wrong, curve.least(right))
        parts += (factor(k) - factor(k - 1)) * wrong
        wrong = following
    return parts + wrong > most


def fewest_to_refute(curve: PrivacyCurve, canaries: int, made: int, level: float) -> int | None:
    """How many guesses have to be right to refute the curve; None where all of them would not do."""

    def refuted(right: int) -> bool:
        return is_refuted(curve, Guesses(canaries, made, right), level)

    return _first(refuted, made)


def _first(holds: Callable[[int], bool], most: int) -> int | None:
    """The least number up to `most` from which on it holds; None where it does not hold of `most`."""
    if not holds(most):
        return None
    low, high = -1, most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high
