"""`classifier`: classifiers trained on the published synthetic table, of every kind that the contract names. Free."""

from functools import partial
from typing import TYPE_CHECKING

import dagster as dg

from dpsynth_assets.assets.common import contract_asset, of_partition, plain_failures
from dpsynth_assets.assets.figures import receipts_metadata
from dpsynth_assets.assets.progress import reporter
from dpsynth_assets.assets.proof import UnprovenError, published_table
from dpsynth_assets.assets.teaching import teacher_of
from dpsynth_assets.classify.errors import ClassifierError
from dpsynth_assets.classify.terms import terms_of
from dpsynth_assets.contract import Contract
from dpsynth_assets.gate.approval import require_terms
from dpsynth_assets.gate.public_rows import mixed_rows, test_rows
from dpsynth_assets.markdown import escaped
from dpsynth_assets.publish.release import PublishError
from dpsynth_assets.quality.verdict import QualityError
from ledger import LedgerError
from resources.artifact_store import ArtifactError, ArtifactStore
from resources.ledger import LedgerResource
from resources.sensitive_store import SensitiveStore
from resources.tabular import SourceError

if TYPE_CHECKING:
    from dpsynth_assets.classify.training_rows import Additions
    from dpsynth_assets.contract.classifiers import Classifier, SafetyClassifier


def additions_of(contract: Contract, store: SensitiveStore) -> "Additions":
    """What the contract's classifiers are trained on beside the rows of a table."""
    from dpsynth_assets.classify.contracted import additions

    mix = terms_of(contract).mix
    if mix is None:
        return additions(contract, None, ())
    tested = () if contract.privacy.test_split is None else test_rows(contract, store)["text"]
    return additions(contract, mixed_rows(contract, mix, store), tested)


def trained_on(terms: "Classifier | SafetyClassifier") -> str:
    """What classifiers are trained on, in words."""
    public = "" if terms.mix is None else f" and rows that {escaped(terms.mix.declared_public_by)} declares public"
    taught = ", taught by the labeller" if terms.taught_by_labeller else ""
    return f"the published synthetic table{public}{taught}{'' if public or taught else ' alone'}"


def classifier_asset(declared: Contract) -> dg.AssetsDefinition:
    """The classifier asset of a contract that has labels."""
    terms = terms_of(declared)
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
        from dpsynth_assets.classify.contracted import folder_of, seeds, train

        contract = of_partition(declared, context)
        taught = terms_of(contract).taught_by_labeller  # not of a variant that reads nothing
        spoken = (ArtifactError, PublishError, QualityError, LedgerError, UnprovenError, SourceError)
        with plain_failures(*spoken, ClassifierError):
            require_terms(contract, ledger.open())
            more = additions_of(contract, sensitive_store)
            synthetic, frame = published_table(contract, artifact_store, ledger)
            labeller = teacher_of(contract, synthetic, artifact_store) if taught else None
            with artifact_store.draft(contract.id, "classifier") as draft:
                release, report = synthetic.receipt["about"]["corpus"], partial(reporter, context)
                facts = train(contract, frame, more, draft.folder, release=release, labeller=labeller, report=report)
                artifact = artifact_store.seal(draft, made_from={"synthetic": synthetic})
        return dg.MaterializeResult(
            metadata={
                "target": target,
                "taught_by": terms_of(contract).teacher or "labels",
                "classes": len(contract.privacy.classes),
                "synthetic_rows": len(frame),
                "public_rows": len(more.mix or ()),
                "classifiers": dg.MetadataValue.json(facts),
                "dagster/uri": str(folder_of(artifact.folder, terms.kinds[0], seeds(contract)[0])),
                **receipts_metadata(artifact),
            }
        )

    return classifier
