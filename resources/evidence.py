"""What lies outside the ledger and speaks for or against it: artifacts, published tables, their seals and checkpoints.

Reads what lies in a home folder with distrust. The ledger says what left and with which files; here is said what of
that is not so on disk, and what lies there of which the ledger knows nothing.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ledger import Checkpoint, LedgerError, SealError
from ledger.seals import RECEIPT, Seal, read_portable
from resources.seals import SEAL, SUFFIX, TABLE, differences, digest_of, digests_in

if TYPE_CHECKING:
    from ledger import Ledger
    from ledger.snapshot import Artifact
    from resources.home import Home

UNSEALED = (
    "was never sealed in the ledger: it was made before artifacts were sealed, or put there. `dpsynth audit seal` "
    "seals the releases that the ledger knows by their files; make the rest again, which is free, or move it away"
)
_Known = Mapping[tuple[str, str], Seal]


def receipts(home: Home, only: Collection[Path] | None = None) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Every artifact's folder and receipt, or those of the named folders. A receipt that cannot be read is empty."""
    for file in sorted(home.artifacts.glob(f"*/*/*/{RECEIPT}")):
        if only is None or file.parent in only:
            try:
                stated = json.loads(file.read_text(encoding="utf-8"))
            except (OSError, ValueError):
                stated = None
            yield file.parent, stated if isinstance(stated, dict) else {}


def checkpoints(home: Home, only: Collection[Path] | None = None) -> list[Checkpoint]:
    """The signed checkpoints in all seals, and in receipts from before there were seals; `only`: of the artifacts in
    these folders. What is none is left for `contradictions` to say."""
    found = []
    for path in _seals(home):
        if only is None or path.parent in only:
            try:
                found.append(read_portable(path.read_bytes())[1])
            except (LedgerError, OSError):
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
    from ledger.snapshot import Artifact

    for folder, _ in receipts(home):
        name = str(folder.relative_to(home.artifacts))
        try:
            seal, _ = read_portable((folder / SEAL).read_bytes())
            release = bool(seal.charges) and not seal.made_from
            yield Artifact(name, folder_content(folder) if release else None, seal.ledger, seal.seq, seal.hash)
        except (LedgerError, OSError):
            yield Artifact(name, None, None, None, None)


def folder_content(folder: Path) -> str | None:
    """SHA-256 over a folder's files, receipt and seal aside; None where it holds what is no file."""
    from ledger.seals import content_digest

    try:
        return content_digest(digests_in(folder))
    except SealError:
        return None


def contradictions(home: Home, book: Ledger, only: Collection[Path] | None = None) -> list[str]:
    """Where what lies on disk and the ledger disagree: other files than were sealed, a seal that is another's or
    forged, an artifact or a published table that was never sealed.

    `only`: the folders of the artifacts to look at; otherwise all of them, and all published tables.
    """
    known = {(seal.name, seal.id): seal for seal in book.seals()}  # the newest of each
    key = book.public_key
    found = []
    for folder in sorted(home.artifacts.glob("*/*/*")):
        inside = [folder / RECEIPT, folder / SEAL]
        if folder.parent.name.startswith(".") or not any(path.exists() or path.is_symlink() for path in inside):
            continue  # work that is not finished
        if only is None or folder in only:
            where = f"artifact {folder.relative_to(home.artifacts)}"
            found += [f"{where} {wrong}" for wrong in _of_artifact(folder, known, key)]
    if only is None:
        for path in sorted((home.warehouse / "parquet").glob("*/*/*.parquet")):
            if not path.name.startswith("."):
                found += [f"published table {path} {wrong}" for wrong in of_table(path, known, key)]
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
        stated, checkpoint = read_portable(path.read_bytes())
    except (SealError, OSError) as error:
        return [f"has a {path.name} that is no seal: {error}"]
    if stated.body != seal.body:
        return [f"has a {path.name} that is another artifact's: its seal is entry {seal.seq}"]
    return [] if checkpoint.is_signed_by(key) else [f"has a {path.name} that this ledger's key did not sign"]


def _seals(home: Home) -> Iterator[Path]:
    yield from sorted(home.artifacts.glob(f"*/*/*/{SEAL}"))
    yield from sorted((home.warehouse / "parquet").glob(f"*/*/*{SUFFIX}"))
