"""What a process of the platform does before all else, for itself and the processes that it starts: other accounts of
the machine are to have no part in it.
"""

from __future__ import annotations

import atexit
import os
import resource
import secrets
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from resources.home import nobody_else_writes

TORCH_CACHE = "TORCHINDUCTOR_CACHE_DIR"  # torch's variable


def keep_to_itself() -> None:
    """From now on nothing that is made is writable for others, and none leaves its memory behind when it crashes;
    and what another account has put into the folder of temporary files stops none."""
    nobody_else_writes()
    _leave_no_core_file()
    _have_own_cache_of_torch()


def _leave_no_core_file() -> None:
    """A core file has the rows that are in memory, and lies where the process works. A limit of 1 byte: where cores are
    piped to a program, Linux ignores any other one, and of a file it is less than the least."""
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    most = 1 if hard == resource.RLIM_INFINITY else min(1, hard)
    resource.setrlimit(resource.RLIMIT_CORE, (most, most))


def _have_own_cache_of_torch() -> None:
    """torch makes a folder for what it compiles when it is imported, by a name that any account can take first, and
    fails where it is a file. Give it one that nobody can guess, which goes with this process; it is made when torch
    wants it. One that somebody has named stays.
    """
    if os.environ.get(TORCH_CACHE):
        return
    with suppress(FileNotFoundError):  # there is no folder for temporary files: torch says so where it needs one
        own = Path(tempfile.gettempdir(), f"dpsynth-torch-{secrets.token_hex(8)}")
        os.environ[TORCH_CACHE] = str(own)
        atexit.register(_remove, own, os.getpid())


def _remove(folder: Path, made_for: int) -> None:
    if os.getpid() == made_for:  # and not a process that was forked of it
        shutil.rmtree(folder, ignore_errors=True)
