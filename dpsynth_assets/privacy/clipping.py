"""Exact clipping per privacy unit: the bounded sum of gradients that noise is added to.

Opacus' hooks give the gradient of every *record*; the records of one unit are then summed to one contribution, that
contribution is scaled to an l2 norm of at most `clipping_norm` over all trainable parameters together, and added up.

Guarantee: adding or removing one unit, with all its records, moves the sum by at most `clipping_norm` in l2 norm.
It needs a loss of one number per record that depends on that record alone (no mean over the batch, no batch
normalisation); a unit's records all in one call; and no unit in two calls of the same step.
"""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, nn

# Rounding a scaled contribution to float32 may overshoot the bound by a few units in the last place: stay below.
_ROUNDING_MARGIN = 1 - 2**-20


class UnclippedGradientError(RuntimeError):
    """A trainable parameter has no exact per-record gradient, so nothing may be computed from it."""


class ClippedSum:
    """Collects the clipped sum of one logical batch over its micro-batches.

        clipped = ClippedSum(model, clipping_norm=1.0)
        for losses, unit_of in ...:            # losses (records,), unit_of (records,) in 0..units-1
            clipped.add(losses, unit_of, units)
        sums = clipped.take()                  # one tensor per trainable parameter, then empty again

    An empty logical batch is `take()` without `add()`: zeros, which the noise then hides like any other sum.
    """

    def __init__(self, model: nn.Module, clipping_norm: float) -> None:
        import torch
        from opacus.grad_sample import GradSampleHooks

        self.parameters = [p for p in model.parameters() if p.requires_grad]
        if not self.parameters:
            raise UnclippedGradientError("the model has no trainable parameter: attach an adapter first")
        self._names = {id(p): name for name, p in model.named_parameters()}
        self._clipping_norm = clipping_norm
        # strict refuses buffers in *any* module; rotary embeddings have some, which frozen layers may keep. What
        # matters is checked exactly in _gradients: every trainable parameter must come with one gradient per record.
        self._hooks = GradSampleHooks(model, batch_first=True, loss_reduction="sum", strict=False)
        self._sums = [torch.zeros_like(p, dtype=torch.float32) for p in self.parameters]
        self._verified = False

    def add(self, losses: Tensor, unit_of: Tensor, units: int) -> None:
        """Back-propagates a micro-batch and adds its clipped contributions.

        Args:
            losses: shape (records,), each a function of its own record only.
            unit_of: shape (records,), the position of each record's unit in this micro-batch.
            units: how many units the micro-batch holds.

        Raises:
            UnclippedGradientError: a parameter's gradient cannot be had per record.
        """
        import torch

        if losses.dim() != 1 or losses.shape != unit_of.shape:
            raise UnclippedGradientError("the loss must be one number per record, not reduced over the batch")
        with warnings.catch_warnings():
            # The first layer's input needs no gradient (frozen embeddings): torch remarks on it at every pass.
            warnings.filterwarnings("ignore", message="Full backward hook is firing")
            losses.sum().backward()
        contributions = [self._per_unit(gradient, unit_of, units) for gradient in self._gradients(len(losses))]
        norms = torch.stack([_row_norms(c) for c in contributions]).square().sum(0).sqrt()
        # A contribution that is not a number counts as zero: the step goes on, and the bound holds.
        finite = norms.isfinite()
        bound = self._clipping_norm * _ROUNDING_MARGIN
        factors = (bound / norms.clamp(min=torch.finfo(norms.dtype).tiny)).clamp(max=1.0)
        if math.isinf(self._clipping_norm):
            factors = torch.ones_like(norms)
        factors = torch.where(finite, factors, 0.0).float()
        for total, contribution in zip(self._sums, contributions, strict=True):
            usable = torch.where(finite.view(-1, *[1] * (contribution.dim() - 1)), contribution, 0.0)
            total += torch.tensordot(factors, usable, dims=1)

    def take(self) -> list[Tensor]:
        """The clipped sum, one float32 tensor per trainable parameter in `parameters`' order; starts anew."""
        import torch

        taken, self._sums = self._sums, [torch.zeros_like(p, dtype=torch.float32) for p in self.parameters]
        return taken

    def close(self) -> None:
        """Detaches from the model, which is then an ordinary one again."""
        self._hooks.cleanup()

    def _gradients(self, records: int) -> list[Tensor]:
        """Per-record gradients, shape (records, *parameter.shape) each; leaves no gradient on the parameters."""
        import torch

        gradients: list[Tensor] = []
        for parameter in self.parameters:
            gradient = getattr(parameter, "grad_sample", None)
            name = self._names[id(parameter)]
            if not isinstance(gradient, torch.Tensor) or gradient.shape != (records, *parameter.shape):
                raise UnclippedGradientError(
                    f"parameter {name} has no gradient per record: its layer folds or shares the batch dimension"
                )
            # Until it held once for all: the per-record gradients must add up to the one that autograd computed.
            if not self._verified and not _adds_up(gradient, parameter.grad):
                raise UnclippedGradientError(f"the per-record gradients of {name} do not add up to its gradient")
            gradients.append(gradient)
            parameter.grad_sample = None  # type: ignore[attr-defined]
            parameter.grad = None
        self._verified = self._verified or all(bool(gradient.isfinite().all()) for gradient in gradients)
        return gradients

    @staticmethod
    def _per_unit(gradient: Tensor, unit_of: Tensor, units: int) -> Tensor:
        """Contributions, shape (units, *parameter.shape): the sum over each unit's records, float32."""
        contribution = gradient.new_zeros(units, *gradient.shape[1:]).float()
        return contribution.index_add_(0, unit_of, gradient.float())


def _row_norms(contribution: Tensor) -> Tensor:
    """l2 norms, shape (units,), in float64: rows first, since one long float32 sum loses digits."""
    import torch

    rows = contribution.reshape(len(contribution), -1, contribution.shape[-1])
    norms: Tensor = torch.linalg.vector_norm(torch.linalg.vector_norm(rows, dim=-1).double(), dim=-1)
    return norms


def _adds_up(per_record: Tensor, total: Tensor | None) -> bool:
    if total is None:
        return False
    difference = (per_record.float().sum(0) - total.float()).norm()
    scale = per_record.float().norm(dim=tuple(range(1, per_record.dim()))).sum()
    return bool(not scale.isfinite() or difference <= 1e-3 * scale + 1e-12)
