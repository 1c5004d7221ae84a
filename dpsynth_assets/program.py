"""Whether this program's files are those that this process began with.

Python reads a module when it is first needed, and a process that is started later reads all of them anew. Over an
upgrade in place, one release would be computed by parts of two versions, and nothing would say so: a rank without the
noise that the process waiting for it has charged for. So the files are looked at before anything is charged, and
processes of one release compare what each of them began with.

The package imports this module before any other of its own, so that a process begins with it.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

_PACKAGES = ("dpsynth_assets", "ledger", "resources")
_ROOT = Path(__file__).parent.parent


class ProgramChangedError(RuntimeError):
    """This program was changed on the disk while it ran. Says what to do; knows no row."""


def _state() -> str:
    """A digest of the names, sizes and times of the modules. Their contents would take a hundred times as long."""
    files = sorted(path for package in _PACKAGES for path in (_ROOT / package).rglob("*.py"))
    seen = [(str(path.relative_to(_ROOT)), *_about(path)) for path in files if not path.name.startswith(".")]
    return hashlib.sha256(repr(seen).encode()).hexdigest()


def _about(path: Path) -> tuple[int, int]:
    """Size and time; zeros of what is gone meanwhile, or cannot be looked at."""
    try:
        about = path.stat()
    except OSError:
        return 0, 0
    return about.st_size, about.st_mtime_ns


BEGAN_WITH = _state()


def require_unchanged(began_with: str = BEGAN_WITH) -> None:
    """Pass if the files are those that a process of this machine, or this one, began with.

    Raises:
        ProgramChangedError: they are not.
    """
    if _state() != began_with:
        raise ProgramChangedError(
            "the files of this program were changed, by an upgrade perhaps, since the process that asks began. Parts "
            "of two versions would compute together: run the same again, in a new process"
        )
