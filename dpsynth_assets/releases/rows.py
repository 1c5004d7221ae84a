"""The sensitive rows as a release is handed them: frames, one after the other, each once.

All of them need not fit into memory at a time. Where a frame ends says nothing, and nothing that is released may depend
on it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import pandas as pd

    from dpsynth_assets.contract import Contract

Rows: TypeAlias = "Iterable[pd.DataFrame]"
"""Frames with the columns `unit`, `text` and the contract's labels, a row a record, as the sensitive store has them."""


def cells_of(frame: pd.DataFrame, contract: Contract) -> list[tuple[str, ...]]:
    """The label combination of each row; equal ones are one object, so that many take little memory."""
    declared = {cell: cell for cell in contract.cells}
    columns = [label.column for label in contract.privacy.labels]
    return [declared.get(cell, cell) for cell in frame[columns].itertuples(index=False, name=None)]
