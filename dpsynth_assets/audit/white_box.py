"""The white-box attack: how canaries align with the noisy sums of a DP-SGD run.

A canary's score is, summed over the steps, the inner product of the step's noisy sum with the canary's own clipped
gradient at the parameters of that step (Steinke, Nasr, Jagielski 2023, the white-box attack). A canary that was in the
batch adds about its squared length, the noise adds nothing on average.

It is post-processing: it sees the noisy sums and the parameters, which the run's guarantee covers, and canaries. It is
not told the coins, and the score is chosen before they are looked at: nothing here can be fitted to them. It would be
no attack on what is released if the loop handed it a clean sum, a loss or who was sampled.

Cost: a forward and a backward pass per canary and step, on a twin of the model that shares its frozen weights.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np

from dpsynth_assets.privacy.clipping.engine import ClippedSum
from dpsynth_assets.privacy.shapes import groups
from dpsynth_assets.privacy.training import add

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from dpsynth_assets.privacy.clipping_methods import Clipping
    from dpsynth_assets.privacy.shapes import Shape
    from dpsynth_assets.privacy.training import UnitData


class WhiteBox:
    """An observer for `train`, made before the run on the model that is trained:

        with WhiteBox(model, canaries, mechanism.clipping, shapes) as attack:
            train(model, data, mechanism, learning, micro_batch_tokens=..., observer=attack)
        lower_bound(attack.scores, included, ...)

    Args:
        canaries: all of them, in and out; its units are the canaries, by number.
        shapes: public ones, to compute canaries in.

    After a kill it has seen the later attempt only: its scores are weaker, and the bound still holds.
    """

    def __init__(self, model: nn.Module, canaries: UnitData, clipping: Clipping, shapes: Sequence[Shape]) -> None:
        frozen = {id(p): p for p in model.parameters() if not p.requires_grad}
        self._twin = copy.deepcopy(model, frozen).train()
        self._clipped = ClippedSum(self._twin, clipping)
        self._canaries = canaries
        self._shapes = shapes
        self.scores: NDArray[np.float64] = np.zeros(len(canaries.records_of))

    def __enter__(self) -> WhiteBox:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._clipped.close()

    def __call__(self, noisy_sums: Sequence[Tensor], parameters: Sequence[nn.Parameter]) -> None:
        for twin, parameter in zip(self._clipped.parameters, parameters, strict=True):
            twin.detach().copy_(parameter.detach())
        canaries = self._canaries
        for canary in range(len(self.scores)):
            for group in groups([canary], canaries.records_of, canaries.lengths, self._shapes):
                add(self._clipped, self._twin, canaries, group)
            own = self._clipped.take()
            self.scores[canary] += sum(
                float((noisy.double() * part.double()).sum()) for noisy, part in zip(noisy_sums, own, strict=True)
            )
