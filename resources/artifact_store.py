"""Artifacts: what releases and post-processing leave behind, each sealed in the ledger.

    artifacts/<contract>/<kind>/<id>/...          the files
    artifacts/<contract>/<kind>/<id>/receipt.json what it is and what it was made from, sealed like the other files
    artifacts/<contract>/<kind>/<id>/seal.json    the seal as it travels: `dpsynth verify` checks the folder with it
    artifacts/<contract>/<kind>/.unfinished/<...> what is being made, and what a long piece of work has done so far

An artifact is made in this order: its files, (of a release) the commit of its charge, its receipt, its place under its
id, its seal in the ledger, `seal.json`. It exists from the moment that the ledger has its seal, and only while its
files are those that were sealed; what lies under an id and was never sealed is none. What a kill leaves before that
nobody finds, and running the asset again makes another; a release that was committed by then is sealed by
`seal_committed`. `seal.json` is a copy of what the ledger says, written again where it is missing. Which artifact
stands, what it rests on and what that cost is read from the ledger; a receipt is not believed, and holds no charge.

Everything here has left the sensitive zone: an adapter, noisy counts, synthetic rows, figures on public data.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import shutil
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock

from ledger import Charge, Checkpoint, Ledger, LedgerError, Seal
from ledger.errors import SealError
from ledger.seals import RECEIPT, content_digest, read_portable
from resources.deployed import Deployed
from resources.heads import open_ledger
from resources.home import Home, replace_atomically
from resources.seals import SEAL, UNFINISHED, differences, digests_in, standing


class ArtifactError(Exception):
    """An artifact cannot be had; says why, and what to do."""


class ArtifactMissingError(ArtifactError):
    """An artifact was asked for that nothing has made yet; says which asset to materialize."""


class ArtifactChangedError(ArtifactError):
    """The files of an artifact are not those that were sealed."""


@dataclass(frozen=True)
class Artifact:
    """A finished artifact, as it was sealed: its folder, its receipt, its seal and the charges that it rests on."""

    contract: str
    kind: str
    id: str
    folder: Path
    receipt: dict[str, Any]
    seal: Seal
    charges: tuple[Charge, ...]

    @property
    def digest(self) -> str:
        """SHA-256 over names and contents of its files, the receipt aside."""
        return content_digest(self.seal.files)

    @property
    def receipts(self) -> list[dict[str, Any]]:
        """The charges that this artifact rests on, its own and those of what it was made from, as the ledger has them:
        enough to find each and to check it."""
        return [
            {
                "release": charge.release,
                "population": charge.population,
                "event": charge.event.to_json(),
                "plan_digest": charge.plan_digest,
                "reservation": charge.reservation,
                "ledger_seq": charge.seq,
                "ledger_hash": charge.hash,
            }
            for charge in self.charges
        ]

    @property
    def checkpoint(self) -> Checkpoint | None:
        """The ledger's signature under the seal, as it lies beside the files; None where it could not be signed."""
        try:
            return read_portable((self.folder / SEAL).read_bytes())[1]
        except (OSError, LedgerError):
            return None

    @property
    def without_guarantee(self) -> bool:
        """Whether it was made, itself or what it was made from, without privacy (the gate's uncharged passage)."""
        return self.seal.guarantee is None


class Draft:
    """An artifact in the making: a folder under its final id, not yet to be found by anybody."""

    def __init__(self, contract: str, kind: str, folder: Path) -> None:
        self.contract, self.kind, self.folder = contract, kind, folder
        self.kept = False  # whether the folder stays: it is sealed, or paid for

    @property
    def id(self) -> str:
        return self.folder.name

    def digest(self) -> str:
        """SHA-256 over names and contents of all files but the receipt."""
        return folder_digest(self.folder)


class ArtifactStore(Deployed):
    """Reads and writes artifacts under the home folder. What it hands out was compared with its seal."""

    @contextmanager
    def draft(self, contract: str, kind: str) -> Iterator[Draft]:
        """A folder to write an artifact into; removed again unless it was sealed, or is to be kept."""
        identity = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
        folder = self._kind(contract, kind) / UNFINISHED / identity
        folder.mkdir(parents=True)
        draft = Draft(contract, kind, folder)
        try:
            yield draft
        finally:
            if not draft.kept:
                shutil.rmtree(draft.folder, ignore_errors=True)

    def finished(self, contract: str, kind: str, identity: str) -> Draft | None:
        """A draft that was kept, by its id; None where no such folder is here."""
        if not re.fullmatch(r"[0-9A-Za-z-]{1,64}", identity):
            return None
        for folder in (self._kind(contract, kind) / UNFINISHED / identity, self._kind(contract, kind) / identity):
            if folder.is_dir():
                draft = Draft(contract, kind, folder)
                draft.kept = True
                return draft
        return None

    @contextmanager
    def unfinished(self, contract: str, kind: str, *made_of: str) -> Iterator[Path]:
        """A folder that outlives a killed process, the same for the same `made_of`; removed when the block succeeds."""
        name = hashlib.sha256("\0".join(made_of).encode()).hexdigest()[:32]
        folder = self._kind(contract, kind) / UNFINISHED / name
        folder.mkdir(parents=True, exist_ok=True)
        yield folder
        shutil.rmtree(folder, ignore_errors=True)

    def seal(
        self,
        draft: Draft,
        *,
        made_from: Mapping[str, Artifact | Seal] | None = None,
        reservation: str | None = None,
        about: Mapping[str, Any] | None = None,
        protected: bool = True,
        nothing_of: str | None = None,
    ) -> Artifact:
        """Finish a draft: write its receipt, and seal it in the ledger. From then on it stands.

        Args:
            made_from: what it was made from. The ledger gives it the charges of each; where one has no guarantee,
                neither has this.
            reservation: the charge of its own that was committed with its files.
            about: further facts for the receipt.
            protected: False for what was made without privacy.
            nothing_of: the population of which no row was read for it.

        Raises:
            ArtifactError: the ledger cannot be used, or does not seal it, or the disk takes no more.
        """
        with self._sealing(draft.contract, draft.kind):
            before, more = dict(made_from or {}), dict(about or {})
            return self._seal(draft, before, reservation, more, protected=protected, nothing_of=nothing_of)

    def _seal(
        self,
        draft: Draft,
        before: Mapping[str, Artifact | Seal],
        reservation: str | None,
        about: Mapping[str, Any],
        *,
        protected: bool = True,
        nothing_of: str | None = None,
    ) -> Artifact:
        receipt = {
            "contract": draft.contract,
            "kind": draft.kind,
            "id": draft.id,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "artifact_digest": draft.digest(),
            "about": {**{name: each.id for name, each in before.items()}, **about},
        }
        data = json.dumps(receipt, indent=2, sort_keys=True, allow_nan=False).encode()
        with _spoken():
            _put(draft.folder / RECEIPT, data, self._kind(draft.contract, draft.kind))
            draft.folder = draft.folder.rename(self._kind(draft.contract, draft.kind) / draft.id)
            book = self._ledger()
            new = book.seal(
                f"{draft.contract}/{draft.kind}",
                draft.id,
                digests_in(draft.folder),
                made_from={name: each if isinstance(each, Seal) else each.seal for name, each in before.items()},
                reservation=reservation,
                protected=protected,
                nothing_of=nothing_of,
            )
        draft.kept = True
        if new.portable is not None:
            _write_seal(draft.folder, new.portable)
        return Artifact(draft.contract, draft.kind, draft.id, draft.folder, receipt, new.seal, new.charges)

    def latest(self, contract: str, kind: str) -> Artifact:
        """The standing artifact of a kind: the one that was sealed last.

        Raises:
            ArtifactMissingError: there is none; the message says which asset to materialize.
            ArtifactChangedError: its files are not those that were sealed.
            ArtifactError: the ledger cannot be read.
        """
        return self._proven(contract, kind, None)

    def get(self, contract: str, kind: str, identity: str) -> Artifact:
        """The artifact of that id, as `latest`."""
        return self._proven(contract, kind, identity)

    def find(self, contract: str, kind: str) -> Artifact | None:
        """The standing artifact of a kind, or None where nothing has made one; otherwise as `latest`."""
        try:
            return self.latest(contract, kind)
        except ArtifactMissingError:
            return None

    def seal_committed(self, *, but: Collection[str] = ()) -> list[Artifact]:
        """Seal what was committed and is not sealed, where its files are those that its charge names: from before there
        were seals, or cut off between the two.

        Args:
            but: kinds of releases that are made from artifacts too. Nothing that can be believed says from which, so
                they are not sealed.

        Raises:
            ArtifactError: the ledger cannot be used.
        """
        found = []
        with _spoken():
            book = self._ledger()
            sealed = {(seal.name, seal.id) for seal in book.seals()}
            paid = {charge.reservation for seal in book.seals() for charge in book.charges_of(seal)}
            committed = {
                (entry.release, entry.payload["artifact_digest"]): entry.reservation_id
                for entry in book.entries()
                if entry.kind == "committed" and entry.reservation_id not in paid  # a copy of a sealed one is nobody's
            }
            artifacts = Home.at(self.home).artifacts
            for folder in sorted((*artifacts.glob("*/*/[!.]*/"), *artifacts.glob(f"*/*/{UNFINISHED}/*/"))):
                contract, kind = folder.relative_to(artifacts).parts[:2]
                if kind in but or (f"{contract}/{kind}", folder.name) in sealed:
                    continue
                try:
                    reservation = committed.get((f"{contract}/{kind}", folder_digest(folder)))
                except SealError:  # it holds a link, or what cannot be read: it is nobody's release
                    continue
                if reservation is None:
                    continue
                with self._sealing(contract, kind):  # the run that made it, or another audit, may be sealing it now
                    if folder.is_dir() and standing(book, f"{contract}/{kind}", folder.name) is None:
                        about = _facts(_stated(folder).get("about"))
                        found.append(self._seal(Draft(contract, kind, folder), {}, reservation, about))
        return found

    @contextmanager
    def _sealing(self, contract: str, kind: str) -> Iterator[None]:
        """One process at a time writes receipts and seals of a kind: two that seal the same files, each with a receipt
        of its own, would leave one that the newest seal does not know."""
        folder = self._kind(contract, kind) / UNFINISHED
        with _spoken():
            folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock(folder / ".lock")
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def _proven(self, contract: str, kind: str, identity: str | None) -> Artifact:
        with _spoken():
            book = self._ledger()
            with book.reading() as now:
                seal = standing(now, f"{contract}/{kind}", identity)
                charges = () if seal is None else tuple(now.charges_of(seal))
            if seal is None:
                raise self._missing(contract, kind, identity)
            folder = self._kind(contract, kind) / seal.id
            if not folder.is_dir():
                raise ArtifactMissingError(
                    f"the {kind} {seal.id} of {contract} is sealed in the ledger, but {folder} is gone: put it back, "
                    f"or materialize {contract}/{kind} again"
                )
            if wrong := differences(digests_in(folder), seal.files):
                raise ArtifactChangedError(
                    f"the {kind} {seal.id} of {contract} is not what was sealed: {'; '.join(wrong)}. Nothing is made "
                    f"from it: put back the files of {folder}, or materialize {contract}/{kind} again"
                )
            if not (folder / SEAL).exists():
                with suppress(LedgerError):  # without the signing key
                    _write_seal(folder, book.portable(seal))
        receipt = json.loads((folder / RECEIPT).read_text(encoding="utf-8"))
        return Artifact(contract, kind, seal.id, folder, receipt, seal, charges)

    def _missing(self, contract: str, kind: str, identity: str | None) -> ArtifactMissingError:
        folder = self._kind(contract, kind)
        if identity is not None:
            return ArtifactMissingError(f"{contract} has no {kind} {identity}: materialize {contract}/{kind} again")
        if any(folder.glob(f"*/{RECEIPT}")):
            return ArtifactMissingError(
                f"what {folder} holds was never sealed in the ledger, so nothing shows that it is what was released. "
                f"If it was made before artifacts were sealed: `dpsynth audit seal` seals the releases that the ledger "
                f"knows by their files, free; what is free to make, materialize again ({contract}/{kind})"
            )
        return ArtifactMissingError(f"{contract} has no {kind} yet: materialize {contract}/{kind} first")

    def _ledger(self) -> Ledger:
        return open_ledger(Home.at(self.home))

    def _kind(self, contract: str, kind: str) -> Path:
        return Home.at(self.home).artifacts / contract / kind


def folder_digest(folder: Path) -> str:
    """SHA-256 over the relative names and contents of a folder's files, receipt and seal aside."""
    return content_digest(digests_in(folder))


def _stated(folder: Path) -> dict[str, Any]:
    """The receipt that lies in a folder; empty where there is none."""
    try:
        stated = json.loads((folder / RECEIPT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return stated if isinstance(stated, dict) else {}


def _facts(stated: Any) -> dict[str, Any]:
    """What a receipt that nobody sealed may still say: of which snapshot, and of what share of the units."""
    if not isinstance(stated, dict):
        return {}
    snapshot, size = stated.get("snapshot"), stated.get("size")
    facts: dict[str, Any] = {}
    if isinstance(snapshot, str) and re.fullmatch(r"[0-9A-Za-z-]{1,64}", snapshot):
        facts["snapshot"] = snapshot
    if isinstance(size, int | float) and not isinstance(size, bool) and 0 < size <= 1:
        facts["size"] = size
    return facts


def _write_seal(folder: Path, portable: bytes) -> None:
    """Put the seal beside its files. Where there is none yet the artifact stands all the same, and `dpsynth audit
    verify` says what is missing."""
    with suppress(OSError):
        _put(folder / SEAL, portable, folder.parent)


def _put(path: Path, data: bytes, kind: Path) -> None:
    """Write a file of an artifact so that a kill, or a full disk, leaves nothing among its files: they would be others
    than were committed and sealed."""
    drafts = kind / UNFINISHED
    drafts.mkdir(parents=True, exist_ok=True)
    replace_atomically(path, data, drafts=drafts)


@contextmanager
def _spoken() -> Iterator[None]:
    """What the ledger or the disk says, as an error about an artifact: in sentences that are written for people."""
    try:
        yield
    except LedgerError as error:
        raise ArtifactError(str(error)) from error
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        raise ArtifactError(f"{where}{error.strerror or type(error).__name__}") from error
