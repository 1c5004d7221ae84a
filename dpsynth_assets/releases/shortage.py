"""Errors that say that something was short: memory, room on a disk, processes, open files. The same may go well later.

A release that ends by one of them keeps its charge, and the next run of it goes on. Knows errors of the system, Python,
PyTorch and DuckDB by their kinds. Nothing of what they say is handed on: it may quote a row.
"""

from __future__ import annotations

import errno
import os
import re

_NUMBERS = (errno.ENOSPC, errno.EDQUOT, errno.ENOMEM, errno.EAGAIN, errno.EMFILE, errno.ENFILE)
_ERRNOS = {errno.errorcode[number]: number for number in _NUMBERS}
_MEMORY = MemoryError.__name__
_OF_LIBRARIES = ("OutOfMemoryError", "OutOfMemoryException")  # PyTorch's on a GPU, and DuckDB's
_SAID = {
    "can't allocate memory": _MEMORY,  # PyTorch on a CPU
    "std::bad_alloc": _MEMORY,
    "CUDA error: out of memory": _MEMORY,
    "can't start new thread": "EAGAIN",  # Python
    "No space left on device": "ENOSPC",  # DuckDB and Arrow, which give no number
}
_NUMBERED = re.compile(r"\(os error (\d+)\)")  # safetensors and other libraries in Rust


def shortage_of(error: BaseException) -> str | None:
    """What was short: the name of an error number, or `MemoryError`; None where the same would come again.

    What led to the error is looked at too: PyTorch, for one, hides a full disk behind an error of its own.
    """
    looked_at: list[BaseException] = []
    while error not in looked_at:
        if (found := _in_itself(error)) is not None:
            return found
        looked_at.append(error)
        led_to_it = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        error = led_to_it or error
    return None


def _in_itself(error: BaseException) -> str | None:
    if isinstance(error, OSError) and error.errno is not None:
        return _known(error.errno)
    if isinstance(error, MemoryError) or any(kind.__name__ in _OF_LIBRARIES for kind in type(error).__mro__):
        return _MEMORY
    if not isinstance(error, Exception):
        return None
    if numbered := _NUMBERED.search(str(error)):
        return _known(int(numbered[1]))
    return next((kind for said, kind in _SAID.items() if said in str(error)), None)


def _known(number: int) -> str | None:
    name = errno.errorcode.get(number)
    return name if name in _ERRNOS else None


def shortage_called(name: str) -> OSError | MemoryError | None:
    """The error of what `shortage_of` gave; None of any other name."""
    if name == _MEMORY:
        return MemoryError()
    return OSError(_ERRNOS[name], os.strerror(_ERRNOS[name])) if name in _ERRNOS else None
