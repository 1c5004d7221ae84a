"""What lies outside the ledger and speaks for or against it: artifacts, published tables, their seals and checkpoints.

Reads what lies in a home folder with distrust. The ledger says what left and with which files; here is said what of
that is not so on disk, and what lies there of which the ledger knows nothing.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ledger import Checkpoint, LedgerError, SealError
from ledger.seals import RECEIPT, Seal, content_digest, read_portable
from ledger.snapshot import Artifact
from resources.seals import SEAL, SUFFIX, TABLE, UNFINISHED, differences, digest_of, digests_in

if TYPE_CHECKING:
    from ledger import Ledger
    from resources.home import Home

UNSEALED = (
    "was never sealed in the ledger: it was made before artifacts were sealed, cut off by a kill, or put there. "
    "`dpsynth audit seal` seals the releases that the ledger knows by their files; make the rest again, which is free, "
    "or move it away"
)
STRAY = "is nothing that the platform puts in this place, so nobody should take it for a release: move it away"
PARQUET, DATABASE = "parquet", "warehouse.duckdb"
_Known = Mapping[tuple[str, str], Seal]


def receipts(home: Home, only: Collection[Path] | None = None) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Every artifact's folder and receipt, or those of the named folders. A receipt that cannot be read is empty."""
    for file in sorted(home.artifacts.glob(f"*/*/*/{RECEIPT}")):
        if only is None or file.parent in only:
            try:
                stated = json.loads(_held_by(file))
            except (OSError, ValueError, RecursionError):
                stated = None
            yield file.parent, stated if isinstance(stated, dict) else {}


def _held_by(path: Path) -> bytes:
    """What a file holds; OSError where it is none: a pipe would be read for ever."""
    if not path.is_file():
        raise OSError(f"{path} is no file")
    return path.read_bytes()


def checkpoints(home: Home, only: Collection[Path] | None = None) -> list[Checkpoint]:
    """The signed checkpoints in all seals, and in receipts from before there were seals; `only`: of the artifacts in
    these folders. What is none is left for `contradictions` to say."""
    found = []
    for path in _seals(home):
        if only is None or path.parent in only:
            try:
                found.append(read_portable(_held_by(path))[1])
            except (LedgerError, OSError, RecursionError):
                continue
    for _, receipt in receipts(home, only):
        charges = receipt.get("charges")
        for charge in charges if isinstance(charges, list) else ():
            try:
                found.append(Checkpoint.from_json(charge["checkpoint"]))
            except (LedgerError, KeyError, TypeError):
                continue
    return found


def artifacts(home: Home) -> Iterator[Artifact]:
    """Every artifact by the seal that lies with it, for the reviewers' views; its own digest only where it is a release
    that was made from rows alone."""
    for folder, _ in receipts(home):
        name = str(folder.relative_to(home.artifacts))
        try:
            seal, _ = read_portable(_held_by(folder / SEAL))
            release = bool(seal.charges) and not seal.made_from
            yield Artifact(name, folder_content(folder) if release else None, seal.ledger, seal.seq, seal.hash)
        except (LedgerError, OSError):
            yield Artifact(name, None, None, None, None)


def folder_content(folder: Path) -> str | None:
    """SHA-256 over a folder's files, receipt and seal aside; None where it holds what is no file."""
    try:
        return content_digest(digests_in(folder))
    except SealError:
        return None


def contradictions(home: Home, book: Ledger, only: Collection[Path] | None = None) -> list[str]:
    """Where what lies on disk and the ledger disagree: other files than were sealed, a seal that is another's or
    forged, and whatever else lies below `artifacts` and `warehouse`: never sealed, a link, in no place of the
    platform's. What is being made (`.unfinished`, files whose names begin with a dot) is left out: nothing reads it.

    `only`: the folders of the artifacts to look at; otherwise everything, and the key that signs.
    """
    known, key = _newest(book), book.public_key
    found: list[str] = []
    if only is None:
        folders = _below(home.artifacts, 3, found)
    else:
        folders = [folder for folder in only if os.path.lexists(folder)]
    for folder in folders:
        where = f"artifact {folder.relative_to(home.artifacts)}"
        found += [f"{where} {wrong}" for wrong in _of_artifact(folder, known, key)]
    if only is None:
        found += _in_warehouse(home.warehouse, known, key)
        try:
            book.require_signing_key()
        except LedgerError as error:
            found.append(str(error))
    return found


def gone(home: Home, book: Ledger) -> list[str]:
    """What was sealed and does not lie in its place any more. Nothing of the platform removes such things; a person may
    have, and then it is no fault: what was released stays charged, and copies of it can be checked as before."""
    found = []
    for (name, identity), seal in _newest(book).items():
        if seal.kind == TABLE:
            there = any((home.warehouse / PARQUET).glob(f"{seal.contract}/*/{identity}.parquet"))
        else:
            there = os.path.lexists(home.artifacts / name / identity)
        if not there:
            found.append(f"{name} {identity} (entry {seal.seq})")
    if (home.warehouse / PARQUET).is_dir() and not os.path.lexists(home.warehouse / DATABASE):
        found.append(f"{DATABASE} (`dpsynth audit seal` makes it again)")
    return found


def _newest(book: Ledger) -> _Known:
    """The newest seal of each artifact."""
    return {(seal.name, seal.id): seal for seal in book.seals()}


def _below(top: Path, levels: int, stray: list[str]) -> list[Path]:
    """The folders that lie so many levels below a folder. What else lies above them is put on `stray`."""
    folders = [top] if top.is_dir() else []
    for _ in range(levels):
        folders = [path for folder in folders for path in _listed(folder, stray) if _is_folder(path, stray)]
    return folders


def _listed(folder: Path, stray: list[str]) -> list[Path]:
    """What lies in a folder but for files that are being written; links are put on `stray`."""
    try:
        paths = sorted(folder.iterdir())
    except OSError as error:
        stray.append(f"{folder} cannot be read ({error.strerror}): let this account read it")
        return []
    stray += [
        f"{path} is a link: put what it leads to there itself, or remove it" for path in paths if path.is_symlink()
    ]
    return [path for path in paths if not path.is_symlink() and (path.is_dir() or not path.name.startswith("."))]


def _is_folder(path: Path, stray: list[str]) -> bool:
    if not path.is_dir():
        stray.append(f"{path} {STRAY}")
    return path.is_dir() and path.name != UNFINISHED


def _in_warehouse(warehouse: Path, known: _Known, key: str) -> list[str]:
    found: list[str] = []
    seen: set[tuple[str, str]] = set()
    for path in _listed(warehouse, found) if warehouse.is_dir() else ():
        if path.is_dir() != (path.name == PARQUET) or path.name not in (PARQUET, DATABASE):
            found.append(f"{path} {STRAY}")
    for folder in _below(warehouse / PARQUET, 2, found):
        for path in _listed(folder, found):
            release = folder.parent.name, path.stem
            if path.suffix == ".parquet" and release not in seen:
                seen.add(release)
                found += [f"published table {path} {wrong}" for wrong in of_table(path, known, key)]
            elif not path.name.endswith(SUFFIX) or not path.with_name(path.name.removesuffix(SUFFIX)).is_file():
                found.append(f"{path} {STRAY}")
    return found


def _of_artifact(folder: Path, known: _Known, key: str) -> list[str]:
    seal = known.get((f"{folder.parent.parent.name}/{folder.parent.name}", folder.name))
    if seal is None:
        return [UNSEALED]
    try:
        wrong = [f"is not what was sealed: {each}" for each in differences(digests_in(folder), seal.files)]
    except SealError as error:
        wrong = [f"is not what was sealed: {error}"]
    return wrong + _of_seal(folder / SEAL, seal, key)


def of_table(path: Path, known: _Known, key: str) -> list[str]:
    """What is wrong with a published table; empty where it is as it was sealed, for this contract and release."""
    seal = known.get((f"{path.parent.parent.name}/{TABLE}", path.stem))
    if seal is None:
        return [UNSEALED]
    try:
        wrong = [f"is not what was sealed: {each}" for each in differences({path.name: digest_of(path)}, seal.files)]
    except SealError as error:
        wrong = [f"is not what was sealed: {error}"]
    return wrong + _of_seal(path.with_name(path.name + SUFFIX), seal, key)


def _of_seal(path: Path, seal: Seal, key: str) -> list[str]:
    """What is wrong with the copy of a seal that lies beside its files."""
    if not path.exists():
        return [f"has no {path.name} beside it, without which a recipient cannot check it: publish or use it again"]
    try:
        digest_of(path)
        stated, checkpoint = read_portable(_held_by(path))
    except (SealError, OSError, RecursionError) as error:
        return [f"has a {path.name} that is no seal: {error}"]
    if stated.body != seal.body:
        return [f"has a {path.name} that is another artifact's: its seal is entry {seal.seq}"]
    return [] if checkpoint.is_signed_by(key) else [f"has a {path.name} that this ledger's key did not sign"]


def _seals(home: Home) -> Iterator[Path]:
    yield from sorted(home.artifacts.glob(f"*/*/*/{SEAL}"))
    yield from sorted((home.warehouse / PARQUET).glob(f"*/*/*{SUFFIX}"))
