"""How far a long asset has come: step k of n, and nothing else. Never a loss, a count or a text.

In Dagster the report is a log line now and then; on the terminal the command line puts a progress bar in its place.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import dagster as dg

from dpsynth_assets.progress import Progress

Sink = Callable[[str, int, int], None]

_sink: ContextVar[Sink | None] = ContextVar("dpsynth_progress_sink", default=None)

_SECONDS_BETWEEN_LINES = 10.0


@contextmanager
def shown_by(sink: Sink) -> Iterator[None]:
    """Give every report to `sink(title, step, steps)` instead of the log, in this process."""
    token = _sink.set(sink)
    try:
        yield
    finally:
        _sink.reset(token)


def reporter(context: dg.AssetExecutionContext | dg.OpExecutionContext, title: str) -> Progress:
    """A callback `progress(step, steps)` for what does the work."""
    sink = _sink.get()
    if sink is not None:
        return lambda step, steps: sink(title, step, steps)

    last = float("-inf")

    def report(step: int, steps: int) -> None:
        nonlocal last
        now = time.monotonic()
        if step == steps or now - last >= _SECONDS_BETWEEN_LINES:
            last = now
            context.log.info(f"{title}: {step} of {steps}")

    return report
