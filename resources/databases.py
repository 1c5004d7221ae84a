"""Records of a table or view of a database: DuckDB, SQLite, PostgreSQL.

Databases are opened for reading only, and asked for the declared columns and nothing else: which rows are used is
decided afterwards, record by record, as of any source. Rows come in the order in which the table keeps them, which no
statistic of the rows may change: indexes, parallel and shared scans are kept out of it. A view is read as it is;
whether one person's record changes another's in it, or makes one of its expressions fail, is for its owner to see. A
view of DuckDB that needs more than 1 GB of memory, as to sort, has to be made a table first.

DuckDB's own readers of SQLite and PostgreSQL are extensions that have to be downloaded; the clients used here come with
the platform. What a database says of a failure may quote rows or credentials, and is not passed on.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, unquote, urlsplit

from resources.canonical import BOOLEAN, INTEGER, NUMBER, STRING, TEXT
from resources.cells import Note, Record, SourceError, cells_of, of_batch, refuse_type, require, serves
from resources.scratch import silent

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

    from resources.places import Stored
    from resources.source import Layout

_BATCH = 2**10  # records in memory at once
_MEMORY = "1GB"  # of DuckDB's, which else keeps of a file what it has read
T = TypeVar("T")


def of_duckdb(stored: Stored, kinds: Mapping[str, str], layout: Layout, note: Note | None) -> Iterator[Record | None]:
    with closing(_opened_duckdb(stored)) as connection:
        _require_table(stored.name, layout.table, layout.schema or "main", _tables_of_duckdb(connection, layout.schema))
        names = [name for name, *_ in connection.sql(f"describe {_duckdb_table(layout)}").fetchall()]
        require(f"{stored.name}, table {layout.table}", names, kinds)
        asked = ", ".join(map(_name, kinds))
        schema_of = _schema_of_duckdb(connection, layout, asked)
        for name, kind in kinds.items():
            if not serves(schema_of.field(name).type, kind):
                raise refuse_type(stored.name, name, schema_of.field(name).type, kind)
        read = 0
        with closing(connection.sql(f"select {asked} from {_duckdb_table(layout)}").to_arrow_reader(_BATCH)) as batches:
            for batch in batches:
                yield from of_batch(batch, kinds, read + 1, note)
                read += len(batch)


def _opened_duckdb(stored: Stored) -> duckdb.DuckDBPyConnection:
    import duckdb

    alone = {  # no view of the file opens other files, and nothing is fetched
        "enable_external_access": "false",
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
        "memory_limit": _MEMORY,
        "arrow_large_buffer_size": "true",  # or so much text in 1,024 records as 32 bits cannot count ends the reading
    }
    refused = None
    try:
        return silent(duckdb.connect(str(stored.path), read_only=True, config=alone))
    except duckdb.Error as error:
        refused = _unopened(str(error))
    raise SourceError(f"{stored.name} {refused}")


def _tables_of_duckdb(connection: duckdb.DuckDBPyConnection, schema: str | None) -> list[str]:
    asked = "select table_name from information_schema.tables where table_schema = ? order by 1"
    return [name for (name,) in connection.execute(asked, [schema or "main"]).fetchall()]


def _schema_of_duckdb(connection: duckdb.DuckDBPyConnection, layout: Layout, asked: str) -> pa.Schema:
    """In Arrow's words: DuckDB's own name the values of an ENUM."""
    return connection.sql(f"select {asked} from {_duckdb_table(layout)} limit 0").to_arrow_table().schema


def _duckdb_table(layout: Layout) -> str:
    return f"{_name(layout.schema or 'main')}.{_name(layout.table)}"


def _unopened(said: str) -> str:
    """Why DuckDB did not open a file. It speaks of the file alone, at most of the program that has it open."""
    if "Could not set lock" in said or "lock on file" in said:
        return "is open in another program: close it there, or copy the file"
    if "newer" in said or "storage version" in said:
        return "was written by another version of DuckDB: export the table as Parquet there"
    return "is no DuckDB file that can be read: is it whole, and called by its format?"


def of_sqlite(stored: Stored, kinds: Mapping[str, str], layout: Layout, note: Note | None) -> Iterator[Record | None]:
    """Each value of SQLite has a type of its own, whatever is declared of its column."""
    with closing(_opened_sqlite(stored)) as connection:
        tables = _tables_of_sqlite(connection, stored)
        stated = _columns_of_sqlite(connection, tables, stored, layout)
        require(f"{stored.name}, table {layout.table}", list(stated), kinds)
        by_itself = " not indexed" if tables[layout.table] == "table" else ""  # in the order of the table
        rows = connection.execute(f"select {', '.join(map(_name, kinds))} from {_name(layout.table)}{by_itself}")
        for number, row in enumerate(rows, start=1):
            yield cells_of(dict(zip(kinds, row, strict=True)), kinds, f"record {number}", note)


def _opened_sqlite(stored: Stored) -> sqlite3.Connection:
    connection = sqlite3.connect(f"file:{quote(str(stored.path))}?mode=ro", uri=True)
    connection.text_factory = lambda found: found.decode(errors="surrogateescape")
    return connection


def _tables_of_sqlite(connection: sqlite3.Connection, stored: Stored) -> dict[str, str]:
    """What each table and view is."""
    known = "select name, type from sqlite_master where type in ('table', 'view') order by 1"
    with suppress(sqlite3.Error):
        return dict(connection.execute(known).fetchall())
    raise SourceError(f"{stored.name} is no SQLite file that can be read: is it whole, and called by its format?")


def _columns_of_sqlite(
    connection: sqlite3.Connection, tables: Mapping[str, str], stored: Stored, layout: Layout
) -> dict[str, str]:
    _require_table(stored.name, layout.table, None, list(tables))
    return {row[1]: row[2] for row in connection.execute(f"pragma table_xinfo({_name(layout.table)})")}


def of_postgresql(
    stored: Stored, kinds: Mapping[str, str], layout: Layout, note: Note | None
) -> Iterator[Record | None]:
    import psycopg
    from psycopg import sql

    schema, failed, reads = layout.schema or "public", None, False
    try:
        with _connected(urlsplit(stored.address)) as connection:
            connection.isolation_level, connection.read_only = psycopg.IsolationLevel.REPEATABLE_READ, True
            connection.execute("set local synchronize_seqscans = off")
            connection.execute("set local max_parallel_workers_per_gather = 0")
            connection.execute("set local enable_indexscan = off")
            connection.execute("set local enable_indexonlyscan = off")
            connection.execute("set local enable_bitmapscan = off")
            stated = _types(connection, stored.name, schema, layout.table)
            require(f"{stored.name}, table {schema}.{layout.table}", list(stated), kinds)
            for name, kind in kinds.items():
                if kind not in _HOLDS.get(_kind(*stated[name]), ()):
                    raise refuse_type(stored.name, name, stated[name][0], kind)
            texts = [_kind(*stated[name]) == TEXT for name in kinds]
            asked = sql.SQL(", ").join(
                sql.SQL("{}::text").format(sql.Identifier(name)) if is_text else sql.Identifier(name)
                for name, is_text in zip(kinds, texts, strict=True)
            )
            with connection.cursor(name="records", binary=False) as cursor:
                cursor.itersize = _BATCH
                cursor.adapters.register_loader("text", _stored_bytes())
                table, reads = sql.Identifier(schema, layout.table), True
                cursor.execute(sql.SQL("select {} from {}").format(asked, table))
                # Rows come in the database's own encoding: the server ends the query where a text has no form in ours.
                connection.execute("select set_config('client_encoding', current_setting('server_encoding'), true)")
                encoding = connection.info.encoding
                encoding = "utf-8" if encoding == "ascii" else encoding  # so is called what has no encoding
                for number, row in enumerate(cursor, start=1):
                    yield cells_of(_decoded(kinds, row, encoding), kinds, f"record {number}", note)
    except psycopg.Error as error:
        failed = _state(error)
    if failed is not None:
        raise _refused_by_postgresql(stored, failed, layout.table if reads else None)


def failure_within(error: Exception, table: str) -> str | None:
    """What to say of a table or view of DuckDB or SQLite that fails itself while its file is read; None of another
    failure. Of what the database says only the kind is looked at: the rest may quote a row."""
    code = getattr(error, "sqlite_errorcode", None)
    kind = str(error).partition(" Error: ")[0]  # DuckDB's, also where Arrow hands it on
    if kind == "Out of Memory":
        return f"its table or view `{table}` needs more than {_MEMORY} of memory: make it a table"
    fails = code in _SQLITE_FAILS if code is not None else kind in _DUCKDB_FAILS
    return _fails_itself(table) if fails else None


def _fails_itself(table: str) -> str:
    """Of a view whose expression fails: for whom, and of which value, would be an answer about them."""
    return (
        f"its table or view `{table}` fails itself: an expression in it does not take the value of some record, or it "
        "names what is not there. Write it so that it fails for no record (as with `case`, or `try_cast`), or name a "
        "table that holds what it computes"
    )


_SQLITE_FAILS = (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_MISMATCH)  # others are of the file
_DUCKDB_FAILS = ("Conversion", "Out of Range", "Invalid Input", "Constraint", "Binder", "Catalog")


def _refused_by_postgresql(stored: Stored, state: str, read: str | None = None) -> SourceError:
    """What to do about a failure, also one while the rows of a table were `read`; what the server says of it may quote
    anything."""
    if state == "42501":
        return SourceError(
            f"{stored.name} does not let this account read the table: ask for the right to select from it"
        )
    of_the_view = read is not None and state and state[:2] not in _OF_THE_SERVER
    usual = _fails_itself(read or "") if of_the_view else _PROBLEM
    problem = next((said for states, said in _PROBLEMS.items() if state in states), usual)
    return SourceError(f"{stored.name} could not be read: {problem}")


_ENVIRONMENT = "in the environment (PGUSER, PGPASSWORD, PGSSLMODE, or a ~/.pgpass)"
_PROBLEM = f"check host, port and database, and name and password {_ENVIRONMENT}"
# Classes of states that tell of connection, server and disk; what else ends the reading of rows is of the view itself.
_OF_THE_SERVER = ("08", "28", "3D", "40", "53", "55", "57", "58", "XX")
_PROBLEMS = {  # by the states of PostgreSQL, appendix A; and by what a connection failed with, which has none
    ("28P01", "28000", "password"): f"the server does not take the name or the password: correct them {_ENVIRONMENT}",
    ("3D000",): "the server has no such database: correct the address",
    ("53300",): "the server has no connection left: try again later",
    (
        "57014",
        "25P03",
        "25P04",
    ): "the server ended the query: allow it more time there (`statement_timeout`)",
    ("57P01", "57P02", "57P03"): "the server is starting or stopping: try again",
    ("refused",): "nobody answers at that host and port: check both, and whether the server runs",
    ("translate host name",): "no machine has that name: correct the host",
    ("timeout",): "the server did not answer in time: check host and port, and what lies between",
    ("SSL", "certificate"): "the connection could not be made secure: check PGSSLMODE and the certificates",
}


def _state(error: Any) -> str:
    """The state of a failure; of a connection that was not made, which has none, the kind that its words tell."""
    said = str(error)
    kinds = [word for states in _PROBLEMS for word in states if not word[0].isdigit() and word in said]
    missing = ["3D000"] if "database" in said and "does not exist" in said else []
    return error.sqlstate or (*kinds, *missing, "")[0]


def _connected(address: Any) -> Any:
    """A connection; name and password come from the environment, as for every client of PostgreSQL."""
    import psycopg

    return psycopg.connect(
        host=unquote(address.hostname or "") or None,
        port=address.port or 5432,
        dbname=unquote(address.path.removeprefix("/")),
        connect_timeout=15,
        client_encoding="utf8",
        application_name="dpsynth",
    )


def _types(connection: Any, where: str, schema: str, table: str) -> dict[str, tuple[str, str]]:
    """The stated type of each column, with its class in PostgreSQL's catalogue; of a domain those of its base."""
    _require_table(where, table, schema, _tables_of_postgresql(connection, schema))
    rows = connection.execute(
        "select a.attname, format_type(b.oid, a.atttypmod), b.typname, b.typcategory, a.atttypmod "
        "from pg_attribute a join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace "
        "join pg_type t on t.oid = a.atttypid join pg_type b on b.oid = coalesce(nullif(t.typbasetype, 0), t.oid) "
        "where n.nspname = %s and c.relname = %s and a.attnum > 0 and not a.attisdropped order by a.attnum",
        [schema, table],
    ).fetchall()
    return {name: (shown, f"{typname} {category}") for name, shown, typname, category, _ in rows}


def _tables_of_postgresql(connection: Any, schema: str) -> list[str]:
    tables = connection.execute(
        "select c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace "
        "where n.nspname = %s and c.relkind in ('r', 'p', 'v', 'm', 'f') order by 1",
        [schema],
    ).fetchall()
    return [name for (name,) in tables]


def _kind(shown: str, catalogued: str) -> str:
    """What a stated type holds."""
    name, category = catalogued.split()
    if category in ("S", "E") or name == "uuid":
        return TEXT
    if category == "B":
        return BOOLEAN
    whole = name in ("int2", "int4", "int8") or (name == "numeric" and shown.endswith((",0)", ", 0)")))
    return INTEGER if whole else NUMBER if category == "N" and name != "money" else shown


_HOLDS: Mapping[str, Sequence[str]] = {
    TEXT: (TEXT, STRING, INTEGER, NUMBER, BOOLEAN),
    INTEGER: (STRING, INTEGER, NUMBER, BOOLEAN),
    NUMBER: (NUMBER,),
    BOOLEAN: (INTEGER, NUMBER, BOOLEAN),
}


def _stored_bytes() -> Any:
    """Takes text as the bytes that are stored: a database without an encoding may hold any."""
    from psycopg.adapt import Loader

    class Bytes(Loader):
        def load(self, data: Any) -> Any:
            return bytes(data)

    return Bytes


def _decoded(kinds: Mapping[str, str], row: Sequence[Any], encoding: str) -> dict[str, object]:
    """Text as it is, with marks in place of bytes that the encoding does not have, which cost it alone."""
    return {
        name: value.decode(encoding, errors="surrogateescape") if isinstance(value, bytes) else value
        for name, value in zip(kinds, row, strict=True)
    }


def _require_table(where: str, table: str, schema: str | None, names: Sequence[str]) -> None:
    if table not in names:
        within = f" in the schema `{schema}`" if schema else ""
        listed = ", ".join(f"`{name}`" for name in names[:20]) or "none"
        raise SourceError(
            f"{where} has no table `{table}`{within}: it has {listed}. Correct the table's `physicalName` or `name`"
            + (", or the server's `schema`" if schema else "")
        )


def _name(text: str) -> str:
    """A name in SQL, whatever characters it has."""
    return '"' + text.replace('"', '""') + '"'


# What a database states of itself: names and types alone. For the first contract about it; no row is asked for.


def tables_of_duckdb(stored: Stored, schema: str | None) -> list[str]:
    with closing(_opened_duckdb(stored)) as connection:
        return _tables_of_duckdb(connection, schema)


def schema_of_duckdb(stored: Stored, layout: Layout) -> pa.Schema:
    with closing(_opened_duckdb(stored)) as connection:
        _require_table(stored.name, layout.table, layout.schema or "main", _tables_of_duckdb(connection, layout.schema))
        return _schema_of_duckdb(connection, layout, "*")


def tables_of_sqlite(stored: Stored) -> list[str]:
    with closing(_opened_sqlite(stored)) as connection:
        return list(_tables_of_sqlite(connection, stored))


def columns_of_sqlite(stored: Stored, layout: Layout) -> list[tuple[str, str]]:
    with closing(_opened_sqlite(stored)) as connection:
        tables = _tables_of_sqlite(connection, stored)
        return list(_columns_of_sqlite(connection, tables, stored, layout).items())


def tables_of_postgresql(stored: Stored, schema: str | None) -> list[str]:
    return _catalogued(stored, lambda connection: _tables_of_postgresql(connection, schema or "public"))


def columns_of_postgresql(stored: Stored, layout: Layout) -> list[tuple[str, str]]:
    """What each column holds: text, integer, number, boolean, or else its type in PostgreSQL's words."""
    schema = layout.schema or "public"
    stated = _catalogued(stored, lambda connection: _types(connection, stored.name, schema, layout.table))
    return [(name, _kind(*said)) for name, said in stated.items()]


def _catalogued(stored: Stored, ask: Callable[[Any], T]) -> T:
    import psycopg

    try:
        with _connected(urlsplit(stored.address)) as connection:
            return ask(connection)
    except psycopg.Error as error:
        failed = _state(error)
    raise _refused_by_postgresql(stored, failed)
