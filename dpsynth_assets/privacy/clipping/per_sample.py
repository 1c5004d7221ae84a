"""The slow, exact way for a layer that has no rule of ours: Opacus' gradient of each record by itself.

Opacus computes the layer again for each record, by `torch.func`, and keeps a whole gradient for each: memory is rows
times the layer's parameters. It has to be asked for by name, and what it gives is held against one record at a time
before a row is read, as our own rules are (`verification`). It serves layers that take one tensor with the batch first,
give one, have no layers in them and no state beside their parameters: convolutions and groups of channels, say.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.autograd import Function

from dpsynth_assets.privacy.clipping.errors import UnclippedGradientError
from dpsynth_assets.privacy.clipping.functions import applied

if TYPE_CHECKING:
    from dpsynth_assets.privacy.clipping.contributions import Collector


def per_sample_rule(module: nn.Module, collector: Collector) -> tuple[Callable[..., Any], list[nn.Parameter]] | None:
    """A replacement for the layer's forward, and the parameters that it reports; None where Opacus cannot either."""
    from opacus.grad_sample.functorch import prepare_layer

    parameters = list(module.parameters(recurse=False))
    if not any(p.requires_grad for p in parameters) or any(True for _ in module.children()):
        return None
    own, twin = module.forward, copy.deepcopy(module)  # Opacus leaves its function on the layer that it is given
    try:
        prepare_layer(twin)
    except NotImplementedError:
        return None

    def forward(x: Tensor, *others: Any, **named: Any) -> Tensor:
        if others or named:
            raise UnclippedGradientError(f"{type(module).__name__} takes more than one tensor: Opacus' way is for one")
        return applied(PerSampleFunction, collector, own, twin, parameters, x, *parameters)

    return forward, [p for p in parameters if p.requires_grad]


class PerSampleFunction(Function):
    """The layer's own output; backwards, each record's gradient by Opacus, and the input's by autograd."""

    @staticmethod
    def forward(
        ctx: Any,
        collector: Collector,
        own: Callable[..., Tensor],
        twin: Any,
        parameters: list[nn.Parameter],
        x: Tensor,
        *tracked: nn.Parameter,
    ) -> Tensor:
        ctx.collector, ctx.own, ctx.twin, ctx.parameters = collector, own, twin, parameters
        ctx.save_for_backward(x)
        device = x.device.type
        ctx.autocast = device, torch.get_autocast_dtype(device), torch.is_autocast_enabled(device)
        output = own(x)
        if not isinstance(output, Tensor):
            raise UnclippedGradientError(f"{type(twin).__name__} gives more than one tensor: Opacus' way is for one")
        return output

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Any, ...]:
        (x,), (gradient,) = ctx.saved_tensors, gradients
        of_input = None
        if ctx.needs_input_grad[4]:
            device, dtype, enabled = ctx.autocast  # the backward pass has none of its own
            with torch.enable_grad(), torch.autocast(device, dtype, enabled=enabled):
                again = x.detach().requires_grad_()
                (of_input,) = torch.autograd.grad(ctx.own(again), again, gradient)
        plain = [p.detach() for p in ctx.parameters]
        of_records = ctx.twin.ft_compute_sample_grad(plain, x.detach(), gradient)
        for parameter, each in zip(ctx.parameters, of_records, strict=True):
            if parameter.requires_grad:
                ctx.collector.current.add_per_record(parameter, each)
        return (None, None, None, None, of_input, *(None for _ in ctx.parameters))
