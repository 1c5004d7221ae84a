"""A contract's safety classifier on its public test split: as it is exported, beside what it could have been.

The exported model itself is measured, at its own thresholds. Others are calibrated and get thresholds on the rows that
it got them on. Everything measured here is measured on public rows.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dpsynth_assets.classify import encoder as encoders
from dpsynth_assets.classify.encoder import Remembered
from dpsynth_assets.classify.errors import ClassifierError
from dpsynth_assets.classify.recipes import load_classifier
from dpsynth_assets.classify.results import FIGURES, REAL, REAL_WITH_DP, SYNTHETIC
from dpsynth_assets.classify.training_rows import Labelled
from dpsynth_assets.progress import Progress
from dpsynth_assets.releases.classifiers import CLASSIFIER
from dpsynth_assets.safety import students
from dpsynth_assets.safety.export import log_odds
from dpsynth_assets.safety.figures import figures, plot_calibration, plot_precision_recall
from dpsynth_assets.safety.rows import Prepared, labelled_rows, prepared, public_halves
from dpsynth_assets.safety.screening import Screener
from dpsynth_assets.safety.terms import terms_of
from dpsynth_assets.safety.threshold import Rows, Thresholds, thresholds_from

if TYPE_CHECKING:
    import pandas as pd

    from dpsynth_assets.contract import Contract

CURVE, CALIBRATION = "precision_recall.png", "calibration.png"


@dataclass(frozen=True)
class Judged:
    """A classifier's probabilities on the test rows, its thresholds, and the figures they come to."""

    rows: Rows
    thresholds: Thresholds
    result: dict[str, Any]

    @property
    def name(self) -> str:
        return f"{self.result['classifier']}, {self.result['trained_on']}"


@dataclass(frozen=True)
class Compared:
    """What was measured, the chosen student first, and why another classifier could not be."""

    judged: Sequence[Judged]
    left_out: Mapping[str, str] = field(default_factory=dict)

    @property
    def results(self) -> list[dict[str, Any]]:
        return [each.result for each in self.judged]

    def save(self, folder: Path, precision: float) -> None:
        """Keep figures and plots in a folder; `precision` is what was aimed at."""
        (folder / FIGURES).write_text(json.dumps(self.results, indent=2), encoding="utf-8")
        curves = {each.name: (each.rows, each.thresholds) for each in self.judged}
        plot_precision_recall(curves, precision, folder / CURVE)
        plot_calibration({name: rows for name, (rows, _) in curves.items()}, folder / CALIBRATION)


def compare(
    contract: Contract,
    tested: pd.DataFrame,
    exported: Path,
    published: pd.DataFrame,
    *,
    mix: pd.DataFrame | None,
    baseline: Path | None,
    real: pd.DataFrame | None,
    report: Callable[[str], Progress],
) -> Compared:
    """Measure the exported students and what they are compared with.

    Args:
        tested: the public test split.
        published: the table that the students were trained on.
        mix: the public rows that they were trained on too.
        baseline: a classifier that was trained on the real rows with DP-SGD.
        real: the rows of a source declared public, to train the chosen student on for comparison.
        report: makes a progress callback of a title.

    Raises:
        ClassifierError: the real rows cannot train the student.
        ScreeningError: what was exported cannot be used.
    """
    bench = _Bench(contract, *public_halves(contract, tested), mix, Remembered(encoders.MiniLM()))
    judged = list(bench.exported(exported, report("Screening public test records")))
    left_out = {}
    if baseline is not None:
        try:
            judged.append(bench.with_dp(baseline, published))
        except ClassifierError as error:  # too noisy to be calibrated: a result, not a failure
            left_out[REAL_WITH_DP] = str(error)
    if real is not None:
        progress = report("Training on real records, declared public")
        judged.append(bench.on_real(real, len(published), judged[0].result["classifier"], progress))
    return Compared(judged, left_out)


@dataclass(frozen=True)
class _Bench:
    """The public rows, and classifiers on them."""

    contract: Contract
    validation: Labelled | None
    tested: Labelled
    whole: pd.DataFrame
    mix: pd.DataFrame | None
    encoder: Remembered

    def exported(self, folder: Path, progress: Progress) -> Iterator[Judged]:
        """The exported students, the chosen one first."""
        facts = json.loads((folder / students.FACTS).read_text(encoding="utf-8"))["students"]
        for place, fact in enumerate(facts):
            screener = Screener(folder / fact["student"])
            chances = []
            for done, text in enumerate(self.tested.texts, start=1):
                chances.append(screener.probability(text))
                progress(place * len(self.tested) + done, len(facts) * len(self.tested))
            thresholds = thresholds_from(screener.manifest["thresholds"])
            about = {name: fact[name] for name in ("bytes", "latency", "parity", "functional_tests")}
            yield self._judged(fact["student"], SYNTHETIC, np.array(chances), thresholds, about)

    def with_dp(self, baseline: Path, published: pd.DataFrame) -> Judged:
        """The baseline, its scores settled on the rows that the synthetic classifier's were.

        Raises:
            ClassifierError: it predicts another label than the contract does now, or nothing that can be calibrated.
        """
        trained = load_classifier(baseline / CLASSIFIER)
        if trained.classes != self.contract.privacy.classes:
            raise ClassifierError("the standing baseline predicts another label than the contract asks for now")
        unsafe = trained.classes.index(terms_of(self.contract).unsafe)

        def score(texts: Sequence[str]) -> np.ndarray:
            chance = np.clip(trained.predict_proba(texts)[:, unsafe], 1e-15, 1 - 1e-15)
            return np.asarray(np.log(chance) - np.log1p(-chance))

        own = labelled_rows(self.contract, published, self.contract.privacy.text.column)
        return self._settled(trained.kind, REAL_WITH_DP, own, lambda rows: score)

    def on_real(self, real: pd.DataFrame, count: int, student: str, progress: Progress) -> Judged:
        """The same student on as many real rows, all else alike. Not exported."""
        seed = self.contract.privacy.generation.seed
        drawn = real.sample(n=min(count, len(real)), random_state=seed)

        def trained(rows: Prepared) -> students.Score:
            classifier = students.train(student, rows, seed, self.encoder, progress)
            return lambda texts: log_odds(classifier, texts)

        return self._settled(student, REAL, labelled_rows(self.contract, drawn), trained)

    def _settled(
        self,
        student: str,
        trained_on: str,
        own: Labelled,
        scoring: Callable[[Prepared], students.Score],
    ) -> Judged:
        """A classifier that scores, with thresholds from the rows that are not its own."""
        rows = prepared(self.contract, own, self.validation, self.mix, self.encoder)
        settled = students.settle(scoring(rows), rows, students.targets_of(self.contract))
        return self._judged(student, trained_on, settled.probabilities(self.tested.texts), settled.thresholds)

    def _judged(
        self,
        student: str,
        trained_on: str,
        found: np.ndarray,
        thresholds: Thresholds,
        about: Mapping[str, Any] | None = None,
    ) -> Judged:
        rows = Rows(found, self.tested.unsafe)
        result = {
            "classifier": student,
            "trained_on": trained_on,
            **figures(rows, thresholds, self._slices()),
            "thresholds": thresholds.to_json(),
            **(about or {}),
        }
        return Judged(rows, thresholds, result)

    def _slices(self) -> dict[str, list[str]]:
        """Categories of the test rows: every label, and how long the texts are."""
        slices = {label.column: self.whole[label.column].tolist() for label in self.contract.privacy.labels}
        lengths = [len(text) for text in self.tested.texts]
        named = ["up to 80 characters", "81 to 250 characters", "more than 250 characters"]
        return slices | {"length": [named[(length > 80) + (length > 250)] for length in lengths]}
