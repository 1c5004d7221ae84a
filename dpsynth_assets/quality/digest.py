"""The digest that ties a verdict to the very rows it was reached on.

It is taken over canonical rows, not over a file's bytes, so that the frame that was checked and the Parquet file that
is published have the same digest, whatever the compression, the writer's version or the metadata. Row order counts.
It sees synthetic rows only; a digest of sensitive rows would itself be an unmetered release.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

_BATCH_ROWS = 10_000


def digest_of_frame(frame: pd.DataFrame) -> str:
    """The SHA-256 of a frame's columns and rows in order; its index does not count."""
    import pyarrow as pa

    try:
        table = pa.Table.from_pandas(frame, preserve_index=False)
    except pa.ArrowException:
        # Arrow's message quotes the value it could not convert.
        raise TypeError(
            "a column of the synthetic frame mixes types, so it cannot be stored as Parquet; "
            "make every column hold one type (text or numbers)"
        ) from None
    return digest_of_table(table)


def digest_of_table(table: pa.Table) -> str:
    """The digest of an Arrow table: a header line with the columns, then one JSON line per row."""
    digest = hashlib.sha256()
    digest.update(_line({"columns": list(table.column_names)}))
    for batch in table.to_batches(max_chunksize=_BATCH_ROWS):
        columns = [column.to_pylist() for column in batch.columns]
        for row in zip(*columns, strict=True):
            digest.update(_line(row))
    return digest.hexdigest()


def _line(value: Any) -> bytes:
    # ASCII escapes keep lone surrogates, which a byte-level model can generate, representable.
    return json.dumps(value, ensure_ascii=True, separators=(",", ":"), default=_plain).encode("ascii") + b"\n"


def _plain(value: Any) -> str:
    """Dates, times and decimals as their ISO or plain text, tagged so that they never equal a text column's value."""
    return f"{type(value).__name__}:{value}"
