"""How good a classifier is, beside what guessing would score.

Every number here is computed from the labels it is given. On a split that the contract declares public, or on
synthetic rows, that is free. On private rows it would be an unmetered release: a private holdout goes through a noisy
statistic of the ledger instead, not through this function.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from scipy.stats import t
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from dpsynth_assets import markdown as tables
from dpsynth_assets.markdown import escaped

_BINS = 10


class Classifier(Protocol):
    """Anything with classes that gives texts (or vectors of them) their chances, shape (examples, classes)."""

    @property
    def classes(self) -> tuple[str, ...]: ...

    def predict_proba(self, examples: Any, /) -> np.ndarray: ...


def evaluate(classifier: Classifier, examples: Any, labels: Sequence[str]) -> dict[str, Any]:
    """Figures of a classifier on labelled *public or synthetic* examples, as plain data.

    `accuracy` comes with its 95 % Wilson interval; `macro_f1` is the mean over classes that occur in the truth or the
    prediction; `majority_baseline` always says the commonest label of these rows, `chance_baseline` guesses evenly;
    `calibration_error` is the mean gap between confidence and accuracy over ten bins. `confusion` counts the true label
    by row and the predicted one by column.
    """
    classes = classifier.classes
    places = {name: place for place, name in enumerate(classes)}
    unknown = sum(label not in places for label in labels)
    if unknown:
        raise ValueError(f"{unknown} of {len(labels)} test labels are none of the classifier's {len(classes)} classes")
    if not len(labels) or len(labels) != len(examples):
        raise ValueError(f"{len(labels)} labels need as many examples (at least one), not {len(examples)}")
    truth = np.array([places[label] for label in labels])
    chances = classifier.predict_proba(examples)
    guess = chances.argmax(axis=1)
    every = range(len(classes))
    confusion = confusion_matrix(truth, guess, labels=every)
    n, right = len(truth), int((truth == guess).sum())
    precision, recall, f1, rows = precision_recall_fscore_support(truth, guess, labels=every, zero_division=0)
    columns = {"n": rows, "predicted": confusion.sum(axis=0), "recall": recall, "precision": precision, "f1": f1}
    per_class = [{"label": name} | {key: of[i].item() for key, of in columns.items()} for i, name in enumerate(classes)]
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


def over_seeds(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The figures of several classifiers, alike but for their seed, on the same rows.

    `accuracy`, `macro_f1` and `calibration_error` are means. Two intervals are given, since two things vary:
    `accuracy_low` and `accuracy_high` are the Wilson interval for the test rows there are, `seeds_low` and `seeds_high`
    Student's t interval of the mean over seeds (equal to it for a single seed: nothing is known then). Tables by class
    are those of the first seed, and say so by standing beside `seeds`.
    """
    first = dict(runs[0])
    n = int(first["n"])
    accuracies = [float(run["accuracy"]) for run in runs]
    means = {
        name: statistics.fmean(float(run[name]) for run in runs)
        for name in ("accuracy", "macro_f1", "calibration_error")
    }
    low, high = _wilson(means["accuracy"] * n, n)
    seeds_low, seeds_high = interval_of_mean(accuracies)
    return {
        **first,
        **means,
        "accuracy_low": low,
        "accuracy_high": high,
        "seeds": len(runs),
        "seeds_low": seeds_low,
        "seeds_high": seeds_high,
        "accuracy_by_seed": accuracies,
    }


def table(results: Sequence[Mapping[str, Any]]) -> str:
    """Results (`classifier`, `trained_on`, and the figures of `over_seeds`) as a Markdown table, one line each."""
    head = ["classifier", "trained on", "accuracy", "95 %, test rows", "95 %, seeds", "macro F1", "ECE"]
    body = [
        [
            str(result["classifier"]),
            str(result["trained_on"]),
            f"{result['accuracy']:.1%}",
            f"{result['accuracy_low']:.1%} to {result['accuracy_high']:.1%}",
            f"{result['seeds_low']:.1%} to {result['seeds_high']:.1%}" if result["seeds"] > 1 else "one seed",
            f"{result['macro_f1']:.3f}",
            f"{result['calibration_error']:.3f}",
        ]
        for result in results
    ]
    return _table(head, body, "llr")


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


def _table(head: Sequence[str], body: Sequence[Sequence[str]], align: str = "lr") -> str:
    return tables.table([*map(escaped, head)], [[*map(escaped, row)] for row in body], align)


def interval_of_mean(values: Sequence[float]) -> tuple[float, float]:
    """Student's 95 % interval of the mean; of one value, that value: nothing is known then."""
    mean = statistics.fmean(values)
    if len(values) < 2:
        return mean, mean
    # Not `t.interval`, which has no answer where all values are the same.
    reach = float(t.ppf(0.975, len(values) - 1)) * statistics.stdev(values) / math.sqrt(len(values))
    return mean - reach, mean + reach


def _wilson(right: float, n: int, z: float = 1.959964) -> tuple[float, float]:
    """Not scipy's `binomtest`, which takes whole numbers only: a mean over seeds is none."""
    share, scale = right / n, 1 + z * z / n
    middle = (share + z * z / (2 * n)) / scale
    reach = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / scale
    return max(0.0, middle - reach), min(1.0, middle + reach)


def _calibration_error(confidence: np.ndarray, right: np.ndarray) -> float:
    bins = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
    return float(np.abs(np.bincount(bins, confidence - right)).sum() / len(right))
