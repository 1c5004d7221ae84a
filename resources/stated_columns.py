"""The columns that a source states of itself: for whoever writes the first contract about it.

Reads a schema (Parquet, a database), a header (CSV, a workbook), and of JSON Lines the keys of the first line: names,
and types only where they are stated. No record is counted and no value is looked at, so what comes out says nothing of
the rows. How a CSV file is written is told by its header alone: what the rows show of it is a fact about people.

Knows no contract. Errors never quote a value.
"""

from __future__ import annotations

import io
import json
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Callable, Mapping
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from resources import comma_separated, databases, workbooks
from resources.formats import DELIMITERS, READERS, SourceError, divided, unknown_format, usual_delimiter
from resources.places import Stored
from resources.source import Layout

if TYPE_CHECKING:
    import pyarrow as pa

Stated = dict[str, str]  # from a column's name to its type, in the words of the contracts' standard
CSV = (".csv", ".tsv", ".txt")
_LONGEST_LINE = 2**26  # bytes
_LONGEST_HEADER = 2**20
_BELOW_TITLE = 10  # rows, of which the first may be a title
T = TypeVar("T")


def stated_columns(stored: Stored, layout: Layout) -> Stated:
    """The columns of a file or table, in their order.

    Raises:
        SourceError: its format is not read, it has no such table or sheet, or it states no columns.
    """
    names = _read(stored, lambda: _COLUMNS[stored.format](stored, layout))
    if not names:
        raise SourceError(f"{stored.name} states no columns: is it a whole {stored.format} file?")
    if twice := sorted({name for name, _ in names if [each for each, _ in names].count(name) > 1} - {""}):
        raise SourceError(f"{stored.name} has the columns {', '.join(twice)} twice: rename one of each")
    return {name: kind for name, kind in names if name}


def first_cells(stored: Stored, layout: Layout) -> dict[int, object]:
    """What stands where the columns are named, by the number of the column: in a sheet that may be no text.

    Raises:
        SourceError: its format is not read, or it has no such table or sheet.
    """
    if stored.format == ".xlsx":
        return next(iter(_read(stored, lambda: workbooks.first_rows(stored, layout, 1))), {})
    names = _read(stored, lambda: _COLUMNS[stored.format](stored, layout))
    return {number: name for number, (name, _) in enumerate(names, start=1) if name}


def has_title(stored: Stored, layout: Layout) -> bool:
    """Whether the first row is a title above the names: it has one cell where there are more columns.

    The next few rows are looked at for nothing but how many cells they have. Of CSV that is asked only where the first
    line has a single cell and no delimiter after it: then some delimiter must divide all of those rows alike, which
    commas in texts hardly do.

    Raises:
        SourceError: its format is not read, or it has no such table or sheet.
    """
    if stored.format == ".xlsx":
        first, *more = _read(stored, lambda: workbooks.first_rows(stored, layout, _BELOW_TITLE)) or [{}]
        return len(first) == 1 and any(len(row) > 1 for row in more)
    if stored.format not in CSV:
        return False
    names = _read(stored, lambda: _csv(stored, layout))
    if len(names) > 1:
        return sum(bool(name) for name, _ in names) == 1
    text = _read(stored, lambda: _first_bytes(stored)).decode(layout.encoding, errors="replace")
    return any(_divides_alike(text, mark) for mark in DELIMITERS)


def _divides_alike(text: str, mark: str) -> bool:
    """Whether the rows after the first have the same number of cells, three at least."""
    rows = list(islice(comma_separated.records(io.StringIO(text, newline=""), mark), 1, _BELOW_TITLE))
    widths = {len(row or ()) for row in rows}
    return len(rows) > 2 and len(widths) == 1 and widths.pop() > 2


def stated_tables(stored: Stored, schema: str | None) -> list[str] | None:
    """The tables of a database's schema, or the sheets of a workbook; None of a format that has one table."""
    reader = _TABLES.get(stored.format)
    return None if reader is None else _read(stored, lambda: reader(stored, schema))


def shown_encoding(stored: Stored) -> tuple[str | None, bool]:
    """The encoding of a CSV file as far as its header shows it, None where that is no UTF-8, and whether it shows it:
    letters without accents are the same in most."""
    first = _read(stored, lambda: _first_bytes(stored))
    if first.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
        return "utf-16", True
    if b"\0" in first[:2]:
        return ("utf-16-be" if first[:1] == b"\0" else "utf-16-le"), True
    header = first.split(b"\n")[0]
    try:
        header.decode()
    except UnicodeDecodeError:
        return None, True
    return "utf-8", not header.isascii()


def shown_delimiter(stored: Stored, encoding: str) -> str:
    """What divides the header of a CSV file into most cells."""

    def cells(mark: str) -> int:
        text = _read(stored, lambda: _first_bytes(stored)).decode(encoding, errors="replace").lstrip("\ufeff")
        return len(next(comma_separated.records(io.StringIO(text, newline=""), mark), None) or ())

    usual = usual_delimiter(stored)
    return max((usual, *DELIMITERS), key=cells)  # of those that do alike, the usual one


def _first_bytes(stored: Stored) -> bytes:
    with stored.open() as file:
        return file.read(_LONGEST_HEADER)


def _read(stored: Stored, reader: Callable[[], T]) -> T:
    """What a reader reads; a parser's own words may quote a row, and are not passed on."""
    if stored.format not in READERS:
        raise SourceError(unknown_format(stored))
    try:
        return reader()
    except SourceError:
        raise
    except Exception as error:
        problem = type(error).__name__
    raise SourceError(f"{stored.name} could not be read as {stored.format} ({problem}): is it a whole file of it?")


def _parquet(stored: Stored, _: Layout) -> list[tuple[str, str]]:
    import pyarrow.parquet

    with pyarrow.parquet.ParquetFile(stored.path or stored.open()) as file:
        return _of_schema(file.schema_arrow)


def _of_schema(schema: pa.Schema) -> list[tuple[str, str]]:
    return [(field.name, _kind(field.type)) for field in schema]


def _kind(stated: pa.DataType) -> str:
    from pyarrow import types

    if types.is_dictionary(stated):
        return _kind(stated.value_type)
    kinds: tuple[tuple[Callable[[pa.DataType], bool], str], ...] = (
        (types.is_integer, "integer"),
        (types.is_boolean, "boolean"),
        (types.is_floating, "number"),
        (types.is_decimal, "number"),
        (types.is_date, "date"),
        (types.is_timestamp, "timestamp"),
        (types.is_time, "time"),
        (types.is_nested, "array" if types.is_list(stated) or types.is_large_list(stated) else "object"),
    )
    return next((kind for holds, kind in kinds if holds(stated)), "string")


def _csv(stored: Stored, layout: Layout) -> list[tuple[str, str]]:
    """All cells of CSV are text."""
    with divided(stored, layout) as (names, _):
        pass
    if any("\udc80" in name for name in names):
        raise SourceError(f"{stored.name}: its header is not written in {layout.encoding}: name its encoding")
    return [(name, "string") for name in names]


def _json_lines(stored: Stored, _: Layout) -> list[tuple[str, str]]:
    """JSON states no types but those of values: whatever stands there is read as text."""
    with stored.open() as file:
        first = json.loads(file.readline(_LONGEST_LINE).removeprefix(BOM_UTF8))
    if not isinstance(first, dict):
        raise SourceError(f"{stored.name}: its first line is no object: JSON Lines has one object a line")
    return [(name, "string") for name in first]


def _workbook(stored: Stored, layout: Layout) -> list[tuple[str, str]]:
    """Each cell of a workbook has a type of its own: none is stated of a column."""
    return [(name, "string") for name in workbooks.header(stored, layout)]


def _duckdb(stored: Stored, layout: Layout) -> list[tuple[str, str]]:
    return _of_schema(databases.schema_of_duckdb(stored, layout))


def _sqlite(stored: Stored, layout: Layout) -> list[tuple[str, str]]:
    """By the words of which SQLite makes a column's affinity; a column without a type may hold anything."""
    stated = databases.columns_of_sqlite(stored, layout)
    return [
        (name, next((kind for word, kind in _AFFINITIES if word in said.upper()), "string")) for name, said in stated
    ]


_AFFINITIES = (("BOOL", "boolean"), ("INT", "integer"), ("REAL", "number"), ("FLOA", "number"), ("DOUB", "number"))


def _postgresql(stored: Stored, layout: Layout) -> list[tuple[str, str]]:
    stated = databases.columns_of_postgresql(stored, layout)
    return [(name, _POSTGRESQL.get(kind.partition("(")[0].partition(" ")[0], "object")) for name, kind in stated]


_POSTGRESQL = {
    "text": "string",
    **{kind: kind for kind in ("integer", "number", "boolean", "date", "timestamp", "time")},
}

_COLUMNS: Mapping[str, Callable[[Stored, Layout], list[tuple[str, str]]]] = {
    ".parquet": _parquet,
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    **dict.fromkeys(CSV, _csv),
    ".xlsx": _workbook,
    ".duckdb": _duckdb,
    ".sqlite": _sqlite,
    "postgresql": _postgresql,
}
_TABLES: Mapping[str, Callable[[Stored, str | None], list[str]]] = {
    ".xlsx": lambda stored, _: workbooks.sheets(stored),
    ".duckdb": databases.tables_of_duckdb,
    ".sqlite": lambda stored, _: databases.tables_of_sqlite(stored),
    "postgresql": databases.tables_of_postgresql,
}
