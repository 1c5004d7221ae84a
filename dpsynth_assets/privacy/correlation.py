"""Noise that is correlated over steps: the strategy matrix, and what a unit costs under it (BandMF).

Independent noise hurts training more than it must: the errors of all steps add up in the parameters. Where the noise of
a step takes back a part of the noise of the steps before, they add up to less (Kairouz et al. 2021; Choquette-Choo et
al. 2023, "(Amplified) Banded Matrix Factorization"). What it costs is sampling: a unit may join one step in b only.

**The mechanism**, for b bands. Every unit is put into one of b groups, at random and independently of all others. Step
i samples the units of group i mod b only, each with probability p = b * sampling_probability, and gives the clipped sum
g_i.
Released are, with independent Gaussian noise z of standard deviation noise_multiplier * sensitivity per coordinate,

    y_i = c_0 g_i + c_1 g_(i-1) + ... + c_(b-1) g_(i-b+1) + z_i         c_0^2 + ... + c_(b-1)^2 <= 1

that is y = C g + z with a lower triangular matrix C of b bands and columns of norm at most 1. What the optimiser gets,
C^-1 y = g + C^-1 z, is post-processing of y.

**Guarantee**, under add/remove of one unit: that of ceil(n / b) steps of the Poisson-subsampled Gaussian mechanism with
sampling probability p, for n consecutive steps (op. cit., on amplification by cyclic Poisson sampling). Proof, for data
with and without the unit u:

1. All other units' groups and draws are independent of u, so they can be held fixed and the same on both sides; and u's
   group too, as it does not occur without u. A Renyi divergence of mixtures over what was held fixed is at most the
   largest of its parts', as it is jointly quasi-convex.
2. Let u be in group k. It takes part in steps k, k + b, k + 2b, ... at most: in ceil(n / b) of them or fewer. At step
   j = k + mb it adds v, |v| <= sensitivity, to g_j with probability p, independently of everything before. That moves
   rows j to j + b - 1 of y, by (c_0 v, ..., c_(b-1) v), and no others; so the rows that u moves by taking part in step
   j end before step j + b.
3. So cut the rows into pieces [k + mb, k + mb + b). Given everything before a piece, and given what was held fixed, u's
   v at its start is determined. Within the piece, what all other units contribute to a row is a function of the rows
   before it, the same on both sides. Subtracting it turns the piece, one to one, into (c_0 v, ..., c_(b-1) v) with
   probability p or else 0, plus independent Gaussian noise: one Poisson-subsampled Gaussian step of sensitivity
   |c| |v| <= sensitivity.
4. The pieces compose adaptively; the rows before the first one do not depend on u.

For b = 1 this is DP-SGD, step by step.

**A run that is killed** remembers neither groups, nor sums, nor noise. The process that goes on from its checkpoint is
another mechanism of this kind, with groups and noise of its own, whose first row stands alone: over all attempts C is
block diagonal. An attempt of n steps, those included that came after its last checkpoint, costs ceil(n / b) sampled
steps by the above, whatever the earlier ones have shown, and attempts compose. So a kill can cost one sampled step even
where no step was lost. That the groups are drawn anew is covered: in each attempt, the guarantee holds for every group
of u.

Misuse that breaks it: groups that depend on other units, such as a unit's place in a list; sampling a step from all
units; noise by which rows of two attempts are correlated; charging the attempts as one run.
"""

from __future__ import annotations

import math
from collections.abc import Sequence


def strategy_coefficients(bands: int) -> tuple[float, ...]:
    """c_0, ..., c_(bands-1), positive and falling: a column of the strategy matrix, of l2 norm at most 1.

    The banded square root (Kalinin and Lampert 2024, for plain sums of gradients): the first coefficients of
    (1 - x)^(-1/2), divided by their norm. C times itself would be the matrix of ones if it had all bands.
    """
    if bands == 1:
        return (1.0,)
    roots = [math.comb(2 * power, power) / 4**power for power in range(bands)]
    # Rounded down by far more than float64 can have rounded up.
    scale = (1 - 2**-40) / math.sqrt(math.fsum(root * root for root in roots))
    return tuple(root * scale for root in roots)


def inverse_coefficients(coefficients: Sequence[float], steps: int) -> list[float]:
    """a_0, ..., a_(steps-1): the first column of C^-1. Row i of C^-1 z is a_0 z_i + a_1 z_(i-1) + ... + a_i z_0.

    They fall geometrically: positive falling coefficients have a generating polynomial without zeros in the unit disc
    (Enestroem and Kakeya), so rounding errors die out too.
    """
    inverse = [1 / coefficients[0]]
    for step in range(1, steps):
        earlier = reversed(inverse[max(0, step - len(coefficients) + 1) :])
        inverse.append(-math.fsum(c * a for c, a in zip(coefficients[1:], earlier, strict=False)) / coefficients[0])
    return inverse


def noise_growth(bands: int) -> float:
    """Standard deviation of a late row of C^-1 z over that of z: what a single step pays for the correlation."""
    coefficients = strategy_coefficients(bands)
    return math.sqrt(math.fsum(a * a for a in inverse_coefficients(coefficients, 1000)))
