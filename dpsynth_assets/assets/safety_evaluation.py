"""`safety_evaluation`: the exported safety classifier on the public test split, beside what it could have been. Free.

The exported model itself is measured, at its own thresholds. Beside it, where the contract allows: the chosen student
trained on the real rows, which needs a source declared public, and the baseline trained on them with DP-SGD.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dagster as dg

from dpsynth_assets.assets.common import contract_asset, of_partition, plain_failures
from dpsynth_assets.assets.evaluation import REAL, REAL_WITH_DP, SYNTHETIC
from dpsynth_assets.assets.figures import receipts_metadata
from dpsynth_assets.assets.progress import Progress, reporter
from dpsynth_assets.assets.proof import UnprovenError, published_rows
from dpsynth_assets.assets.safety_classifier import FACTS, prepared, public_halves, public_mix, terms_of
from dpsynth_assets.contract import Contract
from dpsynth_assets.gate.public_rows import public_rows
from dpsynth_assets.markdown import escaped
from dpsynth_assets.releases.classifiers import CLASSIFIER
from dpsynth_assets.releases.dp_baseline import DP_BASELINE
from dpsynth_assets.releases.registry import planned
from ledger import LedgerError
from resources.artifact_store import Artifact, ArtifactError, ArtifactStore
from resources.sensitive_store import SensitiveStore
from resources.tabular import SourceError

if TYPE_CHECKING:
    import pandas as pd

    from dpsynth_assets.classify.threshold import Rows, Thresholds
    from dpsynth_assets.classify.training_rows import Labelled

FIGURES, CURVE, CALIBRATION = "evaluation.json", "precision_recall.png", "calibration.png"


def safety_evaluation_asset(declared: Contract) -> dg.AssetsDefinition:
    """The evaluation of a contract's safety classifier."""
    terms, split = terms_of(declared), declared.privacy.test_split

    @contract_asset(
        declared,
        "safety_evaluation",
        description=(
            f"Precision and recall of the exported safety classifier on the test split, declared public by "
            f"{escaped(split.declared_public_by)}, by category, with its calibration, size and speed."
        ),
        kinds={"onnx"},
        after=("safety_classifier", *((DP_BASELINE.name,) if _compared(declared) else ())),
    )
    def safety_evaluation(
        context: dg.AssetExecutionContext, artifact_store: ArtifactStore, sensitive_store: SensitiveStore
    ) -> dg.MaterializeResult[None]:
        from dpsynth_assets.classify.encoder import EncoderError, MiniLM, Remembered
        from dpsynth_assets.classify.errors import ClassifierError
        from dpsynth_assets.classify.safety_figures import plot_calibration, plot_precision_recall, table
        from dpsynth_assets.classify.screening import ScreeningError
        from dpsynth_assets.publish.release import PublishError

        contract = of_partition(declared, context)
        spoken = (
            *(ArtifactError, SourceError, ClassifierError, ScreeningError, EncoderError, PublishError),
            *(UnprovenError, LedgerError),
        )
        with plain_failures(*spoken):
            classifier = artifact_store.latest(contract.id, "safety_classifier")
            baseline = artifact_store.find(contract.id, DP_BASELINE.name) if _compared(contract) else None
            validation, tested, whole = public_halves(contract, sensitive_store)
            mix = public_mix(contract, sensitive_store)
            bench = _Bench(contract, tested, whole, validation, mix, Remembered(MiniLM()))
            judged = list(bench.exported(classifier, reporter(context, "Screening public test records")))
            published = _published(artifact_store, classifier)
            left_out = {}
            if baseline is not None:
                try:
                    judged.append(bench.with_dp(baseline, published))
                except ClassifierError as error:  # too noisy to be calibrated: a result, not a failure of this asset
                    left_out[REAL_WITH_DP] = str(error)
            if contract.privacy.source_is_public:
                real = public_rows(contract, sensitive_store)
                progress = reporter(context, "Training on real records, declared public")
                judged.append(bench.on_real(real, len(published), judged[0].student, progress))
        results = [each.result for each in judged]
        facts = json.loads((classifier.folder / FACTS).read_text(encoding="utf-8"))
        with artifact_store.draft(contract.id, "safety_evaluation") as draft:
            (draft.folder / FIGURES).write_text(json.dumps(results, indent=2), encoding="utf-8")
            curves = {each.name: (each.rows, each.thresholds) for each in judged}
            plot_precision_recall(curves, terms.precision, draft.folder / CURVE)
            plot_calibration({name: rows for name, (rows, _) in curves.items()}, draft.folder / CALIBRATION)
            made_from = {"safety_classifier": classifier} | ({DP_BASELINE.name: baseline} if baseline else {})
            artifact = artifact_store.seal(draft, made_from=made_from)
        return dg.MaterializeResult(
            metadata={
                **{name: float(results[0][name]) for name in _PLOTTED if results[0][name] is not None},
                "compared": dg.MetadataValue.md(table(results)),
                "slices": dg.MetadataValue.json(results[0]["slices"]),
                "functional_tests": dg.MetadataValue.json(facts["students"][0]["functional_tests"]),
                "precision_recall_plot": dg.MetadataValue.path(artifact.folder / CURVE),
                "calibration_plot": dg.MetadataValue.path(artifact.folder / CALIBRATION),
                "figures": dg.MetadataValue.json(results),
                "left_out": dg.MetadataValue.json(left_out),
                **receipts_metadata(artifact),
            }
        )

    return safety_evaluation


_PLOTTED = ("precision", "recall", "reviewed", "missed", "average_precision", "calibration_error")


def _compared(contract: Contract) -> bool:
    """Whether a baseline of the same label is planned. A release variant has none."""
    return terms_of(contract).target == contract.privacy.classifier.target and DP_BASELINE in planned(contract)


def _published(artifacts: ArtifactStore, classifier: Artifact) -> "pd.DataFrame":
    """The synthetic rows that the classifier was trained on."""
    synthetic = artifacts.get(classifier.contract, "synthetic", classifier.receipt["about"]["synthetic"])
    return published_rows(synthetic, artifacts)


@dataclass(frozen=True)
class _Judged:
    """A classifier's probabilities on the test rows, its thresholds, and the figures they come to."""

    student: str
    trained_on: str
    rows: "Rows"
    thresholds: "Thresholds"
    result: dict[str, Any]

    @property
    def name(self) -> str:
        return f"{self.student}, {self.trained_on}"


@dataclass(frozen=True)
class _Bench:
    """The public test rows, and classifiers on them."""

    contract: Contract
    tested: "Labelled"
    whole: "pd.DataFrame"
    validation: "Labelled | None"
    mix: "Labelled | None"
    encoder: Any

    def exported(self, classifier: Artifact, progress: Progress) -> Iterator[_Judged]:
        """The exported students, the chosen one first."""
        import numpy as np

        from dpsynth_assets.classify.screening import Screener
        from dpsynth_assets.classify.threshold import thresholds_from

        facts = json.loads((classifier.folder / FACTS).read_text(encoding="utf-8"))["students"]
        for place, fact in enumerate(facts):
            screener = Screener(classifier.folder / fact["student"])
            chances = []
            for done, text in enumerate(self.tested.texts, start=1):
                chances.append(screener.probability(text))
                progress(place * len(self.tested) + done, len(facts) * len(self.tested))
            thresholds = thresholds_from(screener.manifest["thresholds"])
            about = {name: fact[name] for name in ("bytes", "latency", "parity", "functional_tests")}
            yield self._judged(fact["student"], SYNTHETIC, np.array(chances), thresholds, about)

    def with_dp(self, baseline: Artifact, published: "pd.DataFrame") -> _Judged:
        """The baseline, its scores settled on the rows that the synthetic classifier's were.

        Raises:
            ClassifierError: it predicts another label than the contract does now, or nothing that can be calibrated.
        """
        import numpy as np

        from dpsynth_assets.classify.errors import ClassifierError
        from dpsynth_assets.classify.recipes import load_classifier
        from dpsynth_assets.classify.safety import settle

        trained = load_classifier(baseline.folder / CLASSIFIER)
        if trained.classes != self.contract.privacy.classes:
            raise ClassifierError("the standing baseline predicts another label than the contract asks for now")
        unsafe = trained.classes.index(terms_of(self.contract).unsafe)

        def score(texts: Any) -> Any:
            chance = np.clip(trained.predict_proba(texts)[:, unsafe], 1e-15, 1 - 1e-15)
            return np.log(chance) - np.log1p(-chance)

        rows = prepared(self.contract, published, self.validation, self.encoder, mix=self.mix)
        settled = settle(score, rows, self._targets())
        found = settled.probabilities(self.tested.texts)
        return self._judged(trained.kind, REAL_WITH_DP, found, settled.thresholds)

    def on_real(self, real: "pd.DataFrame", count: int, student: str, progress: Progress) -> _Judged:
        """The same student on as many real rows, all else alike, for sources declared public. Not exported."""
        from dpsynth_assets.classify.export import log_odds
        from dpsynth_assets.classify.safety import settle, train

        seed = self.contract.privacy.generation.seed
        drawn = real.sample(n=min(count, len(real)), random_state=seed)
        rows = prepared(self.contract, drawn, self.validation, self.encoder, mix=self.mix, published=False)
        trained = train(student, rows, seed, self.encoder, progress)
        settled = settle(lambda texts: log_odds(trained, texts), rows, self._targets())
        return self._judged(student, REAL, settled.probabilities(self.tested.texts), settled.thresholds)

    def _targets(self) -> Any:
        from dpsynth_assets.classify.threshold import Targets

        terms = terms_of(self.contract)
        return Targets(terms.precision, terms.recall, terms.confidence)

    def _judged(
        self, student: str, trained_on: str, found: Any, thresholds: "Thresholds", about: dict[str, Any] | None = None
    ) -> _Judged:
        from dpsynth_assets.classify.safety_figures import figures
        from dpsynth_assets.classify.threshold import Rows

        rows = Rows(found, self.tested.unsafe)
        result = {
            "classifier": student,
            "trained_on": trained_on,
            **figures(rows, thresholds, self._slices()),
            "thresholds": thresholds.to_json(),
            **(about or {}),
        }
        return _Judged(student, trained_on, rows, thresholds, result)

    def _slices(self) -> dict[str, list[str]]:
        """Categories of the test rows: every label, and how long the texts are."""
        slices = {label.column: self.whole[label.column].tolist() for label in self.contract.privacy.labels}
        lengths = [len(text) for text in self.tested.texts]
        named = ["up to 80 characters", "81 to 250 characters", "more than 250 characters"]
        return slices | {"length": [named[(length > 80) + (length > 250)] for length in lengths]}
