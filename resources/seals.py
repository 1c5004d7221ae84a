"""Files against their seals: what lies in a folder, and whether it is what was sealed.

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
UNFINISHED = ".unfinished"  # among the artifacts of a kind: what is being made. Nothing is read from there
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
    """SHA-256 of every file below a folder by its name there, the seal aside; SealError where there is a link, or the
    folder is one."""
    if folder.is_symlink():
        raise SealError(f"{folder} is a link: put the folder itself there")
    return {path.relative_to(folder).as_posix(): digest_of(path) for path in _files(folder) if path != folder / SEAL}


def _files(folder: Path) -> Iterator[Path]:
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if entry.is_dir(follow_symlinks=False):
            yield from _files(Path(entry.path))
        else:
            yield Path(entry.path)


def differences(found: Mapping[str, str], sealed: Mapping[str, str]) -> list[str]:
    """How files differ from those that were sealed, file by file, in words; both as SHA-256 by name."""
    missing = [f"{name} is missing" for name in sealed if name not in found]
    changed = [f"{name} was changed" for name in sealed if found.get(name, sealed[name]) != sealed[name]]
    return [*changed, *missing, *(f"{name} was added" for name in sorted(set(found) - set(sealed)))]


def verify(path: Path, public_key: str) -> Verified:
    """Check a folder, or a file, against the seal that lies with it and the publisher's key. Needs nothing else.

    The seal lies in the folder, beside the file under its name, or in a folder above: a part of what was sealed
    together can be checked by itself.

    Raises:
        SealError: there is no seal, it is not by this key, or what lies there is not what was sealed; says which.
    """
    if path.is_symlink() or not path.exists():
        raise SealError(f"{path} is a link, or not there: give the file or folder itself")
    where = _beside(path.absolute())
    if where is None and path.is_dir() and (sealed := _sealed_in(path)):
        raise SealError(f"{path} has no seal of its own; what lies in it has: verify {', '.join(sealed)}")
    if where is None:
        raise SealError(
            f"there is no seal with {path}: it travels as {path.name}{SUFFIX} beside it or as {SEAL} in its folder. "
            "Ask whoever gave it to you for it"
        )
    seal, inside = _read(where, public_key), path.absolute().relative_to(where.parent).as_posix()
    due = {name: digest for name, digest in seal.files.items() if _lies_in(name, inside)}
    if not due:
        raise SealError(
            f"the seal {where} is of other files ({', '.join(seal.files)}): it belongs to another artifact, or {path} "
            "was renamed"
        )
    if path.is_dir():
        found = {(Path(inside) / name).as_posix(): digest for name, digest in digests_in(path).items()}
    else:
        found = {inside: digest_of(path)}
    if wrong := differences(found, due):
        raise SealError(f"{path} is not what was sealed: {'; '.join(wrong)}")
    return Verified(seal, whole=set(seal.files) <= {*due, RECEIPT})


def _beside(path: Path) -> Path | None:
    """Where the nearest seal lies, be it a right one or not."""
    above = [folder / SEAL for folder in ([path] if path.is_dir() else []) + list(path.parents)]
    places = [path.with_name(path.name + SUFFIX), *above] if path.name else above
    return next((place for place in places if os.path.lexists(place)), None)


def _sealed_in(folder: Path) -> list[str]:
    """The files and folders below that lie beside a seal."""
    seals = sorted(path for path in folder.rglob("*seal.json") if path.name == SEAL or path.name.endswith(SUFFIX))
    return [str(seal.parent if seal.name == SEAL else seal.with_name(seal.name.removesuffix(SUFFIX))) for seal in seals]


def _lies_in(name: str, folder: str) -> bool:
    return folder == "." or name == folder or name.startswith(folder + "/")


def _read(path: Path, public_key: str) -> Seal:
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


def digests_by_seals(folder: Path, public_key: str) -> dict[str, str]:
    """As `digests_of_tables`, without the ledger: by the seals that lie beside the tables, for whoever knows the
    publisher's key and may not read the ledger. A table without a seal counts as not published.

    Raises:
        SealError: a seal is not by this key, or is another table's; says which.
    """
    digests = {}
    for path in sorted(folder.glob("*/*/*.parquet")):
        where = path.with_name(path.name + SUFFIX)
        if not os.path.lexists(where):
            continue
        try:
            seal = _read(where, public_key)
        except SealError as error:
            raise SealError(f"{where}: {error}") from None
        if (seal.name, seal.id) != (f"{path.parent.parent.name}/{TABLE}", path.stem) or path.name not in seal.files:
            raise SealError(f"{where} is the seal of another table, {seal.name} {seal.id}: tell the operator")
        digests[path.relative_to(folder).as_posix()] = seal.files[path.name]
    return digests


def standing(book: Ledger, name: str, identity: str | None = None) -> Seal | None:
    """The newest seal of one contract's kind of artifact, or of the artifact with this id; None where there is none."""
    found = [seal for seal in book.seals(name) if identity in (None, seal.id)]
    return found[-1] if found else None
