"""Records of a Parquet, JSON Lines or CSV file, each read by itself.

A record comes out as its asked cells in their one spelling (`resources.canonical`). A cell that cannot be read is
missing, and of a record that cannot be read all cells are, and neither touches any other record: no type is inferred
from several of them, and whatever a parser raises concerns the record that it was given. What is wrong with a file as a
whole is what its *schema* says (Parquet) or its header (CSV): both are the owner's statements about the file, not about
its rows, and are refused with an error that names file and column. JSON Lines states nothing about the whole, so
nothing about the whole is refused.

Knows no contract. Errors never quote a value.
"""

from __future__ import annotations

import json
from codecs import BOM_UTF8
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from resources import canonical, comma_separated
from resources.canonical import cut, spelled

if TYPE_CHECKING:
    import pyarrow as pa

Record = list[str | None]
_BATCH = 2**10  # records of a Parquet file in memory at once
_LONGEST_LINE = 2**26  # bytes of JSON; a longer line is no record


class SourceError(Exception):
    """A source could not be read as the contract declares it; says which file or column, and what to do."""


def records(path: Path, kinds: Mapping[str, str]) -> Iterator[Record | None]:
    """The cells of each record in a file, in its order; None for what could not be read as a record at all.

    Args:
        kinds: the columns that are asked, and the declared type of each (`resources.canonical.spelled`).

    Raises:
        SourceError: the format is unknown, the file is not one of its format, its schema or header lacks a column, or
            its schema gives a column a type that cannot serve.
    """
    suffix = path.suffix.lower()
    if suffix not in READERS:
        raise SourceError(f"{path}: the format {suffix or 'without suffix'} is not one of {', '.join(READERS)}")
    problem = None
    try:
        yield from READERS[suffix](path, kinds)
    except SourceError:
        raise
    except Exception as error:  # a parser's own words may quote a row
        problem = type(error).__name__
    if problem is not None:
        raise SourceError(f"{path} could not be parsed as {suffix} ({problem}): is it a whole file of that format?")


def _json_lines(path: Path, kinds: Mapping[str, str]) -> Iterator[Record | None]:
    with path.open("rb") as file:
        while line := file.readline(_LONGEST_LINE):  # ends at LF alone: other line ends of Unicode stand within texts
            if len(line) == _LONGEST_LINE and not line.endswith(b"\n"):
                yield None
                while line and not line.endswith(b"\n"):
                    line = file.readline(_LONGEST_LINE)
            elif content := line.removeprefix(BOM_UTF8).strip():
                yield _json_record(content, kinds)


_JSON = json.JSONDecoder(parse_float=Decimal)  # 9007199254740993.0 is not 9007199254740992.0


def _json_record(line: bytes, kinds: Mapping[str, str]) -> Record | None:
    try:
        record = _JSON.decode(line.decode())
    except Exception:  # no JSON, no UTF-8, too deep, too many digits: this record's own affair
        return None
    if not isinstance(record, dict):
        return None
    return [spelled(record.get(name), kind) for name, kind in kinds.items()]


def _csv(path: Path, kinds: Mapping[str, str]) -> Iterator[Record | None]:
    """All cells are text: `NA`, `null` and `nan` too. An empty one is empty text."""
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        rows = comma_separated.records(file)
        header = next(rows, None)
        if header is None:
            raise SourceError(f"{path} has no header: its first line must name the columns, divided by commas")
        _require(path, header, kinds)
        places = [(header.index(name), kind) for name, kind in kinds.items()]
        for row in rows:
            fits = row is not None and len(row) == len(header)
            yield [spelled(row[place], kind) for place, kind in places] if row is not None and fits else None


def _parquet(path: Path, kinds: Mapping[str, str]) -> Iterator[Record | None]:
    import pyarrow.parquet

    with pyarrow.parquet.ParquetFile(path) as file:
        schema = file.schema_arrow
        _require(path, schema.names, kinds)
        for name, kind in kinds.items():
            stated = schema.field(name).type
            if not _serves(stated, kind):
                wanted = _WANTED.get(kind, _WANTED[canonical.STRING])
                raise SourceError(
                    f"{path}: column {name} has type {stated} where {wanted} declared. Write it so in "
                    "the file's schema (whole numbers of which some are missing as nullable integers, in pandas "
                    "`astype('Int64')`; anything else as text), or declare another column"
                )
        for batch in file.iter_batches(_BATCH, columns=list(kinds)):
            columns = [_spelled_column(batch.column(name), kind) for name, kind in kinds.items()]
            yield from map(list, zip(*columns, strict=True))


_WANTED = {
    canonical.TEXT: "text is",
    canonical.STRING: "text or whole numbers are",
    canonical.INTEGER: "whole numbers are",
    canonical.NUMBER: "numbers are",
    canonical.BOOLEAN: "truth values are",
}


def _serves(stated: pa.DataType, kind: str) -> bool:
    """Whether a column of this type holds values of the declared type. One of nothing but nulls holds any."""
    from pyarrow import types

    if types.is_dictionary(stated):
        stated = stated.value_type
    if _is_text(stated) or types.is_null(stated):
        return True
    if kind == canonical.TEXT:
        return False
    if types.is_integer(stated) or (types.is_decimal(stated) and stated.scale <= 0):
        return True
    if types.is_boolean(stated):
        return kind in (canonical.BOOLEAN, canonical.INTEGER, canonical.NUMBER)
    return bool(types.is_floating(stated) or types.is_decimal(stated)) and kind == canonical.NUMBER


def _is_text(stated: pa.DataType) -> bool:
    from pyarrow import types

    return bool(types.is_string(stated) or types.is_large_string(stated) or types.is_string_view(stated))


def _spelled_column(column: pa.Array, kind: str) -> Record:
    import pyarrow as pa
    from pyarrow import types

    if types.is_dictionary(column.type):  # each value once, however many records have it
        values = _spelled_column(column.dictionary, kind)
        return [None if place is None else values[place] for place in column.indices.to_pylist()]
    if not _is_text(column.type):
        return [spelled(value, kind) for value in column.to_pylist()]
    stored = column.cast(pa.large_binary())  # as bytes, since a writer may have put there what is no UTF-8
    return [_spelled_bytes(value.as_py(), kind) for value in stored]


def _spelled_bytes(stored: bytes | None, kind: str) -> str | None:
    if stored is None:
        return None
    return spelled((cut(stored) if kind == canonical.TEXT else stored).decode(errors="surrogateescape"), kind)


def _require(path: Path, names: list[str], kinds: Mapping[str, str]) -> None:
    missing = sorted(name for name in kinds if name not in names)
    if missing:
        raise SourceError(
            f"{path} lacks the columns {', '.join(missing)} that the contract names: correct the contract's privacy "
            "terms, or give another source"
        )
    twice = sorted(name for name in kinds if names.count(name) > 1)
    if twice:
        raise SourceError(f"{path} has the columns {', '.join(twice)} twice: rename one of each")


READERS: Mapping[str, Callable[[Path, Mapping[str, str]], Iterator[Record | None]]] = {
    ".parquet": _parquet,
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".csv": _csv,
}
