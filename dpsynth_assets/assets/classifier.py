"""`classifier`: classifiers trained on the published synthetic table, of every kind that the contract names. Free."""

from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from dpsynth_assets.assets.common import contract_asset, of_partition, plain_failures
from dpsynth_assets.assets.figures import receipts_metadata
from dpsynth_assets.assets.progress import reporter
from dpsynth_assets.assets.proof import UnprovenError, published_table
from dpsynth_assets.assets.teaching import teacher_of
from dpsynth_assets.contract import Contract
from dpsynth_assets.gate.approval import require_terms
from dpsynth_assets.gate.public_rows import mixed_rows, test_rows
from dpsynth_assets.markdown import escaped
from ledger import LedgerError
from resources.artifact_store import ArtifactError, ArtifactStore
from resources.ledger import LedgerResource
from resources.sensitive_store import SensitiveStore
from resources.tabular import SourceError

if TYPE_CHECKING:
    from dpsynth_assets.classify.training_rows import Additions
    from dpsynth_assets.contract.classifiers import Classifier, SafetyClassifier


def seeds(contract: Contract) -> range:
    """The seeds of the contract's classifiers."""
    first = contract.privacy.generation.seed
    return range(first, first + contract.privacy.classifier.seeds)


def folder_of(artifact: Path, kind: str, seed: int) -> Path:
    """Where in a `classifier` artifact one of them lies."""
    return artifact / kind / str(seed)


def additions(contract: Contract, store: SensitiveStore) -> "Additions":
    """What the contract's classifiers are trained on beside the rows of a table. Texts of the public test split are
    left out of the public rows: they test."""
    from dpsynth_assets.classify.training_rows import Additions, labelled

    terms, mix = contract.privacy.classifier, None
    if terms.mix is not None:
        rows = mixed_rows(contract, terms.mix, store)
        tested = test_rows(contract, store)["text"].tolist()
        mix = labelled(rows["text"].tolist(), rows[terms.target].tolist()).without(tested)
    return Additions(mix, terms.augmentation)


def trained_on(terms: "Classifier | SafetyClassifier") -> str:
    """What classifiers are trained on, in words."""
    public = "" if terms.mix is None else f" and rows that {escaped(terms.mix.declared_public_by)} declares public"
    taught = ", taught by the labeller" if terms.taught_by_labeller else ""
    return f"the published synthetic table{public}{taught}{'' if public or taught else ' alone'}"


def classifier_asset(declared: Contract) -> dg.AssetsDefinition:
    """The classifier asset of a contract."""
    terms = declared.privacy.classifier
    target = terms.target
    each = "" if terms.seeds == 1 else f", {terms.seeds} of each"

    @contract_asset(
        declared,
        "classifier",
        description=(
            f"Predicts `{target}` from text ({', '.join(terms.kinds)}{each}). Trained on {trained_on(terms)}: "
            "anybody may have it."
        ),
        kinds={"scikitlearn", "huggingface"},
        after=("synthetic",),
    )
    def classifier(
        context: dg.AssetExecutionContext,
        artifact_store: ArtifactStore,
        sensitive_store: SensitiveStore,
        ledger: LedgerResource,
    ) -> dg.MaterializeResult[None]:
        from dpsynth_assets.classify.encoder import MiniLM, Remembered
        from dpsynth_assets.classify.errors import ClassifierError
        from dpsynth_assets.classify.recipes import RECIPES
        from dpsynth_assets.classify.training_rows import Lesson
        from dpsynth_assets.publish.release import PublishError
        from dpsynth_assets.quality.verdict import QualityError

        contract = of_partition(declared, context)
        with plain_failures(ArtifactError, PublishError, QualityError, LedgerError, UnprovenError, SourceError):
            require_terms(contract, ledger.open())
            more = additions(contract, sensitive_store)
            synthetic, frame = published_table(contract, artifact_store, ledger)
        texts, labels = frame[contract.privacy.text.column].tolist(), frame[target].tolist()
        encoder, targets, taught_by = Remembered(MiniLM()), None, terms.teacher or "labels"
        if terms.teacher is not None:
            with plain_failures(ClassifierError, ArtifactError):
                targets = teacher_of(contract, synthetic, artifact_store, encoder).predict_proba(texts)
        lesson = Lesson(texts, labels, contract.privacy.classes, more, targets)
        facts = {}
        with artifact_store.draft(contract.id, "classifier") as draft:
            for kind in terms.kinds:
                for seed in seeds(contract):
                    with plain_failures(ClassifierError):
                        trained = RECIPES[kind].train(
                            lesson,
                            seed,
                            encoder=encoder,
                            progress=reporter(context, f"Training {kind} on synthetic records"),
                            provenance={"release": synthetic.receipt["about"]["corpus"], "taught_by": taught_by},
                        )
                    trained.save(folder_of(draft.folder, kind, seed))
                    facts[f"{kind}/{seed}"] = dict(trained.facts)
            artifact = artifact_store.seal(draft, made_from={"synthetic": synthetic})
        return dg.MaterializeResult(
            metadata={
                "target": target,
                "taught_by": taught_by,
                "classes": len(contract.privacy.classes),
                "synthetic_rows": len(frame),
                "public_rows": len(more.mix or ()),
                "classifiers": dg.MetadataValue.json(facts),
                "dagster/uri": str(folder_of(artifact.folder, terms.kinds[0], seeds(contract)[0])),
                **receipts_metadata(artifact),
            }
        )

    return classifier
