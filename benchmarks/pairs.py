"""Interleaved timing: A B, B A, A B, ... so that a slow minute of the machine hits both sides alike."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

PAIRS = 7


def paired_ratios(
    measured: Callable[[], object],
    reference: Callable[[], object],
    pairs: int = PAIRS,
    clock: Callable[[], float] = time.perf_counter,
) -> list[float]:
    """Ratios of times, one a pair, after one run of each to warm up.

    Args:
        clock: wall-clock time; or `time.process_time`, which other work on the machine lengthens less, and which counts
            every thread.
    """
    measured()
    reference()
    ratios = []
    for turn in range(pairs):
        first, second = (measured, reference) if turn % 2 == 0 else (reference, measured)
        times = {first: _seconds(first, clock)}
        times[second] = _seconds(second, clock)
        ratios.append(times[measured] / times[reference])
    return ratios


def _seconds(run: Callable[[], object], clock: Callable[[], float]) -> float:
    started = clock()
    run()
    if (torch := sys.modules.get("torch")) is not None and torch.cuda.is_available():
        torch.cuda.synchronize()
    return clock() - started
