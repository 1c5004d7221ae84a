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

from filelock import FileLock, Timeout

from dpsynth_assets.gate.resumption import finished
from dpsynth_assets.gate.spec import spec_keys
from dpsynth_assets.releases.release import Plan
from ledger import Ledger, LedgerError, Request, Reservation
from resources.home import Home, private_folder
from resources.sensitive_store import SensitiveStore

if TYPE_CHECKING:
    import dagster as dg

_IN_ONE_PROCESS = ("in_process", "execute_in_process_executor")  # as Dagster calls the executors that do
_ours: dict[str, FileLock] = {}  # the runs of this process that hold something


def hold(
    context: dg.AssetExecutionContext,
    book: Ledger,
    store: SensitiveStore,
    population: str,
    source: str,
    asked: Sequence[tuple[str, Plan]],
) -> None:
    """Reserve this run's releases, the next one first. What a former run left of the later ones is gone on with in its
    turn, and not asked for again.

    Raises:
        BudgetRefused: one of them does not fit. Nothing is held then.
    """
    run, left, requests = context.run.run_id, finished(store), []
    for number, (name, plan) in enumerate(asked):
        keys = spec_keys(name, plan)
        begun = [each for key in keys for each in book.reservations(key=key)] if number else []
        if not any(each.state in ("activated", "redeemed") or each.id in left for each in begun):
            requests.append(Request(population, plan.event(), source, name, keys[0], run, plan.digest()))
    together = context.op_execution_context.job_def.executor_def.name in _IN_ONE_PROCESS
    if together and run not in _ours and (lock := _lock_of(store.home, run)) is not None:
        lock.acquire(timeout=0)
        _ours[run] = lock
    book.reserve_all(requests, reason="the releases of its run were not all admitted", hold=together)


def held(begun: Iterable[Reservation], run: str) -> Reservation | None:
    """What the run holds, of these reservations."""
    return next((each for each in begun if each.state == "reserved" and each.owner == run), None)


def let_go(opened: Callable[[], Ledger], run: str) -> None:
    """Give back what the run holds and does not come to any more."""
    if run not in _ours:
        return
    with suppress(LedgerError):  # else the next run about these people does it
        book = opened()
        _void((each for each in book.reservations("reserved") if each.owner == run), book)
    _end(_ours.pop(run))


def give_back(
    reserved: Iterable[Reservation],
    book: Ledger,
    home: str,
    population: str,
    instance: dg.DagsterInstance | None = None,
) -> None:
    """Give back what of this is held about these people by runs that died, or that the instance says have ended."""
    waiting = [each for each in reserved if each.population == population]
    for owner in {each.owner for each in waiting} - set(_ours):
        run = None if instance is None else instance.get_run_by_id(owner)
        ended, lock = run is not None and run.is_finished, _lock_of(home, owner)
        if lock is not None and (ended or Path(lock.lock_file).exists()):
            with suppress(Timeout):
                lock.acquire(timeout=0)
                _void((each for each in waiting if each.owner == owner), book)
                _end(lock)


def _void(reservations: Iterable[Reservation], book: Ledger) -> None:
    for each in reservations:
        with suppress(LedgerError):  # another run may have been quicker
            book.void(each.id, reason="its run ended before activation")


def _end(lock: FileLock) -> None:
    Path(lock.lock_file).unlink(missing_ok=True)
    lock.release()


def _lock_of(home: str, run: str) -> FileLock | None:
    """None of an owner that is no run."""
    if not re.fullmatch(r"[0-9a-f-]{36}", run):
        return None
    folder = private_folder(private_folder(Home.at(home).sensitive) / "runs")
    return FileLock(folder / f"{run}.lock", mode=0o600, thread_local=False)
