"""What a run holds in the ledger for the releases that it comes to later: all of it from its first charge on, or none.

So a run that was admitted finishes, whatever other runs ask meanwhile. What it does not come to is given back: when one
of its releases fails, when Dagster says that it has ended, and when its process has died. That is told by a lock which
the process holds for as long as it lives; the kernel frees it. Where the releases of a run are made in processes of
their own nobody could hold such a lock, and it is only asked whether all of them fit.

Knows the ledger, runs and their processes; nothing of what a release computes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from dpsynth_assets.gate.spec import spec_keys
from dpsynth_assets.releases.release import Plan
from ledger import Ledger, LedgerError, ProtocolError, Request, Reservation
from resources.home import Home, private_folder
from resources.sensitive_store import SensitiveStore
from resources.snapshots import Snapshot
from resources.source import Source
from resources.tabular import SourceError

if TYPE_CHECKING:
    import dagster as dg

_IN_ONE_PROCESS = ("in_process", "execute_in_process_executor")  # as Dagster calls the executors that do
_RUNS = "runs"
_ours: dict[str, FileLock] = {}  # the runs of this process that hold something


def hold(
    context: dg.AssetExecutionContext,
    book: Ledger,
    store: SensitiveStore,
    population: str,
    source: str,
    asked: Sequence[tuple[str, Plan]],
) -> None:
    """Reserve these releases of the run, in the order in which they are made.

    Raises:
        BudgetRefused: one of them does not fit. Nothing is held then.
        SourceError: the lock that says that this process lives cannot be had.
    """
    run = context.run.run_id
    requests = [
        Request(population, plan.event(), source, name, spec_keys(name, plan)[0], run, plan.digest())
        for name, plan in asked
    ]
    together = context.op_execution_context.job_def.executor_def.name in _IN_ONE_PROCESS
    if together and run not in _ours:
        try:
            if (lock := _lock_of(store.home, run)) is not None:
                lock.acquire(timeout=0)
                _ours[run] = lock
        except OSError as error:
            raise SourceError(
                f"{Home.at(store.home).sensitive / _RUNS} cannot be written to ({error.strerror or 'locked'}): free "
                "some space there, or let this account write. Nothing was charged"
            ) from None
    book.reserve_all(requests, reason="the releases of its run were not all admitted", hold=together)


def held(begun: Iterable[Reservation], run: str) -> Reservation | None:
    """What the run holds, of these reservations."""
    return next((each for each in begun if each.state == "reserved" and each.owner == run), None)


def holds(run: str) -> bool:
    """Whether the run holds anything, in this process."""
    return run in _ours


def snapshot_of(
    opened: Callable[[], Ledger], store: SensitiveStore, source: Source, release: str, run: str
) -> Snapshot:
    """The snapshot on which the run holds the release, or the standing one: meanwhile another run may have taken one,
    of another size.

    Raises:
        SourceError: there is none, or its rows are kept no longer.
        LedgerError: the ledger cannot be asked.
    """
    if holds(run):
        for each in opened().reservations("reserved"):
            if (each.owner, each.release) == (run, release):
                return store.readable(source, each.source)
    return store.latest(source)


def let_go(opened: Callable[[], Ledger], run: str) -> None:
    """Give back what the run holds and does not come to any more."""
    if (lock := _ours.pop(run, None)) is not None:
        _end(lock, run, lambda book: book.reservations("reserved"), opened)


def give_back(
    reserved: Iterable[Reservation],
    book: Ledger,
    home: str,
    instance: dg.DagsterInstance | None = None,
) -> None:
    """Give back what of this is held by runs that died, or that the instance says have ended. About other people too:
    their records may be among those that are asked about."""
    waiting = list(reserved)
    for owner in {each.owner for each in waiting} - set(_ours):
        run = None if instance is None else instance.get_run_by_id(owner)
        ended, lock = run is not None and run.is_finished, _lock_of(home, owner)
        if lock is not None and (ended or Path(lock.lock_file).exists()):
            with suppress(OSError):  # it lives; or its file cannot be locked, which is no reason to stop this run
                lock.acquire(timeout=0)
                _end(lock, owner, lambda _: waiting, lambda: book)


def _end(
    lock: FileLock, run: str, reserved: Callable[[Ledger], Iterable[Reservation]], opened: Callable[[], Ledger]
) -> None:
    """Give back what of this is the run's, and the lock. Its file stays where the ledger cannot be asked now: by that
    the next run finds it."""
    try:
        with suppress(LedgerError):
            book = opened()
            for each in reserved(book):
                if each.owner == run:
                    with suppress(ProtocolError):  # another run was quicker
                        book.void(each.id, reason="its run ended before activation")
            Path(lock.lock_file).unlink(missing_ok=True)
    finally:
        lock.release()


def _lock_of(home: str, run: str) -> FileLock | None:
    """None of an owner that is no run."""
    if not re.fullmatch(r"[0-9a-f-]{36}", run):
        return None
    folder = private_folder(private_folder(Home.at(home).sensitive) / _RUNS)
    return FileLock(folder / f"{run}.lock", mode=0o600, thread_local=False)
