"""Where entries live: one DuckDB file, one writer, one short transaction at a time, nobody else's to write or read.

The protocol is lock, open, one transaction, close. The lock is a file of its own beside the database, held with
flock, so that the kernel frees it when a process dies. DuckDB's own lock is not enough: inside one process its
snapshot isolation admits write skew, and *reading the database file's bytes in a process that has it open silently
drops the lock*. So nothing here ever opens, hashes or copies the live file other than through DuckDB.

Where nobody may write, as on a disk that is mounted read-only, the ledger is read all the same, and refuses to append.

`transaction` has what is done inside of one. A store knows records, not what they mean.
"""

from __future__ import annotations

import fcntl
import os
import stat
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import filelock

from ledger import chain
from ledger.chain import Record
from ledger.duckdb_files import trouble
from ledger.errors import LedgerBroken, LedgerBusy, LedgerError, LedgerMissing
from ledger.schema import CONFIG, differences, expected, shape, statements
from ledger.transaction import SQLTransaction, Transaction, Witness, all_records, contradictions, insert, trusted_head

if TYPE_CHECKING:
    import duckdb

SCHEMA_VERSION = 2
LOCK_TIMEOUT_SECONDS = 120.0


class Store(Protocol):
    def require(self) -> None:
        """LedgerMissing where it is easily seen that no ledger is there; else the first transaction sees it."""

    def transaction(self) -> AbstractContextManager[Transaction]: ...

    def everything(self) -> tuple[str, list[Record], list[str]]:
        """Ledger id, all records all_records, and what is wrong with the tables themselves: for the audit."""

    def schema_digest(self) -> str:
        """SHA-256 of the definitions of all tables and triggers, as the program would make them."""


class DuckDBStore:
    """The store on a DuckDB file. Holds a path and nothing open, so it may be shared, copied and pickled.

    With a witness, nothing is appended to a ledger that contradicts it.
    """

    def __init__(self, path: Path | str, witness: Witness | None = None) -> None:
        self.path = Path(path).resolve()  # one file, one lock, whatever name it was reached by
        self._witness = witness

    @property
    def key_path(self) -> Path:
        """Of the key that signs checkpoints."""
        return Path(f"{self.path}.key")

    def require_absent(self) -> None:
        leftovers = [path for path in (self.path, self._wal(self.path)) if path.exists()]
        if leftovers:
            raise LedgerError(
                f"{leftovers[0]} exists: a ledger is created once. To start over, move it away yourself, "
                "knowing that what it charged stays spent"
            )
        _private_folder(self.path.parent)

    def create(self, ledger_id: str, records: Iterable[Record]) -> None:
        """A new ledger of these records: its first, or those of a journal. Built under another name and moved, so it
        exists whole or not at all."""
        import duckdb

        _private_folder(self.path.parent)
        with self._lock():
            self.require_absent()
            draft_path = self.path.with_name(self.path.name + ".new")
            drafts = (draft_path, self._wal(draft_path))
            for path in drafts:
                path.unlink(missing_ok=True)
            try:
                connection = duckdb.connect(str(draft_path), config=CONFIG)
                try:
                    connection.execute("BEGIN")
                    connection.execute(statements())
                    connection.execute("INSERT INTO ledger VALUES (?, ?)", [SCHEMA_VERSION, ledger_id])
                    insert(connection, records)
                    connection.execute("COMMIT")
                    connection.execute("CHECKPOINT")
                finally:
                    connection.close()
            except duckdb.Error as error:
                for path in drafts:
                    path.unlink(missing_ok=True)
                raise LedgerError(
                    f"{self.path} could not be made (it {trouble(draft_path, error).said}), and nothing of it was "
                    "left: see that its disk has room and takes files of a few megabytes, then try again"
                ) from error
            draft_path.chmod(0o600)
            draft_path.rename(self.path)
            make_durable(self.path.parent)

    def require(self) -> None:
        if not self.path.is_file():
            raise LedgerMissing(
                f"there is no privacy ledger at {self.path}. Without it no budget can be checked, so nothing sensitive "
                "may be read. If this is a new installation run `dpsynth init`; if a ledger was here, restore it with "
                "its .wal file: what it charged stays spent"
            )

    @property
    def name(self) -> str:
        """Where it lies, for messages."""
        return str(self.path)

    def exists(self) -> bool:
        return self.path.exists()

    def renamed(self, suffix: str) -> DuckDBStore:
        """The store of the file beside it that has this behind its name."""
        return DuckDBStore(self.path.with_name(f"{self.path.name}.{suffix}"), self._witness)

    def rename(self, other: DuckDBStore) -> None:
        """Put the ledger into another file of the same folder. Nobody finds it under its own name from then on.
        Refused where nothing would be appended."""
        other.require_absent()
        with self._open() as connection:  # when it is closed, DuckDB writes what the .wal file holds into the ledger
            if self._witness is not None:
                book = SQLTransaction(connection, _identity(connection), trusted_head(connection), None)
                self._witness.require(book)
        with self._lock():
            self.require()
            if (wal := self._wal(self.path)).exists():
                raise LedgerBusy(f"somebody wrote to the ledger meanwhile, as {wal} says: give the same command again")
            self.path.rename(other.path)
            make_durable(self.path.parent)

    @contextmanager
    def transaction(self) -> Iterator[SQLTransaction]:
        """Lock, open, check the head of the chain, run, commit, close. An exception leaves everything as it was."""
        import duckdb

        with self._open() as connection:
            self._require_here()
            ledger_id = _identity(connection)
            connection.execute("BEGIN")
            try:
                book = SQLTransaction(connection, ledger_id, trusted_head(connection), self._witness)
                yield book
                self._commit(connection)
                if book.appended and self._witness is not None:
                    self._witness.remember(book)
            except BaseException:
                with suppress(duckdb.Error):  # a failed COMMIT has rolled back already
                    connection.execute("ROLLBACK")
                raise

    def everything(self) -> tuple[str, list[Record], list[str]]:
        with self._open() as connection:
            ledger_id = _identity(connection)
            records = all_records(connection)
            wrong = list(differences(shape(connection), expected()))
            wrong += contradictions(connection, ledger_id, self._witness)
        return ledger_id, records, wrong

    def schema_digest(self) -> str:
        return chain.digest(chain.canonical(expected()))

    def _require_here(self) -> None:
        """LedgerMissing where the ledger is being moved, whatever lies here."""
        if self.path.with_suffix(".moving").exists():
            raise LedgerMissing(
                f"the ledger of {self.path} is being moved: nothing was entered. Try again when it is done"
            )

    def _commit(self, connection: duckdb.DuckDBPyConnection) -> None:
        connection.execute("COMMIT")
        _keep_private(self._wal(self.path))  # DuckDB makes it under the umask

    @contextmanager
    def _open(self) -> Iterator[duckdb.DuckDBPyConnection]:
        import duckdb

        self.require()
        read_only = not os.access(self.path.parent, os.W_OK)
        with self._lock_for_reading() if read_only else self._lock():
            self.require()  # it may have been moved away while we waited
            self._require_own_folder()
            if not read_only:
                self._keep_private()
            try:
                connection = duckdb.connect(str(self.path), read_only=read_only, config=CONFIG)
                try:
                    yield connection
                finally:
                    connection.close()
            except duckdb.Error as error:
                raise self._in_words(error, read_only=read_only) from error

    def _in_words(self, error: duckdb.Error, *, read_only: bool) -> LedgerError:
        """What DuckDB could not do with the file, and what to do about it."""
        found = trouble(self.path, error)
        if found.kind == "full":
            return LedgerError(
                f"no space is left on the disk of {self.path}, so nothing was entered: free some there, and "
                "give the same command again"
            )
        if found.kind == "held":
            return LedgerBusy(
                f"the ledger {self.path} {found.said}, so nothing was read or entered: close it there, and give the "
                "same command again"
            )
        if read_only and "read-only mode" in str(error):
            return LedgerError(
                f"this account may not write to {self.path.parent}, or its disk is read-only: what is in the ledger "
                "can be read here, and nothing was entered"
            )
        remedy = {
            "newer": "Use the version of this program that wrote it, or its DuckDB",
            "older": "Use the version of this program that wrote it",
            "damaged": (
                "Keep it as it is, and put a trusted copy back, with its .wal file; where there is none, move it away "
                "and rebuild it from its journal by `dpsynth audit restore`"
            ),
        }.get(found.kind, "Run `dpsynth audit verify`, or restore it from a trusted copy")
        return LedgerBroken(f"the ledger {self.path} {found.said}; nothing is admitted. {remedy}")

    def _require_own_folder(self) -> None:
        """Pass unless the folder is open to others' writing, so that they could put another ledger here.

        Raises:
            LedgerError: it is.
        """
        mode = self.path.parent.stat().st_mode
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            raise LedgerError(
                f"everybody may write to {self.path.parent}, and so put another ledger in its place: take that away "
                f"(`chmod 700 {self.path.parent}`), then run `dpsynth audit verify`"
            )

    def _keep_private(self) -> None:
        """Take away from the files what an earlier program, or a copy, left open to others."""
        for path in (self.path, self._wal(self.path), self.key_path):
            _keep_private(path)

    @contextmanager
    def _lock(self) -> Iterator[None]:
        # A soft lock would outlive a killed process, so a file system without flock is refused, not worked around.
        lock = filelock.FileLock(
            f"{self.path}.lock", LOCK_TIMEOUT_SECONDS, mode=0o600, poll_interval=0.01, fallback_to_soft=False
        )
        try:
            lock.acquire()
        except filelock.Timeout:
            raise self._busy() from None
        except (OSError, NotImplementedError) as error:
            raise LedgerError(
                f"{self.path}.lock cannot be locked ({error}): without a lock two runs could spend the same budget. "
                "Keep the ledger on a local file system that this account may write to"
            ) from error
        try:
            yield
        finally:
            lock.release()

    @contextmanager
    def _lock_for_reading(self) -> Iterator[None]:
        """The same lock, shared, of a file that cannot be written: the disk may be mounted elsewhere for writing."""
        try:
            descriptor = os.open(f"{self.path}.lock", os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:  # no writer has ever come by here
            yield
            return
        try:
            due = time.monotonic() + LOCK_TIMEOUT_SECONDS
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > due:
                        raise self._busy() from None
                    time.sleep(0.01)
            yield
        finally:
            os.close(descriptor)  # and the lock with it

    def _busy(self) -> LedgerBusy:
        return LedgerBusy(
            f"another process has held {self.path}.lock for {LOCK_TIMEOUT_SECONDS:.0f} s; find it (`lsof`) and let "
            "it finish or end it. Do not delete the lock file: the kernel frees it by itself"
        )

    @staticmethod
    def _wal(path: Path) -> Path:
        return path.with_name(path.name + ".wal")


def _private_folder(path: Path) -> None:
    """Make a folder, where there is none, that only its owner may enter, whatever the umask."""
    if not path.is_dir():
        path.mkdir(parents=True)
        path.chmod(0o700)


def _keep_private(path: Path) -> None:
    """Nobody but the owner and a group that the owner gave it to may read or write this file, if it is there."""
    with suppress(FileNotFoundError, PermissionError):  # of another owner: that one's program does it
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o007:
            path.chmod(0o600)


def make_durable(folder: Path) -> None:
    """A rename survives a power cut only once the folder itself was written."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _identity(connection: duckdb.DuckDBPyConnection) -> str:
    import duckdb

    try:
        rows = connection.execute("SELECT version, id FROM ledger").fetchall()
    except (duckdb.CatalogException, duckdb.BinderException):
        raise LedgerBroken(
            "the file at the ledger's place is a database of something else than a ledger; nothing is admitted. Move "
            "it away, and put the ledger back from a trusted copy or by `dpsynth audit restore`"
        ) from None
    return require_version(rows)


def require_version(rows: list[Any]) -> str:
    """The ledger's id, of the rows (version, id) of its table.

    Raises:
        LedgerBroken: they are not of this program's version.
    """
    if len(rows) != 1 or rows[0][0] != SCHEMA_VERSION:
        raise LedgerBroken(
            f"this ledger has schema version {[row[0] for row in rows]}, the program knows {SCHEMA_VERSION}; use the "
            "program version that wrote it"
        )
    return str(rows[0][1])
