"""Which layers have an exact rule, and their replacement on a model: everything else is refused by name.

Exact: Linear and Conv1D (weights and biases, tied or not), Embedding, LayerNorm, RMSNorm of any family, low-rank
adapters of peft on linear layers (fused into one function where nothing stands between), prompt tuning, prefix tuning,
P-tuning with its MLP encoder, classifier heads made of these. Refused: DoRA's magnitudes, LSTM encoders, convolutions,
batch normalisation (it couples records), quantised layers, mixtures of experts, and whatever is not listed; of these,
single layers can be had by Opacus (`per_sample`).

A rule replaces `forward` on the module's instance and nothing else. `Attachment.detach` puts everything back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor, nn

from dpsynth_assets.privacy.clipping.contributions import Collector
from dpsynth_assets.privacy.clipping.errors import UnclippedGradientError
from dpsynth_assets.privacy.clipping.functions import (
    CopyPerRecord,
    EmbeddingFunction,
    LayerNormFunction,
    LinearFunction,
    LowRankFunction,
    applied,
)
from dpsynth_assets.privacy.clipping.per_sample import per_sample_rule

Forward = Callable[..., Any]

# Which collector a module reports to, for code that uses its weight outside its forward (the fused cross-entropy).
_collectors: WeakKeyDictionary[nn.Module, Collector] = WeakKeyDictionary()


def collector_of(module: nn.Module) -> Collector | None:
    """The collector that the module's contributions belong to, while a ClippedSum is open on its model."""
    return _collectors.get(module)


class Attachment:
    """The rules in force on one model; `by_opacus` has Opacus compute what no rule of ours does.

    Raises:
        UnclippedGradientError: names every trainable parameter that has no exact rule, or a module that couples
            records; the model is then as it was.
    """

    def __init__(self, model: nn.Module, collector: Collector, *, by_opacus: bool) -> None:
        self._replaced: list[tuple[Any, str, Any]] = []
        self._modules: list[nn.Module] = []
        _refuse_coupling(model)
        without = {id(p): name for name, p in model.named_parameters() if p.requires_grad}
        try:
            for module in list(model.modules()):
                if module in _collectors:
                    raise UnclippedGradientError("another clipped sum is open on this model: close it first")
                found = _low_rank_rule(module, collector) or _rule(module, collector)
                if found is None and by_opacus:
                    found = per_sample_rule(module, collector)
                if found is not None:
                    forward, owned = found
                    self._replace(module, "forward", _while_training(module, forward))
                    self._modules.append(module)
                    for parameter in owned:
                        without.pop(id(parameter), None)
            if without:
                raise UnclippedGradientError(
                    f"no exact rule for {', '.join(sorted(without.values()))}: freeze these parameters, or choose a "
                    "method that trains layers with a rule (linear, embedding, normalisation, LoRA, prompts)"
                    + (", which Opacus has none for either" if by_opacus else "; `engine: opacus` knows more layers")
                )
            self._prompts_per_record(model)
            _collectors.update(dict.fromkeys(self._modules, collector))
        except BaseException:
            self.detach()
            raise

    def detach(self) -> None:
        """The model as it was. May be called twice."""
        for module in self._modules:
            _collectors.pop(module, None)
        for owner, name, before in reversed(self._replaced):
            if before is None:
                owner.__dict__.pop(name, None)
            else:
                owner.__dict__[name] = before
        self._modules, self._replaced = [], []

    def _replace(self, owner: Any, name: str, value: object) -> None:
        self._replaced.append((owner, name, owner.__dict__.get(name)))
        owner.__dict__[name] = value

    def _prompts_per_record(self, model: nn.Module) -> None:
        """peft encodes a prompt once and repeats it, which folds the batch away; here each record has its own."""
        encoders = getattr(model, "prompt_encoder", None)
        if encoders is None:
            return
        adapter: Any = model
        kind = adapter.active_peft_config.peft_type
        if kind in ("PROMPT_TUNING", "P_TUNING"):
            name = adapter.active_adapter

            def get_prompt(batch_size: int, *args: Any, **kwargs: Any) -> Tensor:
                encoder = encoders[name]
                tokens = adapter.prompt_tokens[name].to(encoder.embedding.weight.device)
                prompts: Tensor = encoder(tokens.expand(batch_size, -1))
                return prompts

            self._replace(model, "get_prompt", get_prompt)
        elif kind != "PREFIX_TUNING":
            raise UnclippedGradientError(f"peft's {kind} has no exact rule: choose LoRA, prompt or prefix tuning")


def _refuse_coupling(model: nn.Module) -> None:
    for name, module in model.named_modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            raise UnclippedGradientError(
                f"{name} is batch normalisation, which makes one record's loss depend on the others: use layer or "
                "group normalisation"
            )


def _while_training(module: nn.Module, forward: Forward) -> Forward:
    """`forward` where gradients are recorded, the module's own where they are not (evaluation, checkpointing)."""
    own = module.forward

    def either(*args: Any, **kwargs: Any) -> Any:
        return forward(*args, **kwargs) if torch.is_grad_enabled() else own(*args, **kwargs)

    return either


def _low_rank_rule(module: nn.Module, collector: Collector) -> tuple[Forward, list[nn.Parameter]] | None:
    """peft's LoRA on a frozen linear layer, if nothing but a scale stands between its parts: else its parts' rules."""
    from peft.tuners.lora import LoraLayer
    from transformers.pytorch_utils import Conv1D

    if not isinstance(module, LoraLayer) or len(module.active_adapters) != 1:
        return None
    layer: Any = module
    (name,), base = layer.active_adapters, layer.get_base_layer()
    if type(base) not in (nn.Linear, Conv1D) or name not in layer.lora_A or name in layer.lora_variant:
        return None
    down, up = layer.lora_A[name], layer.lora_B[name]
    dropout = layer.lora_dropout[name]
    frozen = not any(p.requires_grad for p in base.parameters())
    plain = isinstance(dropout, nn.Identity) or getattr(dropout, "p", 1.0) == 0
    both = down.weight.requires_grad and up.weight.requires_grad and down.bias is None and up.bias is None
    if not (frozen and plain and both and not layer.merged and not layer.disable_adapters):
        return None
    transposed = type(base) is Conv1D
    scale = float(layer.scaling[name])

    def forward(x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        weight = base.weight.mT if transposed else base.weight
        return applied(LowRankFunction, collector, x, weight, base.bias, down.weight, up.weight, scale)

    return forward, [down.weight, up.weight]


def _rule(module: nn.Module, collector: Collector) -> tuple[Forward, list[nn.Parameter]] | None:
    """The replacement for a layer that owns trainable parameters, and these; None where there is none."""
    from transformers.pytorch_utils import Conv1D

    owned = [p for p in module.parameters(recurse=False) if p.requires_grad]
    if not owned:
        return None
    layer: Any = module
    kind = type(module)
    forward: Forward
    if kind in (nn.Linear, Conv1D):

        def forward(x: Tensor) -> Any:
            return applied(LinearFunction, collector, x, layer.weight, layer.bias, kind is Conv1D)

    elif kind is nn.Embedding and layer.max_norm is None and not layer.scale_grad_by_freq and not layer.sparse:

        def forward(ids: Tensor) -> Any:
            return applied(EmbeddingFunction, collector, ids, layer.weight, layer.padding_idx)

    elif kind is nn.LayerNorm and len(layer.normalized_shape) == 1:

        def forward(x: Tensor) -> Any:
            return applied(LayerNormFunction, collector, x, layer.weight, layer.bias, layer.eps)

    elif kind is nn.RMSNorm and len(layer.normalized_shape) == 1:

        def forward(x: Tensor) -> Any:
            scale = applied(CopyPerRecord, collector, layer.weight, len(x), x.dim())
            return F.rms_norm(x, layer.normalized_shape, None, layer.eps) * scale

    elif kind.__name__.endswith("RMSNorm") and set(module._parameters) == {"weight"} and layer.weight.dim() == 1:
        own = module.forward

        def forward(x: Tensor) -> Any:
            with _weight_as(layer, applied(CopyPerRecord, collector, layer.weight, len(x), x.dim())):
                return own(x)

    else:
        return None
    return forward, owned


@contextmanager
def _weight_as(module: nn.Module, weight: Tensor) -> Iterator[None]:
    """Lets a model's own elementwise layer compute with a copy of its weight for each record."""
    parameter = module._parameters.pop("weight")
    module.__dict__["weight"] = weight
    try:
        yield
    finally:
        del module.__dict__["weight"]
        module._parameters["weight"] = parameter
