"""Gaussian noise for the clipped sum of one step.

Guarantee: to a vector that one unit can move by at most `clipping_norm` in l2 norm, independent Gaussian noise of
standard deviation `noise_multiplier * clipping_norm` per coordinate is added (Dwork and Roth 2014, appendix A).

Whoever knows the seed of the noise can subtract it. So there is no way to pass one: the generator is seeded with 256
bits from the operating system, for each run anew. (Not torch's own CPU generator: its Mersenne Twister takes 32 bits
of seed, few enough to try them all.) Sampling is in floating point; Mironov 2012 describes what that leaves open.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


class GaussianNoise:
    """Adds fresh noise of one fixed standard deviation; zero means none (training without privacy)."""

    def __init__(self, standard_deviation: float) -> None:
        import numpy as np

        self._standard_deviation = standard_deviation
        self._generator = np.random.Generator(np.random.PCG64DXSM(secrets.randbits(256)))

    def add_(self, sums: Sequence[Tensor]) -> None:
        """Adds to every coordinate in place. Call once per step, after all micro-batches are summed."""
        import torch

        if self._standard_deviation == 0:
            return
        for total in sums:
            draw = self._generator.normal(0.0, self._standard_deviation, size=tuple(total.shape))
            total.add_(torch.from_numpy(draw).to(total.device, total.dtype))
