"""`dp_baseline`: a classifier trained on the sensitive rows themselves with DP-SGD, to compare with. Spends budget.

It reads nothing of the other releases, but comes after them: a comparison must not take what the synthetic table needs.
"""

from typing import TYPE_CHECKING

import dagster as dg

from dpsynth_assets.assets.common import contract_asset, plain_failures
from dpsynth_assets.assets.figures import receipts_metadata
from dpsynth_assets.assets.gate import release_gate
from dpsynth_assets.assets.progress import reporter
from dpsynth_assets.contract import Contract
from resources.artifact_store import ArtifactStore
from resources.ledger import LedgerResource
from resources.sensitive_store import SensitiveStore
from resources.tabular import SourceError

if TYPE_CHECKING:
    from dpsynth_assets.classify.dp_baseline import BaselinePlan

BASELINE = "baseline"
_WHAT = {"minilm": "A linear head on a frozen sentence encoder", "word_cnn": "A convolutional network over words"}


def dp_baseline_asset(contract: Contract) -> dg.AssetsDefinition:
    """The baseline asset of a contract that plans one."""
    release = contract.privacy.releases.dp_baseline
    assert release is not None, "the factory makes this asset only where the contract plans the release"

    @contract_asset(
        contract,
        "dp_baseline",
        description=(
            f"{_WHAT[release.classifier]} that predicts `{contract.privacy.classifier.target}`, trained on the "
            f"sensitive rows with DP-SGD: Poisson-sampled batches of {release.expected_batch_size} "
            f"{contract.privacy.unit.name}s expected, {release.steps} steps, each unit's gradient clipped to "
            f"{release.clipping_norm:g}. The bar that classifiers trained on synthetic rows are held against."
        ),
        kinds={"pytorch"},
        spends=True,
        after=("source", "label_histogram"),
    )
    def dp_baseline(
        context: dg.AssetExecutionContext,
        ledger: LedgerResource,
        sensitive_store: SensitiveStore,
        artifact_store: ArtifactStore,
    ) -> dg.MaterializeResult[None]:
        from dpsynth_assets.classify.dp_baseline import BaselinePlan, train_baseline
        from dpsynth_assets.privacy.checkpoint import CheckpointFolder

        with plain_failures(SourceError):
            size = sensitive_store.latest(contract).size
        plan = BaselinePlan.from_contract(contract, size=size)
        progress = reporter(context, "Training a classifier with DP-SGD")
        with (
            artifact_store.draft(contract.id, "dp_baseline") as draft,
            release_gate(
                context,
                contract,
                plan,
                draft,
                ledger=ledger,
                store=sensitive_store,
                artifacts=artifact_store,
                ready=lambda: _check(plan),
                replay=lambda folder, charged: plan.steps_again(CheckpointFolder(folder, plan.digest()), charged),
            ) as gate,
        ):
            checkpoints = CheckpointFolder(gate.checkpoints, plan.digest())
            run = train_baseline(plan, gate.read(), draft.folder / BASELINE, progress, checkpoints)
            gate.finish(plan.mechanism.event(run.steps), plan.mechanism.event_of_replay(run.lives))
        return dg.MaterializeResult(
            metadata={
                "classifier": plan.classifier,
                "target": plan.target,
                "epsilon": plan.epsilon,
                "delta": plan.delta,
                "noise_multiplier": plan.mechanism.noise_multiplier,
                "sampling_rate": plan.mechanism.sampling_rate,
                "steps": plan.mechanism.steps,
                "plan": dg.MetadataValue.json(plan.describe()),
                "dagster/uri": str(gate.artifact.folder / BASELINE),
                **receipts_metadata(gate.artifact.receipts),
            }
        )

    return dp_baseline


def _check(plan: "BaselinePlan") -> None:
    """Fail before anything is spent where training would fail without having seen a row."""
    from dpsynth_assets.classify.dp_baseline import check_baseline
    from dpsynth_assets.classify.encoder import EncoderError

    with plain_failures(EncoderError):
        check_baseline(plan)
