"""`source`: copies the sensitive source into the sensitive store. Nothing computed from its rows leaves."""

from typing import Any

import dagster as dg
from pydantic import Field, field_validator

from dpsynth_assets.assets.common import contract_asset
from dpsynth_assets.contract import Contract
from dpsynth_assets.gate.approval import require_approved
from dpsynth_assets.gate.binding import bind
from dpsynth_assets.gate.refusal import reading_without_content
from dpsynth_assets.gate.sources import source_of
from dpsynth_assets.markdown import escaped
from resources.ledger import LedgerResource
from resources.sensitive_store import SensitiveStore


class SourceConfig(dg.Config):
    """How to take the snapshot. Both are public constants of the run."""

    # Not declared as text: in the place of a text Dagster lets a run name an environment variable, whose value would
    # then be read in the error that says that there is no such file.
    source: Any = Field(
        default=None, description="One of the places that the contract names in `source_copies`, in place of its own."
    )
    size: float = Field(default=1.0, description="Share of the privacy units to keep, in (0, 1], for a quick pass.")

    @field_validator("source")
    @classmethod
    def _is_a_place(cls, value: object) -> object:
        if value is not None and not isinstance(value, str):
            raise ValueError("give a path, or hub:owner/name")
        return value


def source_asset(contract: Contract) -> dg.AssetsDefinition:
    """The snapshot asset of a contract."""

    @contract_asset(
        contract,
        "source",
        description=(
            f"{escaped(contract.title)}\n\nA snapshot of the sensitive source with its declared columns only, readable "
            "by this deployment alone and only with a grant of the privacy ledger. No count or statistic leaves."
        ),
        kinds={"parquet"},
        follows=False,
        partitioned=False,
    )
    def source(
        context: dg.AssetExecutionContext,
        config: SourceConfig,
        ledger: LedgerResource,
        sensitive_store: SensitiveStore,
    ) -> dg.MaterializeResult[None]:
        after = "Nothing was charged, and the former snapshot stands."
        with reading_without_content(sensitive_store, contract, "the snapshot", after):
            book = ledger.open()
            require_approved(contract, book)
            snapshot = sensitive_store.ingest(source_of(contract, config.source), config.size)
            bind(contract, snapshot, book, sensitive_store)
        return dg.MaterializeResult(
            metadata={
                "snapshot": snapshot.id,
                "dagster/uri": snapshot.source,
                "size": snapshot.size,
                "population": contract.privacy.population,
                "blocks": ", ".join((*snapshot.blocks, *snapshot.overlaps)),
            }
        )

    return source
