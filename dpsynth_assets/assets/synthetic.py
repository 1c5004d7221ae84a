"""`synthetic`: publishes the corpus that passed its checks as a table for SQL. Free.

Blocking checks stop this asset inside a run that made the corpus, but not in a run of its own: so the verdict is read
again from storage, and the publisher compares its digests with the rows and the contract.
"""

import json
from typing import TYPE_CHECKING, Any

import dagster as dg

from dpsynth_assets.assets.common import contract_asset, of_partition, plain_failures
from dpsynth_assets.assets.corpus import ROWS, VERDICT, standing_verdict_of
from dpsynth_assets.assets.figures import NO_GUARANTEE, column_schema, preview, receipts_metadata
from dpsynth_assets.contract import Contract
from dpsynth_assets.gate.approval import require_terms
from ledger import LedgerError
from resources.artifact_store import Artifact, ArtifactError, ArtifactStore
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
        from dpsynth_assets.publish.warehouse import left_out, publish
        from dpsynth_assets.quality.verdict import QualityError, Verdict

        contract = of_partition(declared, context)
        with plain_failures(ArtifactError, QualityError, PublishError, LedgerError):
            require_terms(contract, ledger.open())
            corpus = artifact_store.latest(contract.id, "corpus")
            judged = standing_verdict_of(artifact_store, corpus)
            verdict = Verdict.load(judged.folder / VERDICT)
            frame = pd.read_parquet(corpus.folder / ROWS)
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


def release_record(contract: Contract, corpus: Artifact, rows: int) -> "ReleaseRecord":
    """What the warehouse keeps about a published corpus: the guarantee that it was sealed with. A variant without
    privacy has none, and no delta.

    Raises:
        PublishRefused: the contract promises privacy and its corpus has no guarantee, or one of another population.
    """
    from dpsynth_assets.publish.release import PublishRefused, ReleaseRecord

    terms, sealed = contract.privacy, corpus.seal.guarantee
    if not contract.without_privacy:
        composed_epsilon(contract, corpus)
        if sealed is None or (sealed.population, sealed.delta) != (terms.population, terms.budget.delta):
            raise PublishRefused(
                f"the corpus {corpus.id} of {contract.id} was not sealed with the population and delta that the "
                "contract has now: make its releases anew"
            )
    promised = None if contract.without_privacy else sealed
    return ReleaseRecord(
        id=corpus.id,
        contract=contract.id,
        contract_version=contract.version,
        table=contract.table,
        population=terms.population,
        unit=terms.unit.name,
        neighbouring_relation=terms.unit.neighbouring_relation,
        epsilon=promised.epsilon if promised else None,
        delta=promised.delta if promised else None,
        rows=rows,
        created=str(corpus.receipt["created"]),
        receipts=tuple(corpus.receipts),
    )


def composed_epsilon(contract: Contract, *artifacts: Artifact) -> float:
    """The epsilon, at the budget's delta, of everything that some artifacts were made from, composed, by the entries of
    their charges in the ledger.

    Raises:
        PublishRefused: something that one was made from was made without privacy: no epsilon holds.
    """
    from dpsynth_assets.publish.release import PublishRefused
    from ledger import Composed
    from ledger.accounting import epsilon

    for artifact in artifacts:
        if artifact.without_guarantee or not artifact.charges:
            raise PublishRefused(
                f"the {artifact.kind} {artifact.id} of {contract.id} rests on a release that was made without privacy "
                "or was never charged, so no epsilon can be stated: make the contract's releases anew"
            )
    charges = {charge.reservation: charge.event for artifact in artifacts for charge in artifact.charges}
    events = tuple(charges.values())
    return float(epsilon(Composed(events), contract.privacy.budget.delta))


def _promised(record: "ReleaseRecord") -> dict[str, Any]:
    """The guarantee as metadata."""
    if record.epsilon is None:
        return {"epsilon": NO_GUARANTEE}
    return {"epsilon": record.epsilon, "delta": record.delta}
