"""A process gives up, for good, what it could do to the machine: before it runs what a stranger wrote.

It takes two steps, since libraries look the machine over when they start, and Landlock holds for the calling thread and
those it starts later:

1. `change_nothing`, while the process has one thread: no path can be written, made, removed, renamed or cut short, and
   no privilege gained, where the kernel has Landlock (Linux 5.13 and later).
2. `open_nothing`, when all that is needed is open and imported: no file, folder or socket can be opened, no byte be
   added to a file, and no program started, on every POSIX system. What is open stays open.

Knows nothing of DuckDB.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys

# The same on every architecture: include/uapi/asm-generic/unistd.h, linux/prctl.h and linux/landlock.h.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_SET_PARENT_DEATH_SIGNAL, _SET_NO_NEW_PRIVILEGES = 1, 38
_VERSION_ONLY, _BENEATH_PATH = 1, 1
_READ_FILE, _READ_FOLDER = 1 << 2, 1 << 3

_HEADROOM = 4 << 30  # address space of Python, libraries, stacks and allocator arenas; it is not memory


def change_nothing() -> bool:
    """Take away every right to paths but reading. Says whether the kernel could.

    Raises:
        OSError: the kernel has Landlock and refuses it; nothing may run then.
    """
    if sys.platform != "linux":
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    _checked(libc.prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0))
    _checked(libc.prctl(_SET_NO_NEW_PRIVILEGES, 1, 0, 0, 0))
    version = libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _VERSION_ONLY)
    if version < 1:
        return False  # not in this kernel, or not switched on
    rights = 13 + (version >= 2) + (version >= 3) + (version >= 5)
    rules = _Ruleset((1 << rights) - 1, 0b11 if version >= 4 else 0, 0b11 if version >= 6 else 0)
    size = 8 if version < 4 else 16 if version < 6 else 24
    ruleset = _checked(libc.syscall(_CREATE_RULESET, ctypes.byref(rules), ctypes.c_size_t(size), 0))
    root = os.open("/", os.O_PATH | os.O_CLOEXEC)
    reading = _BeneathPath(_READ_FILE | _READ_FOLDER, root)
    _checked(libc.syscall(_ADD_RULE, ruleset, _BENEATH_PATH, ctypes.byref(reading), 0))
    _checked(libc.syscall(_RESTRICT_SELF, ruleset, 0))
    os.close(root)
    os.close(ruleset)
    return True


def open_nothing(memory_bytes: int) -> None:
    """Set the limits on descriptors, file sizes and core dumps to nothing, and bound the memory.

    Raises:
        OSError: the operating system refuses a limit; nothing may run then.
    """
    for limit, value in (
        (resource.RLIMIT_NOFILE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_AS, memory_bytes + _HEADROOM),
    ):
        _, hard = resource.getrlimit(limit)
        bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(limit, (bound, bound))


class _Ruleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("network", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _BeneathPath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("folder", ctypes.c_int32))


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
