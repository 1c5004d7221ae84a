"""A database for one computation over all records of a source: what exceeds its memory lies on disk, and goes with it.

For what cannot be said of a record alone: which of a unit's records are used, which block each unit is in, which texts
are distinct. Knows nothing of what it holds.
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from resources.home import private_folder

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

_BOUNDED = {
    "memory_limit": "512MB",
    "threads": "2",  # each needs some of it
    "preserve_insertion_order": "false",  # every order that counts is asked for
}


@contextmanager
def scratch(folder: Path | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
    """An empty database.

    Args:
        folder: within which it makes a folder of its own that only this user may enter; None: all stays in memory.
    """
    import duckdb

    alone = {"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"}
    if folder is None:
        with closing(silent(duckdb.connect(":memory:", config=alone | {"temp_directory": ""}))) as connection:
            yield connection
        return
    own = private_folder(folder / f"scratch-{secrets.token_hex(4)}")
    try:
        bounded = alone | _BOUNDED | {"temp_directory": str(own)}
        with closing(silent(duckdb.connect(":memory:", config=bounded))) as connection:
            yield connection
    finally:
        shutil.rmtree(own, ignore_errors=True)


def silent(connection: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
    """Without the bar that DuckDB draws where a query takes long: how long it takes depends on the rows."""
    connection.execute("set enable_progress_bar = false")
    return connection


def insert(database: duckdb.DuckDBPyConnection, table: str, rows: pa.Table) -> None:
    """Add rows to a table with the same columns in the same order."""
    database.register("given", rows)
    database.execute(f"insert into {table} from given")
    database.unregister("given")
