"""New texts that arrive after a release: sensitive rows that no ledger has charged for.

They are handed to whoever holds the file anyway, or to what keeps its result in the sensitive store, and to nobody
else: import-linter knows who may ask. Nothing that is computed of them may leave, and nothing that leaves may depend on
it (docs/decisions/0034-monitoring.md).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from dpsynth_assets.gate.sources import layout_of, source_of
from resources.bounding import bound_units
from resources.cells import MissingColumnsError
from resources.tabular import decoded, present, shortened, table_at

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd
    import pyarrow as pa

    from dpsynth_assets.contract import Contract
    from resources.sensitive_store import SensitiveStore
    from resources.source import Columns, Layout

_ONE_EACH = b"one text of each unit"  # no secret: what it chooses does not leave


@dataclass(frozen=True)
class Batch:
    """One text of each unit, as a release would be handed it before it is made into tokens. Sensitive.

    Attributes:
        records: how many of the file have a text; more than `texts` where one unit wrote several.
        labels: for each label column that the file has, what each text has there; None for all but declared values.
    """

    texts: list[str]
    records: int
    labels: Mapping[str, list[str | None]]


def batch_at(contract: Contract, place: str, store: SensitiveStore) -> Batch:
    """The batch in a file that is written like the contract's source. Columns of labels and unit may be missing;
    without a unit's, each record is one.

    Args:
        place: an absolute path or pattern, or an address.

    Raises:
        SourceError: it cannot be read, has no column of the contract's text, or holds a substantial part of the records
            of a source that was read here.
    """
    source, layout = source_of(contract), layout_of(contract, contract.privacy.csv)
    table, columns = _read(place, replace(source.columns, block=None, blocks=()), layout)
    written = present(table, columns.text)
    store.require_new(written, place)
    values = {label.column: decoded(table, label, columns) for label in columns.labels}
    rows = _one_of_each_unit(table, columns, source.max_characters)
    chosen = [int(record) for record in rows["record"]]
    labels = {column: [each[record] for record in chosen] for column, each in values.items()}
    records = len(written) - written.count(None)
    return Batch(rows["text"].tolist(), records, {column: each for column, each in labels.items() if any(each)})


def _read(place: str, columns: Columns, layout: Layout) -> tuple[pa.Table, Columns]:
    """The columns that are there."""
    while True:
        try:
            return table_at(place, {}, columns, layout), columns
        except MissingColumnsError as error:
            gone = {name for name in columns.names if columns.stored.get(name, name) in error.columns}
            if gone == {columns.text}:
                raise
        columns = replace(
            columns,
            labels=tuple(label for label in columns.labels if label.column not in gone),
            unit=None if columns.unit in gone else columns.unit,
        )


def _one_of_each_unit(table: pa.Table, columns: Columns, max_characters: int) -> pd.DataFrame:
    """Columns `unit`, `text` and `record`, the number of its row; records without a text are left out."""
    import pandas as pd

    texts = present(table, columns.text)
    units = present(table, columns.unit) if columns.unit else [None] * len(texts)
    rows = [
        (f"unit {unit}" if unit else f"record {record}", text, str(record))
        for record, (unit, text) in enumerate(zip(units, texts, strict=True))
        if text is not None
    ]
    frame = pd.DataFrame(rows, columns=["unit", "text", "record"], dtype=object)
    return shortened(frame[bound_units([rows], 1, _ONE_EACH)], max_characters)
