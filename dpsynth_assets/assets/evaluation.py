"""`evaluation`: the classifiers on the test split that the contract declares public. Free.

Beside those trained on synthetic rows stands the baseline that was trained on the real ones with DP-SGD, where the
contract plans one. Classifiers trained on real rows *without* privacy stand there only where the owner declares the
source public: anywhere else their accuracy would be an unmetered output of the sensitive rows.
"""

from functools import partial

import dagster as dg

from dpsynth_assets.assets.classifier import additions_of
from dpsynth_assets.assets.common import contract_asset, of_partition, plain_failures
from dpsynth_assets.assets.figures import receipts_metadata
from dpsynth_assets.assets.progress import reporter
from dpsynth_assets.classify.errors import ClassifierError
from dpsynth_assets.classify.results import numbers
from dpsynth_assets.contract import Contract
from dpsynth_assets.gate.public_rows import public_rows, test_rows
from dpsynth_assets.markdown import escaped
from dpsynth_assets.releases.dp_baseline import DP_BASELINE
from dpsynth_assets.releases.registry import planned
from resources.artifact_store import ArtifactError, ArtifactStore
from resources.sensitive_store import SensitiveStore
from resources.tabular import SourceError


def evaluation_asset(declared: Contract) -> dg.AssetsDefinition:
    """The evaluation asset of a contract of which something can be evaluated."""
    test, public = declared.privacy.test_split, declared.privacy.source_is_public
    assert test is not None, "there is none otherwise"
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
        asks=False,
    )
    def evaluation(
        context: dg.AssetExecutionContext, artifact_store: ArtifactStore, sensitive_store: SensitiveStore
    ) -> dg.MaterializeResult[None]:
        from dpsynth_assets.classify.comparison import compare, save
        from dpsynth_assets.classify.evaluation import markdown, table

        contract = of_partition(declared, context)
        compared = DP_BASELINE in planned(contract)
        with plain_failures(ArtifactError, SourceError, ClassifierError):
            classifiers = artifact_store.latest(contract.id, "classifier")
            trained_with_dp = artifact_store.find(contract.id, DP_BASELINE.name) if compared else None
            real = None
            if public:
                trained_on = artifact_store.get(contract.id, "synthetic", classifiers.receipt["about"]["synthetic"])
                count, more = int(trained_on.receipt["about"]["rows"]), additions_of(contract, sensitive_store)
                real = (public_rows(contract, sensitive_store), count, more)
            results = compare(
                contract,
                test_rows(contract, sensitive_store),
                classifiers.folder,
                baseline=trained_with_dp.folder if trained_with_dp else None,
                real=real,
                report=partial(reporter, context),
            )
        made_from = {"classifier": classifiers} | ({DP_BASELINE.name: trained_with_dp} if trained_with_dp else {})
        with artifact_store.draft(contract.id, "evaluation") as draft:
            save(results, draft.folder)
            artifact = artifact_store.seal(draft, made_from=made_from)
        return dg.MaterializeResult(
            metadata={
                **numbers(results),
                "classifiers": dg.MetadataValue.md(table(results)),
                "per_class": dg.MetadataValue.md(markdown(results[0])),
                "figures": dg.MetadataValue.json(results),
                **receipts_metadata(artifact),
            }
        )

    return evaluation
