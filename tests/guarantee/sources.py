"""Sources as exporters write them, and the rows that the sensitive store makes of them.

A *setting* is everything public about a source: its format, who is a unit, the bounds, labels, blocks, thinning and
filters. The same setting is used for two sources that differ in one unit; what comes out is compared elsewhere.

A source is a file of each format that the platform reads, a folder of Parquet files, or a data set of the Hugging Face
Hub, whose client is made to find it on this disk.
"""

from __future__ import annotations

import csv
import io
import json
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet

from dpsynth_assets.contract import Contract, load_contract
from dpsynth_assets.contract.source_terms import Blocks, LabelColumn
from dpsynth_assets.gate.sources import source_of
from resources import comma_separated, databases, formats, snapshots, tabular
from resources.sensitive_store import SensitiveStore
from tests.workbooks import write_workbook

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
    """What is public about a source and its contract.

    Attributes:
        suffix: of a file; or `folder`, or `hub`.
        at_once: how many records and characters are read at once; None leaves it to the platform.
    """

    suffix: str = ".jsonl"
    unit_column: bool = True
    unit_kind: str = "string"
    max_records: int = 2
    blocks: tuple[str, ...] = ()
    size: float = 1.0
    where: dict[str, Any] = field(default_factory=dict)
    topic_kind: str = "string"
    labels: tuple[str, ...] = ("topic",)
    at_once: int | None = None

    @property
    def contract(self) -> Contract:
        made = _contract()
        terms = made.privacy
        bound = self.max_records if self.unit_column else 1
        unit = {"column": "customer" if self.unit_column else None, "max_records": bound}
        blocks = Blocks(column="month", values=self.blocks) if self.blocks else None
        where = {**self.where, tabular.SPLIT: "train"} if self.suffix == "hub" else self.where
        labels = tuple(label for label in (*terms.labels, _YEARS) if label.column in self.labels)
        asked = " and ".join(["Write", *(f"say {{{label.column}}}" for label in labels)])
        prompt = terms.prompt.model_copy(update={"template": asked})  # with a place for each label, as loading asks
        update = {"unit": terms.unit.model_copy(update=unit), "blocks": blocks, "source_where": where}
        update |= {"labels": labels, "prompt": prompt}
        kinds = {"customer": self.unit_kind, "topic": self.topic_kind}
        columns = tuple(
            replace(column, logical_type=kinds.get(column.name, column.logical_type)) for column in made.columns
        )
        return replace(made, stored_as="people", privacy=terms.model_copy(update=update), columns=columns)


_YEARS = LabelColumn(column="year", values=("2024", "2025"))


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
        place = "hub:small/people" if setting.suffix == "hub" else str(source)
        contract = replace(setting.contract, source=place)
        with _read_at_once(setting.at_once), mock.patch("huggingface_hub.snapshot_download", return_value=str(source)):
            snapshot = store.ingest(source_of(contract), size=setting.size)
            return store._rows(snapshot, source_of(contract))


@contextmanager
def _read_at_once(number: int | None) -> Iterator[None]:
    """So that a few records have the bounds of batches between them."""
    if number is None:
        yield
        return
    with (
        mock.patch.object(formats, "_BATCH", number),
        mock.patch.object(databases, "_BATCH", number),
        mock.patch.object(tabular, "_BATCH", number + 1),
        mock.patch.object(snapshots, "_MOST", number),
        mock.patch.object(comma_separated, "_CHUNK", number),
    ):
        yield


def _jsonl(records: Sequence[Record], path: Path) -> None:
    lines = [
        json.dumps(dict(zip(COLUMNS, record.cells, strict=True)), ensure_ascii=len(str(record.text)) % 2 == 0).encode(
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


def _tsv(records: Sequence[Record], path: Path) -> None:
    lines = ["\t".join(COLUMNS).encode() + b"\n"]
    for record in records:
        cells = "\t".join('"' + str("" if cell is None else cell).replace('"', '""') + '"' for cell in record.cells)
        lines.append((cells.encode(errors="surrogatepass") if record.raw is None else record.raw) + b"\n")
    path.write_bytes(b"".join(lines))


def _workbook(records: Sequence[Record], path: Path) -> None:
    write_workbook(path, {"people": [COLUMNS, *([_printable(cell) for cell in record.cells] for record in records)]})


def _printable(cell: Any) -> Any:
    """What XML can hold of a cell."""
    if not isinstance(cell, str):
        return cell if type(cell) in (int, float) else None
    return "".join(c for c in cell if c.isprintable() and not "\ud800" <= c <= "\udfff")


def _duckdb(records: Sequence[Record], path: Path) -> None:
    """All but the year is text, as the schema has it."""
    with duckdb.connect(str(path)) as connection:
        connection.execute("create table people (customer text, text text, topic text, month text, year bigint)")
        for record in records:
            *texts, year = record.cells
            stored = [None if cell is None else str(cell).encode(errors="replace").decode() for cell in texts]
            connection.execute(
                "insert into people values (?, ?, ?, ?, ?)", [*stored, year if type(year) is int else None]
            )


def _sqlite(records: Sequence[Record], path: Path) -> None:
    """Each value of its own type, in columns of none."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"create table people ({', '.join(COLUMNS)})")
        for record in records:
            cells = [cell.encode(errors="surrogatepass") if isinstance(cell, str) else cell for cell in record.cells]
            kinds = ", ".join("cast(? as text)" if isinstance(cell, bytes) else "?" for cell in cells)
            connection.execute(
                f"insert into people values ({kinds})",
                [cell if isinstance(cell, int | float | bytes) or cell is None else None for cell in cells],
            )
        connection.commit()


def _parquet(records: Sequence[Record], path: Path) -> None:
    """By a fixed schema, so that what stands in one record cannot change it. Text is stored unchecked, as some writers
    do."""
    whole = all(record.customer is None or isinstance(record.customer, int) for record in records)
    columns: dict[str, pa.Array] = {}
    for name in COLUMNS:
        values = [getattr(record, name) for record in records]
        if name == "year" or (name == "customer" and whole and values):
            columns[name] = pa.array([value if type(value) is int else None for value in values], pa.int64())
        else:
            columns[name] = _unchecked_text(values)
    pyarrow.parquet.write_table(pa.table(columns), path, row_group_size=3)


def _as_words(records: Sequence[Record], path: Path) -> None:
    """By another schema: all of it text, of which each is stored once."""
    columns = {
        name: _unchecked_text([getattr(record, name) for record in records]).dictionary_encode() for name in COLUMNS
    }
    pyarrow.parquet.write_table(pa.table(columns), path)


def _unchecked_text(values: Sequence[Any]) -> pa.Array:
    stored = pa.array(
        [None if value is None else str(value).encode(errors="surrogatepass") for value in values], pa.binary()
    )
    return pa.StringArray.from_buffers(len(stored), stored.buffers()[1], stored.buffers()[2], stored.buffers()[0])


def _folder(records: Sequence[Record], path: Path) -> None:
    """Two files by two schemas. Which of them a record is in depends on how many there are."""
    path.mkdir()
    half = len(records) // 2
    _parquet(records[:half], path / "a.parquet")
    _as_words(records[half:], path / "b.parquet")


def _hub(records: Sequence[Record], path: Path) -> None:
    """Two files of the split, and one of another."""
    (path / "train").mkdir(parents=True)
    half = len(records) // 2
    _as_words(records[:half], path / "train" / "0000.parquet")
    _parquet(records[half:], path / "train" / "0001.parquet")
    _parquet([Record("c9", "of another split")], path / "test-00000.parquet")


WRITERS: dict[str, Callable[[Sequence[Record], Path], None]] = {
    ".jsonl": _jsonl,
    ".ndjson": _jsonl,
    ".csv": _csv,
    ".tsv": _tsv,
    ".txt": _csv,
    ".xlsx": _workbook,
    ".duckdb": _duckdb,
    ".sqlite": _sqlite,
    ".parquet": _parquet,
    "folder": _folder,
    "hub": _hub,
}
