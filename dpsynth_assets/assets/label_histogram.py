"""`label_histogram`: how many records each label combination has, released with noise. Spends budget.

It reads nothing of the adapter, but comes after it: where the dear release is refused, the cheap one is not wasted.
"""

import json
from typing import Any

import dagster as dg

from dpsynth_assets.assets.common import contract_asset, of_partition
from dpsynth_assets.assets.figures import receipts_metadata
from dpsynth_assets.assets.gate import release_gate
from dpsynth_assets.assets.passage import Rooms
from dpsynth_assets.contract import Contract
from dpsynth_assets.markdown import escaped
from resources.artifact_store import Artifact, ArtifactStore
from resources.ledger import LedgerResource
from resources.sensitive_store import SensitiveStore

COUNTS = "counts.json"


def label_histogram_asset(declared: Contract) -> dg.AssetsDefinition:
    """The label-histogram asset of a contract."""
    columns = [label.column for label in declared.privacy.labels]

    @contract_asset(
        declared,
        "label_histogram",
        description=(
            f"Noisy counts of records per combination of {', '.join(columns)} (discrete Laplace noise). "
            "They decide how many synthetic rows of each label are generated."
        ),
        kinds={"python"},
        spends=True,
        after=("source", "adapter"),
    )
    def label_histogram(
        context: dg.AssetExecutionContext,
        ledger: LedgerResource,
        sensitive_store: SensitiveStore,
        artifact_store: ArtifactStore,
    ) -> dg.MaterializeResult[None]:
        from dpsynth_assets.privacy.histogram import HistogramPlan

        contract = of_partition(declared, context)
        plan = HistogramPlan.from_contract(contract)
        with release_gate(context, contract, plan, Rooms(ledger, sensitive_store, artifact_store)) as gate:
            rows = gate.read()
            labels = list(rows[columns].itertuples(index=False, name=None))
            counts = plan.release(labels, rows["unit"].tolist())
            released = [[list(cell), count] for cell, count in counts.items()]
            (gate.folder / COUNTS).write_text(json.dumps(released), encoding="utf-8")
            gate.finish(None if contract.without_privacy else plan.event())
        return dg.MaterializeResult(
            metadata={
                "noisy_counts": _table(contract, counts),
                "epsilon": "none" if contract.without_privacy else plan.epsilon,
                "noise_scale": plan.scale,
                "dagster/uri": str(gate.artifact.folder / COUNTS),
                **receipts_metadata(gate.artifact),
            }
        )

    return label_histogram


def released_counts(artifact: Artifact) -> dict[tuple[str, ...], int]:
    """The noisy counts of a label-histogram artifact."""
    stored: list[list[Any]] = json.loads((artifact.folder / COUNTS).read_text(encoding="utf-8"))
    return {tuple(cell): int(count) for cell, count in stored}


def _table(contract: Contract, counts: dict[tuple[str, ...], int]) -> dg.MarkdownMetadataValue:
    lines = [f"| {escaped(contract.plain_label(cell))} | {count} |" for cell, count in counts.items()]
    return dg.MetadataValue.md("| label | noisy count |\n|---|---:|\n" + "\n".join(lines))
