"""`candidates`: texts drawn from the adapter, label by label, for the corpus to be chosen from. Free.

Apart from the corpus, so that curating again draws nothing again, and so that a release may look at what was drawn.
"""

import dagster as dg

from dpsynth_assets.assets.common import contract_asset, of_partition, plain_failures
from dpsynth_assets.assets.figures import preview, receipts_metadata
from dpsynth_assets.assets.label_histogram import released_counts
from dpsynth_assets.assets.progress import reporter
from dpsynth_assets.contract import Contract
from dpsynth_assets.contract.synthesis import Curation
from resources.artifact_store import ArtifactError, ArtifactStore

CANDIDATES = "candidates.parquet"


def candidates_asset(declared: Contract) -> dg.AssetsDefinition:
    """The candidates asset of a contract."""

    terms = declared.privacy.curation

    @contract_asset(
        declared,
        "candidates",
        description=(
            "Texts drawn from the adapter label by label, "
            + ("as many of each" if terms.proportions == "even" else "as many of each as the noisy histogram says")
            + ("" if terms.drawn == 1 else f", {terms.drawn:g} for every row that is wanted")
            + ". The corpus is chosen from them."
        ),
        kinds={"pytorch", "parquet"},
        after=("adapter", "label_histogram"),
    )
    def candidates(context: dg.AssetExecutionContext, artifact_store: ArtifactStore) -> dg.MaterializeResult[None]:
        from dpsynth_assets.language.generation import generate_corpus

        contract = of_partition(declared, context)
        with plain_failures(ArtifactError):
            adapter = artifact_store.latest(contract.id, "adapter")
            histogram = artifact_store.latest(contract.id, "label_histogram")
        size = float(adapter.receipt["about"].get("size", 1.0))
        drawn = round(rows_wanted(contract, size) * terms.drawn)
        progress = reporter(context, "Generating synthetic records")
        marks = (adapter.id, histogram.id, contract.digest, str(drawn))
        with (
            artifact_store.unfinished(contract.id, "candidates", *marks) as shards,
            artifact_store.draft(contract.id, "candidates") as draft,
        ):
            counts = proportions(terms, released_counts(histogram))
            frame = generate_corpus(contract, adapter.folder, counts, rows=drawn, progress=progress, shards=shards)
            frame.to_parquet(draft.folder / CANDIDATES, index=False)
            artifact = artifact_store.seal(
                draft, made_from={"adapter": adapter, "label_histogram": histogram}, about={"size": size}
            )
        return dg.MaterializeResult(
            metadata={
                "dagster/row_count": len(frame),
                "dagster/uri": str(artifact.folder / CANDIDATES),
                "preview": preview(frame),
                **receipts_metadata(artifact),
            }
        )

    return candidates


def rows_wanted(contract: Contract, size: float) -> int:
    """The rows of the corpus, of a quick pass over a share of the units the same share."""
    return max(1, round(contract.privacy.generation.rows * size))


def proportions(terms: Curation, counts: dict[tuple[str, ...], int]) -> dict[tuple[str, ...], int]:
    """In which proportions labels are drawn and kept."""
    return dict.fromkeys(counts, 1) if terms.proportions == "even" else counts
