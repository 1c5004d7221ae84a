"""`safety_evaluation`: the exported safety classifier on the public test split, beside what it could have been. Free.

The exported model itself is measured, at its own thresholds. Beside it, where the contract allows: the chosen student
trained on the real rows, which needs a source declared public, and the baseline trained on them with DP-SGD.
"""

from functools import partial

import dagster as dg

from dpsynth_assets.assets.common import contract_asset, of_partition, plain_failures
from dpsynth_assets.assets.figures import picture, receipts_metadata
from dpsynth_assets.assets.progress import reporter
from dpsynth_assets.assets.proof import UnprovenError, published_rows
from dpsynth_assets.classify.errors import ClassifierError, EncoderError
from dpsynth_assets.contract import Contract
from dpsynth_assets.gate.public_rows import mixed_rows, public_rows, test_rows
from dpsynth_assets.markdown import escaped
from dpsynth_assets.publish.release import PublishError
from dpsynth_assets.releases.dp_baseline import DP_BASELINE
from dpsynth_assets.releases.registry import planned
from dpsynth_assets.safety.terms import terms_of
from ledger import LedgerError
from resources.artifact_store import ArtifactError, ArtifactStore
from resources.sensitive_store import SensitiveStore
from resources.tabular import SourceError


def safety_evaluation_asset(declared: Contract) -> dg.AssetsDefinition:
    """The evaluation of a contract's safety classifier, where there is a test split."""
    terms, split = terms_of(declared), declared.privacy.test_split
    assert split is not None, "there is none otherwise"

    @contract_asset(
        declared,
        "safety_evaluation",
        description=(
            f"Precision and recall of the exported safety classifier on the test split, declared public by "
            f"{escaped(split.declared_public_by)}, by category, with its calibration, size and speed."
        ),
        kinds={"onnx"},
        after=("safety_classifier", *((DP_BASELINE.name,) if _compared(declared) else ())),
        asks=False,
    )
    def safety_evaluation(
        context: dg.AssetExecutionContext, artifact_store: ArtifactStore, sensitive_store: SensitiveStore
    ) -> dg.MaterializeResult[None]:
        from dpsynth_assets.safety.comparison import CALIBRATION, CURVE, compare
        from dpsynth_assets.safety.figures import table
        from dpsynth_assets.safety.screening import ScreeningError

        contract = of_partition(declared, context)
        spoken = (
            *(ArtifactError, SourceError, ClassifierError, ScreeningError, EncoderError, PublishError),
            *(UnprovenError, LedgerError),
        )
        with plain_failures(*spoken):
            classifier = artifact_store.latest(contract.id, "safety_classifier")
            baseline = artifact_store.find(contract.id, DP_BASELINE.name) if _compared(contract) else None
            synthetic = artifact_store.get(contract.id, "synthetic", classifier.receipt["about"]["synthetic"])
            compared = compare(
                contract,
                test_rows(contract, sensitive_store),
                classifier.folder,
                published_rows(synthetic, artifact_store),
                mix=None if terms.mix is None else mixed_rows(contract, terms.mix, sensitive_store),
                baseline=baseline.folder if baseline else None,
                real=public_rows(contract, sensitive_store) if contract.privacy.source_is_public else None,
                report=partial(reporter, context),
            )
        made_from = {"safety_classifier": classifier} | ({DP_BASELINE.name: baseline} if baseline else {})
        with artifact_store.draft(contract.id, "safety_evaluation") as draft:
            compared.save(draft.folder, terms.precision)
            artifact = artifact_store.seal(draft, made_from=made_from)
        results = compared.results
        return dg.MaterializeResult(
            metadata={
                **{name: float(results[0][name]) for name in _PLOTTED if results[0][name] is not None},
                "compared": dg.MetadataValue.md(table(results)),
                "slices": dg.MetadataValue.json(results[0]["slices"]),
                "functional_tests": dg.MetadataValue.json(results[0]["functional_tests"]),
                "precision_recall_plot": picture(
                    (artifact.folder / CURVE).read_bytes(), "precision and recall on the public test records"
                ),
                "calibration_plot": picture(
                    (artifact.folder / CALIBRATION).read_bytes(), "calibration on the public test records"
                ),
                "figures": dg.MetadataValue.json(results),
                "left_out": dg.MetadataValue.json(dict(compared.left_out)),
                **receipts_metadata(artifact),
            }
        )

    return safety_evaluation


_PLOTTED = ("precision", "recall", "reviewed", "missed", "average_precision", "calibration_error")


def _compared(contract: Contract) -> bool:
    """Whether a baseline of the same label is planned. A release variant has none."""
    return terms_of(contract).target == contract.privacy.target and DP_BASELINE in planned(contract)
