"""Whether a matrix's gradients are kept or their factors are. Affects time and memory; never the result.

Kept gradients ("dense") cost one product, then memory traffic: each is written, and read for the norm and for the sum.
Factors cost two Gram matrices for the norm and the product for the sum, and live until the backward pass is over.
Counting multiplications picks wrongly, since the products' shapes and the caches matter more than their number. So the
first time that a shape occurs both ways are run on made-up numbers and timed, and the faster is remembered for the
process. Two cases need no clock: small gradients, and those for which a micro-batch has no memory left (`Budget`).

The two ways round differently, so the choice must not depend on the records: it is one for each public shape.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from dpsynth_assets.privacy.clipping.grid import add, grid_of, squares
from dpsynth_assets.privacy.clipping.outer import Outer, Products, add_scaled

# What is kept may take this many times the memory of the factors alone. Full fine-tuning of the embedded model at 128
# tokens took, over training without privacy: at 1.0 1.12 of the time and 0.82 of the memory, at 1.15 1.11 and 0.85, at
# 1.3 1.07 and 0.89. More than 1.3 keeps nothing more there.
_MEMORY = 1.3
# Up to so many numbers a unit, keeping the gradient has always been faster: low-rank matrices, prompts.
_SMALL = 1 << 15

_Shape = tuple[int, int, int, int, str]
_faster_dense: dict[_Shape, bool] = {}


class Budget:
    """What one micro-batch keeps, against the memory that its factors alone would take.

    Matrices are decided on in the order of the backward pass. Each may take what those before it left over: one limit
    over all of them lets more gradients be kept, for the same peak, than a limit for each.
    """

    def __init__(self) -> None:
        self._kept = 0  # numbers, whether of gradients or of factors
        self._factors = 0

    def keep_dense(self, outer: Outer) -> bool:
        """Whether to keep the gradients of `outer` rather than its factors. Counts what is kept."""
        gradients, factors = len(outer.second) * outer.width * outer.second.shape[2], outer.second.numel()
        if outer.one_hot:
            dense = outer.width <= 4096 and gradients <= 2 * factors
        else:
            factors += outer.first.numel()
            within = self._kept + gradients <= _MEMORY * (self._factors + factors)
            dense = outer.width * outer.second.shape[2] <= _SMALL or (within and _faster(outer))
        self._kept += gradients if dense else factors
        self._factors += factors
        return dense


def _faster(outer: Outer) -> bool:
    """Whether keeping the gradients takes less time than keeping the factors."""
    records, rows, columns = outer.second.shape
    shape = (records, rows, outer.width, columns, str(outer.second.device))
    if shape not in _faster_dense:
        _faster_dense[shape] = _time_both(*shape)
    return _faster_dense[shape]


def _time_both(records: int, rows: int, width: int, columns: int, device: str) -> bool:
    """True if keeping the gradients is faster for this shape on this device."""
    first, second = (torch.rand(records, rows, wide, device=device) for wide in (width, columns))
    outer = Outer(first, second, width)
    total = torch.zeros(width, columns, device=device, dtype=torch.float64)
    grid = grid_of(1e6)
    units, scales = [slice(i, i + 1) for i in range(records)], torch.ones(records, device=device)

    def dense() -> None:
        gradients, straight = outer.dense(), total
        if not gradients.is_contiguous():
            gradients, straight = gradients.mT, total.mT
        squares(gradients)
        add(straight, gradients, scales, grid)

    def factored() -> None:
        norms = Products().squared_norm([outer])
        add_scaled(total, [outer], units, scales.tolist(), norms.tolist(), grid)

    return _seconds(dense, device) < _seconds(factored, device)


def _seconds(run: Callable[[], None], device: str) -> float:
    """Best of three: what disturbs a measurement only ever lengthens it."""
    # Time of this process on CPUs: other processes must not decide.
    clock = time.perf_counter if device.startswith("cuda") else time.process_time
    times = []
    for _ in range(4):
        started = clock()
        run()
        if device.startswith("cuda"):
            torch.cuda.synchronize()
        times.append(clock() - started)
    return min(times[1:])
