"""`synthetic`: publishes the corpus that passed its checks as a table for SQL. Free.

Blocking checks stop this asset inside a run that made the corpus, but not in a run of its own: so the verdict is read
again from storage, and the publisher compares its digests with the rows and the contract.
"""

import json
from typing import TYPE_CHECKING

import dagster as dg

from dpsynth_assets.assets.common import contract_asset, plain_failures
from dpsynth_assets.assets.corpus import ROWS, VERDICT, standing_verdict_of
from dpsynth_assets.assets.figures import column_schema, preview, receipts_metadata
from dpsynth_assets.contract import Contract
from resources.artifact_store import Artifact, ArtifactMissingError, ArtifactStore
from resources.warehouse import Warehouse

if TYPE_CHECKING:
    from dpsynth_assets.publish.release import ReleaseRecord


def synthetic_asset(contract: Contract) -> dg.AssetsDefinition:
    """The published table of a contract."""

    @contract_asset(
        contract,
        "synthetic",
        description=(
            f"The published synthetic table `{contract.table}`: query it with `dpsynth sql`. "
            "Only a corpus with a passing quality verdict gets here."
        ),
        kinds={"duckdb", "parquet"},
        after=("corpus",),
    )
    def synthetic(
        context: dg.AssetExecutionContext, artifact_store: ArtifactStore, warehouse: Warehouse
    ) -> dg.MaterializeResult[None]:
        import pandas as pd

        from dpsynth_assets.publish.release import PublishError
        from dpsynth_assets.quality.verdict import QualityError, Verdict

        with plain_failures(ArtifactMissingError, QualityError, PublishError):
            corpus = artifact_store.latest(contract.id, "corpus")
            judged = standing_verdict_of(artifact_store, corpus)
            verdict = Verdict.load(judged.folder / VERDICT)
            frame = pd.read_parquet(corpus.folder / ROWS)
            record = release_record(contract, corpus, len(frame))
            parquet = warehouse.publish(corpus.folder / ROWS, contract=contract, release=record, verdict=verdict)
        with artifact_store.draft(contract.id, "synthetic") as draft:
            about = {
                "corpus": corpus.id,
                "verdict": judged.id,
                "parquet": str(parquet),
                "epsilon": record.epsilon,
                "rows": len(frame),
            }
            (draft.folder / "release.json").write_text(json.dumps(about), encoding="utf-8")
            artifact = artifact_store.seal(draft, charges=corpus.receipts, about=about)
        return dg.MaterializeResult(
            metadata={
                "dagster/row_count": len(frame),
                "dagster/column_schema": column_schema(contract),
                "dagster/uri": str(parquet),
                "dagster/table_name": contract.table,
                "preview": preview(frame),
                "epsilon": record.epsilon,
                "delta": record.delta,
                "quality": verdict.summary(),
                **receipts_metadata(artifact.receipts),
            }
        )

    return synthetic


def release_record(contract: Contract, corpus: Artifact, rows: int) -> "ReleaseRecord":
    """What the warehouse keeps about a published corpus. Its epsilon composes the charges that it rests on."""
    from dpsynth_assets.publish.release import ReleaseRecord

    terms = contract.privacy
    return ReleaseRecord(
        id=corpus.id,
        contract=contract.id,
        contract_version=contract.version,
        table=contract.table,
        population=terms.population,
        unit=terms.unit.name,
        neighbouring_relation=terms.unit.neighbouring_relation,
        epsilon=composed_epsilon(contract, corpus),
        delta=terms.budget.delta,
        rows=rows,
        created=str(corpus.receipt["created"]),
        receipts=tuple(corpus.receipts),
    )


def composed_epsilon(contract: Contract, artifact: Artifact) -> float:
    """The epsilon, at the budget's delta, of everything that an artifact was made from, composed."""
    from ledger import Composed
    from ledger.accounting import epsilon
    from ledger.events import from_json

    charges = {charge["ledger_hash"]: charge for charge in artifact.receipts}
    events = tuple(from_json(charge["event"]) for charge in charges.values())
    return float(epsilon(Composed(events), contract.privacy.budget.delta))
