"""`evaluation`: the classifiers on the test split that the contract declares public. Free.

Beside those trained on synthetic rows stands the baseline that was trained on the real ones with DP-SGD, where the
contract plans one. Classifiers trained on real rows *without* privacy stand there only where the owner declares the
source public: anywhere else their accuracy would be an unmetered output of the sensitive rows.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dagster as dg

from dpsynth_assets.assets.classifier import additions, folder_of, seeds
from dpsynth_assets.assets.common import contract_asset, of_partition, plain_failures
from dpsynth_assets.assets.figures import receipts_metadata
from dpsynth_assets.assets.progress import Progress, reporter
from dpsynth_assets.contract import Contract
from dpsynth_assets.gate.public_rows import public_rows, test_rows
from dpsynth_assets.markdown import escaped
from dpsynth_assets.releases.dp_baseline import DP_BASELINE
from dpsynth_assets.releases.registry import planned
from resources.artifact_store import Artifact, ArtifactError, ArtifactStore
from resources.sensitive_store import SensitiveStore
from resources.tabular import SourceError

if TYPE_CHECKING:
    import pandas as pd

    from dpsynth_assets.classify.encoder import Encoder
    from dpsynth_assets.classify.training_rows import Additions

FIGURES = "evaluation.json"
SYNTHETIC, REAL, REAL_WITH_DP = "synthetic rows", "real rows", "real rows with DP-SGD"


def evaluation_asset(declared: Contract) -> dg.AssetsDefinition:
    """The evaluation asset of a contract."""
    test, public = declared.privacy.test_split, declared.privacy.source_is_public
    baseline = (DP_BASELINE.name,) if DP_BASELINE in planned(declared) else ()

    @contract_asset(
        declared,
        "evaluation",
        description=(
            f"Accuracy of the classifiers on the test split, declared public by {escaped(test.declared_public_by)}."
            + (" Beside them, one trained on the real rows with DP-SGD." if baseline else "")
            + (" Beside them, some trained on the real rows, which the contract declares public." if public else "")
        ),
        kinds={"scikitlearn"},
        after=("classifier", *baseline),
    )
    def evaluation(
        context: dg.AssetExecutionContext, artifact_store: ArtifactStore, sensitive_store: SensitiveStore
    ) -> dg.MaterializeResult[None]:
        from dpsynth_assets.classify.encoder import MiniLM, Remembered
        from dpsynth_assets.classify.errors import ClassifierError
        from dpsynth_assets.classify.evaluation import markdown, table

        contract = of_partition(declared, context)
        compared = DP_BASELINE in planned(contract)
        with plain_failures(ArtifactError, SourceError, ClassifierError):
            classifiers = artifact_store.latest(contract.id, "classifier")
            trained_with_dp = artifact_store.find(contract.id, DP_BASELINE.name) if compared else None
            rows = test_rows(contract, sensitive_store)
            bench = _Bench(contract, Remembered(MiniLM()), rows)
            bench.encoder.encode(rows["text"].tolist(), progress=reporter(context, "Embedding public test records"))
            results = list(bench.on_synthetic(classifiers))
            if trained_with_dp is not None:
                results += bench.with_dp(trained_with_dp)
            if public:
                count = artifact_store.get(contract.id, "synthetic", classifiers.receipt["about"]["synthetic"]).receipt[
                    "about"
                ]["rows"]
                progress = reporter(context, "Training on real records, declared public")
                real = public_rows(contract, sensitive_store)
                results += bench.on_real(real, int(count), additions(contract, sensitive_store), progress)
        made_from = {"classifier": classifiers} | ({DP_BASELINE.name: trained_with_dp} if trained_with_dp else {})
        with artifact_store.draft(contract.id, "evaluation") as draft:
            (draft.folder / FIGURES).write_text(json.dumps(results, indent=2), encoding="utf-8")
            artifact = artifact_store.seal(draft, made_from=made_from)
        return dg.MaterializeResult(
            metadata={
                **_numbers(results),
                "classifiers": dg.MetadataValue.md(table(results)),
                "per_class": dg.MetadataValue.md(markdown(results[0])),
                "figures": dg.MetadataValue.json(results),
                **receipts_metadata(artifact),
            }
        )

    return evaluation


def results_of(evaluation: Artifact) -> list[dict[str, Any]]:
    """One entry for each kind of classifier and each kind of rows that it was trained on: `classifier`, `trained_on`,
    and the figures (`dpsynth_assets.classify.evaluation.over_seeds`). The first one is the contract's first kind, on
    synthetic rows."""
    stored: list[dict[str, Any]] = json.loads((evaluation.folder / FIGURES).read_text(encoding="utf-8"))
    return stored


@dataclass(frozen=True)
class _Bench:
    """The public test rows, and the contract's classifiers on them."""

    contract: Contract
    encoder: "Encoder"
    rows: "pd.DataFrame"

    def on_synthetic(self, classifiers: Artifact) -> Iterator[dict[str, Any]]:
        """Those of the `classifier` asset, kind by kind."""
        from dpsynth_assets.classify.recipes import load_classifier

        for kind in self.contract.privacy.classifier.kinds:
            folders = [folder_of(classifiers.folder, kind, seed) for seed in seeds(self.contract)]
            yield self._result(kind, SYNTHETIC, (load_classifier(folder, self.encoder) for folder in folders))

    def with_dp(self, baseline: Artifact) -> Iterator[dict[str, Any]]:
        """That of the baseline, unless it stands from a time when the contract wanted another label predicted. Its
        encoder cuts texts as its plan says."""
        from dpsynth_assets.classify.recipes import load_classifier
        from dpsynth_assets.releases.classifiers import CLASSIFIER

        classifier = load_classifier(baseline.folder / CLASSIFIER)
        if classifier.classes == self.contract.privacy.classes:
            yield self._result(classifier.kind, REAL_WITH_DP, [classifier])

    def on_real(
        self, real: "pd.DataFrame", count: int, more: "Additions", progress: Progress
    ) -> Iterator[dict[str, Any]]:
        """The same recipes on as many real rows as there are synthetic ones, for sources declared public, with the same
        additions."""
        from dpsynth_assets.classify.recipes import RECIPES
        from dpsynth_assets.classify.training_rows import Lesson

        target, classes = self.contract.privacy.classifier.target, self.contract.privacy.classes

        def trained(kind: str) -> Iterator[Any]:
            for seed in seeds(self.contract):
                drawn = real.sample(n=min(count, len(real)), random_state=seed)
                lesson = Lesson(drawn["text"].tolist(), drawn[target].tolist(), classes, more)
                yield RECIPES[kind].train(lesson, seed, encoder=self.encoder, progress=progress)

        for kind in self.contract.privacy.classifier.kinds:
            yield self._result(kind, REAL, trained(kind))

    def _result(self, kind: str, trained_on: str, classifiers: Any) -> dict[str, Any]:
        from dpsynth_assets.classify.evaluation import evaluate, over_seeds

        texts, labels = self.rows["text"].tolist(), self.rows[self.contract.privacy.classifier.target].tolist()
        runs = [evaluate(classifier, texts, labels) for classifier in classifiers]
        return {"classifier": kind, "trained_on": trained_on, **over_seeds(runs)}


def _numbers(results: list[dict[str, Any]]) -> dict[str, float]:
    """Numbers that Dagster plots: `accuracy` of the contract's first kind, `accuracy_word_cnn` of another, and with
    `_on_real` or `_with_dp` behind them those of classifiers trained on real rows."""
    behind = {SYNTHETIC: "", REAL: "_on_real", REAL_WITH_DP: "_with_dp"}
    numbers = {}
    for result in results:
        kind = "" if result["classifier"] == results[0]["classifier"] else f"_{result['classifier']}"
        for name, value in result.items():
            if isinstance(value, int | float):
                numbers[f"{name}{kind}{behind[result['trained_on']]}"] = float(value)
    return numbers
