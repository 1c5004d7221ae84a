"""Weights in bfloat16, for processors that multiply it faster. Knows no plan and no data.

Never rounded are buffers: rotary frequencies with eight bits of precision would misplace tokens.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D


def round_parameters(model: nn.Module) -> None:
    """All parameters, for a model that only draws: activations then are bfloat16 too, and memory is half."""
    for parameter in model.parameters():
        parameter.data = parameter.data.to(torch.bfloat16)


def round_frozen_layers(model: nn.Module) -> Callable[[], None]:
    """The weights of linear layers that are not trained, for a model that is only computed under autocast.

    Autocast would round them in every pass: these are the same bits, made once. A weight that something else holds too
    (a tied embedding, whose rows are added up in float32) stays as it is.

    Returns:
        What puts the weights back as they were; they stay in memory for as long as it is held.
    """
    before: list[tuple[nn.Parameter, Tensor]] = []
    for weight in roundable_weights(model):
        before.append((weight, weight.data))
        weight.data = weight.data.to(torch.bfloat16)

    def put_back() -> None:
        for rounded, kept in before:
            rounded.data = kept

    return put_back


def roundable_weights(model: nn.Module) -> list[nn.Parameter]:
    """The weights that `round_frozen_layers` rounds."""
    holders: dict[int, int] = {}
    for module in model.modules():
        for parameter in module.parameters(recurse=False):
            holders[id(parameter)] = holders.get(id(parameter), 0) + 1
    weights = (m._parameters.get("weight") for m in model.modules() if isinstance(m, nn.Linear | Conv1D))
    return [w for w in weights if w is not None and not w.requires_grad and holders[id(w)] == 1]
