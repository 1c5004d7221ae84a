"""The clipped sum of one logical batch, collected over its micro-batches: the face of the clipping engine.

See the package's docstring for the guarantee and what it needs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from types import TracebackType

import torch
from torch import Tensor, nn

from dpsynth_assets.privacy.clipping.contributions import Collector, MicroBatch, NobodysPass
from dpsynth_assets.privacy.clipping.errors import UnclippedGradientError
from dpsynth_assets.privacy.clipping.grid import UNITS, grid_of
from dpsynth_assets.privacy.clipping.rules import Attachment
from dpsynth_assets.privacy.clipping_methods import Clipping


class ClippedSum:
    """Adds up clipped contributions, one micro-batch after the other.

        with ClippedSum(model, FlatClipping(1.0)) as clipped:
            for losses, records_of in ...:       # losses (rows,); a unit's records stand together, in the first rows
                clipped.add(losses, records_of)  # for each unit how many of the records are its
            sums = clipped.take()                # one tensor per trainable parameter, then empty again

    An empty logical batch is `take()` without `add()`: zeros, which the noise then hides like any other sum.
    While it is open, the model's trainable parameters get no gradient but through `add`; `close` (or the end of the
    `with` block, however it is left) makes the model an ordinary one again. After an error the sum holds what it held
    before the failed `add`.

    Args:
        by_opacus: layers without a rule of ours are computed by Opacus, exactly and slowly.

    Raises:
        UnclippedGradientError: a trainable parameter has no exact rule, or there is none.
    """

    def __init__(self, model: nn.Module, clipping: Clipping, *, by_opacus: bool = False) -> None:
        named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
        if not named:
            raise UnclippedGradientError("the model has no trainable parameter: attach an adapter first")
        self.parameters = [p for _, p in named]
        self._names = [name for name, _ in named]
        self._clipping = clipping
        self._groups = clipping.groups(self._names)
        self.grid = grid_of(clipping.l2_clip_norm)
        self._sums: list[Tensor] = []
        self._units = 0
        self._collector = Collector()
        self._attachment = Attachment(model, self._collector, by_opacus=by_opacus)

    def __enter__(self) -> ClippedSum:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def add(self, losses: Tensor, records_of: Sequence[int]) -> None:
        """Back-propagates a micro-batch and adds its clipped contributions.

        Args:
            losses: shape (rows,), each a function of its own record only; a unit's records stand together. Losses
                beyond those of the units' records are made-up rows', and count nothing.
            records_of: for each unit of the micro-batch, how many of the records are its own, in their order.

        Raises:
            UnclippedGradientError: the losses are reduced over the batch, a layer folded the batch dimension, or a
                trainable parameter was used outside the layers that have a rule.
        """
        if losses.dim() != 1 or len(losses) < sum(records_of):
            raise UnclippedGradientError("the loss must be one number per record, not reduced over the batch")
        if not records_of:
            return
        micro_batch = MicroBatch(records_of, len(losses), losses.device)
        self._back_propagate(losses, micro_batch)
        self._add(micro_batch, len(records_of))

    def add_unit(self, passes: Iterable[tuple[Tensor, int]]) -> None:
        """Adds the clipped contribution of one unit with more records than fit into a micro-batch.

        Args:
            passes: losses as in `add`, and how many of them are the unit's records: the rest are made-up rows'. They
                are asked for one after the other, so that only one is held at a time.
        """
        micro_batch: MicroBatch | None = None
        for losses, records in passes:
            if losses.dim() != 1 or len(losses) < records:
                raise UnclippedGradientError("the loss must be one number per record, not reduced over the batch")
            if micro_batch is None:
                micro_batch = MicroBatch([records], len(losses), losses.device, kept=True)
            micro_batch.go_on(records)
            self._back_propagate(losses, micro_batch)
        if micro_batch is not None:
            self._add(micro_batch, 1)

    def add_nothing(self, losses: Tensor) -> None:
        """Back-propagates a pass that is nobody's: the sum stays what it is, to the bit.

        For one of several processes that must make as many passes as the others.

        Args:
            losses: shape (rows,), all of made-up rows.
        """
        self._back_propagate(losses, NobodysPass())

    def take(self) -> list[Tensor]:
        """The clipped sum, one float64 tensor per trainable parameter in `parameters`' order; starts anew.

        With a finite clip it is the exact sum of contributions on a public grid (`clipping.grid`).
        """
        taken, self._sums, self._units = self._totals(), [], 0
        for total in taken:
            total.mul_(1.0 if self.grid is None else self.grid.spacing)  # a power of two: exact
        return taken

    def _back_propagate(self, losses: Tensor, micro_batch: MicroBatch | NobodysPass) -> None:
        self._collector.begin(micro_batch)
        try:
            losses.sum().backward()
        finally:
            self._collector.end()
            plain = [name for name, p in zip(self._names, self.parameters, strict=True) if p.grad is not None]
            for parameter in self.parameters:
                parameter.grad = None
        if plain:
            raise UnclippedGradientError(
                f"an unclipped gradient reached {', '.join(plain)}: its weight is used outside its layer's forward"
            )

    def _add(self, micro_batch: MicroBatch, units: int) -> None:
        self._units += units
        if self._units > UNITS:
            raise OverflowError(f"more than {UNITS} units in one batch: their sum would not be exact")
        with torch.no_grad():
            squares = micro_batch.squares(self.parameters)
            factors = self._clipping.factors(self._group_norms(squares))
            by_parameter = factors[torch.tensor(self._groups, device=factors.device)]
            micro_batch.add_scaled_(self._totals(), self.parameters, by_parameter, self.grid)

    def close(self) -> None:
        """Detaches from the model, which is then an ordinary one again. May be called twice."""
        self._attachment.detach()

    def _totals(self) -> list[Tensor]:
        if not self._sums:
            self._sums = [torch.zeros_like(p, dtype=torch.float64) for p in self.parameters]
        return self._sums

    def _group_norms(self, squares: Tensor) -> Tensor:
        """(parameters, units) squared norms to (groups, units) norms."""
        groups = torch.tensor(self._groups, device=squares.device)
        summed = squares.new_zeros(max(self._groups) + 1, squares.shape[1]).index_add_(0, groups, squares)
        return summed.clamp(min=0).sqrt()
