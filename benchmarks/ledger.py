"""A whole charge (reserve, activate, redeem, commit) late in a ledger's life over one at its beginning, how long it
takes to verify a hundred thousand entries, and what a charge takes on a server over what it takes in a file: by one
client, and by eight at once. The server is the one that $DPSYNTH_LEDGER names, which must hold no ledger yet."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from benchmarks.pairs import paired_ratios
from ledger import AddPopulation, Gaussian, Ledger, People, Scope, chain
from ledger.addresses import Address, address_of
from ledger.book import first_record, record_from
from ledger.checkpoints import new_key
from ledger.places import write_address
from ledger.postgresql import PostgreSQLStore
from ledger.store import DuckDBStore
from ledger.transaction import Transaction, now

EARLY, LATER, LATE = 100, 10_000, 100_000
CLIENTS, CHARGES = 8, 32
EVENT = Gaussian(10_000.0)
SOURCE = "f" * 64


def rows() -> Iterator[tuple[str, str, list[float]]]:
    """Admission reads what stands charged off the newest entry, so its time must not grow with their number."""
    with tempfile.TemporaryDirectory() as folder:
        early, later, late = (_book(Path(folder), entries) for entries in (EARLY, LATER, LATE))
        for name, book in ((LATER, later), (LATE, late)):
            ratios = paired_ratios(lambda book=book: _charge(book), lambda: _charge(early), pairs=25)  # type: ignore[misc]
            yield f"a charge after {name:,} entries", f"a charge after {EARLY} entries", ratios
        hundred = time.perf_counter()
        problems = late.verify()
        seconds = time.perf_counter() - hundred
        assert not problems, problems[0]
        yield f"verify {LATE:,} entries", "one minute", [seconds / 60]
        if address := os.environ.get("DPSYNTH_LEDGER"):
            yield from _on_a_server(Path(folder), address_of(address))


def _on_a_server(folder: Path, address: Address) -> Iterator[tuple[str, str, list[float]]]:
    """Both ledgers have the same entries to begin with."""
    file, server = _book(folder, LATER + 1), folder / "server.duckdb"
    ledger_id, records, _ = DuckDBStore(folder / f"{LATER + 1}.duckdb").everything()
    PostgreSQLStore(address).create(ledger_id, records)
    write_address(server, address)
    shutil.copy(folder / f"{LATER + 1}.duckdb.key", f"{server}.key")
    there = Ledger(server)
    ratios = paired_ratios(lambda: _charge(there), lambda: _charge(file), pairs=25)
    yield "a charge on PostgreSQL", "one in a file", ratios
    yield (
        f"{CHARGES} charges by {CLIENTS} clients at once, PostgreSQL",
        "in a file",
        paired_ratios(lambda: _at_once(there), lambda: _at_once(file), pairs=5),
    )


def _at_once(ledger: Ledger) -> None:
    with ThreadPoolExecutor(CLIENTS) as clients:
        list(clients.map(lambda _: _charge(ledger), range(CHARGES)))


_number = itertools.count()


def _charge(ledger: Ledger) -> None:
    grant = ledger.charge(
        "everybody",
        EVENT,
        source=SOURCE,
        release="r",
        key=f"k{next(_number)}",
        owner="benchmark",
        plan_digest="0" * 64,
        ready=lambda: None,
    )
    ledger.redeem(grant, population="everybody", fingerprint=SOURCE)
    ledger.commit(grant, artifact_digest="0" * 64, event=EVENT)


class _InMemory:
    """A store that keeps its records in lists: a hundred thousand real transactions would take an hour."""

    def __init__(self, first: chain.Record) -> None:
        self.records = [first]
        self.ledger_id = str(first.payload["ledger"])

    def require(self) -> None:
        pass

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        yield self

    @property
    def head(self) -> chain.Record:
        return self.records[-1]

    def require_known(self) -> None:
        pass

    def append(self, draft: chain.Draft) -> chain.Record:
        record = chain.seal(draft, seq=len(self.records) + 1, time=now(), previous=self.head.hash)
        self.records.append(record)
        return record

    def at(self, seq: int) -> chain.Record | None:
        return self.records[seq - 1] if 1 <= seq <= len(self.records) else None

    def newest(self, block: str) -> chain.Record | None:
        return next((record for record in reversed(self.records) if block in record.blocks), None)

    def waiting(self) -> list[chain.Record]:
        later = {record.reservation for record in self.records if record.reservation not in (None, record.seq)}
        return [record for record in self.records if record.kind == "reserved" and record.seq not in later]

    def find(
        self,
        *,
        kinds: Sequence[str] = (),
        population: str | None = None,
        reservation: int | None = None,
        key: str | None = None,
    ) -> list[chain.Record]:
        wanted = {"population": population, "reservation": reservation, "key": key}
        given = {column: value for column, value in wanted.items() if value is not None}
        # What this benchmark asks for lies at the beginning or at the end.
        near = self.records[-8:] if reservation is not None or tuple(kinds) == ("reserved",) else self.records[:8]
        return [
            record
            for record in near
            if (not kinds or record.kind in kinds) and all(getattr(record, c) == v for c, v in given.items())
        ]

    def everything(self) -> tuple[str, list[chain.Record], list[str]]:
        return self.ledger_id, self.records, []

    def schema_digest(self) -> str:
        return ""


def _book(folder: Path, entries: int) -> Ledger:
    """A ledger on disk with so many entries, all of them as the ledger itself writes them."""
    path = folder / f"{entries}.duckdb"
    store = DuckDBStore(path)
    memory = _InMemory(first_record("benchmark", new_key(store.key_path), store.schema_digest()))
    book = Ledger(path, store=memory)
    scope = Scope("everybody", "person", "add_or_remove_one_unit", epsilon=8.0, delta=1e-6, planned=(EVENT,))
    people = People(("owner",), ("other",))
    asked = book.propose(AddPopulation(scope, people), actor="owner", reason="to measure")
    book.approve(asked, actor="other", reason="agreed")
    book.bind_source("everybody", SOURCE)
    while len(memory.records) < entries:
        _charge(book)
    lines = [json.dumps({"body": record.body, "hash": record.hash}) for record in memory.records[:entries]]
    store.create("benchmark", [record_from(line, number) for number, line in enumerate(lines, 1)])
    return Ledger(path)
