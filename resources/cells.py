"""What all readers of sources share: their error, and whether stated columns hold what is declared.

A reader yields a record as its asked cells in their one spelling (`resources.canonical`), None for one that cannot be
read. What is wrong with a single record, a reader says to nobody but a `Note`, which only `resources.source_check`
hands in: whether a record can be read is a fact about it. Errors name files and columns, never values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from resources import canonical
from resources.canonical import BOOLEAN, INTEGER, NUMBER, STRING, TEXT, cut, spelled

if TYPE_CHECKING:
    import pyarrow as pa

Record = list[str | None]
Note = Callable[[str, str], None]
"""Told where in a file something cannot be read, and what is wrong there. Never told what stands there."""


class SourceError(Exception):
    """A source could not be read as the contract declares it; says which file or column, and what to do."""


class MissingColumnsError(SourceError):
    """A file's schema or header lacks columns that were asked for."""

    def __init__(self, message: str, columns: Sequence[str]) -> None:
        super().__init__(message)
        self.columns = tuple(columns)  # as the source would call them


WANTED = {
    TEXT: "text is",
    STRING: "text or whole numbers are",
    INTEGER: "whole numbers are",
    NUMBER: "numbers are",
    BOOLEAN: "truth values are",
}
_UNREADABLE = {INTEGER: "no whole number", NUMBER: "no whole number", BOOLEAN: "no truth value"}


def require(where: str, names: Sequence[str], kinds: Mapping[str, str], lead: str = "") -> None:
    """Pass if each asked column is there, once.

    Args:
        where: what the names are of, for messages.
        lead: what else to say where some are missing.
    """
    missing = sorted(name for name in kinds if name not in names)
    if missing:
        called = [f"`{other}` for {name}" for name in missing for other in names if _plain(other) == _plain(name)]
        if called and not lead:
            lead = f". It has {', '.join(called)}: write that as the column's `physicalName`"
        said = f"{where} lacks the columns {', '.join(missing)} that the contract names{lead or _CORRECT}"
        raise MissingColumnsError(said, missing)
    twice = sorted(name for name in kinds if names.count(name) > 1)
    if twice:
        raise SourceError(f"{where} has the columns {', '.join(twice)} twice: rename one of each")


_CORRECT = ": correct the contract's privacy terms, or the columns' `physicalName`, or give another source"


def _plain(name: str) -> str:
    """A name but for capitals and what is between its words."""
    return "".join(filter(str.isalnum, name.lower()))


def refuse_type(where: str, name: str, stated: object, kind: str) -> SourceError:
    """What to say of a column whose stated type cannot hold what is declared."""
    return SourceError(
        f"{where}: column {name} has type {stated} where {WANTED[kind]} declared. Write it so in the file's schema "
        "(whole numbers of which some are missing as nullable integers, in pandas `astype('Int64')`; anything else as "
        "text), or declare another column"
    )


def cells_of(values: Mapping[str, object], kinds: Mapping[str, str], where: str, note: Note | None) -> Record:
    """The cells of one record by column; `where` it is, is for a note."""
    cells = [spelled(values.get(name), kind) for name, kind in kinds.items()]
    if note is not None and None in cells:
        for (name, kind), cell in zip(kinds.items(), cells, strict=True):
            if cell is None and (what := unreadable(values.get(name), kind)):
                note(f"{where}, column {name}", what)
    return cells


def unreadable(value: object, kind: str) -> str | None:
    """Why a value that has no spelling has none, in words that say nothing of it; None where nothing stands there."""
    if value is None or (isinstance(value, str | bytes) and not value.strip()):
        return None
    if kind in _UNREADABLE:
        return _UNREADABLE[kind]
    if isinstance(value, str | bytes):
        too_long = len(value) > canonical.LONGEST // 4
        return "longer than 1 MiB" if too_long else "characters that the encoding does not have"
    return "no text" if kind == TEXT else "neither text nor a whole number"


def serves(stated: pa.DataType, kind: str) -> bool:
    """Whether a column of this type holds values of the declared type. One of nothing but nulls holds any."""
    from pyarrow import types

    if types.is_dictionary(stated):
        stated = stated.value_type
    if _is_text(stated) or types.is_null(stated):
        return True
    if kind == TEXT:
        return False
    if types.is_integer(stated) or (types.is_decimal(stated) and stated.scale <= 0):
        return True
    if types.is_boolean(stated):
        return kind in (BOOLEAN, INTEGER, NUMBER)
    return bool(types.is_floating(stated) or types.is_decimal(stated)) and kind == NUMBER


def of_batch(batch: pa.RecordBatch, kinds: Mapping[str, str], first: int, note: Note | None) -> list[Record]:
    """The records of a batch, of which the first is the `first` of all."""
    columns = [_spelled_column(batch.column(name), kind) for name, kind in kinds.items()]
    if note is not None:
        for (name, kind), cells in zip(kinds.items(), columns, strict=True):
            stored = batch.column(name).is_valid().to_pylist()
            for place, cell in enumerate(cells):
                if cell is None and stored[place]:
                    note(f"record {first + place}, column {name}", _UNREADABLE.get(kind, "no text that can be read"))
    return list(map(list, zip(*columns, strict=True)))


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
    return [spelled_bytes(value.as_py(), kind) for value in stored]


def spelled_bytes(stored: bytes | None, kind: str) -> str | None:
    """As `spelled`, of a text that is stored as UTF-8, or meant to be."""
    if stored is None:
        return None
    return spelled((cut(stored) if kind == TEXT else stored).decode(errors="surrogateescape"), kind)
