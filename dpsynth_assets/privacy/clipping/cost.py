"""Whether a matrix's gradients are kept or their factors are. Affects time and memory; never the result.

Kept gradients ("dense") cost one product, then memory traffic: each is written, and read for the norm and for the sum.
Factors cost two Gram matrices for the norm and one product for the sum, and live until the backward pass is over.
Counting multiplications picks wrongly, since the products' shapes and the caches matter more than their number. So the
first time that a shape occurs both ways are run on made-up numbers and timed, and the faster is remembered for the
process. Two cases need no clock: gradients that would take much more memory than the factors, and small ones.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from dpsynth_assets.privacy.clipping.outer import Outer

# Kept gradients may take this many times the memory of the factors. At 2 they were kept for so many layers that full
# fine-tuning of the embedded model took 1.27 times the memory of training without privacy; at 1 it takes 0.82.
_MEMORY = 1.0
# Up to so many numbers a unit, keeping the gradient has always been faster: low-rank matrices, prompts.
_SMALL = 1 << 15

_Shape = tuple[int, int, int, int, str]
_faster_dense: dict[_Shape, bool] = {}


def keep_dense(outer: Outer) -> bool:
    """Whether to keep the gradients of `outer` rather than its factors."""
    units, columns = len(outer.rows), outer.second.shape[1]
    gradient = outer.width * columns
    if outer.one_hot:
        return outer.width <= 4096 and units * gradient <= 2 * outer.second.numel()
    if gradient <= _SMALL:
        return True
    rows = sum(outer.rows)
    if units * gradient > _MEMORY * rows * (outer.width + columns):
        return False
    # Up to a half more or fewer rows are one shape: lengths vary, and each new shape would be timed.
    shape = (units, _rounded(max(1, rows // units)), outer.width, columns, str(outer.second.device))
    if shape not in _faster_dense:
        _faster_dense[shape] = _time_both(*shape)
    return _faster_dense[shape]


def _rounded(rows: int) -> int:
    return 1 << (rows - 1).bit_length()


def _time_both(units: int, rows: int, width: int, columns: int, device: str) -> bool:
    """True if keeping the gradients is faster for this shape on this device."""
    first, second = torch.rand(units, rows, width, device=device), torch.rand(units, rows, columns, device=device)
    total, factors = torch.zeros(width, columns, device=device), torch.ones(units, device=device)

    def dense() -> None:
        gradients = torch.bmm(first.mT, second)
        torch.linalg.vector_norm(gradients, dim=-1)
        total.view(-1).addmv_(gradients.view(units, -1).mT, factors)

    def factored() -> None:
        (torch.bmm(first, first.mT) * torch.bmm(second, second.mT)).sum()
        total.addmm_(first.view(-1, width).mT, (second * factors[:, None, None]).view(-1, columns))

    return _seconds(dense, device) < _seconds(factored, device)


def _seconds(run: Callable[[], None], device: str) -> float:
    """Best of three: what disturbs a measurement only ever lengthens it."""
    times = []
    for _ in range(4):
        started = time.perf_counter()
        run()
        if device.startswith("cuda"):
            torch.cuda.synchronize()
        times.append(time.perf_counter() - started)
    return min(times[1:])
