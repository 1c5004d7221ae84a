"""The warehouse of published synthetic tables as a Dagster resource."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from resources.home import Home

if TYPE_CHECKING:
    from dpsynth_assets.contract import Contract
    from dpsynth_assets.publish.release import ReleaseRecord
    from dpsynth_assets.quality.verdict import Verdict


class Warehouse(dg.ConfigurableResource[None]):
    """Publishes corpora with a passing verdict, and answers read-only SQL. Holds synthetic rows only."""

    home: str = ""

    @property
    def folder(self) -> Path:
        return Home.at(self.home).warehouse

    def publish(self, frame_parquet: Path, *, contract: Contract, release: ReleaseRecord, verdict: Verdict) -> Path:
        """Publish a corpus; refuses one whose verdict did not pass or is about another file."""
        from dpsynth_assets.publish.warehouse import publish

        return publish(self.folder, frame_parquet, contract=contract, release=release, verdict=verdict)

    def query(self, sql: str) -> tuple[list[str], list[tuple[Any, ...]]]:
        """Columns and rows of a read-only query."""
        from dpsynth_assets.publish.query import query

        columns, rows = query(self.folder, sql)
        return list(columns), [tuple(row) for row in rows]
