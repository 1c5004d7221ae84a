"""One interrupt ends a run, and is enough: what is typed again while it ends does not cut its last sentence off.

Dagster has its own handlers. In between its steps they only note an interrupt, and may forget it; within a step
they raise each one, also the second of somebody in a hurry, in the middle of what the first has begun to put away.
Here each handler that Dagster installs is asked once: an interrupt that it noted is sent again until something is
raised, and once something was raised others are left out, for as long as ending may take. Knows no run.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from dagster._utils import interrupts

_AGAIN = 0.5  # seconds after which one that was only noted is sent again
_ENOUGH = 20.0  # seconds that ending may take before another one is raised


class _Interrupts:
    """What came of the interrupts of a run so far."""

    def __init__(self) -> None:
        self.asked = False
        self.raised = float("-inf")

    @property
    def was_raised(self) -> bool:
        return self.raised != float("-inf")

    def once(self, handler: Any) -> Any:
        """The handler, asked about the first interrupt only."""
        if not callable(handler) or getattr(handler, "asked_once", False):
            return handler

        def handle(number: int, frame: Any) -> None:
            self.asked = True
            if time.monotonic() - self.raised < _ENOUGH:
                return
            before, self.raised = self.raised, time.monotonic()
            handler(number, frame)
            self.raised = before  # it was noted only

        handle.asked_once = True  # type: ignore[attr-defined]
        return handle

    def send_again(self, ended: threading.Event) -> None:
        while not ended.wait(_AGAIN):
            if self.asked and not self.was_raised:
                os.kill(os.getpid(), signal.SIGINT)


@contextmanager
def one_interrupt() -> Iterator[None]:
    """In here the first interrupt is raised, wherever it comes, and those that follow it are not."""
    if threading.current_thread() is not threading.main_thread():
        yield  # whose interrupts these are not
        return
    found = _Interrupts()
    replace = interrupts._replace_interrupt_signal
    before, ended = signal.getsignal(signal.SIGINT), threading.Event()

    def replace_by_asked_once(new_signal_handler: Any) -> None:
        replace(found.once(new_signal_handler))

    interrupts._replace_interrupt_signal = replace_by_asked_once
    try:
        interrupts._replace_interrupt_signal(before)
        threading.Thread(target=found.send_again, args=(ended,), daemon=True).start()
        yield
    finally:
        ended.set()
        interrupts._replace_interrupt_signal = replace
        replace(before)
        if found.was_raised:  # the process ends now, without another word; SIGTERM still ends one that does not
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
