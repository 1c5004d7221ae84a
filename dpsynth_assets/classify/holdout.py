"""What is decided on rows that were held out of training: the split, class weights, and a temperature for the scores.

Every row here is *synthetic* (or declared public). Choosing anything on sensitive rows would be a release of its own.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from dpsynth_assets.classify.errors import ClassifierError

# Scores are never sharpened or flattened more than this: a handful of held-out rows without a mistake would otherwise
# ask for certainty.
_COLDEST, _HOTTEST = 0.1, 10.0


def class_codes(labels: Sequence[str], classes: Sequence[str]) -> np.ndarray:
    """The place of each label among `classes`, shape (rows,).

    Raises:
        ClassifierError: the classes are not distinct, or a label is none of them.
    """
    if len(set(classes)) != len(classes):
        raise ClassifierError("the classes must be distinct")
    places = {name: place for place, name in enumerate(classes)}
    unknown = sum(label not in places for label in labels)
    if unknown:
        raise ClassifierError(f"{unknown} of {len(labels)} labels are none of the {len(classes)} declared classes")
    return np.array([places[label] for label in labels], dtype=np.int64)


def present_classes(codes: np.ndarray, classes: Sequence[str]) -> np.ndarray:
    """The codes that occur, ascending.

    Raises:
        ClassifierError: fewer than two of them do.
    """
    present = np.unique(codes)
    if len(present) < 2:
        raise ClassifierError(
            f"a classifier needs rows of at least two of the {len(classes)} classes, but only {len(present)} occurs; "
            "generate more rows, or rows of more labels"
        )
    return present


def split(codes: np.ndarray, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers to train on and to validate on, class by class. A class with a single row is trained on only."""
    rng = np.random.default_rng(seed)
    train, held_out = [], []
    for code in np.unique(codes):
        rows = rng.permutation(np.flatnonzero(codes == code))
        cut = max(1, round(share * len(rows))) if len(rows) > 1 else 0
        held_out.append(rows[:cut])
        train.append(rows[cut:])
    return np.sort(np.concatenate(train)), np.sort(np.concatenate(held_out))


def class_targets(codes: np.ndarray, classes: int, targets: np.ndarray | None = None) -> np.ndarray:
    """What is to be learned of each row: `targets` if there are some, or certainty of its label. Shape (rows, classes).

    Raises:
        ClassifierError: the targets are not a probability of every class for every row.
    """
    if targets is None:
        return np.asarray(np.eye(classes)[codes])
    if targets.shape != (len(codes), classes):
        raise ClassifierError(f"{len(codes)} rows of {classes} classes have targets of shape {targets.shape}")
    if not (np.isfinite(targets).all() and (targets >= 0).all() and np.allclose(targets.sum(axis=1), 1)):
        raise ClassifierError("a row's targets are not probabilities that add up to 1")
    return targets


def class_weights(targets: np.ndarray) -> np.ndarray:
    """Weights by which all classes that occur count alike, shape (classes,); their mean over the rows is 1.

    A noisy histogram sets the proportions of synthetic rows, so those are no reason to prefer a class.
    """
    mass = targets.sum(axis=0)
    present = mass > 0
    return np.where(present, len(targets) / present.sum() / np.where(present, mass, 1), 0.0)


def temperature(scores: np.ndarray, targets: np.ndarray) -> float:
    """The T for which softmax(scores / T) fits held-out targets best, by mean log-likelihood (Guo et al. 2017, 4.2).

    Dividing scores by T changes no decision, only how sure the classifier says it is. Both have shape (rows, classes);
    `scores` may hold -inf for classes that never occur. Without rows T is 1.
    """
    if not len(targets):
        return 1.0

    def loss(log_temperature: float) -> float:
        likelihoods = log_softmax(scores / np.exp(log_temperature), axis=1)
        return -float((targets * np.where(targets > 0, likelihoods, 0)).sum(axis=1).mean())

    found = minimize_scalar(loss, bounds=(np.log(_COLDEST), np.log(_HOTTEST)), method="bounded")
    return float(np.exp(found.x))
