"""A differentially private histogram: of label combinations, or of votes on clusters of drawn texts.

Guarantee: the vector of counts over a closed, public set of cells changes by at most `max_records` in l1 norm when one
privacy unit (with at most that many records) is added or removed. Independent discrete Laplace noise of scale
`max_records / epsilon` makes its release epsilon-DP (Ghosh, Roughgarden and Sundararajan 2009), with delta 0. Misuse
that breaks it: cells taken from the data, more than `max_records` records of a unit, a record whose cell depends on
other records, using the exact counts anywhere else, or releasing the number of records beside it.

The noise is sampled exactly, in integers, from the operating system's randomness: Canonne, Kamath and Steinke 2020,
"The Discrete Gaussian for Differential Privacy", algorithms 1 and 2. There is no floating point to attack.
"""

from __future__ import annotations

import math
import secrets
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from dpsynth_assets.privacy.stated import Stated
from dpsynth_assets.privacy.unit_numbers import Units, require_bounded
from ledger import DiscreteLaplace

if TYPE_CHECKING:
    from dpsynth_assets.contract import Contract
    from dpsynth_assets.releases.release import Release
    from dpsynth_assets.releases.terms import ReleaseTerms
    from dpsynth_assets.releases.votes import VotesTerms

Cell = tuple[str, ...]  # a combination of labels, and for votes a cluster

# The scale is a fraction with this denominator, rounded up: short integers make the exact sampler quick.
_SCALE_DENOMINATOR = 2**16


@dataclass(frozen=True)
class HistogramPlan(Stated):
    """The release of a histogram: public constants only.

    Attributes:
        cells: every cell that exists, in order; anything else is not counted.
        max_records: bound on the records of one unit, the l1 sensitivity.
        scale: of the discrete Laplace noise; 0 for exact counts, which have no guarantee and no event.
        epsilon: of this release alone, infinite for exact counts; delta is 0.
    """

    cells: tuple[Cell, ...]
    max_records: int
    scale: float
    epsilon: float
    unit: str
    neighbouring_relation: str

    @classmethod
    def of(cls, contract: Contract, terms: ReleaseTerms, cells: tuple[Cell, ...]) -> HistogramPlan:
        """The plan of a histogram over some cells at the price that the contract's terms give it."""
        unit, epsilon = contract.privacy.unit, terms.epsilon_of(contract.privacy.budget)
        scale = 0.0
        if math.isfinite(epsilon):
            numerator = -(-unit.max_records * _SCALE_DENOMINATOR // Fraction(epsilon))
            scale = float(Fraction(int(numerator), _SCALE_DENOMINATOR))
        return cls(
            cells=cells,
            max_records=unit.max_records,
            scale=scale,
            epsilon=epsilon,
            unit=unit.name,
            neighbouring_relation=unit.neighbouring_relation,
        )

    def event(self) -> DiscreteLaplace:
        """The event that is reserved in the ledger before a label is read.

        Raises:
            ValueError: the counts are exact and cannot be charged.
        """
        if self.scale == 0:
            raise ValueError("exact counts have no privacy guarantee and cannot be charged")
        return DiscreteLaplace(self.scale, self.max_records)

    def release(self, records: Sequence[Cell], units: Units) -> dict[Cell, int]:
        """The noisy count of every cell; zero where the noise made it negative (post-processing).

        Args:
            records: the cell of each record; sensitive.
            units: the privacy unit of each record, same length; sensitive.

        Raises:
            ValueError: some unit holds more than `max_records` records, so the declared sensitivity would be wrong.
        """
        counts = self.exact(records, units)
        if self.scale == 0:
            return counts
        return {cell: max(0, count + discrete_laplace(Fraction(self.scale))) for cell, count in counts.items()}

    def margin(self, cells: int, probability: float) -> float:
        """What the noise of so many counts together exceeds with at most that probability, and so with its sign turned.

        The noise is sub-gamma with variance factor 2 x cells x scale^2 and scale parameter `scale`, as continuous
        Laplace noise is, which it has no larger moment generating function than (Boucheron, Lugosi and Massart 2013,
        "Concentration Inequalities", section 2.4).
        """
        needed = math.log(1 / probability)
        return self.scale * (2 * math.sqrt(cells * needed) + needed)

    def of_nobody(self, cells: int, probability: float) -> float:
        """What the counts of so many cells without a record come to together, but for that probability: each was
        released as zero where its noise was negative, and has half a scale on average."""
        return cells * self.scale / 2 + self.margin(cells, probability)

    def exact(self, records: Sequence[Cell], units: Units) -> dict[Cell, int]:
        """The counts before noise, which must not leave the mechanism. Arguments and error as of `release`.

        Their l1 sensitivity is `max_records`: a record adds one to one cell, and a unit has no more records.
        """
        if len(records) != len(units):
            raise ValueError("records and units must have one entry per record")
        require_bounded(units, self.max_records)
        counted = Counter(records)
        return {cell: counted[cell] for cell in self.cells}


def label_plan(contract: Contract, release: Release[Any], size: float) -> HistogramPlan:
    """A cell is a label combination."""
    return HistogramPlan.of(contract, contract.privacy.releases[release], contract.cells)


def votes_plan(contract: Contract, release: Release[VotesTerms], size: float) -> HistogramPlan:
    """A cell is a label combination and, last, the number of a cluster."""
    terms = contract.privacy.releases[release]
    cells = tuple((*cell, str(cluster)) for cell in contract.cells for cluster in range(terms.clusters))
    return HistogramPlan.of(contract, terms, cells)


def discrete_laplace(scale: Fraction) -> int:
    """An exact sample with P(x) proportional to exp(-|x| / scale), scale > 0 (Canonne et al. 2020, algorithm 2)."""
    if scale <= 0:
        raise ValueError(f"scale must be positive, not {scale}")
    t, s = scale.numerator, scale.denominator
    while True:
        remainder = secrets.randbelow(t)
        if not _bernoulli_exp(Fraction(remainder, t)):
            continue
        quotient = 0
        while _bernoulli_exp(Fraction(1)):
            quotient += 1
        magnitude = (remainder + t * quotient) // s
        negative = secrets.randbits(1) == 1
        if negative and magnitude == 0:
            continue  # zero would otherwise come twice as often
        return -magnitude if negative else magnitude


def _bernoulli_exp(gamma: Fraction) -> bool:
    """True with probability exp(-gamma), exactly, for gamma in [0, 1] (Canonne et al. 2020, algorithm 1)."""
    k = 1
    while secrets.randbelow(gamma.denominator * k) < gamma.numerator:
        k += 1
    return k % 2 == 1
