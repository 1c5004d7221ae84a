"""The published releases as a file system that holds nothing else and cannot be written: what a query may read.

Every release is opened once, as a plain file at the place that its own metadata names, compared with what was sealed,
and read through that descriptor from then on. Nothing here opens anything later: it works in a process that cannot
(`confinement`), and a file that is put in a release's place meanwhile is not what is read.
"""

from __future__ import annotations

import hashlib
import io
import os
import stat
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsspec.spec import AbstractFileSystem

from dpsynth_assets.publish import parquet
from dpsynth_assets.publish.release import PublishError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

    from dpsynth_assets.publish.parquet import ReleaseMetadata

PROTOCOL = "published"


def opened(folder: Path, digests: Mapping[str, str], held: ExitStack) -> list[tuple[ReleaseMetadata, int]]:
    """Every release with an open descriptor, oldest first; `held` closes them.

    Args:
        digests: SHA-256 of each sealed release, by its name below the folder. What is not named here is not read.

    Raises:
        PublishError: a release is not the file that was sealed, or is not where its metadata says.
    """
    found = []
    for path, digest in ((folder / name, digest) for name, digest in sorted(digests.items())):
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
            if hashlib.file_digest(file, "sha256").hexdigest() != digest:
                raise PublishError(
                    f"{path} is not the table that was sealed: it was changed after it was published. `dpsynth audit "
                    "verify` says what else was"
                )
            file.seek(0)
            metadata = parquet.read(path, file)
        if path.resolve() != parquet.path_of(folder.resolve(), metadata.release):
            raise PublishError(
                f"{path} is not where its metadata belongs, {parquet.path_of(folder, metadata.release)}; move it out "
                "of the warehouse folder"
            )
        found.append((metadata, descriptor))
    return sorted(found, key=lambda each: (each[0].release.moment, each[0].release.id))


def place(metadata: ReleaseMetadata) -> str:
    """The name of a release's file in the file system."""
    return f"{PROTOCOL}://{parquet.path_of(Path(), metadata.release).as_posix()}"


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
