"""`classifier`: MiniLM embeddings of the published synthetic table and a head trained on them. Free."""

from pathlib import Path

import dagster as dg

from dpsynth_assets.assets.common import contract_asset, plain_failures
from dpsynth_assets.assets.figures import receipts_metadata
from dpsynth_assets.assets.progress import reporter
from dpsynth_assets.contract import Contract
from resources.artifact_store import ArtifactMissingError, ArtifactStore

HEAD = "head"


def target_classes(contract: Contract) -> tuple[str, ...]:
    """The values of the label that the contract wants classified."""
    target = contract.privacy.classifier.target
    return next(label.values for label in contract.privacy.labels if label.column == target)


def classifier_asset(contract: Contract) -> dg.AssetsDefinition:
    """The classifier asset of a contract."""
    target = contract.privacy.classifier.target

    @contract_asset(
        contract,
        "classifier",
        description=(
            f"Predicts `{target}` from text. Trained on the published synthetic table alone: anybody may have it."
        ),
        kinds={"scikitlearn", "huggingface"},
        after=("synthetic",),
    )
    def classifier(context: dg.AssetExecutionContext, artifact_store: ArtifactStore) -> dg.MaterializeResult[None]:
        from dpsynth_assets.classify.encoder import MiniLM
        from dpsynth_assets.classify.head import train_head
        from dpsynth_assets.publish.parquet import load
        from dpsynth_assets.publish.release import PublishError

        with plain_failures(ArtifactMissingError, PublishError):
            synthetic = artifact_store.latest(contract.id, "synthetic")
            frame = load(Path(synthetic.receipt["about"]["parquet"]))  # refused unless these rows passed
        embeddings = MiniLM().encode(
            frame[contract.privacy.text.column].tolist(),
            progress=reporter(context, "Embedding synthetic records"),
        )
        head = train_head(
            embeddings,
            frame[target].tolist(),
            target_classes(contract),
            contract.privacy.generation.seed,
            provenance={"release": synthetic.receipt["about"]["corpus"]},
        )
        with artifact_store.draft(contract.id, "classifier") as draft:
            head.save(draft.folder / HEAD)
            artifact = artifact_store.seal(draft, charges=synthetic.receipts, about={"synthetic": synthetic.id})
        return dg.MaterializeResult(
            metadata={
                "target": target,
                "classes": len(target_classes(contract)),
                "synthetic_rows": len(frame),
                "dagster/uri": str(artifact.folder / HEAD),
                **receipts_metadata(artifact.receipts),
            }
        )

    return classifier
