"""The process that answers one query: it opens the published releases, gives up everything else, then looks at the SQL.

Three walls stand between a query and the rest of the machine, each sufficient by itself for what it covers.

1. The process is confined (`confinement`): it has the releases open for reading and two pipes, and can open nothing.
2. DuckDB has no local file system, no extensions, no secrets and a locked configuration; the one file system it has
   holds the releases, read-only (`published_files`). The transaction is read-only, the catalogue lies in memory, and is
   written from the releases' metadata, never from SQL that stands in a file.
3. One statement, which the engine's own parser takes for a question, or EXPLAIN with one.

It reads a request, one JSON mapping, on standard input, and writes JSON lines: `columns` with their `kinds`, any number
of `rows`, and `end` or `error`. `query` starts it.
"""

from __future__ import annotations

import json
import os
import re
import resource
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import duckdb
import pytz  # noqa: F401 - DuckDB would import it for times with a zone, when it is too late

from dpsynth_assets.publish import catalogue, published_files
from dpsynth_assets.publish.answer import described
from dpsynth_assets.publish.confinement import change_nothing, open_nothing
from dpsynth_assets.publish.json_values import encode
from dpsynth_assets.publish.published_files import PublishedFiles
from dpsynth_assets.publish.release import PublishError, QueryError
from dpsynth_assets.publish.sql import first_lines, literal, unknown_table

_BATCH = 1000
_CLOSED = {
    "allow_community_extensions": False,
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "allow_persistent_secrets": False,
    "python_enable_replacements": False,
    "temp_directory": "",
}
_ONLY_QUESTIONS = "the warehouse only answers questions: use SELECT, DESCRIBE, SUMMARIZE, SHOW, PIVOT or EXPLAIN"
_EXPLAIN = re.compile(r"EXPLAIN[ \t\r\n]+(?:ANALYZE[ \t\r\n]+)?", re.IGNORECASE)


def main() -> None:
    """Answer the request on standard input."""
    request = json.loads(sys.stdin.buffer.read())
    answer = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints is no part of the answer

    def say(**message: Any) -> None:
        answer.write(json.dumps(message, allow_nan=False).encode() + b"\n")

    try:
        _answer(request, say)
        say(end=True)
    except PublishError as error:
        say(error=str(error))
    except (MemoryError, duckdb.OutOfMemoryException):
        say(error="the query needs more memory than it may use: ask for less, or allow more (--memory)")
    except OverflowError:
        say(error="the answer holds a time or an interval that is out of range here: ask for it as text (`x::VARCHAR`)")
    except Exception as error:  # of our own making, or the engine's binding: without this it would look like memory
        say(error=f"this could not be answered ({type(error).__name__}): {_ONLY_QUESTIONS}")
    answer.flush()
    os._exit(0)  # nothing is left to be put in order, and libraries would look for files


def _answer(request: dict[str, Any], say: Any) -> None:
    change_nothing()
    with ExitStack() as held:
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        releases = published_files.opened(Path(request["folder"]), request["digests"], held)
        if not releases and any(Path(request["folder"]).glob("*/*/[!.]*.parquet")):
            raise QueryError(
                f"no table in {request['place']} was ever sealed in the ledger, and others are not read. Publish again "
                "(`dpsynth run CONTRACT --only synthetic`), which is free; `dpsynth audit verify` names what lies there"
            )
        if not releases:
            raise QueryError(
                f"nothing has been published to {request['place']} yet: run a contract first (`dpsynth run CONTRACT`)"
            )
        memory = request["memory_bytes"]
        connection = duckdb.connect(":memory:", config=_CLOSED | {"memory_limit": f"{memory}B"})
        open_nothing(memory)
        connection.register_filesystem(PublishedFiles({published_files.place(p): number for p, number in releases}))
        connection.execute("ATTACH ':memory:' AS warehouse; USE warehouse; SET TimeZone = 'UTC'")
        catalogue.write(
            connection, [metadata for metadata, _ in releases], lambda each: literal(published_files.place(each))
        )
        connection.execute("SET disabled_filesystems = 'LocalFileSystem'")
        connection.execute(f"SET allowed_directories = ['{published_files.PROTOCOL}://']")
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        connection.execute("BEGIN TRANSACTION READ ONLY")
        try:
            _require_question(connection, request["sql"])
            cursor = connection.execute(request["sql"])
            say(
                columns=[column[0] for column in cursor.description],
                kinds=[described(column[1]) for column in cursor.description],
            )
            while rows := cursor.fetchmany(_BATCH):
                say(rows=[[encode(value) for value in row] for row in rows])
        except duckdb.OutOfMemoryException:
            raise
        except duckdb.Error as error:
            raise QueryError(_in_words(error, catalogue.tables([metadata for metadata, _ in releases]))) from None


def _require_question(connection: Any, sql: str) -> None:
    """One statement that only asks, by DuckDB's own parser.

    DESCRIBE, SUMMARIZE and SHOW are SELECT to it. A PIVOT whose columns follow from the data is several statements in
    one (MULTI), and so is whatever holds one, a COPY too: a question is what can stand in brackets as a table.
    EXPLAIN ANALYZE runs what it explains, so that must be a question by itself: the text that is left of the same
    statement without its first words.
    """
    statements = connection.extract_statements(sql)
    if len(statements) != 1:
        raise QueryError("give exactly one SQL statement, for example: SELECT * FROM releases")
    if statements[0].type == duckdb.StatementType.SELECT:
        return
    if statements[0].type not in (duckdb.StatementType.MULTI, duckdb.StatementType.EXPLAIN):
        raise QueryError(_ONLY_QUESTIONS)
    if explains := _EXPLAIN.match(statements[0].query):
        try:
            _require_question(connection, statements[0].query[explains.end() :])
        except duckdb.ParserException:
            raise QueryError(
                f"EXPLAIN and EXPLAIN ANALYZE take a question here, and nothing else. {_ONLY_QUESTIONS}"
            ) from None
        return
    question = sql.strip().rstrip(";")
    try:
        bracketed = connection.extract_statements(f"SELECT * FROM (\n{question}\n)")
    except duckdb.ParserException:
        raise QueryError(_ONLY_QUESTIONS) from None
    if [each.type for each in bracketed] != [duckdb.StatementType.MULTI]:
        raise QueryError(_ONLY_QUESTIONS)


def _in_words(error: duckdb.Error, tables: list[str]) -> str:
    said = first_lines(str(error))
    if isinstance(error, duckdb.CatalogException):
        return unknown_table(str(error), tables) or said
    if isinstance(error, duckdb.PermissionException) or "Traceback" in said or "No files found" in said:
        return "queries read the published tables only, no other files; `SHOW ALL TABLES` lists what there is"
    if isinstance(error, duckdb.TransactionException):
        return f"queries are read-only. {_ONLY_QUESTIONS}"
    if isinstance(error, duckdb.ParserException):
        return f"{said}: correct it there, in DuckDB's SQL"
    return said
