"""`card`: the certificate of a release, as a page for people and as data for programs. Free.

Both say the same, are sealed together, and refer to nothing outside themselves.
"""

import json

import dagster as dg

from dpsynth_assets.assets.certificate import Certified, certificate
from dpsynth_assets.assets.common import contract_asset, of_partition, plain_failures
from dpsynth_assets.assets.figures import page_of, receipts_metadata
from dpsynth_assets.assets.proof import place_of
from dpsynth_assets.classify.results import results_in
from dpsynth_assets.contract import Contract
from dpsynth_assets.gate.approval import require_approved
from dpsynth_assets.publish.card import CARD, DATA, in_markdown, page
from dpsynth_assets.quality.verdict import VERDICT, QualityError, Verdict
from dpsynth_assets.releases.registry import writers
from dpsynth_assets.releases.votes import CANDIDATES
from ledger import LedgerError
from resources.artifact_store import Artifact, ArtifactError, ArtifactStore
from resources.ledger import LedgerResource
from resources.warehouse import Warehouse


def card_asset(declared: Contract) -> dg.AssetsDefinition:
    """The card asset of a contract."""

    @contract_asset(
        declared,
        "card",
        description="The certificate of the standing release: what is guaranteed, what it cost, how good it is.",
        kinds={"html", "markdown"},
        after=("synthetic", *(("evaluation",) if declared.privacy.evaluated else ())),
    )
    def card(
        context: dg.AssetExecutionContext, artifact_store: ArtifactStore, warehouse: Warehouse, ledger: LedgerResource
    ) -> dg.MaterializeResult[None]:
        contract = of_partition(declared, context)
        with plain_failures(ArtifactError, QualityError, LedgerError):
            require_approved(contract.declared, ledger.open())  # a card speaks for population, unit and budget too
            synthetic = artifact_store.latest(contract.id, "synthetic")
            about = synthetic.receipt["about"]
            corpus = artifact_store.get(contract.id, "corpus", about["corpus"])
            judged = artifact_store.get(contract.id, "verdict", about["verdict"])
            writer = writers(contract)[0].name
            drawn = artifact_store.get(contract.id, CANDIDATES, corpus.receipt["about"][CANDIDATES])
            evaluation = _evaluation_of(synthetic, artifact_store)
            table = warehouse.tables().sealed(place_of(synthetic, artifact_store))
            assert table is not None, "a published table is sealed"
            of = Certified(
                synthetic=synthetic,
                corpus=corpus,
                verdict=Verdict.load(judged.folder / VERDICT),
                written_by=artifact_store.get(contract.id, writer, corpus.receipt["about"][writer]),
                table=table,
                evaluation=results_in(evaluation.folder) if evaluation else None,
            )
            said = certificate(contract, of, float(drawn.receipt["about"]["size"]), ledger.open())
        with artifact_store.draft(contract.id, "card") as draft:
            (draft.folder / DATA).write_text(json.dumps(said, indent=2, allow_nan=False) + "\n", encoding="utf-8")
            (draft.folder / CARD).write_text(page(said), encoding="utf-8")
            more = {"evaluation": evaluation} if evaluation else {}
            artifact = artifact_store.seal(draft, made_from={**more, "synthetic": synthetic})
        return dg.MaterializeResult(
            metadata={
                "card": dg.MetadataValue.md(in_markdown(said)),
                "page": page_of(artifact, CARD),
                "dagster/uri": str(artifact.folder / CARD),
                **receipts_metadata(artifact),
            }
        )

    return card


def _evaluation_of(synthetic: Artifact, artifacts: ArtifactStore) -> Artifact | None:
    """The standing evaluation, where it is of classifiers of this very table."""
    evaluation = artifacts.find(synthetic.contract, "evaluation")
    if evaluation is None:
        return None
    classifier = artifacts.get(synthetic.contract, "classifier", evaluation.receipt["about"]["classifier"])
    return evaluation if classifier.receipt["about"]["synthetic"] == synthetic.id else None
