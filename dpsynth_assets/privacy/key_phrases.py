"""Noisy counts of phrases that people themselves have written: which phrases there are is not known beforehand.

Guarantee, under add/remove of one privacy unit. The cells that are counted are a closed, public set: a label
combination and a string of 1 to `LONGEST` bytes, every one of them, written by somebody or not. A record counts in at
most `each` cells, once in each, and which ones depends on that record alone. So a unit with at most `max_records`
records moves the vector of counts by at most `max_records * sqrt(each)` in l2 norm: each record by sqrt(each), and
records add up by the triangle inequality. Every cell gets independent Gaussian noise of standard deviation
`noise_multiplier` times that bound, by `dpsynth_assets.privacy.noise`, which is post-processing of the ideal Gaussian
mechanism; that mechanism is the event that is charged. What is let out are the cells whose noisy count reaches a public
bound, with that count: post-processing again. There is no delta for phrases that only one unit has, as in partition
selection (Korolova et al. 2009; Gopi et al. 2020): a phrase that nobody has can come out too.

There are more cells than could be counted, so noise is drawn for the ones that somebody has, and for all others
together (after Cormode et al. 2012, "Differentially private summaries for sparse data", section 4): how many of them
reach the bound is a binomial number, which they are is uniform, and what they show is the noise beyond the bound. That
is the same law. It is drawn from 512 secret bits with 1,024 bits of arithmetic: every outcome has its probability but
for a factor within 1 +- 2^-150, or is one whose probability is below 2^-250 in all.

The bounds are such that one phrase of nobody is expected in a hundred releases. That of a long phrase is higher, since
there are more of them. A phrase that is spelled in the few bytes that are `PLAIN` has a bound of its own, far below
that of others as long.

Misuse that breaks it: phrases chosen by what other records hold, more than `each` of a record, letting out a count
below the bound, or that of phrases which nobody has without their noise.
"""

from __future__ import annotations

import math
import secrets
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from mpmath import MPContext
from scipy.optimize import brentq
from scipy.special import log_ndtr

from dpsynth_assets.privacy.stated import Stated
from dpsynth_assets.privacy.unit_numbers import UnitNumbers, require_bounded
from dpsynth_assets.releases.key_phrases import KEY_PHRASES, LONGEST, RULE, KeyPhrasesTerms
from ledger import Gaussian
from ledger.accounting import calibrate

if TYPE_CHECKING:
    from dpsynth_assets.contract import Contract
    from dpsynth_assets.releases.release import Release

BY_CHANCE = 0.01  # how many phrases that nobody has are expected in a release
PLAIN = "abcdefghijklmnopqrstuvwxyz'- "
_BITS = 512  # so that what has a probability of 2^-250 has it but for a factor within 1 +- 2^-150
_PRECISION = 1_024

Key = tuple[int, bytes]  # the number of a label combination, and a phrase in UTF-8
Kind = tuple[int, bool]  # how many bytes a phrase has, and whether all of them are plain


@dataclass(frozen=True)
class NoisyPhrases:
    """The mechanism.

    Attributes:
        cells: how many label combinations there are.
        each: in how many cells a record counts at most.
        max_records: bound on the records of one unit.
        noise_multiplier: standard deviation of the noise over the l2 sensitivity; 0 for exact counts, which have no
            event.
        longest: bytes of a phrase, at most.
        plain: the letters of plain phrases, a byte each.
        by_chance: how many phrases that nobody has are expected in a release, at most.
    """

    cells: int
    each: int
    max_records: int
    noise_multiplier: float
    longest: int = LONGEST
    plain: str = PLAIN
    by_chance: float = BY_CHANCE

    @property
    def sensitivity(self) -> float:
        """How far one unit moves the counts in l2 norm, rounded up."""
        root = math.nextafter(math.sqrt(self.each), math.inf)
        return math.nextafter(self.max_records * root, math.inf)

    @property
    def standard_deviation(self) -> float:
        """Of the noise of one count, rounded up."""
        return math.nextafter(self.noise_multiplier * self.sensitivity, math.inf) if self.noise_multiplier else 0.0

    def event(self) -> Gaussian:
        """What is charged.

        Raises:
            ValueError: there is no noise, hence no guarantee.
        """
        if self.noise_multiplier == 0:
            raise ValueError("exact counts of phrases have no privacy guarantee and cannot be charged")
        return Gaussian(self.noise_multiplier)

    def least(self, kind: Kind) -> float:
        """The noisy count from which on a phrase is let out, by its kind: a multiple of the noise's spacing."""
        if self.noise_multiplier == 0:
            return 1.0
        return _least(self.standard_deviation, self.number_of(kind), self.by_chance / (2 * self.longest))

    def kind_of(self, phrase: bytes) -> Kind:
        """By which phrases differ in their bounds."""
        return len(phrase), not phrase.translate(None, self.plain.encode("ascii"))

    def number_of(self, kind: Kind) -> int:
        """How many cells there are for phrases of a kind."""
        length, plain = kind
        spelled: int = len(self.plain) ** length
        return self.cells * (spelled if plain else 256**length - spelled)

    def release(self, records: Iterable[tuple[object, Collection[Key]]]) -> dict[Key, float]:
        """The noisy counts that reach their bound, by label combination and phrase, in their order.

        Args:
            records: for each record its unit, and the cells that it counts in; sensitive.

        Raises:
            ValueError: a record counts in too many cells or in none that there is, or a unit has too many records.
        """
        exact = self.exact(records)
        if self.noise_multiplier == 0:
            return {key: float(exact[key]) for key in sorted(exact)}
        import torch

        from dpsynth_assets.privacy.noise import GaussianNoise

        there = sorted(exact)
        counts = torch.tensor([float(exact[key]) for key in there], dtype=torch.float64)
        GaussianNoise(self.standard_deviation).add_([counts])
        noisy = dict(zip(there, counts.tolist(), strict=True))
        found = {key: count for key, count in noisy.items() if count >= self.least(self.kind_of(key[1]))}
        found |= self._of_nobody(exact)
        return {key: found[key] for key in sorted(found)}

    def exact(self, records: Iterable[tuple[object, Collection[Key]]]) -> Counter[Key]:
        """The counts before noise, which must not leave the mechanism. Arguments and errors as of `release`."""
        counts: Counter[Key] = Counter()
        units = UnitNumbers()
        for unit, said in records:
            distinct = set(said)
            if len(distinct) > self.each:
                raise ValueError(f"a record counts in more than {self.each} phrases")
            if any(not 0 <= cell < self.cells or not 1 <= len(phrase) <= self.longest for cell, phrase in distinct):
                raise ValueError("a record counts in a phrase that is not of the closed set")
            units.append(unit)
            counts.update(distinct)
        require_bounded(units.numbers(), self.max_records)
        return counts

    def _of_nobody(self, there: Mapping[Key, int]) -> dict[Key, float]:
        """The phrases that nobody has and whose noise reaches the bound."""
        found: dict[Key, float] = {}
        known = Counter(self.kind_of(phrase) for _, phrase in there)
        for kind in ((length, plain) for length in range(1, self.longest + 1) for plain in (True, False)):
            least = self.least(kind)
            for _ in range(_passing(self.number_of(kind) - known[kind], least, self.standard_deviation)):
                key = self._any(kind)
                while key in there or key in found:
                    key = self._any(kind)
                found[key] = _beyond(least, self.standard_deviation)
        return found

    def _any(self, kind: Kind) -> Key:
        """One of the cells for phrases of a kind, each as likely."""
        length, plain = kind
        of = self.plain.encode("ascii") if plain else bytes(range(256))
        while True:
            phrase = bytes(secrets.choice(of) for _ in range(length))
            if self.kind_of(phrase) == kind:
                return secrets.randbelow(self.cells), phrase


@dataclass(frozen=True)
class KeyPhrasesPlan(Stated):
    """Everything that decides what the release computes: public constants only.

    `epsilon` at `delta` is the guarantee of this release alone, in the currency that the ledger enforces. `phrases`
    says which phrases of a text there are.
    """

    mechanism: NoisyPhrases
    cells: tuple[tuple[str, ...], ...]
    phrases: dict[str, Any]
    epsilon: float
    delta: float
    unit: str
    neighbouring_relation: str

    def event(self) -> Gaussian:
        """The event that is reserved in the ledger before a row is read."""
        return self.mechanism.event()


def key_phrases_plan(contract: Contract, release: Release[KeyPhrasesTerms], size: float) -> KeyPhrasesPlan:
    """The plan of a contract's key phrases, its noise calibrated to the release's epsilon."""
    del size  # a bound on what one unit does has nothing to do with how many there are
    terms, own = contract.privacy, contract.privacy.releases[KEY_PHRASES]
    epsilon, delta = own.epsilon_of(terms.budget), terms.budget.delta
    shape = NoisyPhrases(len(contract.cells), own.each, terms.unit.max_records, 0.0)
    return KeyPhrasesPlan(
        mechanism=shape if math.isinf(epsilon) else _calibrated(shape, epsilon, delta),
        cells=contract.cells,
        phrases={"rule": RULE, "words": own.words, "without": sorted(own.without)},
        epsilon=epsilon,
        delta=delta,
        unit=terms.unit.name,
        neighbouring_relation=terms.unit.neighbouring_relation,
    )


def _calibrated(shape: NoisyPhrases, epsilon: float, delta: float) -> NoisyPhrases:
    """`shape` with the smallest noise multiplier that keeps its event within (epsilon, delta)."""
    noise = calibrate(lambda noise: replace(shape, noise_multiplier=noise).event(), epsilon, delta)
    return replace(shape, noise_multiplier=noise)


@lru_cache(maxsize=1024)
def _least(deviation: float, number: int, expected: float) -> float:
    """The least multiple of the noise's spacing that at most `expected` of so many counts reach by noise alone."""
    from dpsynth_assets.privacy.noise import GaussianNoise

    spacing = GaussianNoise(deviation).spacing
    rare = math.log(expected) - math.log(number)
    deviations = 0.0 if rare >= math.log(0.5) else float(brentq(lambda z: log_ndtr(-z) - rare, 0.0, 100.0))
    return spacing * (math.ceil(deviations * deviation / spacing) + 1)  # half a spacing is what rounding adds


def _passing(others: int, least: float, deviation: float) -> int:
    """How many of so many counts of nobody reach the bound: binomial, by inversion."""
    fate = secrets.randbits(_BITS)
    chance = _chance(least, deviation)
    mp = _exact()
    if fate >= mp.ldexp(mp.mpf(others) * chance, _BITS):  # at least one is no likelier than their expected number
        return 0
    uniform, passing = mp.ldexp(mp.mpf(fate), -_BITS), 0
    none = mp.exp(others * mp.log1p(-chance))
    exactly, more = none, -mp.expm1(others * mp.log1p(-chance))  # more: the probability of more than `passing`
    while uniform < more:
        exactly *= mp.mpf(others - passing) / (passing + 1) * chance / (1 - chance)
        more -= exactly
        passing += 1
    return passing


def _beyond(least: float, deviation: float) -> float:
    """Noise on its grid, given that it reaches the bound: by inversion."""
    from dpsynth_assets.privacy.noise import GaussianNoise

    spacing = GaussianNoise(deviation).spacing
    mp = _exact()
    left = (mp.mpf(secrets.randbits(_BITS)) + mp.mpf(0.5)) * mp.ldexp(_chance(least, deviation), -_BITS)
    low, high = round(least / spacing), round(least / spacing) + 1
    while _chance(high * spacing, deviation) > left:
        low, high = high, 2 * high
    while high - low > 1:  # the greatest multiple that is reached with at least the probability that is left
        middle = (low + high) // 2
        low, high = (middle, high) if _chance(middle * spacing, deviation) > left else (low, middle)
    return low * spacing


@lru_cache(maxsize=4096)
def _chance(least: float, deviation: float) -> Any:
    """That noise on its grid reaches a multiple of its spacing: what is rounded to it or above."""
    from dpsynth_assets.privacy.noise import GaussianNoise

    mp = _exact()
    edge = mp.mpf(least) - mp.mpf(GaussianNoise(deviation).spacing) / 2
    return mp.erfc(edge / (mp.mpf(deviation) * mp.sqrt(2))) / 2


@lru_cache(maxsize=1)
def _exact() -> Any:
    context = MPContext()  # one of our own: mpmath.mp's precision is everybody's
    context.prec = _PRECISION
    return context
