"""A logistic-regression head on the encoder's vectors: small, deterministic, saved without pickle.

It is trained on *synthetic* rows only, regularisation included: choosing it on real rows would be an unmetered use of
them. That makes it post-processing of a release, which it may be shipped and queried as freely as. `dpsynth_assets.
classify.evaluation` measures it.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dpsynth_assets.classify.evaluation import evaluate

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Head", "HeadError", "evaluate", "train_head"]

FORMAT = 1
_STRENGTHS = (0.1, 1.0, 10.0, 100.0)  # inverse regularisation, on vectors of length one
_FOLDS = 3
_FOLD_ROWS = 4_000  # more rows do not change which strength wins, only how long it takes to find out


class HeadError(ValueError):
    """Rows that cannot train a classifier, or a stored one that cannot be used."""


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
        import numpy as np

        scores = np.asarray(embeddings, dtype=np.float64) @ self.weights.T + self.bias
        scores -= scores.max(axis=1, keepdims=True)
        powers = np.exp(scores)
        return np.asarray(powers / powers.sum(axis=1, keepdims=True))

    def predict(self, embeddings: np.ndarray) -> list[str]:
        """The likeliest class of each vector."""
        return [self.classes[i] for i in self.predict_proba(embeddings).argmax(axis=1)]

    def save(self, folder: Path) -> None:
        """Write `head.safetensors` and, as the last step, `head.json`, which names the weights by digest."""
        from safetensors.numpy import save

        folder.mkdir(parents=True, exist_ok=True)
        tensors = save({"weights": self.weights, "bias": self.bias})
        about = {
            "format": FORMAT,
            "classes": list(self.classes),
            "facts": dict(self.facts),
            "sha256": hashlib.sha256(tensors).hexdigest(),
        }
        _replace(folder / "head.safetensors", tensors)
        _replace(folder / "head.json", (json.dumps(about, indent=2, allow_nan=False) + "\n").encode())

    @classmethod
    def load(cls, folder: Path) -> Head:
        """Read it back; files that do not belong together are refused."""
        from safetensors.numpy import load

        try:
            about = json.loads((folder / "head.json").read_text(encoding="utf-8"))
            tensors = (folder / "head.safetensors").read_bytes()
            known, digest, classes = about["format"] == FORMAT, about["sha256"], tuple(about["classes"])
        except FileNotFoundError as error:
            raise HeadError(f"no classifier in {folder}: {Path(error.filename).name} is missing; train it") from None
        except (KeyError, TypeError, ValueError):
            raise HeadError(f"{folder}/head.json cannot be read; train the classifier again") from None
        if not known or hashlib.sha256(tensors).hexdigest() != digest:
            raise HeadError(f"{folder} holds weights other than head.json says; train the classifier again")
        arrays = load(tensors)
        return cls(classes, arrays["weights"], arrays["bias"], about.get("facts", {}))


def train_head(
    embeddings: np.ndarray,
    labels: Sequence[str],
    classes: Sequence[str],
    seed: int,
    *,
    provenance: Mapping[str, str] | None = None,
) -> Head:
    """Fit a head on vectors of synthetic rows. `provenance` (release, corpus digest) is kept with it.

    Classes weigh alike however many rows they have, because a noisy histogram sets the synthetic proportions. The same
    input and seed give the same head.
    """
    import numpy as np

    matrix = np.asarray(embeddings, dtype=np.float64)
    codes = _codes(labels, classes)
    if matrix.ndim != 2 or len(matrix) != len(codes):
        raise HeadError(f"{len(codes)} labels need as many vectors, not an array of shape {matrix.shape}")
    if not np.isfinite(matrix).all():
        raise HeadError("a vector is not finite; encode the texts again")
    present = np.unique(codes)
    if len(present) < 2:
        raise HeadError(
            f"a classifier needs rows of at least two of the {len(classes)} classes, but only {len(present)} occurs; "
            "generate more rows, or rows of more labels"
        )
    strength, scores = _choose_strength(matrix, codes, seed)
    fitted = _fit(matrix, codes, strength)
    weights = np.zeros((len(classes), matrix.shape[1]))
    bias = np.full(len(classes), -np.inf)
    if len(present) == 2:  # scikit-learn keeps one row then, the second class's margin
        weights[present[1]], bias[present] = fitted.coef_[0], (0.0, fitted.intercept_[0])
    else:
        weights[present], bias[present] = fitted.coef_, fitted.intercept_
    facts = {
        "rows": len(codes),
        "dimension": matrix.shape[1],
        "seed": seed,
        "strength": strength,
        "cross_validated_macro_f1": scores,
        "classes_without_rows": [name for i, name in enumerate(classes) if i not in present],
        "provenance": dict(provenance or {}),
    }
    return Head(tuple(classes), weights, bias, facts)


def _codes(labels: Sequence[str], classes: Sequence[str]) -> np.ndarray:
    import numpy as np

    if len(set(classes)) != len(classes):
        raise HeadError("the classes must be distinct")
    places = {name: place for place, name in enumerate(classes)}
    unknown = sum(label not in places for label in labels)
    if unknown:
        raise HeadError(f"{unknown} of {len(labels)} labels are none of the {len(classes)} declared classes")
    return np.array([places[label] for label in labels], dtype=np.int64)


def _choose_strength(matrix: np.ndarray, codes: np.ndarray, seed: int) -> tuple[float, dict[str, float]]:
    """The strength with the best macro F1 over folds of the synthetic rows; of equals, the most regularised."""
    import numpy as np
    from sklearn.metrics import f1_score
    from sklearn.model_selection import StratifiedKFold

    rows = np.random.default_rng(seed).permutation(len(codes))[:_FOLD_ROWS]
    matrix, codes = matrix[rows], codes[rows]
    counts = np.bincount(codes)
    kept = counts[codes] >= _FOLDS  # a class with fewer rows cannot stand in every fold
    matrix, codes = matrix[kept], codes[kept]
    if len(np.unique(codes)) < 2:
        return 1.0, {}
    folds = list(StratifiedKFold(_FOLDS, shuffle=True, random_state=seed).split(matrix, codes))
    scores = {}
    for strength in _STRENGTHS:
        found = []
        for train, held_out in folds:
            predicted = _fit(matrix[train], codes[train], strength).predict(matrix[held_out])
            found.append(f1_score(codes[held_out], predicted, average="macro", zero_division=0))
        scores[strength] = float(np.mean(found))
    best = max(_STRENGTHS, key=lambda strength: (round(scores[strength], 4), -strength))
    return best, {f"{strength:g}": score for strength, score in scores.items()}


def _fit(matrix: np.ndarray, codes: np.ndarray, strength: float) -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=strength, class_weight="balanced", max_iter=5_000).fit(matrix, codes)


def _replace(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_bytes(content)
    temporary.replace(path)
