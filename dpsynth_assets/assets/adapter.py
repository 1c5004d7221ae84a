"""`adapter`: the base model's adapter, fine-tuned on the sensitive rows with DP-SGD. Spends budget."""

import dagster as dg

from dpsynth_assets.assets.common import contract_asset, of_partition, plain_failures
from dpsynth_assets.assets.contamination import compare, corpus_index
from dpsynth_assets.assets.figures import plan_metadata, receipts_metadata
from dpsynth_assets.assets.gate import release_gate
from dpsynth_assets.assets.passage import Rooms
from dpsynth_assets.assets.progress import reporter
from dpsynth_assets.contract import Contract
from dpsynth_assets.contract.releases import AdapterRelease
from dpsynth_assets.markdown import code
from resources.artifact_store import ArtifactStore
from resources.ledger import LedgerResource
from resources.sensitive_store import SensitiveStore
from resources.tabular import SourceError


def adapter_asset(declared: Contract) -> dg.AssetsDefinition:
    """The adapter asset of a contract."""
    release = declared.privacy.releases.adapter

    @contract_asset(
        declared,
        "adapter",
        description=(
            f"{_what_is_trained(release)} of base model {code(declared.privacy.base_model.name)}, trained "
            f"with DP-SGD: Poisson-sampled batches of {release.expected_batch_size} "
            f"{declared.privacy.unit.name}s expected, {release.steps} steps, each unit's gradient clipped to "
            f"{release.clipping_norm:g}{_noise(release)}."
        ),
        kinds={"pytorch", "huggingface"},
        spends=True,
        after=("source",),
    )
    def adapter(
        context: dg.AssetExecutionContext,
        ledger: LedgerResource,
        sensitive_store: SensitiveStore,
        artifact_store: ArtifactStore,
    ) -> dg.MaterializeResult[None]:
        from dpsynth_assets.language.base_model import BaseModelError
        from dpsynth_assets.language.finetuning import Prepared, fine_tune, prepare
        from dpsynth_assets.language.objective import ObjectiveError
        from dpsynth_assets.privacy.checkpoint import CheckpointFolder
        from dpsynth_assets.privacy.clipping.errors import UnclippedGradientError
        from dpsynth_assets.privacy.plan import TrainingPlan

        contract = of_partition(declared, context)
        with plain_failures(SourceError):
            size = sensitive_store.latest(contract).size
        plan = TrainingPlan.from_contract(contract, size=size)
        index = corpus_index(contract)
        progress = reporter(context, "Training with DP-SGD")
        prepared: list[Prepared] = []

        def ready() -> None:
            _check_what_follows(contract)
            with plain_failures(BaseModelError, ObjectiveError, UnclippedGradientError):
                prepared.append(prepare(contract, plan))

        with release_gate(
            context,
            contract,
            plan,
            Rooms(ledger, sensitive_store, artifact_store),
            ready=ready,
            replay=plan.replay,
        ) as gate:
            checkpoints = CheckpointFolder(gate.checkpoints, plan.digest())
            rows = gate.read()
            if index is not None:
                compare(contract, rows["text"].tolist(), index, gate.folder, sensitive_store)
            result = fine_tune(
                contract, plan, rows, gate.folder, progress, checkpoints, prepared=prepared.pop() if prepared else None
            )
            gate.finish(result.event, result.replay)
        return dg.MaterializeResult(
            metadata={
                **plan_metadata(plan),
                "precision": result.precision,
                "dagster/uri": str(gate.artifact.folder),
                **receipts_metadata(gate.artifact),
            }
        )

    return adapter


def _what_is_trained(release: AdapterRelease) -> str:
    if release.method == "lora":
        return f"A low-rank adapter (rank {release.rank})"
    return f"A prompt of {release.prompt_tokens} virtual tokens" if release.method == "prompt" else "All weights"


def _noise(release: AdapterRelease) -> str:
    return f", noise correlated over {release.noise_bands} steps" if release.noise_bands > 1 else ""


def _check_what_follows(contract: Contract) -> None:
    """Fail before anything is spent where training or judging would fail without having seen a row."""
    from dpsynth_assets.quality.rules import check_rules

    if problems := check_rules(contract):
        text = f"quality rules of {contract.id} cannot be run, so nothing was spent: " + "; ".join(problems)
        raise dg.Failure(text, allow_retries=False)
