"""Where entries live: one DuckDB file, one writer, one short transaction at a time, nobody else's to write or read.

The protocol is lock, open, one transaction, close. The lock is a file of its own beside the database, held with
flock, so that the kernel frees it when a process dies. DuckDB's own lock is not enough: inside one process its
snapshot isolation admits write skew, and *reading the database file's bytes in a process that has it open silently
drops the lock*. So nothing here ever opens, hashes or copies the live file other than through DuckDB.

`transaction` has what is done inside of one. A store knows records, not what they mean.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import filelock

from ledger import chain
from ledger.chain import Record
from ledger.errors import LedgerBroken, LedgerBusy, LedgerError, LedgerMissing
from ledger.transaction import DuckDBTransaction, Transaction, Witness, all_records, insert, trusted_head

if TYPE_CHECKING:
    import duckdb

SCHEMA_VERSION = 2
LOCK_TIMEOUT_SECONDS = 120.0
_CONFIG = {
    "threads": "1",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "enable_external_access": "false",
}


class Store(Protocol):
    def require(self) -> None:
        """LedgerMissing unless the ledger is there."""

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
                connection = duckdb.connect(str(draft_path), config=_CONFIG)
                try:
                    connection.execute("BEGIN")
                    connection.execute(_schema())
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
                    f"{self.path} could not be made ({type(error).__name__}), and nothing of it was left: see that its "
                    "disk has room and takes files of a few megabytes, then try again"
                ) from error
            draft_path.chmod(0o600)
            draft_path.rename(self.path)
            _make_durable(self.path.parent)

    def require(self) -> None:
        if not self.path.is_file():
            raise LedgerMissing(
                f"there is no privacy ledger at {self.path}. Without it no budget can be checked, so nothing sensitive "
                "may be read. If this is a new installation run `dpsynth init`; if a ledger was here, restore it with "
                "its .wal file: what it charged stays spent"
            )

    @contextmanager
    def transaction(self) -> Iterator[DuckDBTransaction]:
        """Lock, open, check the head of the chain, run, commit, close. An exception leaves everything as it was."""
        import duckdb

        with self._open() as connection:
            ledger_id = _identity(connection)
            connection.execute("BEGIN")
            try:
                book = DuckDBTransaction(connection, ledger_id, trusted_head(connection), self._witness)
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
            wrong = list(_differences(_shape(connection), _expected_shape()))
            head = None
            with suppress(LedgerBroken):  # what is wrong with the head is found in the records
                head = trusted_head(connection)
            if self._witness is not None and head is not None:
                try:
                    said = self._witness.contradiction(DuckDBTransaction(connection, ledger_id, head, None))
                except LedgerBroken as error:  # what is known cannot be read: nobody can say that all is well
                    said = str(error)
                wrong += [said] if said else []
        return ledger_id, records, wrong

    def schema_digest(self) -> str:
        return chain.digest(chain.canonical(_expected_shape()))

    def _commit(self, connection: duckdb.DuckDBPyConnection) -> None:
        connection.execute("COMMIT")
        _keep_private(self._wal(self.path))  # DuckDB makes it under the umask

    @contextmanager
    def _open(self) -> Iterator[duckdb.DuckDBPyConnection]:
        import duckdb

        self.require()
        with self._lock():
            self.require()  # it may have been moved away while we waited
            self._require_private()
            try:
                connection = duckdb.connect(str(self.path), config=_CONFIG)
                try:
                    yield connection
                finally:
                    connection.close()
            except duckdb.Error as error:
                if "No space left" in str(error):
                    raise LedgerError(
                        f"no space is left on the disk of {self.path}, so nothing was entered: free some there, and "
                        "give the same command again"
                    ) from error
                raise LedgerBroken(
                    f"the ledger {self.path} cannot be used ({type(error).__name__}); nothing is admitted. Close other "
                    "programs that have it open, run `dpsynth audit verify`, or restore it from a trusted copy"
                ) from error

    def _require_private(self) -> None:
        """Takes away from the files what an earlier program, or a copy, left open to others.

        Raises:
            LedgerError: the folder is open to others' writing, so that they could put another ledger here.
        """
        mode = self.path.parent.stat().st_mode
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            raise LedgerError(
                f"everybody may write to {self.path.parent}, and so put another ledger in its place: take that away "
                f"(`chmod 700 {self.path.parent}`), then run `dpsynth audit verify`"
            )
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
            raise LedgerBusy(
                f"another process has held {self.path}.lock for {LOCK_TIMEOUT_SECONDS:.0f} s; find it (`lsof`) and let "
                "it finish or end it. Do not delete the lock file: the kernel frees it by itself"
            ) from None
        except (OSError, NotImplementedError) as error:
            raise LedgerError(
                f"{self.path}.lock cannot be locked ({error}): without a lock two runs could spend the same budget. "
                "Keep the ledger on a local file system that this account may write to"
            ) from error
        try:
            yield
        finally:
            lock.release()

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


def _make_durable(folder: Path) -> None:
    """A rename survives a power cut only once the folder itself was written."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _identity(connection: duckdb.DuckDBPyConnection) -> str:
    rows = connection.execute("SELECT version, id FROM ledger").fetchall()
    if len(rows) != 1 or rows[0][0] != SCHEMA_VERSION:
        raise LedgerBroken(
            f"this ledger has schema version {[row[0] for row in rows]}, the program knows {SCHEMA_VERSION}; use the "
            "program version that wrote it"
        )
    return str(rows[0][1])


def _schema() -> str:
    return files("ledger").joinpath("schema.sql").read_text(encoding="utf-8")


def _shape(connection: duckdb.DuckDBPyConnection) -> dict[str, str]:
    """Every table, trigger, index and view by name, with its definition as DuckDB normalises it."""
    queries = {
        "table": "SELECT table_name, sql FROM duckdb_tables() WHERE NOT internal",
        "trigger": "SELECT trigger_name, sql FROM duckdb_triggers()",
        "index": "SELECT index_name, sql FROM duckdb_indexes()",
        "view": "SELECT view_name, sql FROM duckdb_views() WHERE NOT internal",
    }
    return {
        f"{what} {row[0]}": str(row[1]) for what, sql in queries.items() for row in connection.execute(sql).fetchall()
    }


def _expected_shape() -> dict[str, str]:
    import duckdb

    connection = duckdb.connect(":memory:", config=_CONFIG)
    try:
        connection.execute(_schema())
        return _shape(connection)
    finally:
        connection.close()


def _differences(found: dict[str, str], expected: dict[str, str]) -> Iterator[str]:
    for name in sorted(found.keys() | expected.keys()):
        if name not in found:
            yield f"{name} is missing from the database"
        elif name not in expected:
            yield f"{name} does not belong in the database"
        elif found[name] != expected[name]:
            yield f"{name} is not defined as the schema says"
