"""Contributions on a public grid: what is added up is added up exactly, in any order.

Guarantee. With a finite clip C, let g be the power of two with C / g in [2^20, 2^21). What a unit contributes to a
coordinate is a whole number of g, below 2^21 g in size. Eight such numbers add up in float32 without rounding, and 2^32
of them in float64. So the clipped sum is the exact sum of the units' contributions: if those are each a function of
their own unit, adding a unit moves the sum by its contribution, neither more nor less, in every batch and every order.

A contribution is no longer than C, whatever was rounded on the way to it. Write n_p for the computed norm of a unit's
gradient of parameter p and f for its factor; the clipping method sees to it, in float64, that the squares of f n_p
add up to at most C^2 (1 - 2^-12)^2 (`clipping_methods.ROUNDING_MARGIN`). Two ways lead from there, and each keeps the
contribution's square for p below (f n_p)^2 (1 + 2^-12)^2, hence the whole below C:

  - The gradient that is added is the one whose norm was taken, bit for bit. `squares` misses its true square by less
    than a share of 2^-12.9 (below); f / g, its inverse and the quotient by that are rounded once each (2^-24); and
    cutting to the grid, always towards zero, makes nothing longer.
  - The gradient is computed anew, and its norm was computed another way. Then what would be added is measured, with
    `squares`, before or after it is added; if it is longer than f n_p (1 + 2^-13), none of it is added, or all of it
    is taken back, which is exact (`outer.add_scaled`). In practice this does not happen: the two differ by 1e-6.

`squares`: a float32 sum of n squares errs, in any order of summation, by a share of at most n 2^-24 / (1 - n 2^-24)
(Higham 2002, section 4.2), and a square root and rounding add 2^-23. With n <= 2,048 that is below 2^-12.9; the rest is
float64. A square below 2^-126 may be lost: gradients of that size are below the grid for every C above 2^-40.

The grid is a millionth of the clip. Cutting to it takes from a coordinate at most 2^-20 C, where the noise of a release
is about C.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

_STEPS = 20  # C / g lies in [2^_STEPS, 2^(_STEPS + 1))
UNITS = 1 << (53 - _STEPS - 1)  # contributions that float64 adds up without rounding
SLACK = (1 + 2.0**-13) ** 2  # of a measured square over the one that is allowed
ROW = 2048  # numbers whose squares are summed in float32
_SCALED = 1 << 18  # numbers that are scaled at once: they are still in the cache when they are added
_PART = 1 << 14  # and then in float64: torch divides longer sums between threads, if there is only one unit's


@dataclass(frozen=True)
class Grid:
    """Attributes:
    spacing: g, a power of two.
    together: so many contributions are added up in float32, each such sum then in float64.
    """

    spacing: float
    together: int


def grid_of(l2_clip_norm: float) -> Grid | None:
    """The grid for a clip; None where nothing is clipped, and nothing has to be exact."""
    if math.isinf(l2_clip_norm):
        return None
    return Grid(math.ldexp(1.0, math.frexp(l2_clip_norm)[1] - 1 - _STEPS), 1 << (24 - _STEPS - 1))


def fine_grid_of(l2_clip_norm: float) -> Grid:
    """A grid that shows the last bits of contributions, and adds up some thousands of them exactly: for checks."""
    return Grid(math.ldexp(1.0, math.frexp(l2_clip_norm)[1] - 1 - _STEPS - 16), 1)


def cut_(numbers: Tensor) -> Tensor:
    """Cuts to whole numbers towards zero, in place: `trunc_`, which torch computes ten times slower."""
    return numbers.div_(1.0, rounding_mode="trunc")


def squares(gradients: Tensor) -> Tensor:
    """Squared norms of (units, ...) float32 gradients, shape (units,), float64, as exact as the module says."""
    total = torch.zeros(len(gradients), dtype=torch.float64, device=gradients.device)
    for rows in gradients.split(ROW, dim=-1):
        norms = torch.linalg.vector_norm(rows, dim=-1) if rows.dim() > 1 else rows.abs()
        for part in norms.view(len(gradients), -1).double().square().split(_PART, dim=1):
            total += part.sum(1)
    return total


def scaled(gradients: Tensor, scales: Tensor, grid: Grid | None) -> Tensor:
    """(n, ...) gradients, each times its scale, cut to whole numbers towards zero.

    Args:
        scales: shape (n,), float32; where it is 0 nothing is left, even of what is no number.
        grid: None does not cut.
    """
    by_unit = scales.view(-1, *[1] * (gradients.dim() - 1))
    # A quotient by the inverse takes one pass over memory, a product and a cut take two.
    cut = None if grid is None else "trunc"
    made = torch.div(gradients, by_unit.reciprocal(), rounding_mode=cut)
    if not bool((scales != 0).all()):  # zero times a number that is none is none
        made = torch.where(by_unit != 0, made, 0.0)
    return made


def add(total: Tensor, gradients: Tensor, scales: Tensor, grid: Grid | None) -> None:
    """Adds (units, ...) gradients, `scaled`, to a float64 total."""
    if total.dim() == 0:
        total, gradients = total[None], gradients[:, None]
    together = max(1, len(gradients)) if grid is None else grid.together
    step = max(1, _SCALED // (together * max(1, total[:1].numel())))
    for start in range(0, len(total), step):
        rows = slice(start, start + step)
        for part, by in zip(gradients[:, rows].split(together), scales.split(together), strict=True):
            total[rows].add_(scaled(part, by, grid).sum(0))
