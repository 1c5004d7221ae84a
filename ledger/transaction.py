"""One open transaction of a ledger: what is read in it, and what is appended.

`Transaction` is the small protocol behind which another database could stand; here it is one of DuckDB. Every record
that is read was checked against its hash before it is believed. Knows records, not what they mean; where the file lies
and who may open it is `store`'s business.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

from ledger import chain
from ledger.chain import Draft, Record
from ledger.errors import LedgerBroken

if TYPE_CHECKING:
    import duckdb

_COLUMNS = "seq, kind, population, reservation, key, blocks, body, hash"
_INSERT = f"INSERT INTO entries ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"


class Transaction(Protocol):
    """One consistent view, and appends that all happen or none."""

    @property
    def ledger_id(self) -> str: ...

    @property
    def head(self) -> Record:
        """The last entry of all."""

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

    def remember(self, book: Transaction) -> None:
        """The head, once what was appended is durable."""


class DuckDBTransaction:
    """`Transaction` on an open connection. Every record read through it was checked against its hash."""

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, ledger_id: str, head: Record, witness: Witness | None
    ) -> None:
        self._connection = connection
        self._head = head
        self._witness = witness
        self.ledger_id = ledger_id
        self.appended = False

    @property
    def head(self) -> Record:
        return self._head

    def append(self, draft: Draft) -> Record:
        if not self.appended and self._witness is not None:
            self._witness.require(self)
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
        found = self._checked(f"SELECT {_COLUMNS} FROM entries WHERE seq = ?", [seq])
        return found[0] if found else None

    def newest(self, block: str) -> Record | None:
        """Also checked against the entry after it, which names its hash: what decides was not rewritten by itself."""
        newest = "SELECT max(seq) FROM entries WHERE list_contains(blocks, ?)"
        ((seq,),) = self._connection.execute(newest, [block]).fetchall()
        if seq is None:
            return None
        record, *after = self._checked(
            f"SELECT {_COLUMNS} FROM entries WHERE seq IN (?, ?) ORDER BY seq", [seq, seq + 1]
        )
        if after and after[0].said["previous"] != record.hash:
            raise LedgerBroken(
                f"entry {seq + 1} does not follow from entry {seq}: one of the two was rewritten. Nothing is admitted; "
                "run `dpsynth audit verify`"
            )
        return record

    def waiting(self) -> list[Record]:
        later = "SELECT reservation FROM entries WHERE reservation IS NOT NULL AND reservation <> seq"
        return self._checked(
            f"SELECT {_COLUMNS} FROM entries WHERE kind = 'reserved' AND seq NOT IN ({later}) ORDER BY seq", []
        )

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
        # The numbers are found first: a filter on several columns would otherwise read every body on its way.
        where = f"WHERE seq IN (SELECT seq FROM entries WHERE {' AND '.join(tests)})" if tests else ""
        return self._checked(f"SELECT {_COLUMNS} FROM entries {where} ORDER BY seq", [*given.values(), *kinds])

    def _checked(self, sql: str, parameters: list[Any]) -> list[Record]:
        return [chain.trusted(record) for record in _read(self._connection, sql, parameters)]


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def insert(connection: duckdb.DuckDBPyConnection, records: Iterable[Record]) -> None:
    connection.executemany(_INSERT, [_cells(record) for record in records])


def all_records(connection: duckdb.DuckDBPyConnection) -> list[Record]:
    """All entries as they stand: for the audit, which says what is wrong with them."""
    return _read(connection, f"SELECT {_COLUMNS} FROM entries ORDER BY seq", [])


def _read(connection: duckdb.DuckDBPyConnection, sql: str, parameters: list[Any]) -> list[Record]:
    rows = connection.execute(sql, parameters).fetchall()
    names = _COLUMNS.split(", ")
    found = (dict(zip(names, row, strict=True)) for row in rows)
    return [Record(**cells | {"blocks": tuple(cells["blocks"])}) for cells in found]


def _cells(record: Record) -> list[Any]:
    """A record as `_COLUMNS` have it."""
    found = [getattr(record, name) for name in _COLUMNS.split(", ")]
    return [list(cell) if isinstance(cell, tuple) else cell for cell in found]


def trusted_head(connection: duckdb.DuckDBPyConnection) -> Record:
    """The last entry, after the checks that cost the same at any length: numbering, its hash, its link."""
    last = _read(connection, f"SELECT {_COLUMNS} FROM entries ORDER BY seq DESC LIMIT 2", [])
    (count,) = connection.execute("SELECT count(*) FROM entries").fetchall()[0]
    if not last or count != last[0].seq:
        raise LedgerBroken(
            f"the ledger holds {count} entries but its last is number {last[0].seq if last else 'none'}: entries are "
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
