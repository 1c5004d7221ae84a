"""A logistic-regression head on the encoder's vectors: small, deterministic, saved without pickle.

`train_head` is for *synthetic* rows only (or public ones), regularisation and temperature included: choosing them on
sensitive rows would be an unmetered use of those. That makes a head post-processing of a release, which it may be
shipped and queried as freely as. On sensitive rows `dpsynth_assets.classify.dp_training` trains one with DP-SGD.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load, save
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.model_selection import StratifiedKFold

from dpsynth_assets.classify import storage
from dpsynth_assets.classify.errors import ClassifierError
from dpsynth_assets.classify.holdout import (
    class_codes,
    class_targets,
    class_weights,
    present_classes,
    temperature,
)

KIND = "minilm"
STRENGTHS = (0.1, 1.0, 10.0, 100.0)  # inverse regularisation, on vectors of length one
Beside = Callable[[Sequence[int], Sequence[int]], "tuple[np.ndarray, Sequence[str]]"]
"""Vectors and labels of rows to fit beside those at the first places, where those at the second are judged by."""

_FOLDS = 3
_LIKELIEST = 8  # classes that a row can count for: with 77 of them, 77 copies of each row would fill the memory
_FOLD_ROWS = 4_000  # more rows do not change which strength wins, only how long it takes to find out


@dataclass(frozen=True, eq=False)
class Head:
    """A linear classifier over `classes`, in the contract's order. A class without a training row is never predicted.

    `facts` are numbers and names for the record: rows, seed, chosen strength, cross-validated scores, provenance.
    """

    classes: tuple[str, ...]
    weights: np.ndarray
    bias: np.ndarray
    facts: Mapping[str, Any] = field(default_factory=dict)

    def predict_proba(self, embeddings: np.ndarray) -> np.ndarray:
        """One row per vector, one column per class."""
        return np.asarray(softmax(np.asarray(embeddings, dtype=np.float64) @ self.weights.T + self.bias, axis=1))

    def predict(self, embeddings: np.ndarray) -> list[str]:
        """The likeliest class of each vector."""
        return [self.classes[i] for i in self.predict_proba(embeddings).argmax(axis=1)]

    def save(self, folder: Path) -> None:
        """Write it to a folder (see `dpsynth_assets.classify.storage`)."""
        about = {"kind": KIND, "classes": list(self.classes), "facts": dict(self.facts)}
        storage.save(folder, save({"weights": self.weights, "bias": self.bias}), about)

    @classmethod
    def load(cls, folder: Path) -> Head:
        """Read it back; files that do not belong together are refused."""
        weights, about = storage.load(folder)
        arrays = load(weights)
        return cls(tuple(about["classes"]), arrays["weights"], arrays["bias"], about["facts"])


def train_head(
    embeddings: np.ndarray,
    labels: Sequence[str],
    classes: Sequence[str],
    seed: int,
    *,
    strengths: Sequence[float] = STRENGTHS,
    provenance: Mapping[str, str] | None = None,
    beside: Beside | None = None,
    targets: np.ndarray | None = None,
) -> Head:
    """Fit a head on vectors of synthetic rows. `provenance` (release, corpus digest) is kept with it.

    `beside` gives rows that are fitted beside some of these; only rows that were passed here are ever judged by.
    `targets`, shape (rows, classes), are fitted in place of the labels; F1 is of the labels all the same.

    Classes weigh alike however many rows they have, because a noisy histogram sets the synthetic proportions. The
    strength (one of `strengths`, as scikit-learn's C) and the temperature of the scores are chosen by cross-validation;
    the head itself is then fitted to all rows. The same input and seed give the same head; another seed cuts other
    folds, which changes little.

    Raises:
        ClassifierError: the rows cannot train a classifier.
    """
    matrix = np.asarray(embeddings, dtype=np.float64)
    codes = class_codes(labels, classes)
    if matrix.ndim != 2 or len(matrix) != len(codes):
        raise ClassifierError(f"{len(codes)} labels need as many vectors, not an array of shape {matrix.shape}")
    if not np.isfinite(matrix).all():
        raise ClassifierError("a vector is not finite; encode the texts again")
    present_classes(codes, classes)
    own = class_targets(codes, len(classes), targets)

    def with_others(train: np.ndarray, judged: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if beside is None:
            return matrix[train], own[train]
        vectors, names = beside(train.tolist(), judged.tolist())
        others = np.asarray(vectors, dtype=np.float64).reshape(len(names), matrix.shape[1])
        theirs = class_targets(class_codes(names, classes), len(classes))
        return np.concatenate([matrix[train], others]), np.concatenate([own[train], theirs])

    strength, scores, best_temperature = _choose(matrix, codes, own, strengths, seed, with_others)
    everything, wanted = with_others(np.arange(len(codes)), np.arange(0))
    fitted = _fit(everything, wanted, strength)
    present = fitted.classes_
    weights = np.zeros((len(classes), matrix.shape[1]))
    bias = np.full(len(classes), -np.inf)
    if len(present) == 2:  # scikit-learn keeps one row then, the second class's margin
        weights[present[1]], bias[present] = fitted.coef_[0], (0.0, fitted.intercept_[0])
    else:
        weights[present], bias[present] = fitted.coef_, fitted.intercept_
    facts = {
        "rows": len(codes),
        "rows_beside": len(wanted) - len(codes),
        "dimension": matrix.shape[1],
        "seed": seed,
        "strength": strength,
        "temperature": best_temperature,
        "cross_validated_macro_f1": scores,
        "classes_without_rows": [name for i, name in enumerate(classes) if i not in present],
        "provenance": dict(provenance or {}),
    }
    return Head(tuple(classes), weights / best_temperature, bias / best_temperature, facts)


def _choose(
    matrix: np.ndarray,
    codes: np.ndarray,
    targets: np.ndarray,
    strengths: Sequence[float],
    seed: int,
    with_others: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]],
) -> tuple[float, dict[str, float], float]:
    """The strength with the best macro F1 over folds of the synthetic rows (of equals, the most regularised), all
    their scores, and the temperature that fits the targets outside each fold's fit best.

    `with_others` gives vectors and targets that are fitted for the rows at some places, where those at others are
    judged by.
    """
    rows = np.random.default_rng(seed).permutation(len(codes))[:_FOLD_ROWS]
    counts = np.bincount(codes[rows])
    rows = rows[counts[codes[rows]] >= _FOLDS]  # a class with fewer rows cannot stand in every fold
    present = np.unique(codes[rows])
    if len(present) < 2:
        return (1.0 if 1.0 in strengths else strengths[0]), {}, 1.0
    folds = []
    for train, held_out in StratifiedKFold(_FOLDS, shuffle=True, random_state=seed).split(matrix[rows], codes[rows]):
        fold_matrix, fold_targets = with_others(rows[train], rows[held_out])
        comparable = fold_targets[:, present].sum(axis=1) > 0
        fold_targets = np.where(np.isin(np.arange(fold_targets.shape[1]), present), fold_targets, 0)
        folds.append((fold_matrix[comparable], fold_targets[comparable], held_out))
    scores, margins = {}, {}
    for strength in strengths:
        found = []
        outside = np.zeros((len(rows), len(present)))
        for fold_matrix, fold_targets, held_out in folds:
            fitted = _fit(fold_matrix, fold_targets, strength)
            margin = fitted.decision_function(matrix[rows[held_out]])
            outside[held_out] = np.stack([np.zeros_like(margin), margin], axis=1) if margin.ndim == 1 else margin
            predicted = present[outside[held_out].argmax(axis=1)]
            found.append(f1_score(codes[rows[held_out]], predicted, average="macro", zero_division=0))
        scores[strength], margins[strength] = float(np.mean(found)), outside
    best = max(strengths, key=lambda strength: (round(scores[strength], 4), -strength))
    named = {f"{strength:g}": score for strength, score in scores.items()}
    return best, named, temperature(margins[best], targets[np.ix_(rows, present)])


def _fit(matrix: np.ndarray, targets: np.ndarray, strength: float) -> Any:
    """A row counts once for each of its likeliest classes, as much as that class' target; together all classes count
    alike."""
    if targets.shape[1] > _LIKELIEST:
        least = np.partition(targets, -_LIKELIEST, axis=1)[:, [-_LIKELIEST]]
        targets = np.where(targets >= least, targets, 0)
        targets = targets / targets.sum(axis=1, keepdims=True)
    rows, codes = targets.nonzero()
    weights = targets[rows, codes] * class_weights(targets)[codes]
    return LogisticRegression(C=strength, max_iter=5_000).fit(matrix[rows], codes, sample_weight=weights)
