"""Sources as exporters write them, and the rows that the sensitive store makes of them.

A *setting* is everything public about a source: its format, who is a unit, the bounds, blocks, thinning and filters.
The same setting is used for two sources that differ in one unit; what comes out is compared elsewhere.
"""

from __future__ import annotations

import csv
import io
import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet

from dpsynth_assets.contract import Contract, load_contract
from dpsynth_assets.contract.source_terms import Blocks
from dpsynth_assets.gate.sources import source_of
from resources.sensitive_store import SensitiveStore

COLUMNS = ("customer", "text", "topic", "month", "year")
KEY = bytes(range(32))  # of every store here: bounds and thinning must decide alike in both worlds


@dataclass(frozen=True)
class Record:
    """One record before it is written; `raw` in place of it is what a broken exporter wrote."""

    customer: Any = "c1"
    text: Any = "hello"
    topic: Any = "card"
    month: Any = "m1"
    year: Any = 2024
    raw: bytes | None = None

    @property
    def cells(self) -> list[Any]:
        return [getattr(self, name) for name in COLUMNS]


@dataclass(frozen=True)
class Setting:
    """What is public about a source and its contract."""

    suffix: str = ".jsonl"
    unit_column: bool = True
    unit_kind: str = "string"
    max_records: int = 2
    blocks: tuple[str, ...] = ()
    size: float = 1.0
    where: dict[str, Any] = field(default_factory=dict)

    @property
    def contract(self) -> Contract:
        made = _contract()
        terms = made.privacy
        bound = self.max_records if self.unit_column else 1
        unit = {"column": "customer" if self.unit_column else None, "max_records": bound}
        blocks = Blocks(column="month", values=self.blocks) if self.blocks else None
        update = {"unit": terms.unit.model_copy(update=unit), "blocks": blocks, "source_where": self.where}
        columns = tuple(
            replace(column, logical_type=self.unit_kind) if column.name == "customer" else column
            for column in made.columns
        )
        return replace(made, privacy=terms.model_copy(update=update), columns=columns)


@cache
def _contract() -> Contract:
    return load_contract(Path(__file__).parent / "small.odcs.yaml")


def rows(setting: Setting, records: Sequence[Record]) -> pd.DataFrame:
    """What a mechanism would be handed of a source with these records, through a store of its own."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / f"source{setting.suffix}"
        WRITERS[setting.suffix](records, source)
        return rows_of_file(setting, source)


def rows_of_file(setting: Setting, source: Path) -> pd.DataFrame:
    """As `rows`, of a file that is there."""
    with tempfile.TemporaryDirectory() as home:
        sensitive = Path(home) / "sensitive"
        sensitive.mkdir(mode=0o700)
        (sensitive / "fingerprint.key").write_bytes(KEY)
        store = SensitiveStore(home=home)
        contract = replace(setting.contract, source=str(source))
        snapshot = store.ingest(source_of(contract), size=setting.size)
        return store._rows(snapshot, source_of(contract))


def _jsonl(records: Sequence[Record], path: Path) -> None:
    lines = [
        json.dumps(dict(zip(COLUMNS, record.cells, strict=True)), ensure_ascii=len(record.text or "") % 2 == 0).encode(
            errors="surrogatepass"
        )
        if record.raw is None
        else record.raw
        for record in records
    ]
    path.write_bytes(b"\n".join(lines))


def _csv(records: Sequence[Record], path: Path) -> None:
    lines = [",".join(COLUMNS).encode() + b"\r\n"]
    for record in records:
        line = io.StringIO(newline="")
        csv.writer(line).writerow(["" if cell is None else cell for cell in record.cells])
        lines.append(line.getvalue().encode(errors="surrogatepass") if record.raw is None else record.raw + b"\r\n")
    path.write_bytes(b"".join(lines))


def _parquet(records: Sequence[Record], path: Path) -> None:
    """By a fixed schema, so that what stands in one record cannot change it. Text is stored unchecked, as some writers
    do."""
    whole = all(record.customer is None or isinstance(record.customer, int) for record in records)
    columns: dict[str, pa.Array] = {}
    for name in COLUMNS:
        values = [getattr(record, name) for record in records]
        if name == "year" or (name == "customer" and whole and values):
            columns[name] = pa.array(values, pa.int64())
        else:
            stored = [None if value is None else str(value).encode(errors="surrogatepass") for value in values]
            columns[name] = _unchecked_text(pa.array(stored, pa.binary()))
    pyarrow.parquet.write_table(pa.table(columns), path, row_group_size=3)


def _unchecked_text(stored: pa.Array) -> pa.Array:
    return pa.StringArray.from_buffers(len(stored), stored.buffers()[1], stored.buffers()[2], stored.buffers()[0])


WRITERS: dict[str, Callable[[Sequence[Record], Path], None]] = {".jsonl": _jsonl, ".csv": _csv, ".parquet": _parquet}
