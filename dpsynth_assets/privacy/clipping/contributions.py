"""What the units of one micro-batch contribute: collected while the backward pass runs, then scaled and summed.

The layers' autograd functions report here. A parameter may be reported several times, when its module is used twice or
when two modules share it; its contributions are summed before any norm is taken.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from dpsynth_assets.privacy.clipping.cost import Budget
from dpsynth_assets.privacy.clipping.errors import UnclippedGradientError
from dpsynth_assets.privacy.clipping.outer import Outer, Products, full_precision


class MicroBatch:
    """The contributions of one micro-batch.

    Args:
        records_of: for each unit, how many records it has; the records stand in the order of their units.
    """

    def __init__(self, records_of: Sequence[int], device: torch.device) -> None:
        self.records = sum(records_of)
        self._records_of = tuple(records_of)
        self._device = device
        self._dense: dict[nn.Parameter, Tensor] = {}
        self._squares: dict[nn.Parameter, Tensor] = {}
        self._factored: dict[nn.Parameter, list[Outer]] = {}
        self._budget = Budget()
        self._unit_of: Tensor | None = None
        if self.records != len(records_of):
            units = torch.arange(len(records_of), device=device)
            self._unit_of = torch.repeat_interleave(units, torch.tensor(records_of, device=device))

    def add_per_record(self, parameter: nn.Parameter, gradient: Tensor) -> None:
        """A gradient for each record, shape (records, *parameter.shape)."""
        if gradient.shape != (self.records, *parameter.shape):
            raise UnclippedGradientError(
                f"a layer folds or shares the batch dimension: gradients of shape {tuple(gradient.shape)} came for "
                f"{self.records} records and a parameter of shape {tuple(parameter.shape)}"
            )
        with full_precision(self._device):
            if self._unit_of is not None:
                summed = torch.zeros(len(self._records_of), *parameter.shape, device=gradient.device)
                gradient = summed.index_add_(0, self._unit_of, gradient.float())
            self._add_dense(parameter, gradient)

    def add_outer(
        self,
        parameter: nn.Parameter,
        first: Tensor,
        second: Tensor,
        rows: Sequence[int] | None = None,
    ) -> None:
        """A matrix's gradients as factors, `first.T @ second` summed over each record's rows.

        Args:
            first: shape (records, ..., a), or token numbers of shape (records, ...) that stand for one-hot rows; with
                `rows`, (rows, a).
            second: shape (records, ..., b); with `rows`, (rows, b).
            rows: for each record the number of its rows, where records differ in it.
        """
        first, second = first.detach(), second.detach()  # what autograd saved may still carry the graph
        if rows is None:
            leading = first.shape if not first.is_floating_point() else first.shape[:-1]
            if second.dim() < 2 or leading != second.shape[:-1] or len(second) != self.records:
                raise UnclippedGradientError(
                    f"a layer folds or shares the batch dimension: factors of shape {tuple(first.shape)} and "
                    f"{tuple(second.shape)} came for {self.records} records"
                )
            per_record = second.shape[1:-1].numel()
            unit_rows = tuple(count * per_record for count in self._records_of)
        else:
            if len(rows) != self.records or sum(rows) != len(second):
                raise UnclippedGradientError(f"rows of {len(rows)} records came for {self.records} records")
            unit_rows = self._per_unit(rows)
        first = first.reshape(-1) if not first.is_floating_point() else first.reshape(-1, first.shape[-1])
        outer = Outer(first, second.reshape(-1, second.shape[-1]), unit_rows, width=parameter.shape[0])
        with full_precision(self._device):
            if parameter in self._dense or (parameter not in self._factored and self._budget.keep_dense(outer)):
                self._add_dense(parameter, outer.dense())
            else:
                self._factored.setdefault(parameter, []).append(outer)

    def squares(self, parameters: Sequence[nn.Parameter]) -> Tensor:
        """Squared norms of the units' contributions by parameter, shape (parameters, units), float64."""
        nothing = torch.zeros(len(self._records_of), dtype=torch.float64, device=self._device)
        products = Products()
        with full_precision(self._device):
            return torch.stack(
                [
                    self._squares[p]
                    if p in self._squares
                    else products.squared_norm(self._factored[p])
                    if p in self._factored
                    else nothing
                    for p in parameters
                ]
            )

    def add_scaled_(self, totals: Sequence[Tensor], parameters: Sequence[nn.Parameter], factors: Tensor) -> None:
        """Adds each unit's contribution, scaled by its factors, to `totals`.

        Args:
            totals: for each parameter a float32 tensor of its shape.
            factors: shape (parameters, units), float32; a unit with factor 0 contributes nothing at all.
        """
        kept = factors[0] != 0
        dropped = not bool(kept.all())
        with full_precision(self._device):
            for parameter, total, factor in zip(parameters, totals, factors, strict=True):
                if parameter in self._dense:
                    _add_scaled_dense_(total, self._dense.pop(parameter), factor, kept if dropped else None)
                for outer in self._factored.pop(parameter, ()):
                    outer.add_scaled_(total, factor, kept if dropped else None)

    def _add_dense(self, parameter: nn.Parameter, gradient: Tensor) -> None:
        """Gradients per unit, shape (units, *parameter.shape). The norm is taken now, while they are in the cache."""
        for outer in self._factored.pop(parameter, ()):
            gradient = gradient + outer.dense()
        if parameter in self._dense:
            gradient = self._dense[parameter] + gradient
        rows = _rows_of(gradient)
        self._dense[parameter] = gradient
        # Rows in float32, their norms in float64: one long float32 sum loses up to four digits.
        norms = torch.linalg.vector_norm(rows.float(), dim=-1).view(len(rows), -1)
        self._squares[parameter] = norms.double().square().sum(1)

    def _per_unit(self, rows: Sequence[int]) -> tuple[int, ...]:
        sums, start = [], 0
        for count in self._records_of:
            sums.append(sum(rows[start : start + count]))
            start += count
        return tuple(sums)


def _add_scaled_dense_(total: Tensor, gradients: Tensor, factors: Tensor, kept: Tensor | None) -> None:
    if kept is not None:
        gradients = torch.where(kept.view(-1, *[1] * total.dim()), gradients, 0.0)
    rows = _rows_of(gradients)
    if rows.shape == gradients.shape and gradients.is_contiguous():
        total.view(-1).addmv_(rows.view(len(rows), -1).float().mT, factors)
    else:
        total += torch.mv(rows.view(len(rows), -1).float().mT, factors).view(rows.shape[1:]).mT


def _rows_of(gradients: Tensor) -> Tensor:
    """`gradients` contiguous, matrices possibly transposed: see Outer.dense, which may leave them so."""
    if gradients.dim() == 3 and not gradients.is_contiguous() and gradients.mT.is_contiguous():
        return gradients.mT
    return gradients.contiguous()


class Collector:
    """Where autograd functions report: the micro-batch whose backward pass runs, if one does."""

    def __init__(self) -> None:
        self._current: MicroBatch | None = None

    def begin(self, micro_batch: MicroBatch) -> None:
        self._current = micro_batch

    def end(self) -> None:
        self._current = None

    @property
    def current(self) -> MicroBatch:
        """Raises UnclippedGradientError outside `ClippedSum.add`."""
        if self._current is None:
            raise UnclippedGradientError(
                "a backward pass ran outside ClippedSum.add: close the clipped sum before training without it"
            )
        return self._current
