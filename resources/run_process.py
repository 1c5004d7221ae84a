"""Whether the process of a run still lives: it holds a lock for as long as it does, and the kernel frees it.

    sensitive/runs/<run>.process      while the run is executed; a process that is killed leaves it behind, unlocked

A run's number as a process would not tell: another program may have it by then. On a folder that several machines share
the lock of one need not be seen by another. So the file says under which kernel the process runs, and is touched while
it does. Knows a run by its id and nothing else of it.
"""

from __future__ import annotations

import fcntl
import os
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from resources.home import Home, private_folder

_TOUCHED = 60.0  # seconds between two touches
_GONE = 3600.0  # after so many without one, a process under another kernel is not there any more


@contextmanager
def alive(home: Home, run: str) -> Iterator[None]:
    """While this lasts and the process lives, the run does. Where no file can be written nobody can tell, and the run
    goes on: it may be the one that frees the disk."""
    file, path, ended = None, _file(home, run), threading.Event()
    new = path.with_suffix(".new")
    with suppress(OSError):
        private_folder(private_folder(home.sensitive) / "runs")
        file = os.open(new, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.write(file, _kernel())
        new.replace(path)  # locked by now: nobody finds it otherwise
        threading.Thread(target=_touch, args=(path, ended), daemon=True).start()
    try:
        yield
    finally:
        ended.set()
        if file is not None:
            with suppress(OSError):
                path.unlink(missing_ok=True)  # before the lock is free: so whoever gets it knows of this end
                new.unlink(missing_ok=True)  # of a disk that was full
            os.close(file)


@contextmanager
def lost(home: Home, run: str) -> Iterator[bool]:
    """Whether the run's process ended without an end of the run: it was killed, or the machine stopped. False where
    nobody can tell. What it left goes when this ends without an error, so that a run is found until it is dealt with.
    """
    with suppress(OSError):
        if re.fullmatch(r"[0-9a-f-]{36}", run):
            path = _file(home, run)
            file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            try:
                if _is_left(file, path):
                    yield True
                    path.unlink(missing_ok=True)
                    return
            finally:
                os.close(file)
    yield False


def _is_left(file: int, path: Path) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    under_this_kernel = os.read(file, 100) == _kernel()
    silent = time.time() - os.fstat(file).st_mtime > _GONE
    return path.exists() and (under_this_kernel or silent)  # or it ended meanwhile, as runs do


def _touch(path: Path, ended: threading.Event) -> None:
    while not ended.wait(_TOUCHED):
        with suppress(OSError):
            os.utime(path)


def _kernel() -> bytes:
    """Which start of which machine this is; nothing where the system does not say."""
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_bytes()
    return b""


def _file(home: Home, run: str) -> Path:
    return home.sensitive / "runs" / f"{run}.process"
