"""`safety_classifier`: a small classifier of unsafe texts, exported for devices. Free.

Trained on the published synthetic table and nothing else that is sensitive; refused unless that table can be shown to
be what it claims: its corpus passed its rules, and ledger and receipts of everything that it rests on agree.
"""

import dagster as dg

from dpsynth_assets.assets.classifier import trained_on
from dpsynth_assets.assets.common import contract_asset, of_partition, plain_failures
from dpsynth_assets.assets.figures import receipts_metadata
from dpsynth_assets.assets.progress import reporter
from dpsynth_assets.assets.proof import UnprovenError, guaranteed_table
from dpsynth_assets.assets.teaching import teacher_of
from dpsynth_assets.classify.errors import ClassifierError, EncoderError
from dpsynth_assets.contract import Contract
from dpsynth_assets.gate.public_rows import mixed_rows, test_rows
from dpsynth_assets.markdown import escaped
from dpsynth_assets.publish.release import PublishError
from dpsynth_assets.quality.verdict import QualityError
from dpsynth_assets.safety.terms import terms_of
from ledger import LedgerError
from resources.artifact_store import ArtifactError, ArtifactStore
from resources.ledger import LedgerResource
from resources.sensitive_store import SensitiveStore
from resources.tabular import SourceError


def safety_classifier_asset(declared: Contract) -> dg.AssetsDefinition:
    """The safety classifier of a contract that asks for one."""
    terms = terms_of(declared)

    @contract_asset(
        declared,
        "safety_classifier",
        description=(
            f"Tells texts whose `{terms.target}` is {escaped(terms.unsafe)}: allow, review or block. An int8 ONNX "
            f"model of at most {terms.max_megabytes:g} MB for devices, blocking with a precision of "
            f"{terms.precision:g} at {terms.confidence:.0%} confidence. Trained on {trained_on(terms)}: anybody may "
            "have it."
        ),
        kinds={"onnx"},
        after=("synthetic",),
    )
    def safety_classifier(
        context: dg.AssetExecutionContext,
        artifact_store: ArtifactStore,
        sensitive_store: SensitiveStore,
        ledger: LedgerResource,
    ) -> dg.MaterializeResult[None]:
        from dpsynth_assets.safety.manifest import Table
        from dpsynth_assets.safety.students import MEGABYTE, make

        contract = of_partition(declared, context)
        taught = terms_of(contract).taught_by_labeller  # not of a variant that reads nothing
        spoken = (ArtifactError, QualityError, PublishError, LedgerError, UnprovenError, SourceError)
        with plain_failures(*spoken, ClassifierError, EncoderError):
            synthetic, frame = guaranteed_table(contract, artifact_store, ledger)
            sealed = synthetic.seal.guarantee
            assert sealed is not None, "a table without guarantee is not handed out for this"
            with artifact_store.draft(contract.id, "safety_classifier") as draft:
                students, facts = make(
                    contract,
                    Table(frame, synthetic.receipt["about"]["corpus"], sealed, synthetic.receipts),
                    draft.folder,
                    tested=None if terms.validation == "synthetic" else test_rows(contract, sensitive_store),
                    mix=None if terms.mix is None else mixed_rows(contract, terms.mix, sensitive_store),
                    labeller=teacher_of(contract, synthetic, artifact_store) if taught else None,
                    progress=reporter(context, "Training a safety classifier on synthetic records"),
                )
                about = {"student": students.chosen.name}
                artifact = artifact_store.seal(draft, made_from={"synthetic": synthetic}, about=about)
        chosen = students.chosen
        return dg.MaterializeResult(
            metadata={
                "student": chosen.name,
                "megabytes": chosen.bytes / MEGABYTE,
                "latency_ms": facts["students"][0]["latency"]["median_ms"],
                "agreement_with_torch": facts["students"][0]["parity"]["agreement"],
                "blocks": chosen.thresholds.block is not None,
                "thresholds": dg.MetadataValue.json(chosen.thresholds.to_json()),
                "students": dg.MetadataValue.json(facts),
                "dagster/uri": str(artifact.folder / chosen.name),
                **receipts_metadata(artifact),
            }
        )

    return safety_classifier
