"""Entries on a PostgreSQL server (15 or later), for ledgers that several machines share.

The protocol is connect, one transaction, disconnect. In it a client first takes the ledger's advisory lock, which ends
with the transaction and spares others the way there; nothing rests on it. What does is the number of an entry, the
table's primary key. A client reads the last entry, then whatever it decides on, then appends the next number: if
anything was committed since it read the last entry, that number is taken, and the server turns it away, whatever became
of the lock. So nothing is ever decided on older entries than those that it follows.

Everything of a session is set within the transaction, and every table is named with its schema while `pg_catalog` alone
is searched: neither a pooler nor an object of another schema changes what a statement means.

What is acknowledged is on the server's disk, and stays there: a server that runs without `fsync` or `full_page_writes`
is refused, and `synchronous_commit` is raised where it is lower, whoever set it. A connection that is lost while the
server commits leaves it open whether the entry is there; nothing is done on its strength, and the next client finds it
or not.

A role that only reads and inserts is enough for everything but creating and moving a ledger (docs/operators.md has the
grants). Whoever owns the tables can change them: chain, signatures and checkpoints show what is done then, and
`everything` says where tables or grants are not those of the schema.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Protocol, cast

from ledger import chain
from ledger.addresses import Address
from ledger.chain import Record
from ledger.errors import LedgerBroken, LedgerError
from ledger.postgresql_errors import in_words
from ledger.postgresql_shape import EXPECTED, expected, shape
from ledger.schema import differences
from ledger.store import LOCK_TIMEOUT_SECONDS, SCHEMA_VERSION, require_version
from ledger.transaction import Rows, SQLTransaction, Witness, all_records, contradictions, insert, trusted_head

if TYPE_CHECKING:
    import psycopg

_CONNECT_SECONDS = 20
_KEEPING = ("fsync", "full_page_writes")  # without the one a crash loses what was written, the other keeps it whole
_SLOWER_COMMITS = ("off", "local", "remote_write")
_NOT_KEPT = """
    SELECT EXISTS (
        SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = ? AND c.relkind = 'r' AND c.relpersistence <> 'p')
"""
_TABLES = re.compile(r"\b(FROM|INTO) (entries|ledger)\b")


class Place(Protocol):
    """What says where the ledger is. It may say another thing by now than when a store was made."""

    def require(self) -> None:
        """LedgerMissing where it is elsewhere, or being moved."""


class Session:
    """An open transaction as `ledger.transaction.Connection` has it: the tables are those of one schema. `committing`
    from when the server is told to commit it."""

    def __init__(self, connection: psycopg.Connection[Any], schema: str) -> None:
        self._connection, self._schema = connection, schema
        self.committing = False

    def execute(self, sql: str, parameters: list[Any] | None = None, /) -> Rows:
        with _holdable():
            return cast("Rows", self._connection.execute(self._written(sql), parameters or None))

    def executemany(self, sql: str, parameters: list[Any], /) -> None:
        with _holdable(), self._connection.cursor() as cursor:
            cursor.executemany(self._written(sql), parameters)
            if cursor.rowcount != len(parameters):
                raise LedgerBroken(
                    "the server did not enter what it was given, as with a rule or a trigger on the ledger's tables: "
                    "nothing was entered. Run `dpsynth audit verify`"
                )

    def one(self, sql: str, *parameters: object) -> Any:
        """The only cell of the only row."""
        ((cell,),) = self.execute(sql, list(parameters)).fetchall()
        return cell

    def run(self, script: str) -> None:
        """Several statements, without parameters, as they stand."""
        self._connection.execute(cast("Any", script))

    def _written(self, sql: str) -> Any:
        return _TABLES.sub(rf'\1 "{self._schema}".\2', sql).replace("?", "%s")


class PostgreSQLStore:
    """The store on a server. Holds an address and nothing open, so it may be shared, copied and pickled.

    With a witness, nothing is appended to a ledger that contradicts it.
    """

    def __init__(self, address: Address, witness: Witness | None = None, place: Place | None = None) -> None:
        self.address = address
        self._witness, self._place = witness, place

    def require(self) -> None:
        """Nothing, without a connection: whoever asks for a transaction learns whether a ledger is there."""

    @property
    def name(self) -> str:
        """Where it lies, for messages."""
        return str(self.address)

    def renamed(self, suffix: str) -> PostgreSQLStore:
        """The store of the schema beside it that has this behind its name."""
        return PostgreSQLStore(replace(self.address, schema=f"{self.address.schema}_{suffix}"), self._witness)

    def exists(self) -> bool:
        """Whether there is such a schema, a ledger or not."""
        with self._open(reading=True) as session:
            return bool(session.one("SELECT count(*) > 0 FROM pg_namespace WHERE nspname = ?", self.address.schema))

    def require_absent(self) -> None:
        if self.exists():
            raise LedgerError(
                f"{self.address} has a schema {self.address.schema} already: a ledger is created once. Name another "
                "one, by `?schema=NAME`, or another database"
            )

    def create(self, ledger_id: str, records: Iterable[Record]) -> None:
        """A new ledger of these records: its first, or those of another store. In one transaction, so whole or not at
        all."""
        script = files("ledger").joinpath("postgresql.sql").read_text(encoding="utf-8")
        with self._open() as session:
            self._require_fit(session)
            session.run(f'CREATE SCHEMA "{self.address.schema}"')
            session.run(f'SET LOCAL search_path TO "{self.address.schema}", pg_temp')
            session.run(script)
            session.run("SET LOCAL search_path TO pg_catalog, pg_temp")
            session.execute("INSERT INTO ledger VALUES (?, ?)", [SCHEMA_VERSION, ledger_id])
            insert(session, records)
            self._commit(session)

    @contextmanager
    def transaction(self) -> Iterator[SQLTransaction]:
        """Connect, lock, check the head of the chain, run, commit. An exception leaves everything as it was."""
        with self._open() as session:
            ledger_id = self._identity(session)
            self._lock(session, ledger_id)
            if self._place is not None:
                self._place.require()
            book = SQLTransaction(session, ledger_id, trusted_head(session), self._witness)
            yield book
            if book.appended:
                self._require_fit(session)
                if self._witness is not None:
                    self._witness.expect(book)
            self._commit(session)
        if book.appended and self._witness is not None:
            self._witness.remember(book)

    def everything(self) -> tuple[str, list[Record], list[str]]:
        with self._open(reading=True) as session:
            ledger_id = self._identity(session)
            records = all_records(session)
            written = str(session.one("SELECT quote_ident(?)", self.address.schema))
            wrong = list(differences(shape(session, self.address.schema), expected(written)))
            wrong += contradictions(session, ledger_id, self._witness)
        return ledger_id, records, wrong

    def schema_digest(self) -> str:
        return chain.digest(chain.canonical(EXPECTED))

    def rename(self, other: PostgreSQLStore) -> None:
        """Put the ledger under another schema's name, in the same database. Nobody finds it under its own then, and
        what was being entered is in it, or was not entered. Refused where nothing would be appended."""
        mine = self.address.schema
        with self._open() as session:
            ledger_id = self._identity(session)
            self._lock(session, ledger_id)
            if self._witness is not None:
                self._witness.require(SQLTransaction(session, ledger_id, trusted_head(session), None))
            session.run(f'LOCK TABLE "{mine}".entries IN ACCESS EXCLUSIVE MODE')  # waits for who does not wait for us
            session.run(f'ALTER SCHEMA "{mine}" RENAME TO "{other.address.schema}"')
            self._commit(session)

    def _commit(self, session: Session) -> None:
        session.committing = True
        session.run("COMMIT")

    def _identity(self, session: Session) -> str:
        return require_version(session.execute("SELECT version, id FROM ledger").fetchall())

    def _lock(self, session: Session, ledger_id: str) -> None:
        """Until the transaction ends. Whoever may not read the ledger does not know its number."""
        digest = hashlib.sha256(f"dpsynth {self.address.schema} {ledger_id}".encode()).digest()
        session.execute("SELECT pg_advisory_xact_lock(?)", [int.from_bytes(digest[:8], signed=True)])

    @contextmanager
    def _open(self, *, reading: bool = False) -> Iterator[Session]:
        """A transaction that is rolled back unless it was committed. What goes wrong in it is said in words.

        Args:
            reading: for a view of one moment. Else each statement sees what was committed before it.
        """
        import psycopg

        self._require_no_service()
        try:
            connection = psycopg.connect(autocommit=True, **self._parameters())
        except (psycopg.Error, UnicodeError) as error:
            raise self._unreachable(error) from error
        session = Session(connection, self.address.schema)
        try:
            session.run(
                f"BEGIN ISOLATION LEVEL {'REPEATABLE READ READ ONLY' if reading else 'READ COMMITTED READ WRITE'};"
                "SET LOCAL search_path TO pg_catalog, pg_temp;"  # what nobody but the system names comes last
                f"SET LOCAL lock_timeout TO '{LOCK_TIMEOUT_SECONDS:.0f}s'; SET LOCAL statement_timeout TO 0;"
                "SET LOCAL idle_in_transaction_session_timeout TO 0; SET LOCAL quote_all_identifiers TO off;"
                "SET LOCAL row_security TO off"  # an error where rows would be hidden
            )
            if session.one("SHOW synchronous_commit") in _SLOWER_COMMITS:
                session.run("SET LOCAL synchronous_commit TO on")
            yield session
        except psycopg.Error as error:
            committing, seconds = session.committing, LOCK_TIMEOUT_SECONDS
            raise in_words(error, self.address, committing=committing, seconds=seconds) from error
        finally:
            with suppress(psycopg.Error):  # after a COMMIT there is nothing to roll back
                session.run("ROLLBACK")
            connection.close()

    def _require_no_service(self) -> None:
        """Pass unless the environment names a service: the client library has no setting by which it is not taken.

        Raises:
            LedgerError: it does.
        """
        if "PGSERVICE" in os.environ:
            raise LedgerError(
                "$PGSERVICE is set, which names settings of a connection in a file, and where the ledger is its "
                f"address alone says ({self.address}): nothing was read or entered. Unset it (`env -u PGSERVICE ...`); "
                "account and password may come from $PGUSER and $PGPASSWORD, or from the file that $PGPASSFILE names"
            )

    def _parameters(self) -> dict[str, Any]:
        """All that says which server it is, so that no variable of the environment does."""
        at = self.address
        account = {"user": at.user} if at.user else {}
        given = {"connect_timeout": _CONNECT_SECONDS, **dict(at.options), **account}
        place = {"host": at.host, "port": at.port, "hostaddr": "", "dbname": at.database, "options": ""}
        return {**given, **place, "client_encoding": "UTF8", "application_name": "dpsynth ledger"}

    def _require_fit(self, session: Session) -> None:
        """Pass if the server keeps what it acknowledges, and all characters.

        Raises:
            LedgerError: it does not.
        """
        for setting in _KEEPING:
            if session.one(f"SHOW {setting}") != "on":
                raise LedgerError(
                    f"the server of {self.address} runs with {setting} off, so a power cut could lose what was "
                    "charged: nothing was entered. Turn it on"
                )
        if session.one(_NOT_KEPT, self.address.schema):
            raise LedgerError(
                f"a table of the ledger at {self.address} is not logged, so a crash would lose what was charged: "
                "nothing was entered. Its owner makes it so again by `ALTER TABLE ... SET LOGGED`"
            )
        if session.one("SHOW server_encoding") != "UTF8":
            raise LedgerError(f"the database of {self.address} is not in UTF-8: make one with ENCODING 'UTF8'")

    def _unreachable(self, error: Exception) -> LedgerError:
        why = next(iter(str(error).splitlines()), "no answer")
        return LedgerError(
            f"the ledger at {self.address} cannot be reached ({why}), and nothing was entered. Without it no budget "
            "can be checked, so nothing sensitive may be read. See that the server runs, has a connection left and "
            "takes this account; its password comes from $PGPASSWORD or the file that $PGPASSFILE names"
        )


@contextmanager
def _holdable() -> Iterator[None]:
    """In words, where a text has characters that PostgreSQL's texts cannot hold."""
    import psycopg

    try:
        yield
    except (UnicodeError, psycopg.DataError) as error:
        if isinstance(error, psycopg.Error) and error.sqlstate:
            raise
        raise LedgerError("a text has characters in it that the ledger's server cannot hold: leave them out") from None
