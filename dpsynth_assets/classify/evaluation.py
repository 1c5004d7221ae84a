"""How good a classifier is, beside what guessing would score.

Every number here is computed from the labels it is given. On a split that the contract declares public, or on
synthetic rows, that is free. On private rows it would be an unmetered release: a private holdout goes through a noisy
statistic of the ledger instead, not through this function.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np

_BINS = 10


class Classifier(Protocol):
    """Anything with classes and probabilities."""

    @property
    def classes(self) -> tuple[str, ...]: ...

    def predict_proba(self, embeddings: np.ndarray) -> np.ndarray: ...


def evaluate(head: Classifier, embeddings: np.ndarray, labels: Sequence[str]) -> dict[str, Any]:
    """Figures of a classifier on labelled *public or synthetic* rows, as plain data.

    `accuracy` comes with its 95 % Wilson interval; `macro_f1` is the mean over classes that occur in the truth or the
    prediction; `majority_baseline` always says the commonest label of these rows, `chance_baseline` guesses evenly;
    `calibration_error` is the mean gap between confidence and accuracy over ten bins. `confusion` counts the true label
    by row and the predicted one by column.
    """
    import numpy as np

    classes = head.classes
    places = {name: place for place, name in enumerate(classes)}
    unknown = sum(label not in places for label in labels)
    if unknown:
        raise ValueError(f"{unknown} of {len(labels)} test labels are none of the classifier's {len(classes)} classes")
    if not len(labels) or len(labels) != len(embeddings):
        raise ValueError(f"{len(labels)} labels need as many vectors (at least one), not {len(embeddings)}")
    truth = np.array([places[label] for label in labels])
    chances = head.predict_proba(embeddings)
    guess = chances.argmax(axis=1)
    confusion = np.zeros((len(classes), len(classes)), dtype=np.int64)
    np.add.at(confusion, (truth, guess), 1)
    n, right = len(truth), int((truth == guess).sum())
    per_class = [_figures_of_class(name, confusion, place) for place, name in enumerate(classes)]
    low, high = _wilson(right, n)
    return {
        "n": n,
        "accuracy": right / n,
        "accuracy_low": low,
        "accuracy_high": high,
        "macro_f1": float(np.mean([row["f1"] for row in per_class if row["n"] or row["predicted"]])),
        "majority_baseline": int(confusion.sum(axis=1).max()) / n,
        "chance_baseline": 1 / len(classes),
        "calibration_error": _calibration_error(chances.max(axis=1), truth == guess),
        "per_class": per_class,
        "confusion": {"labels": list(classes), "counts": confusion.tolist()},
    }


def markdown(figures: Mapping[str, Any]) -> str:
    """The figures as two Markdown tables: per class, and the confusion of truth (rows) with prediction (columns)."""
    head = ["label", "rows", "recall", "precision", "F1"]
    body = [
        [row["label"], f"{row['n']:,}", *(f"{row[key]:.3f}" for key in ("recall", "precision", "f1"))]
        for row in figures["per_class"]
    ]
    labels = figures["confusion"]["labels"]
    counts = [[name, *map(str, row)] for name, row in zip(labels, figures["confusion"]["counts"], strict=True)]
    return _table(head, body) + "\n\n" + _table(["truth, predicted:", *labels], counts)


def _table(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    rule = ["---", *("--:" for _ in head[1:])]
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, rule, *body])


def _figures_of_class(name: str, confusion: np.ndarray, place: int) -> dict[str, Any]:
    rows, predicted = int(confusion[place].sum()), int(confusion[:, place].sum())
    right = int(confusion[place, place])
    return {
        "label": name,
        "n": rows,
        "predicted": predicted,
        "recall": right / rows if rows else 0.0,
        "precision": right / predicted if predicted else 0.0,
        "f1": 2 * right / (rows + predicted) if rows + predicted else 0.0,
    }


def _wilson(right: int, n: int, z: float = 1.959964) -> tuple[float, float]:
    share, scale = right / n, 1 + z * z / n
    middle = (share + z * z / (2 * n)) / scale
    reach = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / scale
    return max(0.0, middle - reach), min(1.0, middle + reach)


def _calibration_error(confidence: np.ndarray, right: np.ndarray) -> float:
    import numpy as np

    bins = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
    gaps = [abs(confidence[bins == b].sum() - right[bins == b].sum()) for b in range(_BINS)]
    return float(sum(gaps) / len(right))
