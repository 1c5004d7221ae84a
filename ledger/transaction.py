"""One open transaction of a ledger: what is read in it, and what is appended.

`Transaction` is the small protocol behind which any database could stand; `SQLTransaction` is one of DuckDB or
PostgreSQL, in the SQL that both have. Every record that is read was checked against its hash before it is believed.
Knows records, not what they mean; where they lie and who may open that is the store's business.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

from ledger import chain
from ledger.chain import Draft, Record
from ledger.errors import LedgerBroken

_COLUMNS = "seq, kind, population, reservation, key, blocks, body, hash"
_INSERT = f"INSERT INTO entries ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"


class Rows(Protocol):
    def fetchall(self) -> list[Any]: ...


class Connection(Protocol):
    """What a transaction asks of an open database. Parameters stand as `?`."""

    def execute(self, sql: str, parameters: list[Any] = ..., /) -> Rows: ...

    def executemany(self, sql: str, parameters: list[Any], /) -> object: ...


class Transaction(Protocol):
    """One consistent view, and appends that all happen or none."""

    @property
    def ledger_id(self) -> str: ...

    @property
    def head(self) -> Record:
        """The last entry of all."""

    def require_known(self) -> None:
        """LedgerBroken where the ledger contradicts what is known of it, so that nothing would be appended."""

    def append(self, draft: Draft) -> Record: ...

    def at(self, seq: int) -> Record | None:
        """The entry of that number."""

    def newest(self, block: str) -> Record | None:
        """The last entry that states the block's standing."""

    def waiting(self) -> list[Record]:
        """The reservations that no later entry is about, in order."""

    def find(
        self,
        *,
        kinds: Sequence[str] = (),
        population: str | None = None,
        reservation: int | None = None,
        key: str | None = None,
    ) -> list[Record]:
        """The entries that match all of what is given, in order."""


class Witness(Protocol):
    """What is known elsewhere of how far a ledger has come. Asked and told while the ledger's lock is held."""

    def require(self, book: Transaction) -> None:
        """LedgerBroken where the ledger is behind what is known, or another one. Before anything is appended."""

    def contradiction(self, book: Transaction) -> str | None:
        """The same in words, for the audit."""

    def expect(self, book: Transaction) -> None:
        """The head that is about to be committed on a server, whose answer may be lost."""

    def remember(self, book: Transaction) -> None:
        """The head, once what was appended is durable."""


class SQLTransaction:
    """`Transaction` on an open connection. Every record read through it was checked against its hash."""

    def __init__(self, connection: Connection, ledger_id: str, head: Record, witness: Witness | None) -> None:
        self._connection = connection
        self._head = head
        self._witness = witness
        self.ledger_id = ledger_id
        self.appended = False

    @property
    def head(self) -> Record:
        return self._head

    def require_known(self) -> None:
        if self._witness is not None:
            self._witness.require(self)

    def append(self, draft: Draft) -> Record:
        if not self.appended:
            self.require_known()
        record = chain.seal(
            draft,
            seq=self._head.seq + 1,
            time=now(),
            previous=self._head.hash,
        )
        insert(self._connection, [record])
        self._head = record
        self.appended = True
        return record

    def at(self, seq: int) -> Record | None:
        found = self._numbered("?", [seq])
        return found[0] if found else None

    def newest(self, block: str) -> Record | None:
        """Also checked against the entry after it, which names its hash: what decides was not rewritten by itself."""
        newest = "SELECT max(seq) FROM entries WHERE blocks @> ARRAY[?]"
        ((seq,),) = self._connection.execute(newest, [block]).fetchall()
        if seq is None:
            return None
        record, *after = self._numbered("?, ?", [seq, seq + 1])
        if after and after[0].said["previous"] != record.hash:
            raise LedgerBroken(
                f"entry {seq + 1} does not follow from entry {seq}: one of the two was rewritten. Nothing is admitted; "
                "run `dpsynth audit verify`"
            )
        return record

    def waiting(self) -> list[Record]:
        later = "SELECT reservation FROM entries WHERE reservation IS NOT NULL AND reservation <> seq"
        return self._numbered(f"SELECT seq FROM entries WHERE kind = 'reserved' AND seq NOT IN ({later})", [])

    def find(
        self,
        *,
        kinds: Sequence[str] = (),
        population: str | None = None,
        reservation: int | None = None,
        key: str | None = None,
    ) -> list[Record]:
        wanted = {"population": population, "reservation": reservation, "key": key}
        given = {column: value for column, value in wanted.items() if value is not None}
        tests = [f"{column} = ?" for column in given]
        if kinds:
            tests.append(f"kind IN ({', '.join('?' * len(kinds))})")
        where = f"WHERE {' AND '.join(tests)}" if tests else ""
        return self._numbered(f"SELECT seq FROM entries {where}", [*given.values(), *kinds])

    def _numbered(self, numbers: str, parameters: list[Any]) -> list[Record]:
        """The entries of these numbers, which are found first: a condition on another column, or an order, would read
        every body on its way."""
        return self._checked(f"SELECT {_COLUMNS} FROM entries WHERE seq IN ({numbers}) ORDER BY seq", parameters)

    def _checked(self, sql: str, parameters: list[Any]) -> list[Record]:
        return [chain.trusted(record) for record in _read(self._connection, sql, parameters)]


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def insert(connection: Connection, records: Iterable[Record]) -> None:
    connection.executemany(_INSERT, [_cells(record) for record in records])


def all_records(connection: Connection) -> list[Record]:
    """All entries as they stand: for the audit, which says what is wrong with them."""
    return _read(connection, f"SELECT {_COLUMNS} FROM entries ORDER BY seq", [])


def _read(connection: Connection, sql: str, parameters: list[Any]) -> list[Record]:
    return _records(connection.execute(sql, parameters).fetchall())


def _records(rows: list[Any]) -> list[Record]:
    names = _COLUMNS.split(", ")
    found = [dict(zip(names, row, strict=True)) for row in rows]
    for cells in found:
        if not (
            isinstance(cells["body"], str) and isinstance(cells["hash"], str) and isinstance(cells["blocks"], list)
        ):
            raise LedgerBroken(
                f"entry {cells['seq']} is none: its body, hash or blocks are not what the schema says. Nothing is "
                "admitted; run `dpsynth audit verify`"
            )
    return [Record(**cells | {"blocks": tuple(cells["blocks"])}) for cells in found]


def _cells(record: Record) -> list[Any]:
    """A record as `_COLUMNS` have it."""
    found = [getattr(record, name) for name in _COLUMNS.split(", ")]
    return [list(cell) if isinstance(cell, tuple) else cell for cell in found]


def trusted_head(connection: Connection) -> Record:
    """The last entry, after the checks that cost the same at any length: numbering, its hash, its link."""
    newest, count = "SELECT seq FROM entries ORDER BY seq DESC LIMIT 2", "(SELECT count(*) FROM entries)"
    counted = f"SELECT {_COLUMNS}, {count} FROM entries WHERE seq IN ({newest}) ORDER BY seq DESC"
    rows = connection.execute(counted).fetchall()
    last, entries = _records([row[:-1] for row in rows]), rows[0][-1] if rows else 0
    if not last or entries != last[0].seq:
        raise LedgerBroken(
            f"the ledger holds {entries} entries but its last is number {last[0].seq if last else 'none'}: entries are "
            "missing. Nothing is admitted; run `dpsynth audit verify`"
        )
    head = chain.trusted(last[0])
    before = last[1].hash if len(last) == 2 else chain.GENESIS
    if head.said["previous"] != before:
        raise LedgerBroken(
            f"entry {head.seq} does not follow from entry {head.seq - 1}: the chain is broken at its head. Nothing is "
            "admitted; run `dpsynth audit verify`"
        )
    return head


def contradictions(connection: Connection, ledger_id: str, witness: Witness | None) -> list[str]:
    """What a witness has against a ledger, for the audit; nothing where its head is wrong, which the records show."""
    if witness is None:
        return []
    try:
        head = trusted_head(connection)
    except LedgerBroken:
        return []
    try:
        said = witness.contradiction(SQLTransaction(connection, ledger_id, head, None))
    except LedgerBroken as error:  # what is known cannot be read: nobody can say that all is well
        said = str(error)
    return [said] if said else []
