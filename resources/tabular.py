"""From the records of a source to the rows that a mechanism is given: columns, filters, labels, lengths.

Serves the sensitive store (which alone may point it at a sensitive source) and the public test split.

Formal claim: a privacy unit's rows are a function of that unit's records, and of public constants. Every step looks at
one record at a time, or at one unit's at a time; types are the contract's or the file's schema's, never those that the
records seem to have; and rows stay in the order of the source, so that a record more or less moves no two others
against each other. Adding or removing a unit therefore changes that unit's rows and no others. Misuse that breaks it:
inferring anything from several records, sorting across units, or comparing what is not in its one spelling
(`resources.canonical`).

Dropping is silent: how much was dropped is a figure computed from sensitive rows (`figures`), for the sensitive store
alone. Errors name columns and files, never values.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, TypeAlias

from resources.canonical import INTEGER, spelled
from resources.cells import Record
from resources.cells import SourceError as SourceError
from resources.formats import records as records_of
from resources.places import HUB, SPLIT, stored_at
from resources.source import Columns, Equalities, Label, Layout, Source

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    Rows: TypeAlias = pa.Table | pa.RecordBatch

_BATCH = 2**14  # records that are held as Python values at once
_LARGEST = 2**26  # characters of theirs, but for the last one's


def table_at(place: str, where: Equalities, columns: Columns, layout: Layout) -> pa.Table:
    """All of `batches_at` as one table, for what fits into memory."""
    import pyarrow as pa

    return pa.Table.from_batches(batches_at(place, where, columns, layout), schema_of(columns))


def batches_at(place: str, where: Equalities, columns: Columns, layout: Layout) -> Iterator[pa.RecordBatch]:
    """The columns of the records there that meet the filter: text in its one spelling, null where missing. Sensitive.

    Every record is a row, in the order of the source; one that could not be read is a row of nulls. A batch has at most
    `_BATCH` of them. Where it ends says nothing, and nothing may depend on it.

    Args:
        place: as `resources.places` has them.

    Raises:
        SourceError: missing file, unknown format, missing column, or a schema that cannot serve.
    """
    import pyarrow as pa

    kinds = asked_of(place, where, columns)
    schema, wanted = schema_of(columns), _wanted(filters_of(place, where), kinds)
    as_stored = {columns.stored.get(name, name): kind for name, kind in kinds.items()}
    for stored in stored_at(place, where):
        for records in _bounded(_where(records_of(stored, as_stored, layout), wanted, len(kinds))):
            cells = list(zip(*records, strict=True))[: len(schema)]
            yield pa.record_batch([pa.array(column, pa.large_string()) for column in cells], schema)


def schema_of(columns: Columns) -> pa.Schema:
    """Of a table of a source's cells."""
    import pyarrow as pa

    return pa.schema([(name, pa.large_string()) for name in columns.names])


def _bounded(records: Iterator[Sequence[str | None]]) -> Iterator[list[Sequence[str | None]]]:
    """Lists of records that fit into memory, however long their cells are."""
    batch: list[Sequence[str | None]] = []
    length = 0
    for record in records:
        batch.append(record)
        length += sum(map(len, filter(None, record)))
        if len(batch) >= _BATCH or length >= _LARGEST:
            yield batch
            batch, length = [], 0
    if batch:
        yield batch


def filters_of(place: str, where: Equalities) -> Equalities:
    """Of a filter what is about columns."""
    return {column: value for column, value in where.items() if not (place.startswith(HUB) and column == SPLIT)}


def asked_of(place: str, where: Equalities, columns: Columns) -> dict[str, str]:
    """The columns that are read at a place, those that are filtered by last, and the type of each."""
    names = columns.names
    asked = [*names, *(name for name in filters_of(place, where) if name not in names)]
    return {name: columns.kind(name) for name in asked}


def present(table: Rows, column: str) -> list[str | None]:
    """A column's values, None for missing and for blank ones. A record without text or unit is nobody's, and is left
    out."""
    return [value if value and not value.isspace() else None for value in table.column(column).to_pylist()]


def as_rows(table: Rows, columns: Columns) -> pd.DataFrame:
    """The records that the columns describe, as `described` has them, in a frame as `frame_of` makes it."""
    return frame_of(described(table, columns), columns)


def described(table: Rows, columns: Columns, first: int = 0) -> list[tuple[str, ...]]:
    """Unit, text and labels in plain values of each record that the columns describe.

    A record is left out when its text or unit is missing, or when a label is outside the declared set. Where each
    record is a unit, units are numbered, from `first` on: the numbers say nothing.
    """
    texts = present(table, columns.text)
    units = present(table, columns.unit) if columns.unit else [str(first + number) for number in range(len(texts))]
    labels = [decoded(table, label, columns) for label in columns.labels]
    return [row for row in zip(units, texts, *labels, strict=True) if None not in row]


def frame_of(rows: Sequence[tuple[str, ...]], columns: Columns) -> pd.DataFrame:
    """Columns `unit`, `text` and the label columns."""
    import pandas as pd

    names = [label.column for label in columns.labels]
    if {"unit", "text"} & set(names):
        raise SourceError("a label column may not be called `unit` or `text`: rename it in the source")
    return pd.DataFrame(rows, columns=["unit", "text", *names], dtype=object)  # no type from all values together


def shortened(rows: pd.DataFrame, max_characters: int) -> pd.DataFrame:
    """The rows with no more than the beginning of each text."""
    import pandas as pd

    texts = [text[:max_characters] for text in rows["text"]]
    return rows.assign(text=pd.Series(texts, index=rows.index, dtype=object))


def thin(batch: pa.RecordBatch, columns: Columns, size: float, key: bytes) -> list[bool]:
    """Whether each record is kept: each unit with probability `size`, decided by a keyed hash of the unit alone (of the
    text for record units)."""
    if size == 1:
        return [True] * len(batch)
    identities = present(batch, columns.unit or columns.text)
    threshold = int(size * 2**64)
    return [name is not None and int.from_bytes(keyed(key, "thin", name)[:8], "big") < threshold for name in identities]


class Fingerprint:
    """Keyed identity of a source: its texts, whatever their order or the columns beside them, and the blocks that are
    read of it. A source without any text is known by its place alone, so that no two such are taken for one.

    Holds 32 bytes for each text.
    """

    def __init__(self, source: Source, key: bytes) -> None:
        self._source, self._key = source, key
        self._digests = bytearray()

    def add(self, batch: pa.RecordBatch) -> None:
        for text in present(batch, self._source.columns.text):
            if text is not None:
                self._digests += keyed(self._key, "text", text)

    def value(self) -> str:
        import numpy as np

        blocks = self._source.columns.blocks
        if not self._digests:
            return keyed(self._key, "no text", self._source.population, self._source.place, *blocks).hex()
        digests = np.frombuffer(self._digests, "S32")
        digests.sort()
        return keyed(self._key, "source", hashlib.sha256(digests.data).hexdigest(), *blocks).hex()


def figures(table: Rows, columns: Columns) -> dict[str, int]:
    """How many records there are, and how many lack what is declared, by column. Sensitive."""
    counts = {"records": len(table), "without text": present(table, columns.text).count(None)}
    if columns.unit:
        counts[f"without {columns.unit}"] = present(table, columns.unit).count(None)
    if columns.block:
        said = present(table, columns.block)
        counts[f"in no declared {columns.block}"] = sum(block not in columns.blocks for block in said)
    for label in columns.labels:
        counts[f"without a declared {label.column}"] = decoded(table, label, columns).count(None)
    return counts


def keyed(key: bytes, *parts: str) -> bytes:
    """HMAC-SHA256 of the parts, each with its length before it."""
    encoded = [part.encode("utf-8", "surrogatepass") for part in parts]
    begun = _under(key).copy()
    begun.update(b"".join([len(data).to_bytes(8, "big") + data for data in encoded]))
    return begun.digest()


@cache
def _under(key: bytes) -> hmac.HMAC:
    """A hash that the key has gone into: to copy it is a third faster than to begin anew for each record."""
    return hmac.new(key, digestmod=hashlib.sha256)


def decoded(table: Rows, label: Label, columns: Columns) -> list[str | None]:
    """Plain label values; None for anything outside the declared set.

    A code is meant by whatever spells its number: 1, and 1.0 as programs write it where some values are missing.
    """
    numbers = columns.kind(label.column) == INTEGER  # where a number spells two labels, by declared type
    known = {**label.texts, **label.codes} if numbers else {**label.codes, **label.texts}
    return [
        None if value is None else known.get(value) or label.codes.get(spelled(value, INTEGER) or "")
        for value in table.column(label.column).to_pylist()
    ]


def _wanted(filters: Equalities, kinds: Mapping[str, str]) -> list[tuple[int, str]]:
    """The place and the wanted spelling of each column that is filtered by."""
    places = {name: place for place, name in enumerate(kinds)}
    wanted = []
    for column, value in filters.items():
        spelling = spelled(value, kinds[column])
        if spelling is None:
            raise SourceError(
                f"the filter on column {column} wants {value!r}, which is no value of the type that the contract "
                f"declares for it ({kinds[column]}): correct the one or the other"
            )
        wanted.append((places[column], spelling))
    return wanted


def _where(
    found: Iterator[Record | None], wanted: Sequence[tuple[int, str]], width: int
) -> Iterator[Sequence[str | None]]:
    """The records whose cells are these, a decision on each alone; and, with no cell, what was read as no record."""
    nothing = [None] * width
    for record in found:
        if record is None:
            yield nothing
        elif all(record[place] == spelling for place, spelling in wanted):
            yield record
