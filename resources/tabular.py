"""From the records of a source to the rows that a mechanism is given: columns, filters, units and their bounds.

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

import glob
import hashlib
import hmac
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from resources.canonical import INTEGER, spelled
from resources.formats import Record
from resources.formats import SourceError as SourceError
from resources.formats import records as records_of
from resources.source import Columns, Equalities, Label, Source

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

HUB = "hub:"  # before the name of a Hugging Face Hub dataset
SPLIT = "split"  # on the Hub not a column but the name of the files
_BATCH = 2**12  # records that are held as Python values at once


def table_at(place: str, where: Equalities, columns: Columns) -> pa.Table:
    """The columns of the records there that meet the filter: text in its one spelling, null where missing. Sensitive.

    Every record is a row, in the order of the source; one that could not be read is a row of nulls.

    Args:
        place: an absolute path, or the name of a Hub data set.

    Raises:
        SourceError: missing file, unknown format, missing column, or a schema that cannot serve.
    """
    import pyarrow as pa

    hub = place.startswith(HUB)
    paths = _hub_files(place, where) if hub else _files(place)
    filters = {column: value for column, value in where.items() if not (hub and column == SPLIT)}
    names = columns.names
    kinds = {name: columns.kind(name) for name in [*names, *(name for name in filters if name not in names)]}
    wanted = _wanted(filters, kinds)
    schema = pa.schema([(name, pa.large_string()) for name in names])
    batches = []
    for path in paths:
        chosen = _where(records_of(path, kinds), wanted, len(kinds))
        while batch := list(islice(chosen, _BATCH)):
            values = list(zip(*batch, strict=True))[: len(names)]
            batches.append(pa.record_batch([pa.array(cells, pa.large_string()) for cells in values], schema))
    return pa.Table.from_batches(batches, schema)


def present(table: pa.Table, column: str) -> list[str | None]:
    """A column's values, None for missing and for blank ones. A record without text or unit is nobody's, and is left
    out."""
    return [value if value and not value.isspace() else None for value in table.column(column).to_pylist()]


def as_rows(table: pa.Table, columns: Columns) -> pd.DataFrame:
    """Columns `unit`, `text` and the label columns in plain values, without records that the columns do not describe.

    A record is left out when its text or unit is missing, or when a label is outside the declared set. Where each
    record is a unit, units are numbered: the numbers say nothing.
    """
    import pandas as pd

    names = [label.column for label in columns.labels]
    if {"unit", "text"} & set(names):
        raise SourceError("a label column may not be called `unit` or `text`: rename it in the source")
    texts = present(table, columns.text)
    units = present(table, columns.unit) if columns.unit else [str(number) for number in range(len(texts))]
    labels = [_decoded(table, label, columns) for label in columns.labels]
    rows = [row for row in zip(units, texts, *labels, strict=True) if None not in row]
    return pd.DataFrame(rows, columns=["unit", "text", *names], dtype=object)  # no type from all values together


def bound_units(rows: pd.DataFrame, max_records: int, key: bytes) -> pd.DataFrame:
    """At most `max_records` records of each unit, in the order of `rows`.

    Those whose keyed hash is smallest are kept. The hash is of the whole record, so that two with the same hash are the
    same record, and whichever is kept, the same rows come out.
    """
    places: defaultdict[str, list[int]] = defaultdict(list)
    for place, unit in enumerate(rows["unit"]):
        places[unit].append(place)
    records = list(rows.itertuples(index=False, name=None))
    kept = []
    for own in places.values():
        if len(own) > max_records:
            own = sorted(own, key=lambda place: keyed(key, "bound", *records[place]))[:max_records]
        kept += own
    return rows.iloc[sorted(kept)].reset_index(drop=True)


def shortened(rows: pd.DataFrame, max_characters: int) -> pd.DataFrame:
    """The rows with no more than the beginning of each text."""
    import pandas as pd

    texts = [text[:max_characters] for text in rows["text"]]
    return rows.assign(text=pd.Series(texts, index=rows.index, dtype=object))


def thin(table: pa.Table, columns: Columns, size: float, key: bytes) -> pa.Table:
    """Each unit with probability `size`, decided by a keyed hash of the unit alone (of the text for record units)."""
    import pyarrow as pa

    if size == 1:
        return table
    identities = present(table, columns.unit or columns.text)
    threshold = int(size * 2**64)
    kept = [name is not None and int.from_bytes(keyed(key, "thin", name)[:8], "big") < threshold for name in identities]
    return table.filter(pa.array(kept, pa.bool_()))  # a list of nothing would have no type


def fingerprint(table: pa.Table, source: Source, key: bytes) -> str:
    """Keyed identity of a source: its texts, whatever their order or the columns beside them, and the blocks that
    are read of it. A source without any text is known by its place alone, so that no two such are taken for one."""
    texts = sorted(keyed(key, "text", text) for text in present(table, source.columns.text) if text is not None)
    whole = hashlib.sha256()
    for text in texts:
        whole.update(text)
    if not texts:
        return keyed(key, "no text", source.population, source.place, *source.columns.blocks).hex()
    return keyed(key, "source", whole.hexdigest(), *source.columns.blocks).hex()


def figures(table: pa.Table, columns: Columns) -> dict[str, int]:
    """How many records there are, and how many lack what is declared, by column. Sensitive."""
    counts = {"records": len(table), "without text": present(table, columns.text).count(None)}
    if columns.unit:
        counts[f"without {columns.unit}"] = present(table, columns.unit).count(None)
    if columns.block:
        said = present(table, columns.block)
        counts[f"in no declared {columns.block}"] = sum(block not in columns.blocks for block in said)
    for label in columns.labels:
        counts[f"without a declared {label.column}"] = _decoded(table, label, columns).count(None)
    return counts


def keyed(key: bytes, *parts: str) -> bytes:
    """HMAC-SHA256 of the parts, each with its length before it."""
    encoded = (part.encode("utf-8", "surrogatepass") for part in parts)
    message = b"".join(len(data).to_bytes(8, "big") + data for data in encoded)
    return hmac.new(key, message, hashlib.sha256).digest()


def _decoded(table: pa.Table, label: Label, columns: Columns) -> list[str | None]:
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


def _files(place: str) -> list[Path]:
    path = Path(place)
    if path.is_dir():
        found = sorted(path.glob("*.parquet"))
        if not found:
            raise SourceError(f"{path} holds no .parquet file")
        return found
    if not path.is_file():
        raise SourceError(f"{path} does not exist: correct its path in the contract, or give the source with --source")
    return [path]


def _hub_files(place: str, where: Equalities) -> list[Path]:
    from huggingface_hub import snapshot_download

    name, split = place.removeprefix(HUB), where.get(SPLIT)
    pattern = "*.parquet" if split is None else f"*{glob.escape(str(split))}*.parquet"
    try:
        folder = Path(snapshot_download(name, repo_type="dataset", allow_patterns=[pattern]))
    except Exception as problem:  # the Hub client raises many kinds: not found, gated, offline, proxy
        raise SourceError(
            f"{place} could not be had from the Hugging Face Hub ({type(problem).__name__}): check name and network, "
            "or give a local copy with --source"
        ) from problem
    found = sorted(folder.rglob("*.parquet"))
    if split is not None:
        found = [path for path in found if _split_of(path.relative_to(folder)) == str(split)]
    if not found:
        raise SourceError(
            f"{place} holds no Parquet file of the split {'asked for' if split is None else split!r}. The files of one "
            "are called `NAME-*.parquet` or `NAME.parquet`, or are numbered in a folder NAME; of others give a local "
            "copy with --source"
        )
    return found


def _split_of(path: Path) -> str:
    """The one split that a file is of: what its name begins with, up to `-` or `.`; or, where that is a number as in
    `train/0000.parquet`, its folder."""
    beginning = re.split(r"[-.]", path.name)[0]
    return path.parent.name if beginning.isdecimal() else beginning
