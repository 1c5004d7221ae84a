"""Whether the process of a run still lives: it holds a lock for as long as it does, and the kernel frees it.

    sensitive/runs/<run>.process      while the run is executed; a process that is killed leaves it behind, unlocked

A run's number as a process would not tell: another program may have it by then. Knows a run by its id and nothing else
of it. The lock tells of processes under this kernel; on a folder that several machines share it need not.
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from resources.home import Home, private_folder


@contextmanager
def alive(home: Home, run: str) -> Iterator[None]:
    """While this lasts and the process lives, the run does. Where no file can be written nobody can tell, and the run
    goes on: it may be the one that frees the disk."""
    file = None
    with suppress(OSError):
        private_folder(private_folder(home.sensitive) / "runs")
        file = os.open(_file(home, run), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    try:
        yield
    finally:
        if file is not None:
            with suppress(OSError):
                _file(home, run).unlink(
                    missing_ok=True
                )  # before the lock is free: so whoever gets it knows of this end
            os.close(file)


def died(home: Home, run: str) -> bool:
    """Whether the run's process ended without an end of the run: it was killed, or the machine stopped. False where
    nobody can tell. The file that it left goes."""
    if not re.fullmatch(r"[0-9a-f-]{36}", run):
        return False
    try:
        file = os.open(_file(home, run), os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not _file(home, run).exists():  # it ended meanwhile, as runs do
            return False
        _file(home, run).unlink()
    except OSError:
        return False
    finally:
        os.close(file)
    return True


def _file(home: Home, run: str) -> Path:
    return home.sensitive / "runs" / f"{run}.process"
