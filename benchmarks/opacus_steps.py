"""A step with Opacus in each of its modes, and whether Opacus can do it at all.

    hooks      a gradient for every record, layer by layer, by rules written for the layer
    functorch  the same by automatic differentiation, for layers without a rule too
    ghost      norms alone, then a second backward pass over the weighted losses ("fast gradient clipping")

A mode that fails, or whose clipped sum is not that of one-by-one gradients, is not timed: `obstacle` says why.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from opacus.grad_sample import GradSampleHooks, GradSampleHooksFastGradientClipping

from benchmarks.shapes import PREFIX, batches, inputs_of, model_of

MODES = ("hooks", "functorch", "ghost")
_TOLERANCE = 1e-3


def opacus_step(mode: str, shape: str, method: str, length: int) -> Callable[[], None]:
    """Clipped sums as Opacus makes them, noise of torch, AdamW."""
    model = model_of(shape, method)
    records = batches(model, shape, length)
    clipped = _ClippedSums(mode, model, 1.0)
    optimiser = torch.optim.AdamW(clipped.parameters, lr=1e-6, weight_decay=0.0)
    count = sum(len(ids) for ids in records)

    def step() -> None:
        for parameter, total in zip(clipped.parameters, clipped(records), strict=True):
            noise = torch.randn_like(total, dtype=torch.float32)
            parameter.grad = (total + noise).div_(count).to(parameter.dtype)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)

    return step


def obstacle(mode: str, shape: str, method: str) -> str | None:
    """Why Opacus cannot train this in this mode; None if it can. Three short records, all of them clipped."""
    model = model_of(shape, method)
    ids = torch.cat(batches(model, shape, 16))[:3]
    bound = 1e-3
    expected = _one_by_one(model, ids, bound)
    try:
        actual = _ClippedSums(mode, model, bound)([ids])
    except Exception as error:  # whatever a library raises is the answer here
        return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:120]}"
    off = _norm([a.float() - e for a, e in zip(actual, expected, strict=True)]) / _norm(expected)
    return None if off < _TOLERANCE else f"its clipped sum is off by {off:.2g} of that of one-by-one gradients"


class _ClippedSums:
    def __init__(self, mode: str, model: Any, bound: float) -> None:
        common: dict[str, Any] = {"batch_first": True, "loss_reduction": "sum", "strict": False}
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self._model, self._bound, self._ghost = model, bound, mode == "ghost"
        self._hooks: Any = (
            GradSampleHooksFastGradientClipping(model, max_grad_norm=bound, use_ghost_clipping=True, **common)
            if self._ghost
            else GradSampleHooks(model, force_functorch=mode == "functorch", **common)
        )

    def __call__(self, records: Sequence[Any]) -> list[Any]:
        sums = [torch.zeros_like(p) for p in self.parameters]
        for ids in records:
            losses = _losses(self._model, ids)
            for total, part in zip(sums, self._two_passes(losses) if self._ghost else self._kept(losses), strict=True):
                total += part
            for parameter in self.parameters:
                parameter.grad_sample = parameter.grad = None
        return sums

    def _kept(self, losses: Any) -> list[Any]:
        losses.sum().backward()
        samples = [_sample(p) for p in self.parameters]
        norms = torch.stack([s.flatten(1).norm(dim=1) for s in samples]).norm(dim=0)
        factors = (self._bound / (norms + 1e-6)).clamp(max=1.0)
        return [torch.tensordot(factors, sample, dims=1) for sample in samples]

    def _two_passes(self, losses: Any) -> list[Any]:
        """As DPTensorFastGradientClipping.backward of Opacus does."""
        losses.sum().backward(retain_graph=True)
        for parameter in self.parameters:
            parameter.grad = None
        factors = self._hooks.get_clipping_coef()
        self._hooks.disable_hooks()
        (factors * losses).sum().backward()
        self._hooks.enable_hooks()
        return [parameter.grad for parameter in self.parameters]


def _losses(model: Any, ids: Any) -> Any:
    logits = model(**inputs_of(model, ids)).logits[:, -ids.shape[1] :]
    losses = F.cross_entropy(logits[:, PREFIX - 1 : -1].transpose(1, 2), ids[:, PREFIX:], reduction="none")
    return losses.mean(1)


def _one_by_one(model: Any, ids: Any, bound: float) -> list[Any]:
    parameters = [p for p in model.parameters() if p.requires_grad]
    units = [torch.autograd.grad(_losses(model, row[None])[0], parameters) for row in ids]
    return [
        torch.stack([g * min(1.0, bound / _norm(unit)) for g, unit in zip(same, units, strict=True)]).sum(0)
        for same in zip(*units, strict=True)
    ]


def _norm(tensors: Sequence[Any]) -> float:
    return math.sqrt(sum(float(t.double().square().sum()) for t in tensors))


def _sample(parameter: Any) -> Any:
    """Opacus' per-example gradient; a list of them where a weight is used twice."""
    sample = parameter.grad_sample
    return sum(sample) if isinstance(sample, list) else sample
