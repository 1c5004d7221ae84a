"""What a warehouse file says, without running what it holds: to compare it with the one that the sealed tables make.

A view is SQL text that whoever opens the file runs. So definitions are read as text, tables only where they are tables,
and no other file can be read.
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import duckdb

from dpsynth_assets.publish.sql import identifier, literal
from ledger.duckdb_files import trouble

_DEFINITIONS = {
    "view": "SELECT schema_name || '.' || view_name, sql, comment FROM duckdb_views()",
    "table": "SELECT schema_name || '.' || table_name, sql, comment FROM duckdb_tables()",
    "column": "SELECT schema_name || '.' || table_name || '.' || column_name, data_type, comment FROM duckdb_columns()",
    "macro": "SELECT schema_name || '.' || function_name, macro_definition, comment FROM duckdb_functions()",
    "index": "SELECT schema_name || '.' || index_name, sql, comment FROM duckdb_indexes()",
    "type": "SELECT schema_name || '.' || type_name, type_category, comment FROM duckdb_types()",
    "sequence": "SELECT schema_name || '.' || sequence_name, sql, comment FROM duckdb_sequences()",
}


class Unusable(Exception):  # noqa: N818 - it says of a file what it is
    """A file that cannot be opened as a database; the message says which and why."""


def contents(database: Path) -> dict[str, str]:
    """Everything that a warehouse file defines, and the rows of its tables, by name. A part that cannot be read says so
    in place of its contents.

    Raises:
        Unusable: it is damaged, of another version of DuckDB, or open in another program.
    """
    try:
        return _contents(database.absolute())
    except duckdb.Error as error:
        raise Unusable(f"{database} {trouble(database.absolute(), error).said}") from None


def _contents(database: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    with closing(duckdb.connect(":memory:")) as connection:
        connection.execute(f"ATTACH {literal(str(database))} AS warehouse (READ_ONLY)")
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        for what, sql in _DEFINITIONS.items():
            own = "database_name = 'warehouse'" + ("" if what == "index" else " AND NOT internal")
            own = own.replace(" AND NOT internal", "") if what == "sequence" else own
            try:
                rows = connection.execute(f"{sql} WHERE {own}").fetchall()
                found |= {f"{what} {row[0]}": repr(row[1:]) for row in rows}
            except duckdb.Error as error:
                if trouble(database, error).kind != "other":
                    raise
                found[f"its {what}s"] = f"cannot be read ({type(error).__name__})"
        tables = "SELECT schema_name, table_name FROM duckdb_tables() WHERE database_name = 'warehouse' ORDER BY ALL"
        for schema, table in connection.execute(tables).fetchall():
            where = identifier("warehouse", schema, table)
            rows = connection.execute(f"SELECT * FROM {where} ORDER BY ALL").fetchall()
            found[f"the rows of {schema}.{table}"] = repr(rows)
    return found
