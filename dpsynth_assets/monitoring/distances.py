"""Distances between two sets of texts, each beside what chance alone would make of two sets of these sizes.

Every distance is between the two empirical distributions, in [0, 1]. What chance makes of it is found by dealing the
pooled texts out again, many times, into two sets of the same sizes (Good 2005, Permutation, parametric and bootstrap
tests of hypotheses, chapter 3). If both sets are independent draws from one distribution, the distance is above
`by_chance` with probability `level` at most, whatever the sizes. Misuse that breaks it: several texts of one person in
a set, which are not independent draws.

Source of the distances: Levin and Peres 2017, Markov chains and mixing times, section 4.1 (total variation); Hodges
1958, The significance probability of the Smirnov two-sample test; Lin 1991, Divergence measures based on the Shannon
entropy; Székely and Rizzo 2013, Energy statistics: a class of statistics based on distances (the coefficient of
inhomogeneity, of which this is the root).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.spatial.distance import jensenshannon
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.metrics import pairwise_distances

from dpsynth_assets.quality.metrics.words import words

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SEED = 0  # the same batch has the same figures
_FEWEST_DEALS = 999
_WORDS = 2_000  # the commonest; the others count as one
_ROUNDING = 1e-6  # distances that are nearer to each other are the same, summed in another order
_AT_ONCE = 200  # deals for which the shares of all words are held


@dataclass(frozen=True)
class Distance:
    """A distance, in [0, 1].

    Attributes:
        observed: between the two sets as they are. The smaller the sets, the larger it is.
        by_chance: what two sets from one distribution exceed with probability `level` at most.
        p_value: how often two such sets are as far apart, in (0, 1].
        size: how far apart the distributions are that the sets were drawn from: the square of what was observed, less
            the mean square of what chance makes. Unbiased in squares for vectors, and for two labels; else nearly so.
    """

    observed: float
    by_chance: float
    p_value: float
    size: float

    @property
    def is_chance(self) -> bool:
        """Whether chance explains what was observed."""
        return self.observed <= self.by_chance + _ROUNDING


class Deals:
    """The pooled texts of two sets, the batch's first, as they are and as they were dealt out again.

    Args:
        batch, reference: how many texts each has, one at least.
        level: the probability with which chance may exceed `Distance.by_chance`, in (0, 1).
    """

    def __init__(self, batch: int, reference: int, level: float) -> None:
        self.level = level
        deals = max(_FEWEST_DEALS, math.ceil(2 / level))
        mine = np.zeros((deals + 1, batch + reference), dtype=bool)
        mine[:, :batch] = True
        mine[1:] = np.random.default_rng(_SEED).permuted(mine[1:], axis=1)
        self.mine = mine
        # Of each deal the difference of the two distributions, as a weight of each text: shape (deals + 1, texts).
        self._weights = np.where(mine, np.float32(1 / batch), np.float32(-1 / reference))

    def of_labels(self, values: Sequence[str]) -> Distance:
        """Total variation: the share of texts whose label would have to change."""
        _, codes = np.unique(np.array(values), return_inverse=True)
        per_value = self._weights @ np.eye(codes.max() + 1, dtype=np.float32)[codes]
        return self._judged(np.abs(per_value).sum(axis=1) / 2)

    def of_lengths(self, lengths: NDArray[Any]) -> Distance:
        """Kolmogorov-Smirnov: how far apart the shares of texts up to some length are, at the length where most."""
        order = np.argsort(lengths, kind="stable")
        last_of_equals = np.flatnonzero(np.diff(lengths[order], append=np.inf))
        below = self._weights[:, order].cumsum(axis=1, dtype=np.float64)[:, last_of_equals]
        return self._judged(np.abs(below).max(axis=1))

    def of_words(self, counts: Any) -> Distance:
        """Jensen-Shannon distance, to base 2, of the words' shares: 0 for the same words as often, 1 for none in
        common.

        Args:
            counts: how often each word is in each text, sparse, shape (texts, words); no text without any.
        """
        found = []
        for start in range(0, len(self.mine), _AT_ONCE):
            mine = self.mine[start : start + _AT_ONCE].T.astype(np.float64)
            found.append(jensenshannon(counts.T @ mine, counts.T @ (1 - mine), base=2, axis=0))
        return self._judged(np.nan_to_num(np.concatenate(found)))  # a rounded-off negative has no root

    def of_vectors(self, vectors: NDArray[Any]) -> Distance:
        """Root of the energy distance, as a share of the distance between texts of the two sets.

        Args:
            vectors: shape (texts, dimensions).
        """
        apart = pairwise_distances(vectors.astype(np.float32)).astype(np.float32)
        energy = -((self._weights @ apart) * self._weights).sum(axis=1, dtype=np.float64)
        between = 2 * float(apart[np.ix_(self.mine[0], ~self.mine[0])].mean(dtype=np.float64))
        return self._judged(np.sqrt(energy.clip(min=0) / between) if between else np.zeros(len(energy)))

    def _judged(self, distances: NDArray[Any]) -> Distance:
        """The first of the distances, beside the others."""
        observed, dealt = float(distances[0]), np.sort(distances[1:])
        place = min(math.ceil((1 - self.level) * (len(dealt) + 1)), len(dealt))
        as_far = len(dealt) - int(np.searchsorted(dealt, observed - _ROUNDING))
        size = math.sqrt(max(0.0, observed**2 - float((dealt**2).mean())))
        return Distance(observed, float(dealt[place - 1]), (1 + as_far) / (1 + len(dealt)), size)


def word_counts(texts: Sequence[str]) -> tuple[Any, list[str]]:
    """How often each of the commonest words is in each text, sparse, shape (texts, words), and the words.

    The last column counts all other words of a text, and for a text without any word its one lack of words, so that no
    text is empty. Words of a single text are among the others.
    """
    import scipy.sparse

    counter = CountVectorizer(analyzer=lambda text: words(text) or [""], min_df=1)
    counts = counter.fit_transform(texts)
    names = counter.get_feature_names_out()
    in_texts, totals = counts.getnnz(axis=0), np.asarray(counts.sum(axis=0)).ravel()
    shared = np.flatnonzero((in_texts > 1) & (names != ""))
    kept = np.sort(shared[np.argsort(-totals[shared], kind="stable")[:_WORDS]])
    others = np.setdiff1d(np.arange(len(names)), kept)
    rest = scipy.sparse.csr_matrix(counts[:, others].sum(axis=1))
    return scipy.sparse.hstack([counts[:, kept], rest]).tocsr(), [*names[kept], ""]
