"""In a population that is divided into blocks, which block each unit is in, for good.

    sensitive/known/<population>/blocks.parquet            those that a bound source has put into one
    sensitive/known/<population>/pending-<source>.parquet  those that a source puts there once the ledger has bound it

Decided unit by unit, in a database: a unit is in the block that is known of it, and a new one in the first, in the
order of the contract, that one of its records says. Adding or removing a unit changes no other unit's block.

Knows keyed identities alone, which `resources.known_records` makes, and how many records there are of each.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from resources.home import replacing
from resources.scratch import insert, scratch

if TYPE_CHECKING:
    import duckdb

PENDING = "pending"
_ROWS = 2**16  # that are written at once


class UnitBlocks:
    """Those of one population, in its folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._settled = folder / "blocks.parquet"

    def assign(self, database: duckdb.DuckDBPyConnection, blocks: Sequence[str], *, one_each: bool) -> None:
        """Decide which of the records in the table `record_index` a source is read for, whose blocks these are: they
        are the table `read`, each with its unit and the number of its block.

        Args:
            one_each: of a unit's records one is read: the first by its cells, and of equal ones by its place.
        """
        import pyarrow as pa

        database.execute("create table declared (block varchar, number integer)")
        numbers = pa.array(range(len(blocks)), pa.int32())
        insert(database, "declared", pa.table([pa.array(blocks, pa.string()), numbers], ["block", "number"]))
        # Of several that know a unit the first counts: a bound source, then the last of the pending ones.
        _load(database, [self._settled, *reversed(pending_in(self._folder))])
        _place(database)
        chosen = (
            "qualify row_number() over (partition by record_index.unit order by cells, place) = 1" if one_each else ""
        )
        database.execute(
            "create table read as select place, record_index.unit, record_index.block from record_index "
            f"join placed on record_index.unit = placed.unit and record_index.block = placed.block {chosen}"
        )

    def remember(self, database: duckdb.DuckDBPyConnection, pending: Path) -> None:
        """Keep the units in the table `read` that no bound source has put into a block: those too that another pending
        one knows, since it may be withdrawn."""
        _write(
            database,
            "select distinct read.unit, declared.block from read join declared on read.block = declared.number "
            "anti join (select unit from known where age = 0) as settled on read.unit = settled.unit",
            pending,
        )

    def settle(self, pending: Path) -> None:
        """Those that a pending source puts into blocks are in them from now on, but for what is known by now."""
        with scratch(self._folder) as database:
            _load(database, [self._settled, pending])
            if database.execute("select count(*) from known where age > 0").fetchall() != [(0,)]:
                _write(database, "select unit, arg_min(block, age) as block from known group by unit", self._settled)


def pending_in(folder: Path) -> list[Path]:
    """The files of pending sources, by name."""
    return sorted(folder.glob(f"{PENDING}-*.parquet"))


def _load(database: duckdb.DuckDBPyConnection, files: Sequence[Path]) -> None:
    """Put what the files that are there know into the table `known`; `age` is a file's place among them."""
    database.execute("create table known (unit blob, block varchar, age integer)")
    for age, file in enumerate(files):
        if file.exists():
            database.execute("insert into known select unit, block, ? from read_parquet(?)", [age, str(file)])


def _place(database: duckdb.DuckDBPyConnection) -> None:
    """The table `placed`: the one block of each unit, by its number; without units whose block is not declared."""
    database.execute(
        "create table placed as "
        "select unit, number as block from (select unit, arg_min(block, age) as block from known group by unit) "
        "join declared using (block) "
        "union all select unit, min(block) from record_index anti join known using (unit) "
        "where unit is not null and block is not null group by unit"
    )


def _write(database: duckdb.DuckDBPyConnection, query: str, file: Path) -> None:
    import pyarrow.parquet

    reader = database.sql(query).to_arrow_reader(_ROWS)
    with replacing(file, 0o600) as sink, pyarrow.parquet.ParquetWriter(sink, reader.schema) as writer:
        for batch in reader:
            writer.write_batch(batch)
