"""How far a corpus is from public texts in a space of sentence vectors: Fréchet distance and nearest neighbours.

Knows vectors, not where they come from. What is said here holds for the encoder that made them, and figures of two
encoders cannot be compared. The reference must be public.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.covariance import ledoit_wolf
from sklearn.metrics import pairwise_distances_argmin_min

from dpsynth_assets.quality.metrics.words import MetricError

if TYPE_CHECKING:
    from numpy.typing import NDArray


def frechet_distance(ours: NDArray[Any], theirs: NDArray[Any]) -> float:
    """The squared Fréchet distance between the Gaussians that fit the two sets of vectors; 0 where they are the same.

    `|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2))`, in squared units of the space: sentence vectors of length one are
    at most 2 apart, so it lies in [0, 4], and below 1 for texts in one language. Covariances are shrunk (Ledoit and
    Wolf 2004), so that they are regular with fewer vectors than dimensions; with fewer than about as many, shrinkage
    says more than the texts do, and two samples of one source are not at 0. Source: Heusel et al. 2017, GANs trained by
    a two time-scale update rule, section 4; for sentence vectors Semeniuk et al. 2018.

    Args:
        ours, theirs: shape (texts, dimensions), at least two rows each.

    Raises:
        MetricError: fewer than two vectors, other dimensions, or a value that is not finite.
    """
    ours, theirs = checked(ours, theirs)
    (mine, _), (other, _) = ledoit_wolf(ours), ledoit_wolf(theirs)
    # The trace of a root is the sum of the eigenvalues' roots; here these are not negative, but for rounding.
    cross = np.sqrt(np.linalg.eigvals(mine @ other).real.clip(0)).sum()
    apart = ours.mean(axis=0) - theirs.mean(axis=0)
    return max(0.0, float(apart @ apart + np.trace(mine) + np.trace(other) - 2 * cross))


def nearest_neighbour_similarity(ours: NDArray[Any], theirs: NDArray[Any]) -> float:
    """The mean, over our vectors, of the cosine to the nearest of theirs, in [-1, 1].

    Low where the corpus writes what the reference does not; near 1 where it repeats the reference. It grows with the
    size of the reference. Source: the precision side of Kynkäänniemi et al. 2019, Improved precision and recall
    metric for assessing generative models, with the distance itself in place of a radius.

    Raises:
        MetricError: fewer than two vectors, other dimensions, or a value that is not finite.
    """
    return float(similarities(ours, theirs).mean())


def similarities(ours: NDArray[Any], theirs: NDArray[Any]) -> NDArray[np.float64]:
    """For each of our vectors the cosine to the nearest of theirs. Raises as `nearest_neighbour_similarity`."""
    _, distances = pairwise_distances_argmin_min(*checked(ours, theirs), metric="cosine")
    return np.asarray(1 - distances, dtype=np.float64)


def checked(ours: NDArray[Any], theirs: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both sets in float64, of one dimension, finite, and of two rows at least."""
    sides = tuple(np.asarray(side, dtype=np.float64) for side in (ours, theirs))
    if any(side.ndim != 2 or len(side) < 2 for side in sides):
        raise MetricError("vectors are compared with at least two on each side")
    if sides[0].shape[1] != sides[1].shape[1]:
        raise MetricError(f"vectors of {sides[0].shape[1]} and {sides[1].shape[1]} dimensions cannot be compared")
    if not all(np.isfinite(side).all() for side in sides):
        raise MetricError("a vector holds a value that is not finite")
    return sides[0], sides[1]
