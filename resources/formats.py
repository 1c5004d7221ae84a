"""Records of a file or a table, each read by itself.

A record comes out as its asked cells in their one spelling (`resources.canonical`). A cell that cannot be read is
missing, and of a record that cannot be read all cells are, and neither touches any other record: no type is inferred
from several of them, and whatever a parser raises concerns the record that it was given. What is wrong with a file as a
whole is what its *schema* says (Parquet, a database) or its header (CSV, a workbook): both are the owner's statements
about the file, not about its rows, and are refused with an error that names file and column. JSON Lines states nothing
about the whole, so nothing about the whole is refused.

Knows no contract. Errors never quote a value.
"""

from __future__ import annotations

import codecs
import io
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from resources import comma_separated, databases, workbooks
from resources.cells import Note, Record, cells_of, of_batch, refuse_type, require, serves
from resources.cells import SourceError as SourceError
from resources.places import Stored
from resources.source import Layout

if TYPE_CHECKING:
    import pyarrow.parquet

_BATCH = 2**10  # records of a Parquet file in memory at once
_BUFFER = 2**20  # bytes of each of its columns that are read ahead
_LONGEST_LINE = 2**26  # bytes of JSON; a longer line is no record
DELIMITERS = {",": ",", ";": ";", "\t": "\\t", "|": "|"}  # that files may be divided by, and how YAML has them


def records(
    stored: Stored | Path, kinds: Mapping[str, str], layout: Layout | None = None, note: Note | None = None
) -> Iterator[Record | None]:
    """The cells of each record, in the order of the source; None for what could not be read as a record at all.

    Args:
        kinds: the columns that are asked, as the source calls them, and the declared type of each
            (`resources.canonical.spelled`).
        layout: what its format leaves open.
        note: told of each record and cell that cannot be read; by nothing that runs for a release.

    Raises:
        SourceError: the format is unknown, the file is not one of its format, its schema or header lacks a column, or
            its schema gives a column a type that cannot serve.
    """
    stored = Stored.of(stored) if isinstance(stored, Path) else stored
    reader = READERS.get(stored.format)
    if reader is None:
        raise SourceError(unknown_format(stored))
    problem, within, layout = None, None, layout or Layout()
    try:
        yield from reader(stored, kinds, layout, note)
    except SourceError:
        raise
    except Exception as error:  # a parser's own words may quote a row
        problem = type(error).__name__
        within = databases.failure_within(error, layout.table) if layout.table else None
    if problem == "PermissionError":
        raise SourceError(f"{stored.name} may not be read by this account: use the one that it belongs to")
    if within is not None:
        raise SourceError(f"{stored.name} could not be read: {within}")
    if problem is not None:
        raise SourceError(
            f"{stored.name} could not be parsed as {stored.format} ({problem}): is it a whole file of that format?"
        )


def unknown_format(stored: Stored) -> str:
    """What to say of a format that no reader reads."""
    said = f"{stored.name}: the format {stored.format or 'without suffix'} is not one of {', '.join(READERS)}"
    hints = {".json": ". Write one object a line, and call the file .jsonl", ".xls": ". Save it as .xlsx"}
    return said + hints.get(stored.format, "")


def _json_lines(stored: Stored, kinds: Mapping[str, str], _: Layout, note: Note | None) -> Iterator[Record | None]:
    with stored.open() as file:
        number = 0
        while line := file.readline(_LONGEST_LINE):  # ends at LF alone: other line ends of Unicode stand within texts
            number += 1
            if len(line) == _LONGEST_LINE and not line.endswith(b"\n"):
                if note is not None:
                    note(f"line {number}", "longer than 64 MiB")
                yield None
                while line and not line.endswith(b"\n"):
                    line = file.readline(_LONGEST_LINE)
            elif content := line.removeprefix(codecs.BOM_UTF8).strip():
                yield _json_record(content, kinds, f"line {number}", note)


_JSON = json.JSONDecoder(parse_float=Decimal)  # 9007199254740993.0 is not 9007199254740992.0


def _json_record(line: bytes, kinds: Mapping[str, str], where: str, note: Note | None) -> Record | None:
    try:
        record = _JSON.decode(line.decode())
    except Exception as error:  # no JSON, no UTF-8, too deep, too many digits: this record's own affair
        if note is not None:
            at = f", column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
            at = f", byte {error.start + 1}" if isinstance(error, UnicodeDecodeError) else at
            note(where + at, "no UTF-8" if isinstance(error, UnicodeDecodeError) else "no JSON")
        return None
    if not isinstance(record, dict):
        if note is not None:
            note(where, "no JSON object")
        return None
    return cells_of(record, kinds, where, note)


def _csv(stored: Stored, kinds: Mapping[str, str], layout: Layout, note: Note | None) -> Iterator[Record | None]:
    """All cells are text: `NA`, `null` and `nan` too. An empty one is empty text."""
    delimiter = layout.delimiter or usual_delimiter(stored)
    with divided(stored, layout) as (names, rows):
        require(stored.name, names, kinds, _lead(names, kinds, delimiter, layout))
        places = {name: names.index(name) for name in kinds}
        for row in rows:
            if row.cells is None or len(row.cells) != len(names):
                if note is not None:
                    note(*_malformed(row, names))
                yield None
            else:
                cells = row.cells
                asked = {name: cells[place] for name, place in places.items()}
                yield cells_of(asked, kinds, f"line {row.line}", note)


def usual_delimiter(stored: Stored) -> str:
    """What divides the cells of a file that says nothing of it."""
    return "\t" if stored.format == ".tsv" else ","


@contextmanager
def divided(stored: Stored, layout: Layout) -> Iterator[tuple[list[str], Iterator[comma_separated.Row]]]:
    """The header of a CSV file, and the rows after it."""
    with stored.open() as raw:
        file: io.BufferedReader = io.BufferedReader(cast("io.RawIOBase", raw))
        _require_encoding(stored, file, layout)
        text = io.TextIOWrapper(file, _CODECS.get(layout.encoding, layout.encoding), _MARKED, newline="")
        rows = comma_separated.located(text, layout.delimiter or usual_delimiter(stored))
        header = next(rows, None)
        if header is None:
            raise SourceError(f"{stored.name} is empty and has no header: its first line must name the columns")
        if header.cells is None:
            raise SourceError(f"{stored.name} has no header that can be read: a quote in its first line is not closed")
        yield header.cells, rows


_CODECS = {"utf-8": "utf-8-sig"}
_MARKED = "dpsynth.unreadable"
# What is not of the encoding becomes what no text can hold, in every encoding, so that it costs its cell alone.
codecs.register_error(_MARKED, lambda error: ("\udc80", cast("UnicodeDecodeError", error).end))


def _require_encoding(stored: Stored, file: io.BufferedReader, layout: Layout) -> None:
    """Pass if the file does not begin as one of another encoding does."""
    first = file.peek(2**12).split(b"\n")[0]
    marked = {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}.get(first[:2])
    guessed = marked or ("utf-16-le" if first[1:2] == b"\0" else "utf-16-be" if first[:1] == b"\0" else None)
    if guessed is not None and not layout.encoding.startswith("utf-16"):
        raise SourceError(
            f"{stored.name} is written in UTF-16, and is read as {layout.encoding}: write "
            f"`csv: {{encoding: {guessed}}}` into the privacy terms, or save it as UTF-8"
        )
    if layout.encoding.startswith("utf-16") and guessed is None and first:
        raise SourceError(f"{stored.name} is not written in UTF-16: correct `csv.encoding` in the privacy terms")


def _lead(names: list[str], kinds: Mapping[str, str], delimiter: str, layout: Layout) -> str:
    """What a header that lacks columns is, if it is easily told."""
    whole = delimiter.join(names)
    if any("\udc80" in name for name in names):
        return (
            f". Its header is not {layout.encoding}: write the file's own into the privacy terms, such as "
            "`csv: {encoding: cp1252}`"
        )
    for other, written in DELIMITERS.items():
        cells = [cell.strip().strip('"') for cell in whole.split(other)]
        if other != delimiter and all(name in cells for name in kinds):
            said = f'"{written}"'
            return f". It has them, divided by {said}: write `csv: {{delimiter: {said}}}` into the privacy terms"
    return ""


def _malformed(row: comma_separated.Row, header: list[str]) -> tuple[str, str]:
    where = f"line {row.line}"
    if row.cells is None and not row.quote:
        return where, "longer than 16 Mi characters"
    if row.cells is None:
        return f"{where}, column {row.quote}", "a quote that is not closed, or stands where none may"
    if len(row.cells) > len(header):
        return where, "more cells than the header has: a cell that holds a delimiter must stand in quotes"
    unnamed = ": the header ends with a delimiter too many" if not header[-1] else ""
    return where, f"fewer cells than the header has{unnamed}"


def _parquet(stored: Stored, kinds: Mapping[str, str], _: Layout, note: Note | None) -> Iterator[Record | None]:
    with opened_parquet(stored.path or stored.open()) as file:
        schema = file.schema_arrow
        require(stored.name, schema.names, kinds)
        for name, kind in kinds.items():
            if not serves(schema.field(name).type, kind):
                raise refuse_type(stored.name, name, schema.field(name).type, kind)
        read = 0
        for batch in file.iter_batches(_BATCH, columns=list(kinds)):
            yield from of_batch(batch, kinds, read + 1, note)
            read += len(batch)


def opened_parquet(file: Path | BinaryIO) -> pyarrow.parquet.ParquetFile:
    """A Parquet file of which no more is held in memory than what is being read; else whole row groups are."""
    import pyarrow.parquet

    return pyarrow.parquet.ParquetFile(file, buffer_size=_BUFFER, pre_buffer=False)


Reader = Callable[[Stored, Mapping[str, str], Layout, Note | None], Iterator[Record | None]]

READERS: Mapping[str, Reader] = {
    ".parquet": _parquet,
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".csv": _csv,
    ".tsv": _csv,
    ".txt": _csv,
    ".xlsx": workbooks.records,
    ".duckdb": databases.of_duckdb,
    ".sqlite": databases.of_sqlite,
    "postgresql": databases.of_postgresql,
}
