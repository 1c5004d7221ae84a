"""Token losses of an output layer whose logits are never kept: a large vocabulary does not set the memory.

Logits are computed for some hundred tokens at a time, and the gradient of what entered the layer is made on the way, in
the forward pass. They are cut at public places, whole rows of a micro-batch or the same parts of every row, so that a
token's numbers come from a product of a public shape. For a frozen layer nothing else is needed. A trained layer also
keeps the gradient of the logits, once (ordinary cross-entropy holds three such arrays), since it is one factor of the
weight's gradient.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor, nn
from torch.autograd import Function

from dpsynth_assets.privacy.clipping.contributions import Collector
from dpsynth_assets.privacy.clipping.functions import applied, autocast_type
from dpsynth_assets.privacy.clipping.rules import collector_of

_CHUNK = 256  # tokens whose logits are held at once, at most


def token_losses(head: nn.Linear, hidden: Tensor, targets: Tensor, counted: Tensor) -> Tensor:
    """Cross-entropy of `head(hidden)` against `targets`, float32, shape (rows, tokens); zero where it is not counted.

    Works with and without an open ClippedSum on the model.

    Args:
        head: the output layer; its weight may be trainable.
        hidden: shape (rows, tokens, width).
        targets: token numbers, shape (rows, tokens).
        counted: booleans, shape (rows, tokens).
    """
    trains = any(p.requires_grad for p in head.parameters())
    collector = collector_of(head)
    if not torch.is_grad_enabled() or not trains or collector is not None:
        losses = applied(_TokenLosses, collector if trains else None, hidden, head.weight, head.bias, targets)
    else:
        logits = F.linear(hidden, head.weight, head.bias).float().flatten(0, 1)
        losses = F.cross_entropy(logits, targets.flatten(), reduction="none").view(targets.shape)
    return torch.where(counted, losses, 0.0)


def chunks(rows: int, tokens: int) -> list[slice]:
    """Ranges of the rows * tokens places of a micro-batch: as many whole rows as fit and divide them evenly, or parts
    of a row."""
    whole = max((n for n in range(1, rows + 1) if rows % n == 0 and n * tokens <= _CHUNK), default=0)
    if whole:
        return [slice(start, start + whole * tokens) for start in range(0, rows * tokens, whole * tokens)]
    cuts = [*range(0, tokens, _CHUNK), tokens]
    return [slice(row * tokens + start, row * tokens + end) for row in range(rows) for start, end in pairwise(cuts)]


class _TokenLosses(Function):
    @staticmethod
    def forward(
        ctx: Any,
        collector: Collector | None,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        targets: Tensor,
    ) -> Tensor:
        dtype = autocast_type(hidden)
        inputs, w = hidden.to(dtype).flatten(0, 1), weight.to(dtype)
        b = None if bias is None else bias.to(dtype)
        losses = hidden.new_empty(len(inputs), dtype=torch.float32)
        d_inputs = torch.empty_like(inputs)
        kept = None if collector is None else inputs.new_empty(len(inputs), len(w))
        flat = targets.flatten()
        for chunk in chunks(*targets.shape):
            target = flat[chunk, None]
            logits = F.linear(inputs[chunk], w, b).float()
            top, own = logits.amax(-1), logits.gather(1, target)[:, 0]
            place = kept[chunk] if kept is not None and kept.dtype == logits.dtype else torch.empty_like(logits)
            d_logits = torch.softmax(logits, -1, out=place)
            # The largest probability gives the logarithm of the sum: the target's own may be too small to have one.
            losses[chunk] = top - own - d_logits.amax(-1).log()
            d_logits.scatter_add_(1, target, logits.new_full(target.shape, -1.0))
            if d_logits.dtype != dtype:
                d_logits = d_logits.to(dtype)
                if kept is not None:
                    kept[chunk] = d_logits
            torch.mm(d_logits, w, out=d_inputs[chunk])
        ctx.collector, ctx.input_type = collector, hidden.dtype
        ctx.parameters = weight, bias
        grid = (*targets.shape, -1)
        factors = (None, None) if kept is None else (inputs.view(grid), kept.view(grid))
        ctx.save_for_backward(d_inputs.view(grid), *factors)
        return losses.view(targets.shape)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        (d_losses,) = gradients
        d_inputs, inputs, d_logits = ctx.saved_tensors
        scale = d_losses[..., None].to(d_inputs.dtype)
        if d_logits is not None:
            weight, bias = ctx.parameters
            batch = ctx.collector.current
            if weight.requires_grad:
                batch.add_outer(weight, d_logits, inputs * scale)
            if bias is not None and bias.requires_grad:
                batch.add_per_record(bias, (d_logits * scale).sum(1, dtype=torch.float32))
        return None, (d_inputs * scale).to(ctx.input_type), None, None, None
