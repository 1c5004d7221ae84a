"""Gaussian noise for the clipped sum of one step.

Guarantee, under add/remove of one unit: to a vector that one unit can move by at most the strategy's `sensitivity` in
l2 norm, independent Gaussian noise of standard deviation `noise_multiplier * sensitivity` per coordinate is added, once
(Dwork and Roth 2014, appendix A). The misuse that breaks it: noise per micro-batch or per process, the same noise
twice, or a deviation scaled to anything but the sensitivity.

Normal numbers come from secret uniform ones in pairs (Box and Muller 1958), in float64 with 53 random bits each, so
that the tails end at 8.5 standard deviations, beyond which a normal number lies once in 10^17. What is added is a
floating-point number all the same, and an attack on the low bits of such sums is known (Mironov 2012). Snapping to a
grid (Kairouz et al. 2021) would answer it; it is not done, and docs/sharp-edges.md says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dpsynth_assets.privacy.randomness import SecretStream

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

_CHUNK = 1 << 15  # numbers made at once: fits the cache, and is below what torch would cut up between threads


class GaussianNoise:
    """Adds fresh noise of one fixed standard deviation; zero means none (training without privacy)."""

    def __init__(self, standard_deviation: float) -> None:
        self._standard_deviation = standard_deviation
        self._stream = SecretStream()

    def add_(self, sums: Sequence[Tensor]) -> None:
        """Adds to every coordinate in place. Call once per step, after all micro-batches are summed."""
        if self._standard_deviation == 0:
            return
        for total in sums:
            flat = total.view(-1)
            for start in range(0, len(flat), _CHUNK):
                chunk = flat[start : start + _CHUNK]
                chunk += self._normal(len(chunk)).to(chunk.device, chunk.dtype)

    def _normal(self, count: int) -> Tensor:
        """Numbers of the law N(0, standard_deviation^2), float64, shape (count,)."""
        import torch

        pairs = (count + 1) // 2
        uniform = torch.from_numpy(self._stream.uniform(2 * pairs))
        # 1 - u lies in (0, 1], where the logarithm is finite.
        radius = uniform[:pairs].neg_().log1p_().mul_(-2).sqrt_().mul_(self._standard_deviation)
        angle = uniform[pairs:].mul_(2 * torch.pi)
        normal = torch.empty(2 * pairs, dtype=torch.float64)
        torch.mul(radius, angle.cos(), out=normal[:pairs])
        torch.mul(radius, angle.sin(), out=normal[pairs:])
        return normal[:count]
