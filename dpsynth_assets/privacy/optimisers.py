"""What is done with the noisy mean of a step: optimisers, learning-rate schedules, averages of the iterates.

All of it is post-processing of noisy sums with public constants, so it costs no privacy, and none of it may look at the
data. It decides how much is learned from the same budget.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

ScheduleName = Literal["linear", "cosine", "constant"]


def schedule(name: ScheduleName, step: int, steps: int) -> float:
    """Factor on the learning rate at `step` of `steps`, in (0, 1], fixed in advance.

    A linear warm-up over a twentieth of the steps, then: `linear` or `cosine` towards zero, or `constant`.
    """
    warm_up = max(1, steps // 20)
    if step < warm_up:
        return (step + 1) / warm_up
    remaining = (steps - step) / max(1, steps - warm_up)
    if name == "linear":
        return remaining
    if name == "cosine":
        return 0.5 * (1 - math.cos(math.pi * remaining))
    return 1.0


class NoiseCorrectedAdam(torch.optim.Optimizer):
    """Adam whose second moment is freed of the noise's known share (Tang et al. 2023, "DP-AdamBC", algorithm 1).

    Of a noisy mean with noise of standard deviation s per coordinate, the square has s^2 too much in expectation. Under
    strong noise that swamps the second moment and Adam degenerates to SGD with momentum. Here

        m = b1 m + (1 - b1) g,   v = b2 v + (1 - b2) g^2,   m' = m / (1 - b1^t),   v' = v / (1 - b2^t)
        p = p - lr m' / sqrt(max(v' - s^2, floor))

    Args:
        noise: s, the standard deviation of the noise in the gradients that `step` is given (`DpSgd.noise_in_mean`).
            Public.
        floor: least value of the corrected second moment; the paper's gamma', which bounds the step size.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        lr: float,
        noise: float,
        betas: tuple[float, float] = (0.9, 0.999),
        floor: float = 5e-8,
    ) -> None:
        super().__init__(parameters, {"lr": lr, "noise": noise, "betas": betas, "floor": floor})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        assert closure is None
        for group in self.param_groups:
            first_decay, second_decay = group["betas"]
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["step"] = 0
                    state["first"] = torch.zeros_like(parameter, dtype=torch.float32)
                    state["second"] = torch.zeros_like(parameter, dtype=torch.float32)
                state["step"] += 1
                gradient = parameter.grad.float()
                first = state["first"].lerp_(gradient, 1 - first_decay)
                second = state["second"].mul_(second_decay).addcmul_(gradient, gradient, value=1 - second_decay)
                corrected = second / (1 - second_decay ** state["step"]) - group["noise"] ** 2
                corrected.clamp_(min=group["floor"]).sqrt_()
                scale = group["lr"] / (1 - first_decay ** state["step"])
                parameter.sub_((first / corrected * scale).to(parameter.dtype))


class IterateAverage:
    """Exponential average of the noisy iterates, free of bias towards the start.

        a_0 = 0,   a_t = d a_(t-1) + (1 - d) p_t,   average_t = a_t / (1 - d^t)

    Averaging cancels noise that training has put into the last iterates (Shejwalkar et al. 2022; De et al. 2022,
    section 3.4 use it for DP-SGD). `decay` d in (0, 1) is public; about 1 / (1 - d) last steps count.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], decay: float) -> None:
        if not 0 < decay < 1:
            raise ValueError(f"the decay of an average must lie in (0, 1), not {decay!r}")
        self._parameters = parameters
        self._decay = decay
        self._steps = 0
        self._sums = [torch.zeros_like(p, dtype=torch.float32) for p in parameters]

    @torch.no_grad()
    def update(self) -> None:
        """Takes the parameters as they are now into the average."""
        self._steps += 1
        for total, parameter in zip(self._sums, self._parameters, strict=True):
            total.mul_(self._decay).add_(parameter, alpha=1 - self._decay)

    @torch.no_grad()
    def apply(self) -> None:
        """Puts the average into the parameters."""
        if self._steps == 0:
            return
        weight = 1 - self._decay**self._steps
        for total, parameter in zip(self._sums, self._parameters, strict=True):
            parameter.copy_(total / weight)

    def state(self) -> dict[str, Any]:
        return {"steps": self._steps, "sums": self._sums}

    def load(self, state: dict[str, Any]) -> None:
        self._steps = int(state["steps"])
        for total, stored in zip(self._sums, cast("list[Tensor]", state["sums"]), strict=True):
            total.copy_(stored)
