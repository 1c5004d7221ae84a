"""Gaussian noise for the clipped sum of one step, with nothing of floating-point arithmetic in what it shows.

Guarantee, under add/remove of one unit. For every coordinate x of a vector that one unit can move by at most the
clipping method's `sensitivity` in l2 norm, what leaves this module is

    the multiple of gamma that is nearest to the real number x + sigma N,   N ~ N(0, 1), independent of all else,

with sigma = noise_multiplier * sensitivity and the public spacing gamma, the power of two between sigma 2^-13 and
sigma 2^-12. N is the ideal Gaussian of real numbers and the sum is not rounded before it is put on the grid, so the
output is a function of the ideal Gaussian mechanism's (Dwork and Roth 2014, appendix A): post-processing, without any
loss. Attacks on the low bits of floating-point noise (Mironov 2012; Haney et al. 2022) have nothing to work on. The
spacing adds less than a 10^8th to the variance.

How a real number is rounded without knowing all of it ("interval refining", Haney et al. 2022, here for the method of
Box and Muller 1958): N is sqrt(-2 ln U) cos(2 pi V), and a second one has sin for cos, of uniform U and V with
infinitely many secret bits, of which 63 and 64 are drawn at first. They give N but for an error that has a bound,
`ERROR`. Where all numbers within the bound have the same nearest multiple, that is the answer, whatever bits follow.
Where not, about once in 2^21 numbers, more bits are drawn and N is enclosed, by interval arithmetic of any precision,
in ever smaller intervals until it is. Both numbers of a pair are settled with the same bits.

The bound. Let p be the number of U's first 63 bits, rounded to float64, with 2^-24 <= p <= 1 - 2^-24; pairs outside,
one in 2^23, are always enclosed. Then |ln U - ln p| <= 2^-63 / p + 2^-53, and r = sqrt(-2 ln p) misses the true radius
by at most 2 |ln U - ln p| / r < 2^-38: for p < 1/2, r > 1.17 and the difference of the logarithms is below 2^-38.9;
for p >= 1/2, r > 2^-11.6 and it is below 2^-52.9. The angle is known to 2^-48, r is below 5.8, and float64's logarithm,
root, sine and cosine err by some 2^-52 of their values. Together that is less than 2^-37.9. `ERROR` is 2^-36, which
would still hold if those functions were a thousand times worse than they are.

Misuse that breaks it: noise per micro-batch or per process, the same noise twice, a deviation scaled to anything but
the sensitivity. What it does not hide is how long it took: settling one number takes some 0.2 ms.
"""

from __future__ import annotations

import math
from collections import deque
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from mpmath.ctx_iv import MPIntervalContext
from mpmath.libmp import to_int

from dpsynth_assets.privacy.randomness import SecretStream

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor

GRID = 12  # the spacing is at most 2^-GRID standard deviations, and above half of that
ERROR = 2.0**-36  # bound on |computed N - N|
RARE = 2.0**-24  # closer than this to 0 or 1, U's first bits do not give N as well as that

_CHUNK = 1 << 15  # numbers made at once: fits the cache, and is below what torch would cut up between threads


class GaussianNoise:
    """Adds fresh noise of one fixed standard deviation; zero means none (training without privacy).

    Raises:
        ValueError: a standard deviation whose grid float64 could not express; none of a real plan is.
    """

    def __init__(self, standard_deviation: float) -> None:
        if standard_deviation and not 2.0**-100 < standard_deviation < 2.0**100:
            raise ValueError(f"noise of standard deviation {standard_deviation!r} cannot be drawn")
        self._standard_deviation = standard_deviation
        self._stream = SecretStream()
        # sigma / spacing, exactly, lies in [2^GRID, 2^(GRID + 1)).
        self.spacing = math.ldexp(1.0, math.frexp(standard_deviation)[1] - 1 - GRID)

    def add_(self, sums: Sequence[Tensor]) -> None:
        """Adds to every coordinate in place. Call once per step, after all micro-batches are summed.

        Raises:
            FloatingPointError: a sum is not finite, so nothing bounds what a unit did to it.
        """
        if self._standard_deviation == 0:
            return
        for total in sums:
            for chunk in _chunks(total):
                chunk.copy_(self.release(chunk.double().cpu()))

    def release(self, values: Tensor) -> Tensor:
        """The multiples of `spacing` nearest to values + sigma N, shape (n,), float64, for values alike, on the CPU.

        The values are taken as the real numbers that they are. Raises as `add_` does.
        """
        count, pairs = len(values), (len(values) + 1) // 2
        words = torch.from_numpy(self._stream.words(2 * pairs).view(np.int64))
        position, noise = box_muller(words, self._standard_deviation / self.spacing)
        least, most = (float(end) for end in position.aminmax())
        exact = noise[:count].add_(values, alpha=1 / self.spacing)
        nearest = exact.round()
        # A number is clear if it keeps more than its possible error away from half-way between two multiples. A chunk
        # whose worst number is clear, as most are, needs no other look. NaN and infinity are not clear.
        largest, furthest = _largest(exact), _largest(exact - nearest)
        if not (furthest < 0.5 - _margin(largest) and least >= RARE and most <= 1 - RARE):
            unclear = ~((exact - nearest).abs_() < 0.5 - _margin(exact.abs()))
            unclear |= ((position < RARE) | (position > 1 - RARE)).repeat(2)[:count]
            self._settle(nearest, values, words, unclear)
        return nearest.mul_(self.spacing)

    def _settle(self, nearest: Tensor, values: Tensor, words: Tensor, unclear: Tensor) -> None:
        """Puts the right multiples, as whole numbers, where they are not clear; both of a pair by the same bits."""
        pairs = len(words) // 2
        drawn: dict[int, _Pair] = {}
        for place in unclear.nonzero().flatten().tolist():
            index = place % pairs
            if index not in drawn:
                drawn[index] = _Pair(int(words[index]) & (2**63 - 1), int(words[pairs + index]) % 2**64, self._stream)
            value = float(values[place]) / self.spacing
            scale = self._standard_deviation / self.spacing
            nearest[place] = drawn[index].nearest(value, scale, second=place >= pairs)


class BandedNoise:
    """Noise that is correlated over steps, by a banded strategy matrix (see `dpsynth_assets.privacy.correlation`).

    At step i, with the vectors g of the clipped sums and c of the strategy's coefficients,

        y_i = the grid value of c_0 g_i + ... + c_(b-1) g_(i-b+1) + sigma N        the one thing that is released
        x_i = (y_i - c_1 x_(i-1) - ... - c_(b-1) x_(i-b+1)) / c_0                  post-processing of it

    and x_i, which is g_i with correlated noise, takes the place of the sum. The same x could be had by adding a
    combination of remembered noise vectors to g_i; then what is released would be floating-point sums again. In this
    form only grid values are, and the guarantee of this module covers the stream y.

    The last b - 1 clipped sums are remembered without noise. They are as sensitive as the rows, and stay in the memory
    of this object: no checkpoint has them. A resumed run begins a new object.
    """

    def __init__(self, standard_deviation: float, coefficients: Sequence[float]) -> None:
        self._gaussian = GaussianNoise(standard_deviation)
        self._first, *self._others = coefficients
        self._private = standard_deviation > 0
        self._past: deque[tuple[list[Tensor], list[Tensor]]] = deque(maxlen=len(self._others))  # (g, x), latest first

    def add_(self, sums: Sequence[Tensor]) -> None:
        """As `GaussianNoise.add_`. The sums must be those of consecutive steps, in the same shapes."""
        if not self._private:
            return

        clipped = [total.clone() for total in sums]
        for index, total in enumerate(sums):
            earlier = [
                (coefficient, _chunks(g[index]), _chunks(x[index]))
                for coefficient, (g, x) in zip(self._others, self._past, strict=False)
            ]
            for chunk in _chunks(total):
                mixed = self._first * chunk.double()
                known = torch.zeros_like(mixed)
                for coefficient, g, x in earlier:
                    mixed += coefficient * next(g).double()
                    known += coefficient * next(x).double()
                released = self._gaussian.release(mixed.cpu()).to(chunk.device)
                chunk.copy_((released - known) / self._first)
        self._past.appendleft((clipped, [total.clone() for total in sums]))


def box_muller(words: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """p, shape (pairs,), and scale N, shape (2 pairs,), of secret 64-bit words, shape (2 pairs,), int64.

    Numbers k and pairs + k are a pair: the radius of word k's last 63 bits, the angle of all of word pairs + k. Where p
    is not `RARE`, they miss what the words and any bits after them give by at most scale * `ERROR`.
    """
    pairs = len(words) // 2
    position = (words[:pairs] & (2**63 - 1)).double().mul_(2.0**-63)
    radius = position.log().mul_(-2 * scale**2).sqrt_()
    angle = words[pairs:].double().mul_(2.0**-63 * math.pi)  # a first bit that is set makes it negative: as good
    noise = torch.empty(2 * pairs, dtype=torch.float64)
    torch.mul(radius, angle.cos(), out=noise[:pairs])
    torch.mul(radius, angle.sin(), out=noise[pairs:])
    return position, noise


class _Pair:
    """The two numbers of one pair, as narrowly enclosed as it takes: a bit of U or V that was drawn once stays."""

    def __init__(self, radius_bits: int, angle_bits: int, stream: SecretStream) -> None:
        self._radius, self._angle = radius_bits, angle_bits
        self._radius_length, self._angle_length = 63, 64
        self._stream = stream

    def nearest(self, value: float, scale: float, *, second: bool) -> int:
        """The whole number nearest to the real number value + scale N."""
        if not math.isfinite(value):
            raise FloatingPointError("a clipped sum is not a finite number, so no noise can hide a unit in it")
        while True:
            low, high = self._enclosed(value, scale, second=second)
            if low == high:
                return low
            more = self._stream.words(2)
            self._radius, self._radius_length = self._radius << 64 | int(more[0]), self._radius_length + 64
            self._angle, self._angle_length = self._angle << 64 | int(more[1]), self._angle_length + 64

    def _enclosed(self, value: float, scale: float, *, second: bool) -> tuple[int, int]:
        """The least and greatest whole number that value + scale N can be nearest to, given the bits drawn."""
        if self._radius == 0:
            return 0, 1  # the radius has no upper bound yet
        interval = _intervals()
        interval.prec = self._angle_length + 64
        uniform = interval.mpf([self._radius, self._radius + 1]) / interval.mpf(2) ** self._radius_length
        angle = interval.mpf([self._angle, self._angle + 1]) / interval.mpf(2) ** (self._angle_length - 1) * interval.pi
        turned = interval.sin(angle) if second else interval.cos(angle)
        exact = interval.sqrt(-2 * interval.log(uniform)) * turned * scale + value
        low, high = (exact + interval.mpf(0.5))._mpi_
        return to_int(low, "f"), to_int(high, "f")


@lru_cache(maxsize=1)
def _intervals() -> Any:
    return MPIntervalContext()  # one of our own: mpmath.iv's precision is everybody's


def _margin(size: Any) -> Any:
    """How far a number of that size, in spacings, may be off: N's error, and the rounding of product and sum."""
    return 2.0 ** (GRID + 2) * ERROR + 2.0**-50 * size


def _largest(values: Tensor) -> float:
    least, most = values.aminmax()  # quicker than the norm, and NaN gets through
    return max(-float(least), float(most))


def _chunks(tensor: Tensor) -> Iterator[Tensor]:
    flat = tensor.view(-1)
    for start in range(0, len(flat), _CHUNK):
        yield flat[start : start + _CHUNK]
