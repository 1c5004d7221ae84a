"""MAUVE: how much two sets of texts overlap, as the area under the frontier of two kinds of error.

A text that only the model writes is one kind of error, one that it never writes the other. Vectors of both sets are
quantised together; the frontier is between the two histograms. Source: Pillutla et al. 2021, MAUVE: Measuring the gap
between neural text and human text using divergence frontiers, sections 2 and 3 and appendix C. Departures: the encoder
is whatever made the vectors, not GPT-2's last hidden state, so figures are not those of papers; the frontier is
taken at 99 points in place of 25. Knows vectors, not where they come from. The reference must be public.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import rel_entr
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.preprocessing import normalize

from dpsynth_assets.quality.metrics.vectors import checked

if TYPE_CHECKING:
    from numpy.typing import NDArray

SCALE = 5.0  # the paper's c
_TEXTS_A_CLUSTER = 10
_VARIANCE = 0.9  # what the principal components keep
_POINTS = 99
_SEED = 0


def mauve(ours: NDArray[Any], theirs: NDArray[Any]) -> float:
    """MAUVE in (0, 1]: 1 for the same distribution, near 0 for sets that have nothing in common.

    Two samples of one source are below 1, since each cluster holds a few texts only: about 0.9 at a thousand texts a
    side. Compare figures of the same numbers of texts; below some hundreds a side they are mostly chance.

    Args:
        ours, theirs: sentence vectors, shape (texts, dimensions), at least two rows each.

    Raises:
        MetricError: fewer than two vectors, other dimensions, or a value that is not finite.
    """
    ours, theirs = checked(ours, theirs)
    clusters = _clusters(np.concatenate([ours, theirs]), max(2, round(min(len(ours), len(theirs)) / _TEXTS_A_CLUSTER)))
    count = int(clusters.max()) + 1
    mine = np.bincount(clusters[: len(ours)], minlength=count) / len(ours)
    other = np.bincount(clusters[len(ours) :], minlength=count) / len(theirs)
    return frontier_area(mine, other)


def _clusters(vectors: NDArray[Any], count: int) -> NDArray[Any]:
    """For each vector the number of its cluster: length one, principal components, k-means."""
    vectors = normalize(vectors)
    # Rounded, so that texts which are the same make one point: k-means wants as many points as clusters.
    points = len(np.unique(vectors.round(6), axis=0))
    if points == 1:
        return np.zeros(len(vectors), dtype=np.int64)
    reduced = PCA(n_components=_VARIANCE, svd_solver="full").fit_transform(vectors)
    labels: NDArray[Any] = KMeans(min(count, points), n_init=1, random_state=_SEED).fit_predict(reduced)
    return labels


def frontier_area(mine: NDArray[Any], other: NDArray[Any]) -> float:
    """The area under the divergence frontier of two histograms, `mine` P and `other` Q, each summing to 1.

    The frontier is the curve of `(exp(-c KL(Q|R)), exp(-c KL(P|R)))` over the mixtures R of both (equation 1).
    """
    weights = np.linspace(0, 1, _POINTS + 2)[1:-1][::-1]
    mixtures = [weight * mine + (1 - weight) * other for weight in weights]
    across = [0.0, *(np.exp(-SCALE * rel_entr(other, mixture).sum()) for mixture in mixtures), 1.0]
    up = [1.0, *(np.exp(-SCALE * rel_entr(mine, mixture).sum()) for mixture in mixtures), 0.0]
    return min(1.0, float(np.trapezoid(up, across)))
