"""The published releases as a file system that holds nothing else and cannot be written: what a query may read.

Every release is opened once, as a plain file at the place that its own papers name, and read through that descriptor
from then on. Nothing here opens anything later: it works in a process that cannot (`confinement`), and a file that
is put in a release's place meanwhile is not what is read.
"""

from __future__ import annotations

import io
import os
import stat
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsspec.spec import AbstractFileSystem

from dpsynth_assets.publish import parquet
from dpsynth_assets.publish.release import PublishError

if TYPE_CHECKING:
    from collections.abc import Collection

    from _typeshed import WriteableBuffer

    from dpsynth_assets.publish.parquet import Papers

PROTOCOL = "published"


def opened(folder: Path, held: ExitStack, among: Collection[str] | None = None) -> list[tuple[Papers, int]]:
    """Every release with an open descriptor, oldest first; `held` closes them. `among`: only files at these places.

    Raises:
        PublishError: something in the folder is not a release, or not where its papers say.
    """
    found = []
    for path in sorted(folder.glob("*/*/*.parquet")):
        if path.name.startswith(".") or (among is not None and str(path) not in among):
            continue
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise PublishError(
                f"{path} cannot be opened as a release ({os.strerror(error.errno or 0)}); a link does not count as one"
            ) from None
        held.callback(os.close, descriptor)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise PublishError(f"{path} is not a file; move it out of the warehouse folder")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            papers = parquet.read(path, file)
        if path.resolve() != parquet.path_of(folder.resolve(), papers.release):
            raise PublishError(
                f"{path} is not where its papers belong, {parquet.path_of(folder, papers.release)}; move it out of the "
                "warehouse folder"
            )
        found.append((papers, descriptor))
    return sorted(found, key=lambda each: (each[0].release.moment, each[0].release.id))


def place(papers: Papers) -> str:
    """The name of a release's file in the file system."""
    return f"{PROTOCOL}://{parquet.path_of(Path(), papers.release).as_posix()}"


class PublishedFiles(AbstractFileSystem):  # type: ignore[misc]  # fsspec has no types
    """The releases by their names, for DuckDB."""

    protocol = PROTOCOL
    cachable = False  # fsspec would hand out the first instance again

    def __init__(self, descriptors: dict[str, int]) -> None:
        super().__init__()
        self._descriptors = {self._strip_protocol(name): number for name, number in descriptors.items()}

    def _descriptor(self, path: str) -> int:
        try:
            return self._descriptors[self._strip_protocol(path)]
        except KeyError:
            raise FileNotFoundError("no such release") from None

    def _open(self, path: str, mode: str = "rb", **_: Any) -> _Reading:
        if mode != "rb":
            raise PermissionError("releases are only read")
        return _Reading(self._descriptor(path))

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        return {"name": path, "size": os.fstat(self._descriptor(path)).st_size, "type": "file"}

    def modified(self, path: str) -> datetime:
        return datetime.fromtimestamp(os.fstat(self._descriptor(path)).st_mtime, UTC)

    def exists(self, path: str, **_: Any) -> bool:
        return self._strip_protocol(path) in self._descriptors

    def glob(self, path: str, **_: Any) -> list[str]:
        """Names stand for themselves: the views name what they read."""
        return [path] if self.exists(path) else []


class _Reading(io.RawIOBase):
    """A release being read, with a position of its own: several threads read one descriptor."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor, self._position = descriptor, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position}.get(whence)
        self._position = offset + (os.fstat(self._descriptor).st_size if start is None else start)
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: WriteableBuffer) -> int:
        count = os.preadv(self._descriptor, [buffer], self._position)
        self._position += count
        return count
