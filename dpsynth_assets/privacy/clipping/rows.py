"""Gradients of a table that rows are looked up in: zero but for the rows that a unit's records name.

So they are kept as rows: one for each unit and row of the table, whatever was looked up there summed in the records'
order. All units of a micro-batch are treated at once; what depends on the others is where a row stands, not what is in
it, since nothing but single numbers and sums over one unit's rows is computed. The norm is that of the very rows that
are added, so it need not be measured again (the first of the two ways in `grid`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dpsynth_assets.privacy.clipping.grid import Grid, scaled, squares
from dpsynth_assets.privacy.clipping.outer import Outer


@dataclass(frozen=True)
class TableRows:
    """The units' gradients of one table.

    Attributes:
        units: shape (n,): whose a row is.
        places: shape (n,): which row of the table it belongs to. No pair of unit and place occurs twice.
        gradients: shape (n, b), float32.
    """

    units: Tensor
    places: Tensor
    gradients: Tensor

    @classmethod
    def of(cls, entries: Sequence[Outer], units: Sequence[slice]) -> TableRows:
        """Of one-hot factors, one entry for each use of the table; `units` says which records are whose."""
        device, width = entries[0].first.device, entries[0].width
        records = torch.tensor([unit.stop - unit.start for unit in units], device=device)
        owner = torch.arange(len(units), device=device).repeat_interleave(records)  # of each record
        keys = torch.cat([(owner[:, None] * width + entry.first[: len(owner)]).flatten() for entry in entries])
        looked_up = torch.cat([entry.second[: len(owner)].float().flatten(0, 1) for entry in entries])
        distinct, row = keys.unique(return_inverse=True)
        gradients = looked_up.new_zeros(len(distinct), looked_up.shape[1]).index_add_(0, row, looked_up)
        return cls(distinct // width, distinct % width, gradients)

    def squares(self, units: int) -> Tensor:
        """Squared norms of the units' gradients, shape (units,), float64."""
        by_row = squares(self.gradients)
        return by_row.new_zeros(units).index_add_(0, self.units, by_row)

    def add_scaled(self, total: Tensor, scales: Tensor, grid: Grid | None) -> None:
        """Adds each unit's gradient, times its scale and on the grid, to a float64 total of the table's shape."""
        total.index_add_(0, self.places, scaled(self.gradients, scales[self.units], grid).double())
