"""Moves a ledger between its file and a server, with every entry as it is, so that one place has it at any time.

    ledger.moving    what is being moved: from where, under which name it lies meanwhile, and to where

While that note is there, there is no ledger for anybody: it is written before anything is moved, and removed last. In
between the ledger is put under a name of its own where it lies, its entries are written to the new place in one piece,
and the address is changed. Killed on the way, the same call goes on, and one to the old place gives up. Where a call
fails and the new place has nothing of it, it gives up by itself. What was put aside stays there, as nobody's ledger.
"""

from __future__ import annotations

import json
import re
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path

import filelock

from ledger.addresses import Address, address_of
from ledger.errors import LedgerBroken, LedgerBusy, LedgerError, LedgerUnsure
from ledger.places import AnyStore, address_at, moving_note, write_address, write_durably
from ledger.postgresql import PostgreSQLStore
from ledger.store import DuckDBStore, make_durable
from ledger.transaction import Witness
from ledger.verification import problems_of

FILE = "file"  # in the note, for the ledger's own


@dataclass(frozen=True)
class _Note:
    came_from: str
    suffix: str
    goes_to: str


def move(path: Path | str, to: Address | None, witness: Witness | None = None) -> str:
    """Move the ledger at this path to a server, or to the file where `to` is None; gives where the old one lies now.

    Args:
        witness: of the ledger where it lies. Asked while its lock is held and it is put under the other name: whoever
            may append nothing moves nothing, in a call that goes on with an earlier one too.

    Raises:
        LedgerBroken: it does not verify, or contradicts the witness. It stays where it is.
        LedgerBusy: another process moves it.
        LedgerError: it is there already, or the new place is taken, or cannot be had. It stays where it is, unless the
            message says that the move is under way.
        LedgerMissing: there is no ledger.
    """
    with moves(path):
        note, goes_to = _noted(path), _named(to)
        if note is not None and _is_done(path, note):
            _forget(path)
            note = None
        if note is None:
            came_from = _named(address_at(path))
            if came_from == goes_to:
                raise LedgerError(f"the ledger is at {_store(path, goes_to).name} already: nothing was moved")
            _require_whole(_store(path, came_from))
            _store(path, goes_to).require_absent()
            note = _Note(came_from, f"moved_{secrets.token_hex(4)}", goes_to)
            write_durably(moving_note(path), json.dumps(asdict(note)))
        if goes_to not in (note.came_from, note.goes_to):
            raise _under_way(path, note)
        if goes_to == note.came_from:
            return _give_up(path, note)
        return _finish(path, note, witness)


def moves(path: Path | str) -> filelock.BaseFileLock:
    """The lock of whoever makes or moves the ledger at this path; LedgerBusy where another process has it."""
    lock = _Lock(moving_note(path).with_suffix(".moving-lock"), timeout=0, mode=0o600, fallback_to_soft=False)
    lock.lock_file_for = str(path)
    return lock


class _Lock(filelock.FileLock):
    lock_file_for = ""

    def __enter__(self) -> _Lock:
        try:
            self.acquire()
        except filelock.Timeout:
            raise LedgerBusy(
                f"another process makes or moves the ledger of {self.lock_file_for}: let it finish"
            ) from None
        except (OSError, NotImplementedError) as error:
            raise LedgerError(
                f"{self.lock_file} cannot be locked ({error}): let this account write there, on a disk with locks"
            ) from None
        return self


def _finish(path: Path | str, note: _Note, witness: Witness | None) -> str:
    here, there = _store(path, note.came_from, witness), _store(path, note.goes_to)
    aside = here.renamed(note.suffix)
    try:
        if not aside.exists():
            here.rename(aside)  # type: ignore[arg-type]  # of the same kind
        ledger_id, records, _ = aside.everything()
        if not there.exists():
            there.create(ledger_id, records)
        elif there.everything()[:2] != (ledger_id, records):  # not what an earlier call wrote before it was killed
            raise LedgerError(f"something else is at {there.name} by now")
        write_address(path, _address(note.goes_to))
        _forget(path)
    except LedgerUnsure as error:
        raise LedgerError(f"{error}. {_under_way(path, note)}") from error
    except Exception as error:
        if _is_absent(there):
            _give_up(path, note)
            raise
        raise LedgerError(f"{error}. {_under_way(path, note)}") from error
    return aside.name


def _give_up(path: Path | str, note: _Note) -> str:
    """Put the ledger back where it was. What the new place has of it is put aside there."""
    here, there = _store(path, note.came_from), _store(path, note.goes_to)
    aside, left = here.renamed(note.suffix), there.name
    if there.exists():
        try:
            same = aside.exists() and there.everything()[:2] == aside.everything()[:2]
        except LedgerError:
            same = False  # it is somebody else's
        if same:
            away = there.renamed(f"{note.suffix}_{secrets.token_hex(2)}")
            there.rename(away)  # type: ignore[arg-type]  # of the same kind
            left = away.name
    if aside.exists() and not here.exists():
        aside.rename(here)  # type: ignore[arg-type]  # of the same kind
    if not here.exists():  # a server may still be about to put it under the one name or the other
        raise LedgerError(f"the ledger is under neither of its names. {_under_way(path, note)}: wait, and try again")
    write_address(path, _address(note.came_from))
    _forget(path)
    return left


def _is_done(path: Path | str, note: _Note) -> bool:
    """Whether all was moved, and only the note is left: the address is changed last."""
    return note.goes_to != note.came_from and _named(address_at(path)) == note.goes_to


def _forget(path: Path | str) -> None:
    moving_note(path).unlink(missing_ok=True)
    make_durable(moving_note(path).parent)


def _require_whole(here: AnyStore) -> None:
    here.require()
    ledger_id, records, wrong = here.everything()
    if problems := problems_of(ledger_id, records, wrong):
        raise LedgerBroken(f"the ledger was not moved, since it does not verify: {problems[0]}")


def _is_absent(there: AnyStore) -> bool:
    """Whether it is certain that nothing is there."""
    try:
        return not there.exists()
    except (LedgerError, OSError):
        return False


def _noted(path: Path | str) -> _Note | None:
    file = moving_note(path)
    if not file.exists():
        return None
    try:
        note = _Note(**json.loads(file.read_text(encoding="utf-8")))
        if not re.fullmatch(r"moved_[0-9a-f]{8}", note.suffix):
            raise ValueError
        _address(note.came_from), _address(note.goes_to)
    except (OSError, ValueError, TypeError, AttributeError, LedgerError):
        raise LedgerError(
            f"{file}, which says from where to where the ledger is moved, cannot be read: put it back from a backup, "
            "or find the ledger by its names, `moved_...` and without, and remove the file"
        ) from None
    return note


def _under_way(path: Path | str, note: _Note) -> LedgerError:
    return LedgerError(
        f"A move of the ledger from {_store(path, note.came_from).name} to {_store(path, note.goes_to).name} is under "
        f"way: `dpsynth ledger move {note.goes_to}` goes on with it, `dpsynth ledger move {note.came_from}` gives it up"
    )


def _named(address: Address | None) -> str:
    return FILE if address is None else str(address)


def _address(named: str) -> Address | None:
    return None if named == FILE else address_of(named)


def _store(path: Path | str, named: str, witness: Witness | None = None) -> AnyStore:
    address = _address(named)
    return DuckDBStore(path, witness) if address is None else PostgreSQLStore(address, witness)
