"""Autograd functions of the layers: they compute what the layer computes, and give factors in place of a gradient.

Each function's backward pass returns the gradient of its input, reports the parameters' contributions to the collector,
and returns None for the parameters: autograd then has nothing to sum over the batch. A trainable parameter that is used
in any other way gets an ordinary gradient, which `ClippedSum.add` treats as an error.

Inputs have the batch first, shape (records, ..., features). Under autocast the products take their operands in the
type that autocast would have chosen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor, nn
from torch.autograd import Function

if TYPE_CHECKING:
    from dpsynth_assets.privacy.clipping.contributions import Collector


def applied(function: Any, *arguments: Any) -> Tensor:
    """The function's output, recorded for the backward pass."""
    output: Tensor = function.apply(*arguments)
    return output


def autocast_type(x: Tensor) -> torch.dtype:
    """The type of a product's operands: autocast's if it is on, else that of the layer's input."""
    device = x.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype


class LinearFunction(Function):
    """x @ weight.T + bias, or x @ weight + bias for weights that are stored transposed (GPT-2's Conv1D)."""

    @staticmethod
    def forward(
        ctx: Any, collector: Collector, x: Tensor, weight: nn.Parameter, bias: nn.Parameter | None, transposed: bool
    ) -> Tensor:
        dtype = autocast_type(x)
        ctx.collector, ctx.weight, ctx.bias, ctx.transposed, ctx.input_type = (
            collector,
            weight,
            bias,
            transposed,
            x.dtype,
        )
        ctx.trains = weight.requires_grad, bias is not None and bias.requires_grad
        x, w = x.to(dtype), weight.to(dtype)
        ctx.save_for_backward(x, w)
        return F.linear(x, w.mT if transposed else w, None if bias is None else bias.to(dtype))

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        (dy,) = gradients
        x, w = ctx.saved_tensors
        batch = ctx.collector.current
        if ctx.trains[0]:
            batch.add_outer(ctx.weight, *((x, dy) if ctx.transposed else (dy, x)))
        if ctx.trains[1]:
            batch.add_per_record(ctx.bias, _summed(dy, keep=1))
        dx = (dy @ (w.mT if ctx.transposed else w)).to(ctx.input_type) if ctx.needs_input_grad[1] else None
        return None, dx, None, None, None


class LowRankFunction(Function):
    """x @ weight.T + bias + scale * (x @ a.T) @ b.T with frozen weight and bias, in one pass over the output (LoRA).

    Hu et al. 2021; rank-stabilised LoRA differs in `scale` only.
    """

    @staticmethod
    def forward(
        ctx: Any,
        collector: Collector,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        a: nn.Parameter,
        b: nn.Parameter,
        scale: float,
    ) -> Tensor:
        dtype = autocast_type(x)
        ctx.collector, ctx.a, ctx.b, ctx.scale, ctx.input_type = collector, a, b, scale, x.dtype
        x, weight, down, up = x.to(dtype), weight.to(dtype), a.to(dtype), b.to(dtype)
        y = F.linear(x, weight, None if bias is None else bias.to(dtype))
        h = F.linear(x, down).mul_(scale)
        y.view(-1, y.shape[-1]).addmm_(h.view(-1, h.shape[-1]), up.mT)
        ctx.save_for_backward(x, h, weight, down, up)
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        (dy,) = gradients
        x, h, weight, down, up = ctx.saved_tensors
        dh = (dy @ up).mul_(ctx.scale)
        batch = ctx.collector.current
        batch.add_outer(ctx.a, dh, x)
        batch.add_outer(ctx.b, dy, h)
        dx = None
        if ctx.needs_input_grad[1]:
            dx = dy @ weight
            dx.view(-1, dx.shape[-1]).addmm_(dh.reshape(-1, dh.shape[-1]), down)
            dx = dx.to(ctx.input_type)
        return None, dx, None, None, None, None, None, None


class EmbeddingFunction(Function):
    """Rows of a table. Rows at `padding` take no gradient, as in nn.Embedding."""

    @staticmethod
    def forward(ctx: Any, collector: Collector, ids: Tensor, weight: nn.Parameter, padding: int | None) -> Tensor:
        ctx.collector, ctx.weight, ctx.padding = collector, weight, padding
        ctx.save_for_backward(ids)
        return F.embedding(ids, weight)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        (dy,) = gradients
        (ids,) = ctx.saved_tensors
        if ctx.padding is not None:
            dy = dy.masked_fill((ids == ctx.padding).unsqueeze(-1), 0)
        ctx.collector.current.add_outer(ctx.weight, ids, dy)
        return None, None, None, None


class LayerNormFunction(Function):
    """Layer normalisation over the last dimension with a scale and, possibly, an offset."""

    @staticmethod
    def forward(
        ctx: Any, collector: Collector, x: Tensor, weight: nn.Parameter, bias: nn.Parameter | None, eps: float
    ) -> Tensor:
        ctx.collector, ctx.weight, ctx.bias = collector, weight, bias
        offset = None if bias is None else bias.detach()
        y, mean, deviation = torch.native_layer_norm(x, weight.shape, weight.detach(), offset, eps)
        ctx.save_for_backward(x, mean, deviation)
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        (dy,) = gradients
        x, mean, deviation = ctx.saved_tensors
        weight, bias, batch = ctx.weight, ctx.bias, ctx.collector.current
        if weight.requires_grad:
            batch.add_per_record(weight, _summed(dy * ((x - mean) * deviation), keep=1))
        if bias is not None and bias.requires_grad:
            batch.add_per_record(bias, _summed(dy, keep=1))
        dx = None
        if ctx.needs_input_grad[1]:
            offset = None if bias is None else bias.detach()
            dx = torch.ops.aten.native_layer_norm_backward(
                dy.contiguous(), x, list(weight.shape), mean, deviation, weight.detach(), offset, [True, False, False]
            )[0]
        return None, dx, None, None, None


class CopyPerRecord(Function):
    """A parameter as one broadcastable view per record, shape (records, 1, ..., *shape): for elementwise layers."""

    @staticmethod
    def forward(ctx: Any, collector: Collector, parameter: nn.Parameter, records: int, dimensions: int) -> Tensor:
        ctx.collector, ctx.parameter = collector, parameter
        ones = [1] * (dimensions - 1 - parameter.dim())
        return parameter.detach().expand(records, *ones, *parameter.shape)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        (dy,) = gradients
        ctx.collector.current.add_per_record(ctx.parameter, dy.reshape(len(dy), *ctx.parameter.shape))
        return None, None, None, None


def _summed(gradient: Tensor, keep: int) -> Tensor:
    """Float32 sum over all but the first and the last `keep` dimensions: one gradient a record."""
    middle = tuple(range(1, gradient.dim() - keep))
    return gradient.sum(middle, dtype=torch.float32) if middle else gradient.float()
