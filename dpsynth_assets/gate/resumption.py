"""Taking over a release whose run was killed: under the same reservation, with the steps that run again charged on top.

A release that keeps checkpoints holds a lock on their folder for as long as its process lives; the kernel frees it when
the process dies. So whoever gets the lock of an unfinished release may take it over, and nobody can take over one that
still runs. What it takes: the same asset, partition and plan (the reservation's key). It is finished on the snapshot
that it was begun on, for as long as that is kept, whatever was snapshotted since: what was paid for is found, and
whether two snapshots hold the same rows is asked by nobody, since the answer would be an output.

Checkpoints lie in the sensitive zone until the release is committed. Knows the ledger and the store; what a checkpoint
holds is the release's business, which says what would run again.
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from dpsynth_assets.gate.sources import source_of
from ledger import Event, Reservation
from resources.home import Home, private_folder, write_private
from resources.sensitive_store import SensitiveStore
from resources.tabular import SourceError

if TYPE_CHECKING:
    from dpsynth_assets.contract import Contract

_ROOM = 2**20  # bytes: many times what the ledger writes of a charge

# From a checkpoint folder and the steps that were charged as run again before: what runs again now, or None.
Replay = Callable[[Path, tuple[Event, ...]], Event | None]


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

    @staticmethod
    def require(store: SensitiveStore) -> None:
        """Pass if a folder of checkpoints could be locked and written now, and the ledger's head be remembered beside
        it: before a charge, since a disk that is full after it leaves a charge and no release.

        Raises:
            SourceError: the sensitive folder cannot be written to.
        """
        folder = Home.at(store.home).sensitive
        try:
            with FileLock(_folders(store) / ".lock", mode=0o600):
                probe = _folders(store) / ".room"
                probe.unlink(missing_ok=True)
                try:
                    write_private(probe, secrets.token_bytes(_ROOM))
                finally:
                    probe.unlink(missing_ok=True)
        except OSError as error:
            problem = error.strerror or type(error).__name__
        else:
            return
        raise SourceError(
            f"{folder} cannot be written to ({problem}), so a release could not be finished: free some space there, or "
            "let this account write. Nothing was charged"
        )

    def exist(self) -> bool:
        return self.folder.is_dir() and any(self.folder.iterdir())

    def release(self, *, discard: bool) -> None:
        """Lets the lock go; with `discard` the checkpoints too."""
        if discard:
            shutil.rmtree(self.folder, ignore_errors=True)
        self.lock.release()


def unfinished(
    begun: Iterable[Reservation], store: SensitiveStore, contract: Contract
) -> tuple[Reservation, Checkpoints] | None:
    """Of these reservations, the one that was activated and left with checkpoints, if its process is dead and its rows
    are kept. A folder that does not exist yet is not even locked: it may be about to be made by a process that lives.
    """
    for reservation in begun:
        left = reservation.state in ("activated", "redeemed") and (_folders(store) / reservation.id).is_dir()
        if left and _readable(store, contract, reservation):
            checkpoints = Checkpoints.of(store, reservation.id)
            if checkpoints is not None and checkpoints.exist():
                return reservation, checkpoints
            if checkpoints is not None:
                checkpoints.release(discard=False)
    return None


def _folders(store: SensitiveStore) -> Path:
    return private_folder(private_folder(Home.at(store.home).sensitive) / "checkpoints")


def _readable(store: SensitiveStore, contract: Contract, reservation: Reservation) -> bool:
    try:
        store.readable(source_of(contract), reservation.source)
    except SourceError:
        return False
    return True
