"""`safety_classifier`: a small classifier of unsafe texts, exported for devices. Free.

Trained on the published synthetic table and nothing else that is sensitive; refused unless that table can be shown to
be what it claims: its corpus passed its rules, and ledger and receipts of everything that it rests on agree.
"""

import json
from typing import TYPE_CHECKING, Any

import dagster as dg

from dpsynth_assets.assets.classifier import trained_on
from dpsynth_assets.assets.common import contract_asset, of_partition, plain_failures
from dpsynth_assets.assets.figures import receipts_metadata
from dpsynth_assets.assets.progress import reporter
from dpsynth_assets.assets.proof import UnprovenError, guaranteed_table
from dpsynth_assets.assets.teaching import teacher_of
from dpsynth_assets.contract import Contract
from dpsynth_assets.gate.public_rows import mixed_rows, test_rows
from dpsynth_assets.markdown import escaped
from ledger import LedgerError
from resources.artifact_store import Artifact, ArtifactError, ArtifactStore
from resources.ledger import LedgerResource
from resources.sensitive_store import SensitiveStore
from resources.tabular import SourceError

if TYPE_CHECKING:
    import pandas as pd

    from dpsynth_assets.classify.safety import Students
    from dpsynth_assets.classify.training_rows import Labelled, Prepared, Teacher
    from dpsynth_assets.contract.classifiers import SafetyClassifier

FACTS = "safety.json"


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
        from dpsynth_assets.classify.encoder import EncoderError, Remembered
        from dpsynth_assets.classify.errors import ClassifierError
        from dpsynth_assets.classify.export import device_encoder
        from dpsynth_assets.classify.safety import MEGABYTE, build
        from dpsynth_assets.classify.threshold import Targets
        from dpsynth_assets.publish.release import PublishError
        from dpsynth_assets.quality.verdict import QualityError

        contract = of_partition(declared, context)
        spoken = (ArtifactError, QualityError, PublishError, LedgerError, UnprovenError, SourceError)
        with plain_failures(*spoken, ClassifierError, EncoderError):
            synthetic, frame = guaranteed_table(contract, artifact_store, ledger)
            encoder = Remembered(device_encoder())
            teacher = _teacher(contract, synthetic, artifact_store, encoder)
            public, mix = _public_validation(contract, sensitive_store), public_mix(contract, sensitive_store)
            rows = prepared(contract, frame, public, encoder, mix=mix, teacher=teacher)
            with artifact_store.draft(contract.id, "safety_classifier") as draft:
                students = build(
                    terms.students,
                    rows,
                    Targets(terms.precision, terms.recall, terms.confidence),
                    draft.folder,
                    seed=contract.privacy.generation.seed,
                    max_bytes=int(terms.max_megabytes * MEGABYTE),
                    about=_manifest(contract, synthetic, rows, len(frame)),
                    encoder=encoder,
                    progress=reporter(context, "Training a safety classifier on synthetic records"),
                )
                facts = _facts(terms, students, rows)
                (draft.folder / FACTS).write_text(json.dumps(facts, indent=2), encoding="utf-8")
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


def terms_of(contract: Contract) -> "SafetyClassifier":
    """The contract's terms of its safety classifier; the factory makes these assets only where there are some."""
    terms = contract.privacy.safety_classifier
    assert terms is not None
    return terms


def public_mix(contract: Contract, store: SensitiveStore) -> "Labelled | None":
    """The public rows that the contract wants trained on too."""
    from dpsynth_assets.classify.training_rows import labelled

    terms = terms_of(contract)
    if terms.mix is None:
        return None
    rows = mixed_rows(contract, terms.mix, store)
    return labelled(rows["text"].tolist(), rows[terms.target].tolist(), terms.unsafe)


def prepared(
    contract: Contract,
    frame: "pd.DataFrame",
    public: "Labelled | None",
    encoder: Any,
    *,
    mix: "Labelled | None",
    published: bool = True,
    teacher: "Teacher | None" = None,
) -> "Prepared":
    """The rows that the contract's safety classifiers are trained on and judged by.

    Args:
        frame: synthetic rows, or others in their place, for a comparison.
        public: rows to set the thresholds on, where the contract wants public ones.
        mix: public rows to train on too (`public_mix`).
        published: whether the text column has the contract's name, as in a published table; otherwise `text`.
        teacher: says of training texts how likely they are unsafe.
    """
    from dpsynth_assets.classify.training_rows import labelled, prepare

    terms = terms_of(contract)
    column = contract.privacy.text.column if published else "text"
    return prepare(
        labelled(frame[column].tolist(), frame[terms.target].tolist(), terms.unsafe),
        contract.privacy.generation.seed,
        validation=public,
        mix=mix,
        filtering=terms.filtering,
        augmentation=terms.augmentation,
        encoder=encoder,
        teacher=teacher,
    )


def _teacher(contract: Contract, synthetic: Artifact, artifacts: ArtifactStore, encoder: Any) -> "Teacher | None":
    """What teaches the students: the labeller that judged this very corpus, whose charge is in its receipt, or a head
    that is trained on the labels of the rows themselves.

    Raises:
        ClassifierError: no labeller judged the corpus, or it predicts another label than the contract does now.
    """
    from dpsynth_assets.classify.recipes import RECIPES
    from dpsynth_assets.classify.training_rows import CLASSES, UNSAFE, Lesson

    terms = terms_of(contract)
    if terms.teacher is None:
        return None
    if terms.teacher == "minilm":
        seed = contract.privacy.generation.seed

        def by_labels(rows: "Labelled") -> Any:
            head = RECIPES["minilm"].train(Lesson(rows.texts, rows.labels, CLASSES), seed, encoder=encoder)
            return head.predict_proba(rows.texts)[:, CLASSES.index(UNSAFE)]

        return by_labels
    labeller = teacher_of(contract, synthetic, artifacts, encoder)
    return lambda rows: labeller.predict_proba(rows.texts)[:, labeller.classes.index(terms.unsafe)]


def public_halves(contract: Contract, store: SensitiveStore) -> "tuple[Labelled | None, Labelled, pd.DataFrame]":
    """Of the public test split, the rows to set thresholds on, where the contract wants that, the rows to test on, and
    those with all their labels. The halves have no text in common."""
    import numpy as np

    from dpsynth_assets.classify.training_rows import halves, labelled

    terms = terms_of(contract)
    frame = test_rows(contract, store)
    rows = labelled(frame["text"].tolist(), frame[terms.target].tolist(), terms.unsafe)
    whole = frame.drop_duplicates("text").set_index("text", drop=False)
    if terms.validation == "synthetic":
        return None, rows, whole.loc[rows.texts]
    first = halves(rows.texts)
    tested = rows.at(np.flatnonzero(~first))
    return rows.at(np.flatnonzero(first)), tested, whole.loc[tested.texts]


def _public_validation(contract: Contract, store: SensitiveStore) -> "Labelled | None":
    return None if terms_of(contract).validation == "synthetic" else public_halves(contract, store)[0]


def _facts(terms: "SafetyClassifier", students: "Students", rows: "Prepared") -> dict[str, Any]:
    """What was measured without test rows, the chosen student first: for metadata, the card and the evaluation."""
    from dpsynth_assets.classify import functional
    from dpsynth_assets.classify.safety_figures import latency

    return {
        "students": [
            {
                "student": each.name,
                "bytes": each.bytes,
                "parity": each.screener.manifest["parity"],
                "latency": latency(each.screener, rows.validation.texts),
                "functional_tests": functional.run(
                    terms.functional_tests, each.screener.probabilities, each.thresholds
                ),
                "thresholds": each.thresholds.to_json(),
            }
            for each in students.exported
        ],
        "too_large": dict(students.too_large),
        "rows": {name: len(getattr(rows, name)) for name in ("train", "calibration", "certification")},
    }


def _manifest(contract: Contract, synthetic: Artifact, rows: "Prepared", published: int) -> dict[str, Any]:
    """What the exported folder says of itself beside model and thresholds. Facts of contract and receipts only."""
    privacy, terms = contract.privacy, terms_of(contract)
    others = [v for label in privacy.labels if label.column == terms.target for v in label.values if v != terms.unsafe]
    source = (
        "held-out synthetic texts"
        if terms.validation == "synthetic"
        else (f"public texts, half of the test split declared public by {privacy.test_split.declared_public_by}")
    )
    sealed = synthetic.seal.guarantee
    assert sealed is not None, "a table without guarantee is not handed out for this"
    epsilon, delta = sealed.epsilon, sealed.delta
    limits = [
        f"The thresholds were set on {source}, {rows.certification.unsafe.mean():.0%} of which are unsafe. Where "
        "unsafe texts are rarer, precision is lower.",
        "Precision and recall are promised for texts like those, at the stated confidence; not for other languages, "
        "topics or times.",
        "Texts that go to review are meant to be read by a person.",
    ]
    if terms.validation == "synthetic":
        limits.insert(0, "Synthetic texts are not real ones: measure on public real texts before blocking any.")
    return {
        "contract": {"id": contract.id, "version": contract.version, "digest": contract.digest},
        "labels": {"column": terms.target, "unsafe": terms.unsafe, "safe": others},
        "trained_on": {
            "release": synthetic.receipt["about"]["corpus"],
            "synthetic_rows": published,
            "texts": len(rows.train),
            "taught_by": terms.teacher or "labels",
            "public_rows_mixed_in": None if terms.mix is None else terms.mix.model_dump(mode="json"),
        },
        "guarantee": {
            "epsilon": epsilon,
            "delta": delta,
            "unit": privacy.unit.name,
            "max_records": privacy.unit.max_records,
            "neighbouring_relation": privacy.unit.neighbouring_relation,
            "population": privacy.population,
            "sentence": (
                f"({epsilon:.4g}, {delta:g})-differentially private for adding or removing one {privacy.unit.name} of "
                f"{privacy.population}: post-processing of the releases whose receipts stand here, however often it is "
                "used."
            ),
        },
        "receipts": synthetic.receipts,
        "intended_use": (
            f"Screening short texts for `{terms.target}` = {terms.unsafe}, as trained for: {contract.description}"
        ),
        "limits": limits,
    }
