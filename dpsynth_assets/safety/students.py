"""From synthetic rows to an exported safety classifier: train, quantise, calibrate, certify, compare, write.

The order matters. What gets calibrated and certified is the quantised model; the certification rows are used for the
thresholds and for nothing before them, not even for choosing between students. Every row here is synthetic or declared
public, so nothing here is charged, and everything here may be shown.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sklearn.metrics import average_precision_score

from dpsynth_assets.classify.contracted import load_teacher
from dpsynth_assets.classify.encoder import Encoder, Remembered
from dpsynth_assets.classify.errors import ClassifierError
from dpsynth_assets.classify.recipes import RECIPES, StoredClassifier
from dpsynth_assets.classify.training_rows import UNSAFE, Labelled, TrainingSet
from dpsynth_assets.progress import Progress
from dpsynth_assets.safety import calibration, export, functional
from dpsynth_assets.safety.figures import latency
from dpsynth_assets.safety.manifest import Table, manifest
from dpsynth_assets.safety.rows import CLASSES, Prepared, Teacher, labelled_rows, prepared, public_halves
from dpsynth_assets.safety.terms import terms_of
from dpsynth_assets.safety.threshold import Rows, Targets, Thresholds, choose

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from dpsynth_assets.contract import Contract
    from dpsynth_assets.safety.calibration import Platt
    from dpsynth_assets.safety.screening import Screener

FACTS = "safety.json"
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


def targets_of(contract: Contract) -> Targets:
    """What the contract's thresholds are chosen for."""
    terms = terms_of(contract)
    return Targets(terms.precision, terms.recall, terms.confidence)


def make(
    contract: Contract,
    table: Table,
    folder: Path,
    *,
    tested: pd.DataFrame | None,
    mix: pd.DataFrame | None,
    labeller: Path | None,
    progress: Progress,
) -> tuple[Students, dict[str, Any]]:
    """The contract's safety classifier, of a published table: an exported folder for each student, and facts that were
    measured without test rows, the chosen student first, which lie beside them.

    Args:
        tested: the public test split, where half of it sets the thresholds.
        mix: public rows to train on too.
        labeller: where the one lies that teaches, where the contract wants that.

    Raises:
        ClassifierError: no student fits, or one cannot be trained or exported as it was trained.
    """
    terms, encoder = terms_of(contract), Remembered(export.device_encoder())
    own = labelled_rows(contract, table.rows, contract.privacy.text.column)
    validation = None if tested is None else public_halves(contract, tested)[0]
    rows = prepared(contract, own, validation, mix, encoder, _teacher(contract, labeller, encoder))
    students = build(
        terms.students,
        rows,
        targets_of(contract),
        folder,
        seed=contract.privacy.generation.seed,
        max_bytes=int(terms.max_megabytes * MEGABYTE),
        about=manifest(contract, table, rows),
        encoder=encoder,
        progress=progress,
    )
    facts = {
        "students": [
            {
                "student": each.name,
                "bytes": each.bytes,
                "parity": each.screener.manifest["parity"],
                "latency": latency(each.screener, rows.validation.texts),
                "functional_tests": functional.run(
                    terms.functional_tests, each.screener.probabilities, each.thresholds
                ),
                "thresholds": each.thresholds.to_json(),
            }
            for each in students.exported
        ],
        "too_large": dict(students.too_large),
        "rows": {name: len(getattr(rows, name)) for name in ("train", "calibration", "certification")},
    }
    (folder / FACTS).write_text(json.dumps(facts, indent=2), encoding="utf-8")
    return students, facts


def _teacher(contract: Contract, labeller: Path | None, encoder: Encoder) -> Teacher | None:
    """What teaches the students: the labeller that judged this very corpus, whose charge is in its receipt, or a head
    that is trained on the labels of the rows themselves.

    Raises:
        ClassifierError: the labeller predicts another label than the contract does now.
    """
    terms = terms_of(contract)
    if labeller is not None:
        judge = load_teacher(contract, labeller, encoder)
        return lambda rows: judge.predict_proba(rows.texts)[:, judge.classes.index(terms.unsafe)]
    if terms.teacher is None:
        return None

    def by_labels(rows: Labelled) -> np.ndarray:
        seed = contract.privacy.generation.seed
        head = RECIPES["minilm"].train(TrainingSet(rows.texts, rows.labels, CLASSES), seed, encoder=encoder)
        return head.predict_proba(rows.texts)[:, CLASSES.index(UNSAFE)]

    return by_labels
