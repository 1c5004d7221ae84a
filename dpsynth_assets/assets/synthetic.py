"""`synthetic`: publishes the corpus that passed its checks as a table for SQL. Free.

Blocking checks stop this asset inside a run that made the corpus, but not in a run of its own: so the verdict is read
again from storage, and the publisher compares its digests with the rows and the contract.
"""

import json
from typing import TYPE_CHECKING, Any

import dagster as dg

from dpsynth_assets.approval import require_terms
from dpsynth_assets.assets.common import contract_asset, of_partition, plain_failures
from dpsynth_assets.assets.corpus import ROWS, VERDICT, standing_verdict_of
from dpsynth_assets.assets.figures import NO_GUARANTEE, column_schema, preview, receipts_metadata
from dpsynth_assets.contract import Contract
from ledger import LedgerError
from resources.artifact_store import Artifact, ArtifactMissingError, ArtifactStore
from resources.ledger import LedgerResource
from resources.warehouse import Warehouse

if TYPE_CHECKING:
    from dpsynth_assets.publish.release import ReleaseRecord


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
        import pandas as pd

        from dpsynth_assets.publish.release import PublishError
        from dpsynth_assets.quality.verdict import QualityError, Verdict

        contract = of_partition(declared, context)
        with plain_failures(ArtifactMissingError, QualityError, PublishError, LedgerError):
            require_terms(contract, ledger.open())
            corpus = artifact_store.latest(contract.id, "corpus")
            judged = standing_verdict_of(artifact_store, corpus)
            verdict = Verdict.load(judged.folder / VERDICT)
            frame = pd.read_parquet(corpus.folder / ROWS)
            record = release_record(contract, corpus, len(frame))
            parquet = warehouse.publish(corpus.folder / ROWS, contract=contract, release=record, verdict=verdict)
        with artifact_store.draft(contract.id, "synthetic") as draft:
            made_from = {"corpus": corpus, "verdict": judged}
            about = {"parquet": str(parquet), "epsilon": record.epsilon, "rows": len(frame)}
            ids = {name: each.id for name, each in made_from.items()}
            (draft.folder / "release.json").write_text(json.dumps({**ids, **about}), encoding="utf-8")
            artifact = artifact_store.seal(draft, made_from=made_from, about=about)
        return dg.MaterializeResult(
            metadata={
                "dagster/row_count": len(frame),
                "dagster/column_schema": column_schema(contract),
                "dagster/uri": str(parquet),
                "dagster/table_name": contract.table,
                "preview": preview(frame),
                **_promised(record),
                "quality": verdict.summary(),
                **receipts_metadata(artifact.receipts),
            }
        )

    return synthetic


def release_record(contract: Contract, corpus: Artifact, rows: int) -> "ReleaseRecord":
    """What the warehouse keeps about a published corpus. Its epsilon composes the charges that it rests on; a variant
    without privacy has none, and no delta.

    Raises:
        PublishError: the contract promises privacy, and the corpus rests on something that no charge covers.
    """
    from dpsynth_assets.publish.release import ReleaseRecord

    terms, private = contract.privacy, not contract.without_privacy
    return ReleaseRecord(
        id=corpus.id,
        contract=contract.id,
        contract_version=contract.version,
        table=contract.table,
        population=terms.population,
        unit=terms.unit.name,
        neighbouring_relation=terms.unit.neighbouring_relation,
        epsilon=composed_epsilon(contract, corpus) if private else None,
        delta=terms.budget.delta if private else None,
        rows=rows,
        created=str(corpus.receipt["created"]),
        receipts=tuple(corpus.receipts),
    )


def composed_epsilon(contract: Contract, *artifacts: Artifact) -> float:
    """The epsilon, at the budget's delta, of everything that some artifacts were made from, composed.

    Raises:
        PublishRefused: something that one was made from was made without privacy, or nothing of it was charged: no
            epsilon holds.
    """
    from dpsynth_assets.publish.release import PublishRefused
    from ledger import Composed
    from ledger.accounting import epsilon
    from ledger.events import from_json

    for artifact in artifacts:
        if artifact.without_guarantee or not artifact.receipts:
            raise PublishRefused(
                f"the {artifact.kind} {artifact.id} of {contract.id} rests on a release that was made without privacy "
                "or was never charged, so no epsilon can be stated: make the contract's releases anew"
            )
    charges = {charge["ledger_hash"]: charge for artifact in artifacts for charge in artifact.receipts}
    events = tuple(from_json(charge["event"]) for charge in charges.values())
    return float(epsilon(Composed(events), contract.privacy.budget.delta))


def _promised(record: "ReleaseRecord") -> dict[str, Any]:
    """The guarantee as metadata."""
    if record.epsilon is None:
        return {"epsilon": NO_GUARANTEE}
    return {"epsilon": record.epsilon, "delta": record.delta}
