"""`synthetic`: publishes the corpus that passed its checks as a table for SQL. Free.

Blocking checks stop this asset inside a run that made the corpus, but not in a run of its own: so the verdict is read
again from storage, and the publisher compares its digests with the rows and the contract.
"""

import json
from typing import Any

import dagster as dg

from dpsynth_assets.assets.common import contract_asset, of_partition, plain_failures
from dpsynth_assets.assets.figures import column_schema, preview, receipts_metadata
from dpsynth_assets.contract import Contract
from dpsynth_assets.gate.approval import require_terms
from dpsynth_assets.publish.record import release_record
from dpsynth_assets.publish.release import NO_GUARANTEE, PublishError, ReleaseRecord
from dpsynth_assets.quality.verdict import VERDICT, QualityError, Verdict
from ledger import LedgerError
from resources.artifact_store import Artifact, ArtifactError, ArtifactMissingError, ArtifactStore
from resources.ledger import LedgerResource
from resources.warehouse import Warehouse


def synthetic_asset(declared: Contract) -> dg.AssetsDefinition:
    """The published table of a contract."""

    @contract_asset(
        declared,
        "synthetic",
        description=(
            f"The published synthetic table `{declared.table}`: query it with `dpsynth sql`. "
            "Only a corpus with a passing quality verdict gets here."
        ),
        kinds={"duckdb", "parquet"},
        after=("corpus",),
    )
    def synthetic(
        context: dg.AssetExecutionContext,
        artifact_store: ArtifactStore,
        warehouse: Warehouse,
        ledger: LedgerResource,
    ) -> dg.MaterializeResult[None]:
        from dpsynth_assets.publish.warehouse import left_out, publish
        from dpsynth_assets.synthesis.corpus import ROWS, rows_of

        contract = of_partition(declared, context)
        with plain_failures(ArtifactError, QualityError, PublishError, LedgerError):
            require_terms(contract, ledger.open())
            corpus = artifact_store.latest(contract.id, "corpus")
            judged = _standing_verdict(artifact_store, corpus)
            verdict = Verdict.load(judged.folder / VERDICT)
            frame = rows_of(corpus.folder)
            record = release_record(contract, corpus, len(frame))
            folder, tables = warehouse.folder, warehouse.tables(corpus=corpus.seal, verdict=judged.seal)
            rows = corpus.folder / ROWS
            parquet = publish(folder, rows, contract=contract, release=record, verdict=verdict, tables=tables)
            table = tables.sealed(parquet)
            assert table is not None, "publishing ends with the seal"
            for path in left_out(folder, tables):
                context.log.warning(
                    f"{path} is not as it was sealed, or never was: it has no view, and `dpsynth audit verify` says why"
                )
            with artifact_store.draft(contract.id, "synthetic") as draft:
                made_from = {"corpus": corpus, "verdict": judged}
                about = {"parquet": str(parquet), "epsilon": record.epsilon, "rows": len(frame)}
                ids = {name: each.id for name, each in made_from.items()}
                (draft.folder / "release.json").write_text(json.dumps({**ids, **about}), encoding="utf-8")
                artifact = artifact_store.seal(draft, made_from={**made_from, "table": table}, about=about)
        return dg.MaterializeResult(
            metadata={
                "dagster/row_count": len(frame),
                "dagster/column_schema": column_schema(contract),
                "dagster/uri": str(parquet),
                "dagster/table_name": contract.table,
                "preview": preview(frame),
                **_promised(record),
                "quality": verdict.summary(),
                **receipts_metadata(artifact),
            }
        )

    return synthetic


def _standing_verdict(artifacts: ArtifactStore, corpus: Artifact) -> Artifact:
    """The verdict on that very corpus, from storage and not from the graph.

    Raises:
        ArtifactMissingError: the corpus has not been checked since it was made.
    """
    verdict = artifacts.find(corpus.contract, "verdict")
    if verdict is None or verdict.receipt["about"].get("corpus") != corpus.id:
        raise ArtifactMissingError(
            f"the corpus {corpus.id} of {corpus.contract} has no quality verdict: run its checks "
            f"(materialize {corpus.contract}/corpus with its checks, or Execute checks in the UI)"
        )
    return verdict


def _promised(record: ReleaseRecord) -> dict[str, Any]:
    """The guarantee as metadata."""
    if record.epsilon is None:
        return {"epsilon": NO_GUARANTEE}
    return {"epsilon": record.epsilon, "delta": record.delta}
