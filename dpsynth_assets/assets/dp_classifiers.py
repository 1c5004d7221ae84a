"""`labeller` and `dp_baseline`: classifiers trained on the sensitive rows themselves with DP-SGD. Both spend budget.

The labeller judges drawn texts before they become the corpus. The baseline is what classifiers trained on synthetic
rows are compared with: it reads nothing of the other releases, and comes after them, since a comparison must not take
what the synthetic table needs.
"""

from typing import TYPE_CHECKING

import dagster as dg

from dpsynth_assets.approval import optional_releases
from dpsynth_assets.assets.common import contract_asset, of_partition, plain_failures
from dpsynth_assets.assets.figures import plan_metadata, receipts_metadata
from dpsynth_assets.assets.gate import release_gate
from dpsynth_assets.assets.passage import Rooms
from dpsynth_assets.assets.progress import reporter
from dpsynth_assets.contract import Contract
from dpsynth_assets.contract.releases import ClassifierRelease
from resources.artifact_store import ArtifactStore
from resources.ledger import LedgerResource
from resources.sensitive_store import SensitiveStore
from resources.tabular import SourceError

if TYPE_CHECKING:
    from dpsynth_assets.classify.dp_training import DpClassifierPlan

CLASSIFIER = "classifier"
_WHAT = {"minilm": "A linear head on a frozen sentence encoder", "word_cnn": "A convolutional network over words"}


def labeller_asset(contract: Contract) -> dg.AssetsDefinition:
    """The labeller of a contract that plans one."""
    purpose = "Drawn texts are chosen or labelled by it."
    return _asset(
        contract, "labeller", contract.privacy.releases.labeller, purpose, after=("source", "label_histogram")
    )


def dp_baseline_asset(contract: Contract) -> dg.AssetsDefinition:
    """The baseline of a contract that plans one."""
    purpose = "The bar that classifiers trained on synthetic rows are held against."
    before = (name for name in optional_releases(contract) if name != "dp_baseline")
    after = ("source", "label_histogram", *before)
    return _asset(contract, "dp_baseline", contract.privacy.releases.dp_baseline, purpose, after)


def _asset(
    declared: Contract, name: str, release: ClassifierRelease | None, purpose: str, after: tuple[str, ...]
) -> dg.AssetsDefinition:
    assert release is not None, "the factory makes this asset only where the contract plans the release"

    @contract_asset(
        declared,
        name,
        description=(
            f"{_WHAT[release.classifier]} that predicts `{declared.privacy.classifier.target}`, trained on the "
            f"sensitive rows with DP-SGD: Poisson-sampled batches of {release.expected_batch_size} "
            f"{declared.privacy.unit.name}s expected, {release.steps} steps, each unit's gradient clipped to "
            f"{release.clipping_norm:g}. {purpose}"
        ),
        kinds={"pytorch"},
        spends=True,
        after=after,
    )
    def trained(
        context: dg.AssetExecutionContext,
        ledger: LedgerResource,
        sensitive_store: SensitiveStore,
        artifact_store: ArtifactStore,
    ) -> dg.MaterializeResult[None]:
        from dpsynth_assets.classify.dp_training import DpClassifierPlan, train_with_dp
        from dpsynth_assets.classify.vectors import public_encoder
        from dpsynth_assets.privacy.checkpoint import CheckpointFolder

        contract = declared if name == "dp_baseline" else of_partition(declared, context)
        with plain_failures(SourceError):
            size = sensitive_store.latest(contract).size
        plan = DpClassifierPlan.from_contract(contract, name, size=size)
        progress = reporter(context, "Training a classifier with DP-SGD")
        with release_gate(
            context,
            contract,
            plan,
            Rooms(ledger, sensitive_store, artifact_store),
            ready=lambda: _check(plan),
            replay=plan.replay,
        ) as gate:
            checkpoints = CheckpointFolder(gate.checkpoints, plan.digest())
            public = plan.classifier == "minilm" and contract.privacy.source_is_public
            encoder = public_encoder(plan.max_tokens) if public else None
            run = train_with_dp(plan, gate.read(), gate.folder / CLASSIFIER, progress, checkpoints, encoder)
            if plan.mechanism.is_private:
                gate.finish(plan.mechanism.event(run.steps), plan.mechanism.event_of_replay(run.lives))
        return dg.MaterializeResult(
            metadata={
                "classifier": plan.classifier,
                "target": plan.target,
                **plan_metadata(plan),
                "dagster/uri": str(gate.artifact.folder / CLASSIFIER),
                **receipts_metadata(gate.artifact),
            }
        )

    return trained


def _check(plan: "DpClassifierPlan") -> None:
    """Fail before anything is spent where training would fail without having seen a row."""
    from dpsynth_assets.classify.dp_training import check_trainable
    from dpsynth_assets.classify.encoder import EncoderError

    with plain_failures(EncoderError):
        check_trainable(plan)
