"""Files against their seals: what lies in a folder, whether it is what was sealed, and what a recipient may conclude.

    <folder>/seal.json          the seal of an artifact that is a folder, written when the ledger has it
    <file>.seal.json            the seal of a single file, such as a published table

Files are read where they lie and nowhere else: a link is refused, and a name in a seal cannot lead out of its folder.
Knows files and the ledger's seals; nothing of contracts or assets, and loads neither Dagster nor DuckDB.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ledger.errors import SealError
from ledger.seals import RECEIPT, Seal, check_portable

if TYPE_CHECKING:
    from ledger import Ledger

SEAL = "seal.json"
SUFFIX = ".seal.json"
TABLE = "table"  # the kind under which a published table is sealed


@dataclass(frozen=True)
class Verified:
    """What was found to be as it was sealed: everything in a folder, or one file of those that were sealed."""

    seal: Seal
    whole: bool


def digest_of(path: Path) -> str:
    """SHA-256 of a file; SealError where it is a link, or nothing that can be read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise SealError(f"{path} cannot be read, or is a link ({error.strerror}): give the file itself") from None
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise SealError(f"{path} is not a file")
        return hashlib.file_digest(file, "sha256").hexdigest()


def digests_in(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below a folder by its name there, the seal aside; SealError where there is a link."""
    return {path.relative_to(folder).as_posix(): digest_of(path) for path in _files(folder) if path != folder / SEAL}


def _files(folder: Path) -> Iterator[Path]:
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if entry.is_dir(follow_symlinks=False):
            yield from _files(Path(entry.path))
        else:
            yield Path(entry.path)


def differences(found: Mapping[str, str], seal: Seal) -> list[str]:
    """How files differ from those that were sealed, file by file, in words."""
    missing = [f"{name} is missing" for name in seal.files if name not in found]
    changed = [f"{name} was changed" for name in seal.files if found.get(name, seal.files[name]) != seal.files[name]]
    return [*changed, *missing, *(f"{name} was added" for name in sorted(set(found) - set(seal.files)))]


def verify(path: Path, public_key: str) -> Verified:
    """Check a folder, or a file, against the seal that lies with it and the publisher's key. Needs nothing else.

    Raises:
        SealError: there is no seal, it is not by this key, or what lies there is not what was sealed; says which.
    """
    if path.is_symlink() or not path.exists():
        raise SealError(f"{path} is a link, or not there: give the file or folder itself")
    if path.is_dir():
        seal = _read(path / SEAL, public_key)
        if wrong := differences(digests_in(path), seal):
            raise SealError(f"{path} is not what was sealed: {'; '.join(wrong)}")
        return Verified(seal, whole=True)
    beside = path.with_name(path.name + SUFFIX)
    seal = _read(beside if os.path.lexists(beside) else path.with_name(SEAL), public_key)
    if path.name not in seal.files:
        raise SealError(
            f"the seal beside {path} is of other files ({', '.join(seal.files)}): it belongs to another artifact, or "
            "the file was renamed"
        )
    if digest_of(path) != seal.files[path.name]:
        raise SealError(f"{path} is not what was sealed: it was changed, or is another file under this name")
    return Verified(seal, whole=set(seal.files) <= {path.name, RECEIPT})


def _read(path: Path, public_key: str) -> Seal:
    if not os.path.lexists(path):
        raise SealError(
            f"there is no seal: {path} is missing. It travels with what it seals; ask whoever gave it to you for it"
        )
    digest_of(path)  # no link, and a file
    return check_portable(path.read_bytes(), public_key)


def digests_of_tables(book: Ledger, folder: Path) -> dict[str, str]:
    """SHA-256 of each published table that was sealed, by its name below `folder`, for those whose place is not empty.

    They are the sealed digests, whatever lies there now.
    """
    seals = {(seal.name, seal.id): seal for seal in book.seals()}
    digests = {}
    for path in sorted(folder.glob("*/*/*.parquet")):
        seal = seals.get((f"{path.parent.parent.name}/{TABLE}", path.stem))
        if seal is not None and path.name in seal.files:
            digests[path.relative_to(folder).as_posix()] = seal.files[path.name]
    return digests


def standing(book: Ledger, name: str, identity: str | None = None) -> Seal | None:
    """The newest seal of one contract's kind of artifact, or of the artifact with this id; None where there is none."""
    found = [seal for seal in book.seals(name) if identity in (None, seal.id)]
    return found[-1] if found else None
