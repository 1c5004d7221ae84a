"""Reading labelled text from where a contract says it is: Parquet, JSON Lines, CSV, or a Hub dataset.

Serves the sensitive store (which alone may point it at a sensitive source) and the public test split. Every step after
parsing looks at one record at a time, or at one privacy unit at a time: whatever is dropped is dropped for its own
sake alone, so that adding or removing a unit changes no other unit's rows. Dropping is silent, since a count of what
was dropped would be a figure computed from sensitive rows. Errors name columns and files, never values.
"""

from __future__ import annotations

import csv
import hashlib
import hmac
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from dpsynth_assets.contract import Contract

HUB = "hub:"  # before the name of a Hugging Face Hub dataset
SPLIT = "split"  # on the Hub not a column but the name of the files
Equalities = Mapping[str, str | int | bool]


class SourceError(Exception):
    """A source could not be read as the contract declares it; says which file or column, and what to do."""


def location(contract: Contract, text: str) -> str:
    """A location of the contract as an absolute path, or as the Hub name it is."""
    from dpsynth_assets.contract import resolve

    return text if text.startswith(HUB) else str(resolve(text, contract))


def source_table(contract: Contract) -> pa.Table:
    """The needed columns of the contract's source, as stored. Sensitive."""
    return _load(location(contract, contract.source), contract.privacy.source_where, contract)


def test_table(contract: Contract) -> pa.Table:
    """The needed columns of the public test split, as stored."""
    split = contract.privacy.test_split
    return _load(location(contract, split.path), split.where, contract)


def needed_columns(contract: Contract) -> list[str]:
    """The columns that are copied into the sensitive store: unit, block, text and labels, and no others."""
    terms = contract.privacy
    unit = [terms.unit.column] if terms.unit.column else []
    block = [terms.blocks.column] if terms.blocks else []
    return list(dict.fromkeys([*unit, *block, terms.text.column, *(label.column for label in terms.labels)]))


def texts_of(table: pa.Table, contract: Contract) -> list[str | None]:
    """The text of each record; None where it is missing or blank."""
    return _present(table, contract.privacy.text.column)


def units_of(table: pa.Table, contract: Contract) -> list[str | None]:
    """The privacy unit of each record, None where it is missing: such a record is nobody's, and is left out. Of units
    with a column only; without one each record is a unit of its own."""
    column = contract.privacy.unit.column
    assert column is not None, "a record that is a unit of its own has no name"
    return _present(table, column)


def blocks_said(table: pa.Table, contract: Contract) -> list[str | None]:
    """The block that each record says it is in, None where it says none. Of contracts with blocks only."""
    assert contract.privacy.blocks is not None, "there are no blocks"
    return _present(table, contract.privacy.blocks.column)


def as_rows(table: pa.Table, contract: Contract) -> pd.DataFrame:
    """Columns `unit`, `text` and the label columns in plain values, without records the contract does not describe.

    A record is left out when its text or unit is missing, or when a label is outside the declared set.
    """
    import pandas as pd

    terms = contract.privacy
    names = [label.column for label in terms.labels]
    if {"unit", "text"} & set(names):
        raise SourceError("a label column may not be called `unit` or `text`: rename it in the source")
    texts = table.column(terms.text.column).to_pylist()
    if terms.unit.column and terms.unit.column in table.column_names:
        units: list[Any] = table.column(terms.unit.column).to_pylist()
    else:
        units = list(range(len(texts)))  # each record is a unit of its own; of a public test split none is asked
    labels = [_decoded(table.column(label.column).to_pylist(), label.decoding) for label in terms.labels]
    rows = [
        (str(unit), text, *cell)
        for unit, text, *cell in zip(units, texts, *labels, strict=True)
        if unit is not None and text and text.strip() and None not in cell
    ]
    return pd.DataFrame(rows, columns=["unit", "text", *names])


def bound_units(rows: pd.DataFrame, max_records: int, key: bytes) -> pd.DataFrame:
    """At most `max_records` records of each unit, chosen by a keyed hash of the record alone."""
    if not rows["unit"].duplicated().any():
        return rows
    order = [keyed(key, "bound", text) for text in rows["text"]]
    kept = rows.assign(order=order).sort_values("order").groupby("unit", sort=False).head(max_records)
    return kept.drop(columns="order").sort_index().reset_index(drop=True)


def thin(table: pa.Table, contract: Contract, size: float, key: bytes) -> pa.Table:
    """Each unit with probability `size`, decided by a keyed hash of the unit alone (of the text for record units)."""
    if size == 1:
        return table
    identities = units_of(table, contract) if contract.privacy.unit.column else texts_of(table, contract)
    threshold = int(size * 2**64)
    return table.filter(
        [name is not None and int.from_bytes(keyed(key, "thin", name)[:8], "big") < threshold for name in identities]
    )


def fingerprint(table: pa.Table, contract: Contract, key: bytes) -> str:
    """Keyed identity of a source: its texts, whatever their order or the columns beside them, and the blocks that
    are read of it. A source without any text is known by its place alone, so that no two such are taken for one."""
    texts = sorted(keyed(key, "text", text) for text in texts_of(table, contract) if text is not None)
    whole = hashlib.sha256()
    for text in texts:
        whole.update(text)
    blocks = contract.privacy.blocks.values if contract.privacy.blocks else ()
    if not texts:
        return keyed(key, "no text", contract.privacy.population, location(contract, contract.source), *blocks).hex()
    return keyed(key, "source", whole.hexdigest(), *blocks).hex()


def keyed(key: bytes, *parts: str) -> bytes:
    """HMAC-SHA256 of the parts, each with its length before it."""
    encoded = (part.encode("utf-8", "surrogatepass") for part in parts)
    message = b"".join(len(data).to_bytes(8, "big") + data for data in encoded)
    return hmac.new(key, message, hashlib.sha256).digest()


def _present(table: pa.Table, column: str) -> list[str | None]:
    """A column's values as text, None for missing and blank ones."""
    values = ("" if value is None else str(value) for value in table.column(column).to_pylist())
    return [value if value.strip() else None for value in values]


def _decoded(stored: list[Any], decoding: Mapping[str | int, str]) -> list[str | None]:
    """Plain label values; None for anything outside the declared set."""
    with_text = {str(value): plain for value, plain in decoding.items()} | dict(decoding)  # CSV stores numbers as text
    return [with_text.get(value) if isinstance(value, str | int) else None for value in stored]


def _load(place: str, where: Equalities, contract: Contract) -> pa.Table:
    """The needed columns of the rows that `where` chooses.

    Raises:
        SourceError: missing file, unknown format, missing column, or a text column that is not text.
    """
    import pyarrow as pa

    hub = place.startswith(HUB)
    paths = _hub_files(place, where) if hub else _files(place)
    filters = {column: value for column, value in where.items() if not (hub and column == SPLIT)}
    columns = needed_columns(contract)
    if place != location(contract, contract.source):  # of a test split neither unit nor block is asked
        blocks = contract.privacy.blocks
        asked = {contract.privacy.text.column, *(label.column for label in contract.privacy.labels)}
        own = {contract.privacy.unit.column, blocks.column if blocks else None} - asked
        columns = [name for name in columns if name not in own]
    parts = []
    for path in paths:
        part = _parse(path)
        missing = [name for name in {*columns, *filters} if name not in part.column_names]
        if missing:
            raise SourceError(
                f"{place} lacks the columns {', '.join(sorted(missing))} that contract {contract.id} names: correct "
                "the contract's privacy terms, or give another source"
            )
        parts.append(_where(part, filters).select(columns))
    table = pa.concat_tables(parts, promote_options="permissive")
    text = table.schema.field(contract.privacy.text.column)
    if not (pa.types.is_string(text.type) or pa.types.is_large_string(text.type)):
        raise SourceError(f"{place}: column {text.name} has type {text.type} where text is declared")
    return table


def _where(table: pa.Table, where: Equalities) -> pa.Table:
    """The rows whose columns hold these values: a decision on each row alone."""
    for column, wanted in where.items():
        table = table.filter([value == wanted for value in table.column(column).to_pylist()])
    return table


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

    name, pattern = place.removeprefix(HUB), f"*{where.get(SPLIT, '')}*.parquet"
    try:
        folder = Path(snapshot_download(name, repo_type="dataset", allow_patterns=[pattern]))
    except Exception as problem:  # the Hub client raises many kinds: not found, gated, offline, proxy
        raise SourceError(
            f"{place} could not be had from the Hugging Face Hub ({type(problem).__name__}): check name and network, "
            "or give a local copy with --source"
        ) from problem
    found = sorted(folder.rglob(pattern))
    if not found:
        raise SourceError(f"{place} holds no Parquet file of the split {where.get(SPLIT, 'asked for')!r}")
    return found


def _parse(path: Path) -> pa.Table:
    suffix = path.suffix.lower()
    readers = {".parquet": _parse_parquet, ".jsonl": _parse_jsonl, ".ndjson": _parse_jsonl, ".csv": _parse_csv}
    if suffix not in readers:
        raise SourceError(f"{path}: the format {suffix or 'without suffix'} is not one of {', '.join(readers)}")
    kind = None
    try:
        return readers[suffix](path)
    except Exception as problem:  # the parser's own words may quote a row
        kind = type(problem).__name__
    raise SourceError(f"{path} could not be parsed as {suffix} ({kind}): is it a whole file of that format?")


def _parse_parquet(path: Path) -> pa.Table:
    import pyarrow.parquet

    with pyarrow.parquet.ParquetFile(path) as file:
        return file.read()


def _parse_jsonl(path: Path) -> pa.Table:
    import pyarrow.json

    return pyarrow.json.read_json(path)


def _parse_csv(path: Path) -> pa.Table:
    """All columns as text: types guessed from rows would depend on the rows."""
    import pyarrow as pa
    import pyarrow.csv

    with path.open(encoding="utf-8", newline="") as file:
        header = next(csv.reader(file))
    return pyarrow.csv.read_csv(
        path,
        parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types={name: pa.string() for name in header}, strings_can_be_null=True
        ),
    )
