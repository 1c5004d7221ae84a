"""The shape of a ledger's database: its tables, triggers, indexes and views, as the program makes them and as they are
found. Knows no records.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb

# How each database of a ledger is opened.
CONFIG = {
    "threads": "1",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "enable_external_access": "false",
}


def statements() -> str:
    """The SQL that makes a ledger's tables and triggers."""
    return files("ledger").joinpath("schema.sql").read_text(encoding="utf-8")


def shape(connection: duckdb.DuckDBPyConnection) -> dict[str, str]:
    """Every table, trigger, index and view by name, with its definition as DuckDB normalises it."""
    queries = {
        "table": "SELECT table_name, sql FROM duckdb_tables() WHERE NOT internal",
        "trigger": "SELECT trigger_name, sql FROM duckdb_triggers()",
        "index": "SELECT index_name, sql FROM duckdb_indexes()",
        "view": "SELECT view_name, sql FROM duckdb_views() WHERE NOT internal",
    }
    return {
        f"{what} {row[0]}": str(row[1]) for what, sql in queries.items() for row in connection.execute(sql).fetchall()
    }


def expected() -> dict[str, str]:
    """The shape that a ledger has."""
    import duckdb

    connection = duckdb.connect(":memory:", config=CONFIG)
    try:
        connection.execute(statements())
        return shape(connection)
    finally:
        connection.close()


def differences(found: dict[str, str], due: dict[str, str]) -> Iterator[str]:
    """How a database's shape differs from the one that is due, in words."""
    for name in sorted(found.keys() | due.keys()):
        if name not in found:
            yield f"{name} is missing from the database"
        elif name not in due:
            yield f"{name} does not belong in the database"
        elif found[name] != due[name]:
            yield f"{name} is not defined as the schema says"
