"""From synthetic rows to an exported safety classifier: train, quantise, calibrate, certify, compare, write.

The order matters. What gets calibrated and certified is the quantised model; the certification rows are used for the
thresholds and for nothing before them, not even for choosing between students. Every row here is synthetic or declared
public, so nothing here is charged, and everything here may be shown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dpsynth_assets.classify.errors import ClassifierError
from dpsynth_assets.classify.recipes import RECIPES, StoredClassifier
from dpsynth_assets.classify.training_rows import TrainingSet
from dpsynth_assets.progress import Progress
from dpsynth_assets.safety import calibration, export
from dpsynth_assets.safety.rows import CLASSES, Prepared
from dpsynth_assets.safety.threshold import Rows, Targets, Thresholds, choose

if TYPE_CHECKING:
    import numpy as np

    from dpsynth_assets.classify.encoder import Encoder
    from dpsynth_assets.safety.calibration import Platt
    from dpsynth_assets.safety.screening import Screener

MEGABYTE = 1_000_000
_COMPARED = 1_000  # texts at most, of training and validation, on which export and original are compared

Score = Callable[[Sequence[str]], "np.ndarray"]
"""Log-odds of texts being unsafe."""


@dataclass(frozen=True)
class Settled:
    """A classifier's scores made into decisions: calibrated, with thresholds."""

    score: Score
    platt: Platt
    thresholds: Thresholds
    ranking: float

    def probabilities(self, texts: Sequence[str]) -> np.ndarray:
        return self.platt(self.score(texts))


@dataclass(frozen=True)
class Student:
    """An exported student.

    Attributes:
        ranking: average precision on the calibration rows, by which one of several students is chosen.
    """

    name: str
    folder: Path
    screener: Screener
    thresholds: Thresholds
    ranking: float
    bytes: int


@dataclass(frozen=True)
class Students:
    """All that fit the size budget, the chosen one first, and the sizes of those that did not fit."""

    exported: tuple[Student, ...]
    too_large: Mapping[str, int] = field(default_factory=dict)

    @property
    def chosen(self) -> Student:
        return self.exported[0]


def settle(score: Score, rows: Prepared, targets: Targets) -> Settled:
    """Calibrate scores on the calibration rows and choose thresholds, certified on the certification rows.

    Raises:
        ClassifierError: the scores do not tell safe rows from unsafe ones at all.
    """
    from sklearn.metrics import average_precision_score

    scores = score(rows.calibration.texts)
    platt = calibration.fit(scores, rows.calibration.unsafe)
    thresholds = choose(
        Rows(platt(scores), rows.calibration.unsafe),
        Rows(platt(score(rows.certification.texts)), rows.certification.unsafe),
        targets,
    )
    ranking = float(average_precision_score(rows.calibration.unsafe, scores))
    return Settled(score, platt, thresholds, ranking)


def train(
    student: str, rows: Prepared, seed: int, encoder: Encoder | None, progress: Progress | None = None
) -> StoredClassifier:
    """A student of the two classes safe and unsafe, of a teacher's probabilities where one was asked (distillation:
    Hinton et al. 2015, "Distilling the Knowledge in a Neural Network", section 2, at temperature 1)."""
    training_set = TrainingSet(rows.train.texts, rows.train.labels, CLASSES, targets=rows.targets)
    return RECIPES[student].train(training_set, seed, encoder=encoder, progress=progress)


def build(
    students: Sequence[str],
    rows: Prepared,
    targets: Targets,
    folder: Path,
    *,
    seed: int,
    max_bytes: int,
    about: Mapping[str, Any],
    encoder: Encoder | None = None,
    progress: Progress | None = None,
) -> Students:
    """Train each student and export those that fit the size budget to `folder`/<student>.

    The chosen one is the best at ranking the calibration rows, not at what the certification rows are for.

    Args:
        about: entries for the manifests: labels, guarantee, receipts, intended use, limits.

    Raises:
        ClassifierError: no student fits, or one cannot be trained or exported as it was trained.
    """
    exported, too_large = [], {}
    for name in students:
        trained = train(name, rows, seed, encoder, progress)
        model = export.small(name, trained)
        if model.bytes > max_bytes:
            too_large[name] = model.bytes
            continue
        settled = settle(model.log_odds, rows, targets)
        screener = export.write(model, settled.platt, settled.thresholds, about, folder / name)
        compared = [*rows.validation.texts, *rows.train.texts][:_COMPARED]
        agreed = export.parity(settled.platt(export.log_odds(trained, compared)), screener, compared)
        screener = export.amend(folder / name, {"parity": agreed})
        size = int(screener.manifest["bytes"])
        exported.append(Student(name, folder / name, screener, settled.thresholds, settled.ranking, size))
    if not exported:
        sizes = ", ".join(f"{name} {size / MEGABYTE:.1f} MB" for name, size in too_large.items())
        raise ClassifierError(
            f"no student fits into {max_bytes / MEGABYTE:g} MB ({sizes}): raise max_megabytes, or name a smaller one"
        )
    exported.sort(key=lambda student: -student.ranking)  # of equals, the one named first
    return Students(tuple(exported), too_large)
