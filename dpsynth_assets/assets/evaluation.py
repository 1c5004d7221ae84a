"""`evaluation`: the classifier on the test split that the contract declares public. Free.

A classifier trained on the real rows stands beside it only where the owner declares the source public: anywhere else
its accuracy would be an unmetered output of the sensitive rows.
"""

import json
from typing import TYPE_CHECKING, Any

import dagster as dg

from dpsynth_assets.assets.classifier import HEAD, target_classes
from dpsynth_assets.assets.common import contract_asset, plain_failures
from dpsynth_assets.assets.figures import receipts_metadata
from dpsynth_assets.assets.progress import Progress, reporter
from dpsynth_assets.contract import Contract
from resources.artifact_store import ArtifactMissingError, ArtifactStore
from resources.sensitive_store import SensitiveStore, Snapshot, public_rows, test_rows
from resources.tabular import SourceError

if TYPE_CHECKING:
    import numpy as np

FIGURES = "evaluation.json"


def evaluation_asset(contract: Contract) -> dg.AssetsDefinition:
    """The evaluation asset of a contract."""
    test = contract.privacy.test_split

    @contract_asset(
        contract,
        "evaluation",
        description=(
            f"Accuracy of the classifier on the test split, declared public by {test.declared_public_by}."
            + (
                " Beside it, one trained on the real rows, which the contract declares public."
                if contract.privacy.source_is_public
                else ""
            )
        ),
        kinds={"scikitlearn"},
        after=("classifier",),
    )
    def evaluation(
        context: dg.AssetExecutionContext, artifact_store: ArtifactStore, sensitive_store: SensitiveStore
    ) -> dg.MaterializeResult[None]:
        from dpsynth_assets.classify.encoder import MiniLM
        from dpsynth_assets.classify.evaluation import evaluate, markdown
        from dpsynth_assets.classify.head import Head

        with plain_failures(ArtifactMissingError, SourceError):
            classifier = artifact_store.latest(contract.id, "classifier")
            snapshot = sensitive_store.latest(contract)
            rows = test_rows(contract, snapshot)
        head = Head.load(classifier.folder / HEAD)
        target = contract.privacy.classifier.target
        encoder = MiniLM()
        embeddings = encoder.encode(rows["text"].tolist(), progress=reporter(context, "Embedding public test records"))
        figures: dict[str, Any] = {"synthetic": evaluate(head, embeddings, rows[target].tolist())}
        if contract.privacy.source_is_public:
            count = artifact_store.get(contract.id, "synthetic", classifier.receipt["about"]["synthetic"]).receipt[
                "about"
            ]["rows"]
            progress = reporter(context, "Embedding real records, declared public")
            real = _real_head(contract, snapshot, encoder, int(count), progress)
            figures["real"] = evaluate(real, embeddings, rows[target].tolist())
        with artifact_store.draft(contract.id, "evaluation") as draft:
            (draft.folder / FIGURES).write_text(json.dumps(figures, indent=2), encoding="utf-8")
            artifact = artifact_store.seal(draft, charges=classifier.receipts, about={"classifier": classifier.id})
        numbers = {
            f"{name}_on_{trained}" if trained == "real" else name: float(value)
            for trained, result in figures.items()
            for name, value in result.items()
            if isinstance(value, int | float)
        }
        return dg.MaterializeResult(
            metadata={
                **numbers,
                "per_class": dg.MetadataValue.md(markdown(figures["synthetic"])),
                "figures": dg.MetadataValue.json(figures),
                **receipts_metadata(artifact.receipts),
            }
        )

    return evaluation


def _real_head(contract: Contract, snapshot: Snapshot, encoder: Any, rows: int, progress: Progress) -> Any:
    """A head trained on as many real rows as there are synthetic ones, for sources declared public."""
    from dpsynth_assets.classify.head import train_head

    seed = contract.privacy.generation.seed
    real = public_rows(contract, snapshot)
    real = real.sample(n=min(rows, len(real)), random_state=seed)
    embeddings: np.ndarray[Any, Any] = encoder.encode(real["text"].tolist(), progress=progress)
    labels = real[contract.privacy.classifier.target].tolist()
    return train_head(embeddings, labels, target_classes(contract), seed)
