"""What a process of the platform does before all else, for itself and the processes that it starts: other accounts of
the machine are to have no part in it.
"""

from __future__ import annotations

import resource

from resources.home import nobody_else_writes


def keep_to_itself() -> None:
    """From now on nothing that is made is writable for others, and none leaves its memory behind when it crashes."""
    nobody_else_writes()
    _leave_no_core_file()


def _leave_no_core_file() -> None:
    """A core file has the rows that are in memory, and lies where the process works. A limit of 1 byte: where cores are
    piped to a program, Linux ignores any other one, and of a file it is less than the least."""
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    most = 1 if hard == resource.RLIM_INFINITY else min(1, hard)
    resource.setrlimit(resource.RLIMIT_CORE, (most, most))
