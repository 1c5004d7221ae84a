"""What the units of one micro-batch contribute: collected while the backward pass runs, then scaled and summed.

The layers' autograd functions report here. A parameter may be reported several times, when its module is used twice or
when two modules share it; its contributions are summed before any norm is taken.

A unit's contribution is computed in one way, whoever else is there: products run over one record's rows, in a public
shape; records of one unit are added up in their order; which gradients are kept is decided by shapes alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import torch
from torch import Tensor, nn

from dpsynth_assets.privacy.clipping.cost import Budget
from dpsynth_assets.privacy.clipping.errors import UnclippedGradientError
from dpsynth_assets.privacy.clipping.grid import Grid, add, squares
from dpsynth_assets.privacy.clipping.outer import Outer, Products, add_scaled, full_precision
from dpsynth_assets.privacy.clipping.rows import TableRows


class MicroBatch:
    """The contributions of one micro-batch, or of several that hold one unit.

    Args:
        records_of: for each unit, how many records it has. They stand in the order of their units, in the first rows.
        rows: of the micro-batch, made-up ones included; these contribute nothing.
        kept: gradients are kept, whatever that costs: for a unit of several passes, whose sum is wanted.
    """

    def __init__(self, records_of: Sequence[int], rows: int, device: torch.device, *, kept: bool = False) -> None:
        ends = list(accumulate(records_of))
        self._units = [slice(end - count, end) for end, count in zip(ends, records_of, strict=True)]
        self._single = all(count == 1 for count in records_of)
        self._rows = rows
        self._device = device
        self._kept = kept
        self._dense: dict[nn.Parameter, Tensor] = {}
        self._squares: dict[nn.Parameter, Tensor] = {}
        self._factored: dict[nn.Parameter, list[Outer]] = {}
        self._tables: dict[nn.Parameter, TableRows] = {}
        self._budget = Budget()

    def go_on(self, records: int) -> None:
        """The next pass of the one unit that this holds has so many records of it."""
        self._units, self._single = [slice(0, records)], records == 1

    def add_per_record(self, parameter: nn.Parameter, gradient: Tensor) -> None:
        """A gradient for each record, shape (rows, *parameter.shape)."""
        if gradient.shape != (self._rows, *parameter.shape):
            raise UnclippedGradientError(
                f"a layer folds or shares the batch dimension: gradients of shape {tuple(gradient.shape)} came for "
                f"{self._rows} records and a parameter of shape {tuple(parameter.shape)}"
            )
        with full_precision(self._device):
            self._add_dense(parameter, self._by_unit(gradient))

    def add_outer(self, parameter: nn.Parameter, first: Tensor, second: Tensor) -> None:
        """A matrix's gradients as factors, `first.T @ second` summed over each record's tokens.

        Args:
            first: shape (rows, ..., a), or token numbers of shape (rows, ...) that stand for one-hot rows.
            second: shape (rows, ..., b).
        """
        first, second = first.detach(), second.detach()  # what autograd saved may still carry the graph
        leading = first.shape if not first.is_floating_point() else first.shape[:-1]
        if second.dim() < 2 or leading != second.shape[:-1] or len(second) != self._rows:
            raise UnclippedGradientError(
                f"a layer folds or shares the batch dimension: factors of shape {tuple(first.shape)} and "
                f"{tuple(second.shape)} came for {self._rows} records"
            )
        tokens = second.shape[1:-1].numel()
        wide = (first.shape[-1],) if first.is_floating_point() else ()
        outer = Outer(
            first.reshape(self._rows, tokens, *wide),
            second.reshape(self._rows, tokens, -1),
            width=parameter.shape[0],
        )
        with full_precision(self._device):
            if self._kept:
                self._add_dense(parameter, outer.sum_of(self._units[0])[None])
            elif parameter in self._dense or (parameter not in self._factored and self._budget.keep_dense(outer)):
                self._add_dense(parameter, self._by_unit(outer.dense()))
            else:
                self._factored.setdefault(parameter, []).append(outer)

    def squares(self, parameters: Sequence[nn.Parameter]) -> Tensor:
        """Squared norms of the units' contributions by parameter, shape (parameters, units), float64."""
        nothing = torch.zeros(len(self._units), dtype=torch.float64, device=self._device)
        products = Products()
        with full_precision(self._device):
            for parameter, entries in list(self._factored.items()):
                if all(entry.one_hot for entry in entries):
                    rows = self._tables[parameter] = TableRows.of(self._factored.pop(parameter), self._units)
                    self._squares[parameter] = rows.squares(len(self._units))
                else:
                    self._squares[parameter] = self._squares_of(entries, products)
            return torch.stack([self._squares.get(p, nothing) for p in parameters])

    def add_scaled_(
        self, totals: Sequence[Tensor], parameters: Sequence[nn.Parameter], factors: Tensor, grid: Grid | None
    ) -> None:
        """Adds each unit's contribution, scaled by its factors, to `totals`.

        Args:
            totals: for each parameter a float64 tensor of its shape, in steps of the grid.
            factors: shape (parameters, units), float64; a unit with factor 0 contributes nothing at all.
            grid: None adds up in floating point, for sums that nothing has to bound.
        """
        factors = factors if grid is None else factors / grid.spacing
        scales = factors.float()
        with full_precision(self._device):
            for parameter, total, exact, scale in zip(parameters, totals, factors, scales, strict=True):
                if parameter in self._dense:
                    gradient = self._dense.pop(parameter)
                    if gradient.dim() == 3 and not gradient.is_contiguous():
                        gradient, total = gradient.mT, total.mT  # see Outer.dense
                    add(total, gradient.float(), scale, grid)
                elif parameter in self._tables:
                    self._tables.pop(parameter).add_scaled(total, scale, grid)
                elif parameter in self._factored:
                    allowed = exact.square() * self._squares[parameter]
                    entries = self._factored.pop(parameter)
                    add_scaled(total, entries, self._units, scale.tolist(), allowed.tolist(), grid)

    def _add_dense(self, parameter: nn.Parameter, gradient: Tensor) -> None:
        """Gradients per unit, shape (units, *parameter.shape). The norm is taken now, while they are in the cache."""
        for outer in self._factored.pop(parameter, ()):
            gradient = gradient + self._by_unit(outer.dense())
        if parameter in self._dense:
            gradient = self._dense[parameter] + gradient
        if gradient.dim() != 3 or not gradient.mT.is_contiguous():
            gradient = gradient.contiguous()
        self._dense[parameter] = gradient
        straight = gradient if gradient.is_contiguous() else gradient.mT
        self._squares[parameter] = squares(straight.float())

    def _by_unit(self, gradient: Tensor) -> Tensor:
        """(rows, ...) to (units, ...): the records of a unit summed in float32, made-up rows left out."""
        if gradient.dim() == 3 and not gradient.is_contiguous():
            return self._by_unit(gradient.mT.contiguous()).mT  # see Outer.dense: laid out alike with and without sums
        if self._single:
            return gradient[: len(self._units)]
        return torch.stack([gradient[unit].float().sum(0) for unit in self._units])

    def _squares_of(self, entries: list[Outer], products: Products) -> Tensor:
        """Squared norms of gradients kept as factors. A unit of several records is computed after all, in float64."""
        single = [unit.stop - unit.start == 1 for unit in self._units]
        by_record = products.squared_norm(entries) if any(single) else None
        squares = [
            by_record[unit.start]
            if alone and by_record is not None
            else torch.stack([entry.sum_of(unit, torch.float64) for entry in entries]).sum(0).square().sum()
            for unit, alone in zip(self._units, single, strict=True)
        ]
        return torch.stack(squares)


class NobodysPass:
    """Stands for a micro-batch of made-up rows only: what is reported of it is let go."""

    def add_per_record(self, parameter: nn.Parameter, gradient: Tensor) -> None:
        """As in `MicroBatch`, and nothing comes of it."""

    def add_outer(self, parameter: nn.Parameter, first: Tensor, second: Tensor) -> None:
        """As in `MicroBatch`, and nothing comes of it."""


class Collector:
    """Where autograd functions report: the micro-batch whose backward pass runs, if one does."""

    def __init__(self) -> None:
        self._current: MicroBatch | NobodysPass | None = None

    def begin(self, micro_batch: MicroBatch | NobodysPass) -> None:
        self._current = micro_batch

    def end(self) -> None:
        self._current = None

    @property
    def current(self) -> MicroBatch | NobodysPass:
        """Raises UnclippedGradientError outside `ClippedSum.add`."""
        if self._current is None:
            raise UnclippedGradientError(
                "a backward pass ran outside ClippedSum.add: close the clipped sum before training without it"
            )
        return self._current
