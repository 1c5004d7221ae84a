"""Errors that say that something was short: memory, room on a disk, processes, open files. The same may go well later.

A release that ends by one of them keeps its charge, and the next run of it goes on. Knows errors of the system, Python,
PyTorch and DuckDB by their kinds. Nothing of what they say is handed on: it may quote a row.
"""

from __future__ import annotations

import errno
import os

_NUMBERS = (errno.ENOSPC, errno.EDQUOT, errno.ENOMEM, errno.EAGAIN, errno.EMFILE, errno.ENFILE)
_ERRNOS = {errno.errorcode[number]: number for number in _NUMBERS}
_MEMORY = MemoryError.__name__
_OF_LIBRARIES = ("OutOfMemoryError", "OutOfMemoryException")  # PyTorch's on a GPU, and DuckDB's
_SAID = {"can't allocate memory": _MEMORY, "can't start new thread": "EAGAIN"}  # by PyTorch on a CPU, and by Python


def shortage_of(error: BaseException) -> str | None:
    """What was short: the name of an error number, or `MemoryError`; None where the same would come again."""
    if isinstance(error, OSError):
        name = errno.errorcode.get(error.errno or 0)
        return name if name in _ERRNOS else None
    if isinstance(error, MemoryError) or any(kind.__name__ in _OF_LIBRARIES for kind in type(error).__mro__):
        return _MEMORY
    if isinstance(error, RuntimeError):
        return next((kind for said, kind in _SAID.items() if said in str(error)), None)
    return None


def shortage_called(name: str) -> OSError | MemoryError | None:
    """The error of what `shortage_of` gave; None of any other name."""
    if name == _MEMORY:
        return MemoryError()
    return OSError(_ERRNOS[name], os.strerror(_ERRNOS[name])) if name in _ERRNOS else None
