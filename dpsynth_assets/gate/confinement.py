"""Keeps what code prints while it handles sensitive rows inside the sensitive folder.

A warning, a progress bar or a C library's message may depend on the rows ("sequence of 1,342 tokens is too long" is a
figure about one record). While the gate is open, standard output and standard error of the whole process, down to the
file descriptors, go to a file that only this user may read; Python logging and warnings end there as well. What is
meant to be seen passes as progress (`assets.progress`), which carries step numbers and nothing else.

Misuse that breaks it: printing through a descriptor that was duplicated before, or from a child process that was
started with streams of its own; and text that a library keeps in a buffer of its own, outside Python's and C's streams,
and writes only after the gate has closed.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from pathlib import Path


@contextmanager
def confined_output(path: Path) -> Iterator[None]:
    """Send everything printed to `path` (made with mode 0600; removed again where nothing was printed)."""
    _flush()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    saved: dict[int, int] = {}
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="replace", buffering=1) as sink:
            saved |= {number: os.dup(number) for number in (1, 2)}
            try:
                _point(saved, sink.fileno())
                with redirect_stdout(sink), redirect_stderr(sink):
                    yield
            finally:
                _put_back(saved)
    finally:
        for original in saved.values():
            os.close(original)
        with suppress(FileNotFoundError):  # its snapshot's retention may have ended meanwhile
            if path.stat().st_size == 0:
                path.unlink()


def _put_back(saved: dict[int, int]) -> None:
    """Give the process its streams again. What is still buffered for them belongs to the confined file; what does not
    fit there any more (a full disk) is dropped, since the next flush would print it."""
    try:
        _flush()
    finally:
        try:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            _point(saved, nowhere)
            os.close(nowhere)
            _flush()
        finally:
            for number, original in saved.items():
                os.dup2(original, number)


def _point(numbers: Iterable[int], target: int) -> None:
    for number in numbers:
        os.dup2(target, number)


def _flush() -> None:
    """Write out what Python's and C's streams hold. C's standard output keeps whole blocks where it is no terminal."""
    try:
        for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
            if stream is not None and not stream.closed:
                stream.flush()
    finally:
        ctypes.CDLL(None).fflush(None)
