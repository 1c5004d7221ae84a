"""Taking over a release whose run was killed: under the same reservation, with the steps that run again charged on top.

A release holds a lock on its folder here for as long as its process lives; the kernel frees it when the process dies.
So whoever gets the lock of an unfinished release may take it over, and nobody can take over one that still runs. What
it takes: the same asset, partition and plan (the reservation's key). It is finished on the snapshot that it was begun
on, for as long as that is kept, whatever was snapshotted since: what was paid for is found, and whether two snapshots
hold the same rows is asked by nobody, since the answer would be an output.

What runs again is nothing where the ledger never handed out the rows. Where it did, the folder knows, which is there
from before that moment on and goes in one piece: without it nobody can tell what ran, and nothing is taken over.

The folder lies in the sensitive zone until the release is sealed. Knows the ledger and the store; what a checkpoint
holds is the release's business, which says what would run again.
"""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from dpsynth_assets.gate.sources import source_of
from ledger import Event, Ledger, Reservation
from resources.home import Home, private_folder, replace_atomically, write_private
from resources.sensitive_store import SensitiveStore
from resources.tabular import SourceError

if TYPE_CHECKING:
    from dpsynth_assets.contract import Contract

_ROOM = 2**20  # bytes: many times what the ledger writes of a charge

# From a checkpoint folder and the steps that were charged as run again before: what runs again now, or None.
Replay = Callable[[Path, tuple[Event, ...]], Event | None]


_BEGUN, _FINISHED, _GONE = "begun", "finished.json", ".gone"


def starting(store: SensitiveStore) -> FileLock:
    """Held from before a charge until its folder is locked, and while a folder is locked to be taken over: a charge
    whose process lives is never taken for one whose process died."""
    return FileLock(_folders(store) / ".lock", mode=0o600)


def require_room(store: SensitiveStore, held: FileLock) -> None:
    """Take the lock of `starting`, and pass if a folder could be made and written to now: before a charge, since a disk
    that is full after it leaves a charge and no release.

    Raises:
        SourceError: the sensitive folder cannot be written to.
    """
    folder = Home.at(store.home).sensitive
    try:
        if not held.is_locked:
            held.acquire()
        probe = _folders(store) / ".room"
        probe.unlink(missing_ok=True)
        try:
            write_private(probe, secrets.token_bytes(_ROOM))
        finally:
            probe.unlink(missing_ok=True)
    except OSError as error:
        raise SourceError(
            f"{folder} cannot be written to ({error.strerror or type(error).__name__}), so a release could not be "
            "finished: free some space there, or let this account write. Nothing was charged"
        ) from None


@dataclass(frozen=True)
class Checkpoints:
    """The folder of one release's checkpoints, locked by this process."""

    folder: Path
    lock: FileLock

    @classmethod
    def of(cls, store: SensitiveStore, reservation: str) -> Checkpoints | None:
        """Locks the reservation's folder; None where another process holds it."""
        folder = _folders(store) / reservation
        lock = FileLock(folder.with_name(f"{reservation}.lock"), mode=0o600)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return None
        return cls(folder, lock)

    def exist(self) -> bool:
        return self.folder.is_dir() and any(self.folder.iterdir())

    def begin(self, made_from: Mapping[str, str]) -> None:
        """Make the folder, durably: to be called before the rows are asked for. `made_from` is what the release is
        made from beside them: nobody goes on with it from anything else, or its seal would leave a charge out."""
        self.folder.mkdir(mode=0o700, exist_ok=True)
        replace_atomically(self.folder / _BEGUN, json.dumps(dict(made_from)).encode())

    def begun_from(self) -> dict[str, str]:
        """What `begin` was told; nothing where it was not told."""
        try:
            said = json.loads((self.folder / _BEGUN).read_bytes() or b"{}")
        except (OSError, ValueError):
            return {}
        return said if isinstance(said, dict) else {}

    def finish(self, **record: Any) -> None:
        """Write down what a finished release needs to be found by (`adoption`)."""
        replace_atomically(self.folder / _FINISHED, json.dumps(record).encode())

    def release(self, *, discard: bool) -> None:
        """Lets the lock go; with `discard` the checkpoints too, all at once: part of them would count too few steps."""
        if discard:
            with suppress(OSError):
                self.folder.rename(self.folder.with_suffix(_GONE))
            for gone in self.folder.parent.glob(f"*{_GONE}"):
                shutil.rmtree(gone, ignore_errors=True)
        self.lock.release()


def clear_ended(book: Ledger, store: SensitiveStore) -> None:
    """Discard what is left of releases that ended, sealed or forfeited, and whose process died before it could do so:
    the next run may go past them, so it is not theirs to do.

    Raises:
        LedgerError: the ledger cannot be read.
    """
    left = {path.name.removesuffix(_GONE) for path in _folders(store).iterdir() if path.is_dir()}
    if not left:
        return
    for found in book.reservations():
        if found.id in left and _has_ended(book, found) and (checkpoints := locked(store, found.id)) is not None:
            checkpoints.release(discard=True)


def _has_ended(book: Ledger, found: Reservation) -> bool:
    return found.state in ("forfeited", "voided") or (found.state == "committed" and is_sealed(book, found))


def is_sealed(book: Ledger, found: Reservation) -> bool:
    """Whether a release that the reservation paid for is sealed."""
    return any(charge.reservation == found.id for seal in book.seals(found.release) for charge in book.charges_of(seal))


def finished(store: SensitiveStore) -> set[str]:
    """The reservations whose release left word that it was finished. It goes when the release is sealed."""
    return {path.parent.name for path in _folders(store).glob(f"*/{_FINISHED}")}


def word_of(store: SensitiveStore, reservation: str) -> dict[str, Any]:
    """What a finished release wrote down; empty where nothing can be read."""
    try:
        record = json.loads((_folders(store) / reservation / _FINISHED).read_bytes())
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def locked(store: SensitiveStore, reservation: str) -> Checkpoints | None:
    """A release's folder, where its process has died."""
    with starting(store):
        return Checkpoints.of(store, reservation)


def unfinished(
    begun: Iterable[Reservation],
    book: Ledger,
    store: SensitiveStore,
    contract: Contract,
    replay: Replay | None,
    made_from: Mapping[str, str],
) -> tuple[Reservation, Checkpoints] | None:
    """Of these reservations, the one that was activated and not finished, if its process is dead, its rows are kept,
    what would run again can be told, it was begun from the same artifacts, and no audit has refuted it: what cannot be
    sealed is not gone on with."""
    for found in begun:
        if found.state not in ("activated", "redeemed") or not _readable(store, contract, found):
            continue
        if any(incident.reservation == found.id for incident in book.incidents(found.population)):
            continue
        checkpoints = locked(store, found.id)
        if checkpoints is None:
            continue
        now = as_it_is(book, found)
        alike = checkpoints.begun_from() == dict(made_from)
        told = not now.redeemed or (replay is not None and checkpoints.exist() and alike)
        if now.state in ("activated", "redeemed") and told:
            return now, checkpoints
        checkpoints.release(discard=False)
    return None


def goes_on(
    begun: Iterable[Reservation], book: Ledger, store: SensitiveStore, contract: Contract, replay: Replay | None
) -> bool:
    """Whether a run that comes to this release now would go on with one of these reservations, and not be charged
    anew. One that was made from other artifacts is charged for: these may be made anew by then."""
    listed = [each for each in begun if each.population == contract.privacy.population]
    if any(word_of(store, each.id).get("made_from") == {} for each in listed):
        return True
    if (left := unfinished(listed, book, store, contract, replay, {})) is not None:
        left[1].release(discard=False)
    return left is not None


def as_it_is(book: Ledger, found: Reservation) -> Reservation:
    """Read again under the lock: until it was ours the release's process may have gone on."""
    [now] = [each for each in book.reservations(key=found.key) if each.id == found.id]
    return now


def _folders(store: SensitiveStore) -> Path:
    return private_folder(private_folder(Home.at(store.home).sensitive) / "checkpoints")


def _readable(store: SensitiveStore, contract: Contract, reservation: Reservation) -> bool:
    try:
        store.readable(source_of(contract), reservation.source)
    except SourceError:
        return False
    return True
