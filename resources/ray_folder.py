"""Where the files of a Ray cluster lie, and the end of all processes that it was.

Ray makes a folder that anybody may write, follows links where it does, and makes it anew where it is gone: a worker
that starts while its cluster ends would do so under a name that somebody else may have taken meanwhile. So there is a
folder of this account's above all clusters, which stays; and a cluster's own goes when none of its processes lives.

They are known by where they work: the driver is started in a folder that nobody else uses, and what Ray starts stays
there. Names and environments tell nothing, since Ray's processes write over them.

`python -m resources.ray_folder` is started beside each cluster and does the same where whoever waits for it is killed.
Knows nothing of Ray but this.
"""

from __future__ import annotations

import os
import shutil
import signal
import stat
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

_ROOM = "/tmp"  # and not $TMPDIR: Ray puts sockets there, whose paths may have 107 characters
_WORK = "work"  # in a cluster's folder, and empty
_LOOK = 0.05  # seconds between two looks at the processes
_PATIENCE = 60.0  # seconds for processes that were killed to be gone; one that waits for a device may take long


class FolderError(RuntimeError):
    """There is no folder that is safe to use; the message says why, and what to do."""


def above() -> Path:
    """The folder above the clusters of this account, which only it enters. It is made where it is lacking, and stays.

    Raises:
        FolderError: it is somebody else's, a link, or open to others; or others could put another in its place.
    """
    room = os.stat(_ROOM)  # noqa: PTH116
    if room.st_mode & 0o022 and not room.st_mode & stat.S_ISVTX:
        raise FolderError(f"{_ROOM} lets every account rename what is another's: `chmod +t {_ROOM}`")
    folder = Path(_ROOM, f"dpsynth-ray-{os.geteuid()}")
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        pass
    except OSError as error:
        raise FolderError(f"{folder} cannot be made: {error.strerror}") from None
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise FolderError(
            f"{folder} is not a folder that only this account enters: move it away, or have its owner do so"
        )
    return folder


def new() -> Path:
    """A new cluster's folder. Its path has 36 characters at most.

    Raises:
        FolderError: as `above`.
    """
    folder = Path(tempfile.mkdtemp(prefix="", dir=above()))  # mode 0700
    work_in(folder).mkdir()
    return folder


def work_in(folder: Path) -> Path:
    """Where a cluster's driver is to be started, and nothing else."""
    return folder / _WORK


def remove(folder: Path) -> None:
    """End all processes of a cluster, and delete its folder. Where one of them does not end, the folder stays."""
    deadline = time.monotonic() + _PATIENCE
    while living := _at_work(folder):
        if time.monotonic() > deadline:
            return
        for pid in living:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(_LOOK)
    shutil.rmtree(folder, ignore_errors=True)


def _at_work(folder: Path) -> list[int]:
    """The processes of a cluster. A dead one works nowhere."""
    try:
        mark = os.stat(work_in(folder))  # noqa: PTH116
    except FileNotFoundError:  # somebody else removes it, since there is none
        return []
    found = []
    for name in os.listdir("/proc"):  # noqa: PTH208
        with suppress(OSError):  # it has ended, or is another account's
            if name.isdecimal() and os.path.samestat(os.stat(f"/proc/{name}/cwd"), mark):  # noqa: PTH116
                found.append(int(name))
    return found


def main() -> None:
    sys.stdin.buffer.read()  # nothing comes: it ends when whoever waits for the cluster does
    remove(Path(sys.argv[1]))


if __name__ == "__main__":
    main()
