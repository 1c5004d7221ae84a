"""Attacks that tell who was trained on by scores, and how well they do: for people about whom everything may be known.

A score is higher for whoever looks more like a member. The truth is which units were members and which a holdout, drawn
by a fair coin from the same people.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import binomtest

from benchmarks.kneser_ney import KneserNey, count

Floats = npt.NDArray[np.float64]

FALSE_ALARMS = 0.01
RESAMPLES = 1000
PERMUTATIONS = 10_000
NGRAMS = range(3, 9)  # words
ORDER = 4  # of the n-gram model, in tokens


@dataclass(frozen=True)
class Figure:
    """A figure with its interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


@dataclass(frozen=True)
class Disclosure:
    """Of a table's rows, the share whose nearest record is a member's; the share among the records' owners that would
    be expected if membership made no difference; and the probability of as large a share then."""

    share: float
    expected: float
    p: float


def auc(members: Floats, holdout: Floats) -> float:
    """The probability that a member scores higher than one of the holdout; a tie counts half."""
    ordered = np.sort(holdout)
    below = np.searchsorted(ordered, members, "left") + np.searchsorted(ordered, members, "right")
    return float(below.mean() / 2 / len(holdout))


def caught(members: Floats, holdout: Floats) -> float:
    """The share of members above a threshold that at most `FALSE_ALARMS` of the holdout are above."""
    threshold = np.sort(holdout)[::-1][math.floor(FALSE_ALARMS * len(holdout))]
    return float((members > threshold).mean())


def estimated(
    figure: Callable[[Floats, Floats], float], members: Floats, holdout: Floats, rng: np.random.Generator
) -> Figure:
    """The figure with the percentile interval of resampled units, 95 %.

    Resampling hardly moves a share of rare cases, and not at all where everybody is told right, or nobody. There the
    interval is widened to the exact one for as many members, or pairs of a member and one of the holdout.
    """
    value, pairs = figure(members, holdout), min(len(members), len(holdout))
    again = [figure(rng.choice(members, len(members)), rng.choice(holdout, len(holdout))) for _ in range(RESAMPLES)]
    low, high = map(float, np.quantile(again, [0.025, 0.975]))
    if figure is caught or low == high:
        exact = binomtest(round(value * pairs), pairs).proportion_ci()
        low, high = min(low, exact.low), max(high, exact.high)
    return Figure(value, low, high)


def by_unit(records: pd.DataFrame, scores: Floats) -> tuple[Floats, Floats]:
    """The mean score of each member's records, and of each of the holdout's."""
    means = records.assign(score=scores).groupby("unit").agg({"score": "mean", "member": "first"})
    member = means["member"].to_numpy(bool)
    return means["score"].to_numpy()[member], means["score"].to_numpy()[~member]


def ngrams(text: str) -> set[tuple[str, ...]]:
    """All n-grams of words."""
    words = re.findall(r"\w+", text.casefold())
    return {tuple(words[at : at + n]) for n in NGRAMS for at in range(len(words) - n + 1)}


def shared_ngrams(texts: Sequence[str], table: Sequence[str]) -> Floats:
    """For each text, the share of its n-grams that occur in the table."""
    known = set().union(*map(ngrams, table))
    return np.array([len(own & known) / max(1, len(own)) for own in map(ngrams, texts)])


def ngram_losses(texts: Sequence[Sequence[int]], table: Sequence[Sequence[int]], bos: int, vocabulary: int) -> Floats:
    """The mean token loss of each text by an n-gram model of the table; both as tokens, without `bos`."""
    model = KneserNey(list(count(_laid_out(table, bos), bos, vocabulary, ORDER)), bos, vocabulary)
    tokens = _laid_out(texts, bos)
    sums = np.add.reduceat(-np.log(model.probabilities(tokens)), np.flatnonzero(tokens == bos))
    return np.asarray(sums / [len(text) for text in texts])


def _laid_out(texts: Sequence[Sequence[int]], bos: int) -> npt.NDArray[np.uint32]:
    return np.array([token for text in texts for token in (bos, *text)], np.uint32)


def holdout_test(nearest: npt.NDArray[np.int64], records: pd.DataFrame, rng: np.random.Generator) -> Disclosure:
    """Are rows nearer to members than to a holdout of the same people? `nearest` is each row's nearest record.

    Members were drawn fairly, so without an effect any others could be as well: exact whatever rows have in common.
    """
    units, owners = np.unique(records["unit"].to_numpy(), return_inverse=True)
    rows = np.bincount(owners[nearest], minlength=len(units))
    member = np.zeros(len(units), bool)
    member[owners] = records["member"].to_numpy(bool)
    found = int(rows[member].sum())
    others = [int(rows[rng.permutation(member)].sum()) for _ in range(PERMUTATIONS)]
    p = (1 + sum(other >= found for other in others)) / (1 + PERMUTATIONS)
    return Disclosure(found / len(nearest), float(member.mean()), p)
