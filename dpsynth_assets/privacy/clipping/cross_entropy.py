"""Token losses of an output layer whose logits are never kept: a large vocabulary does not set the memory.

Logits are computed for some hundred tokens at a time, and the gradient of what entered the layer is made on the way, in
the forward pass. For a frozen layer nothing else is needed. A trained layer also keeps the gradient of the logits, once
(ordinary cross-entropy holds three such arrays), since it is one factor of the weight's gradient.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor, nn
from torch.autograd import Function

from dpsynth_assets.privacy.clipping.contributions import Collector
from dpsynth_assets.privacy.clipping.functions import applied, autocast_type
from dpsynth_assets.privacy.clipping.rules import collector_of

_CHUNK = 256  # tokens whose logits are held at once


def token_losses(head: nn.Linear, hidden: Tensor, targets: Tensor, rows: Sequence[int]) -> Tensor:
    """Cross-entropy of `head(hidden)` against `targets`, float32, shape (tokens,).

    Works with and without an open ClippedSum on the model.

    Args:
        head: the output layer; its weight may be trainable.
        hidden: shape (tokens, width), the records' tokens one after the other.
        targets: token numbers, shape (tokens,).
        rows: for each record the number of its tokens.
    """
    trains = any(p.requires_grad for p in head.parameters())
    collector = collector_of(head)
    if not torch.is_grad_enabled() or not trains or collector is not None:
        return applied(_TokenLosses, collector if trains else None, hidden, head.weight, head.bias, targets, rows)
    return F.cross_entropy(head(hidden).float(), targets, reduction="none")


class _TokenLosses(Function):
    @staticmethod
    def forward(
        ctx: Any,
        collector: Collector | None,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        targets: Tensor,
        rows: Sequence[int],
    ) -> Tensor:
        dtype = autocast_type(hidden)
        inputs, w = hidden.to(dtype), weight.to(dtype)
        b = None if bias is None else bias.to(dtype)
        losses = hidden.new_empty(len(hidden), dtype=torch.float32)
        d_inputs = torch.empty_like(inputs)
        kept = None if collector is None else inputs.new_empty(len(hidden), len(w))
        for start in range(0, len(hidden), _CHUNK):
            chunk = slice(start, start + _CHUNK)
            target = targets[chunk, None]
            scores = F.linear(inputs[chunk], w, b).float().log_softmax(-1)
            losses[chunk] = -scores.gather(1, target)[:, 0]
            d_logits = scores if kept is None or kept.dtype != scores.dtype else kept[chunk]  # where it is kept
            torch.exp(scores, out=d_logits).scatter_add_(1, target, scores.new_full(target.shape, -1.0))
            if d_logits.dtype != dtype:
                d_logits = d_logits.to(dtype)
                if kept is not None:
                    kept[chunk] = d_logits
            torch.mm(d_logits, w, out=d_inputs[chunk])
        ctx.collector, ctx.rows, ctx.input_type = collector, tuple(rows), hidden.dtype
        ctx.parameters = weight, bias
        ctx.save_for_backward(d_inputs, inputs if kept is not None else None, kept)
        return losses

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        (d_losses,) = gradients
        d_inputs, inputs, d_logits = ctx.saved_tensors
        scale = d_losses[:, None].to(d_inputs.dtype)
        if d_logits is not None:
            weight, bias = ctx.parameters
            batch = ctx.collector.current
            if weight.requires_grad:
                batch.add_outer(weight, d_logits, inputs * scale, ctx.rows)
            if bias is not None and bias.requires_grad:
                records = torch.repeat_interleave(
                    torch.arange(len(ctx.rows), device=d_logits.device), torch.tensor(ctx.rows, device=d_logits.device)
                )
                per_record = torch.zeros(len(ctx.rows), len(bias), device=d_logits.device)
                batch.add_per_record(bias, per_record.index_add_(0, records, (d_logits * scale).float()))
        return None, (d_inputs * scale).to(ctx.input_type), None, None, None, None
