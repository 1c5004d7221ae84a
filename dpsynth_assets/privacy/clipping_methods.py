"""How much of a unit's gradient is kept: the clipping methods, each with the sensitivity that the noise must match.

A method turns the norms of one unit's contribution into the factors that it is scaled by. Guarantee of each, under
add/remove of one unit: the scaled contribution, taken over all trainable parameters together, has an l2 norm of at most
`sensitivity`. The misuse that breaks it: norms of anything but the whole contribution of a unit (a record's, a layer's,
a rounded copy's), or noise that is scaled to another number than `sensitivity`.

No method looks at more than one unit, and their constants are public.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

# Norms are taken with float32 sums, which may be off by a share of 2^-13, and contributions are scaled in float32: clip
# to a bound that is lower by more than that. `clipping.grid` has the proof.
ROUNDING_MARGIN = 1 - 2**-12


@dataclass(frozen=True)
class Clipping(ABC):
    """Base of the methods. `l2_clip_norm` is positive; infinite means no bound, for training without privacy."""

    l2_clip_norm: float

    def __post_init__(self) -> None:
        if not self.l2_clip_norm > 0:
            raise ValueError(f"l2_clip_norm must be positive, not {self.l2_clip_norm!r}")

    @property
    def sensitivity(self) -> float:
        """Bound on the l2 norm of one unit's scaled contribution; the noise's standard deviation is a multiple."""
        return self.l2_clip_norm

    def groups(self, names: Sequence[str]) -> list[int]:
        """For each trainable parameter the number, from 0, of the group whose joint norm is bounded: one group."""
        return [0] * len(names)

    def factors(self, norms: Tensor) -> Tensor:
        """Scale factors, shape (groups, units), float64, for the l2 norms of each group's gradient, same shape.

        A unit with a norm that is not finite gets zeros: it contributes nothing, which is within every bound.
        """
        import torch

        if math.isinf(self.l2_clip_norm):
            kept = torch.ones_like(norms)
        else:
            kept = self._kept(norms.clamp(min=torch.finfo(norms.dtype).tiny), self.l2_clip_norm * ROUNDING_MARGIN)
        return torch.where(norms.isfinite().all(0), kept, 0.0)

    @abstractmethod
    def _kept(self, norms: Tensor, bound: float) -> Tensor:
        """Factors for finite, positive norms, shape (groups, units), that keep a contribution within `bound`."""


@dataclass(frozen=True)
class FlatClipping(Clipping):
    """g * min(1, C / |g|) with the norm over all parameters together (Abadi et al. 2016, Algorithm 1).

    Sensitivity C: by construction.
    """

    def _kept(self, norms: Tensor, bound: float) -> Tensor:
        return (bound / norms).clamp(max=1.0)


@dataclass(frozen=True)
class PerLayerClipping(Clipping):
    """Each layer's gradient clipped on its own to C / sqrt(L), for L layers (McMahan et al. 2018, section 3.3).

    A layer is the module that owns the parameters; the two matrices of a low-rank adapter are one layer. Sensitivity
    C: the squares of L bounds of C / sqrt(L) add up to C squared.
    """

    def groups(self, names: Sequence[str]) -> list[int]:
        numbers: dict[str, int] = {}
        return [numbers.setdefault(layer_of(name), len(numbers)) for name in names]

    def _kept(self, norms: Tensor, bound: float) -> Tensor:
        return (bound / math.sqrt(len(norms)) / norms).clamp(max=1.0)


@dataclass(frozen=True)
class AutomaticClipping(Clipping):
    """C * g / (|g| + `stability`): every contribution is normalised (Bu et al. 2023, AUTO-S, equation 4).

    Sensitivity C: |g| / (|g| + stability) is below 1. C and the learning rate are then one knob under plain SGD.
    """

    stability: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.stability > 0:
            raise ValueError(f"stability must be positive, not {self.stability!r}")

    def _kept(self, norms: Tensor, bound: float) -> Tensor:
        return bound / (norms + self.stability)


CLIPPING_METHODS: dict[str, type[Clipping]] = {
    "flat": FlatClipping,
    "per_layer": PerLayerClipping,
    "automatic": AutomaticClipping,
}


def layer_of(name: str) -> str:
    """The module that owns a parameter of this name; of a low-rank adapter's parts, the layer that they adapt."""
    own, adapter, _ = f".{name}".partition(".lora_")
    return own.removeprefix(".") if adapter else name.rpartition(".")[0]
