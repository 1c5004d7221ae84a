"""A small population to charge, a ledger on disk, and a store in memory that shows the store protocol to be one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ledger import (
    AddPopulation,
    BudgetRefused,
    Event,
    Finding,
    Gaussian,
    Grant,
    Ledger,
    People,
    PoissonSampledGaussian,
    RaiseCap,
    Scope,
    SetPeople,
    SetTerms,
    chain,
    transaction,
)
from ledger.chain import Draft, Record

FINGERPRINT = "hmac-sha256:6f1ed002ab5595859014ebf0951522d9"
PLAN = "a" * 64
ARTIFACT = "b" * 64
ARCHIVE = "hmac-sha256:6f1ed002ab5595859014ebf0951522d9:archive"
TRAINING = PoissonSampledGaussian(0.01, 1.0, 200)
COUNT = Gaussian(20.0)
ALICE, BOB = "alice@example.org", "bob@example.org"
PEOPLE = People((ALICE,), (ALICE, BOB))


class MemoryStore:
    """`ledger.store.Store` without a disk: for schedules too long for one file transaction a step."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.ledger_id = "memory"
        self.append(Draft(kind="created", payload={"ledger": "memory", "public_key": "", "schema": ""}))

    def require(self) -> None:
        pass

    @contextmanager
    def transaction(self) -> Iterator[MemoryStore]:
        before = list(self.records)
        try:
            yield self
        except BaseException:
            self.records = before
            raise

    def require_known(self) -> None:
        pass

    def append(self, draft: Draft) -> Record:
        previous = self.records[-1].hash if self.records else chain.GENESIS
        record = chain.seal(draft, seq=len(self.records) + 1, time=transaction.now(), previous=previous)
        self.records.append(record)
        return record

    @property
    def head(self) -> Record:
        return self.records[-1]

    def newest(self, block: str) -> Record | None:
        return next((record for record in reversed(self.records) if block in record.blocks), None)

    def waiting(self) -> list[Record]:
        later = {record.reservation for record in self.records if record.reservation not in (None, record.seq)}
        return [record for record in self.records if record.kind == "reserved" and record.seq not in later]

    def find(self, *, kinds: Sequence[str] = (), **wanted: object) -> list[Record]:
        given = {column: value for column, value in wanted.items() if value is not None}
        return [
            record
            for record in self.records
            if (not kinds or record.kind in kinds) and all(getattr(record, c) == v for c, v in given.items())
        ]

    def everything(self) -> tuple[str, list[Record], list[str]]:
        return self.ledger_id, self.records, []

    def schema_digest(self) -> str:
        return ""


@pytest.fixture(scope="session")
def scope() -> Scope:
    return Scope("inbox", "customer", "add_or_remove_one_unit", 3.0, 1e-6, (Gaussian(4.0), Gaussian(4.0)))


@pytest.fixture
def new_ledger(scope: Scope) -> Callable[[], Ledger]:
    """Ledgers in memory, with the population registered and its source bound."""

    def make() -> Ledger:
        return _prepared(Ledger("memory", store=MemoryStore()), scope)

    return make


@pytest.fixture(scope="session")
def blank_ledger() -> Callable[[], Ledger]:
    """Ledgers in memory in which nothing is registered."""
    return lambda: Ledger("memory", store=MemoryStore())


@pytest.fixture
def blank(blank_ledger: Callable[[], Ledger]) -> Ledger:
    return blank_ledger()


@pytest.fixture
def book(new_ledger: Callable[[], Ledger]) -> Ledger:
    return new_ledger()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home" / "ledger.duckdb"


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory, scope: Scope) -> Path:
    path = tmp_path_factory.mktemp("template") / "ledger.duckdb"
    _prepared(Ledger.create(path), scope)
    return path


@pytest.fixture(scope="session")
def copied() -> Callable[[Path, Path], None]:
    """`copied(path, to)`: the ledger at `path`, which nobody has open, at another one too."""

    def copy(path: Path, to: Path) -> None:
        shutil.copy(path, to)
        shutil.copy(f"{path}.key", f"{to}.key")

    return copy


@pytest.fixture
def ledger(path: Path, template: Path, copied: Callable[[Path, Path], None]) -> Ledger:
    """A ledger on disk, with the population registered and its source bound; a copy of one that nobody has open."""
    path.parent.mkdir(parents=True)
    copied(template, path)
    return Ledger(path)


@pytest.fixture
def granted() -> Callable[..., Grant]:
    """Reserve and activate in one go."""

    def make(ledger: Ledger, event: Event | None = None, key: str = "key", owner: str = "run-1") -> Grant:
        reservation = ledger.reserve(
            "inbox",
            event or Gaussian(4.0),
            source=FINGERPRINT,
            release="adapter",
            key=key,
            owner=owner,
            plan_digest=PLAN,
        )
        return ledger.activate(reservation)

    return make


def _prepared(ledger: Ledger, scope: Scope) -> Ledger:
    register(ledger, scope)
    ledger.bind_source("inbox", FINGERPRINT)
    return ledger


def register(ledger: Ledger, scope: Scope) -> None:
    """Both signatures under a population."""
    asked = ledger.propose(AddPopulation(scope, PEOPLE), actor=ALICE, reason="for tests")
    ledger.approve(asked, actor=BOB, reason="agreed")


@pytest.fixture(name="register", scope="session")
def register_fixture() -> Callable[[Ledger, Scope], None]:
    return register


def resealed(record: Record, change: Callable[[dict[str, Any]], object], previous: str | None = None) -> Record:
    """The record with another content and a hash to match, as a careful forger would write it."""
    said = json.loads(record.body)
    change(said)
    if previous is not None:
        said["previous"] = previous
    payload = said["payload"]
    blocks = tuple(sorted(payload.get("standing", ())))
    columns = (said["seq"], said["kind"], said["population"], said["reservation"], payload.get("key"), blocks)
    body = chain.canonical(said)
    return Record(*columns, body, chain.digest(body))


def rechained(records: list[Record]) -> list[Record]:
    """All numbers and links made valid again: a forger who rewrites the rest of the chain."""
    result: list[Record] = []
    renamed: dict[str | None, str] = {}  # hashes that entries followed on, as `after` names them
    for seq, record in enumerate(records, start=1):
        previous = result[-1].hash if result else chain.GENESIS
        renamed[record.said["previous"]] = previous

        def mend(said: dict[str, Any], seq: int = seq) -> None:
            said["seq"] = seq
            if "after" in said["payload"]:
                said["payload"]["after"] = renamed.get(said["payload"]["after"], said["payload"]["after"])

        result.append(resealed(record, mend, previous))
    return result


@pytest.fixture(name="resealed")
def resealed_fixture() -> Callable[..., Record]:
    return resealed


@pytest.fixture(name="rechained")
def rechained_fixture() -> Callable[[list[Record]], list[Record]]:
    return rechained


def used(ledger: Ledger, scope: Scope) -> Ledger:
    """Every kind of entry, by number: 2 to 4 register and bind, 5 to 8 a release with fewer steps, 9 and 10 voided,
    11 to 13 forfeited, 14 refused, 15 to 18 a release that was resumed, 19 a cap lowered, 20 a resumption refused,
    21 and 22 a cap raised, 23 and 24 terms, 25 spending elsewhere, 26 to 28 a closed plan over two blocks that shares
    its records, 29 and 30 two places of it, 31 a restoration, 32 and 33 a change of people, 34 a seal, 35 an
    incident of the release of 5 to 8."""

    def reserve(event: Any, key: str, population: str = "inbox", release: str = "adapter") -> Any:
        source = FINGERPRINT if population == "inbox" else ARCHIVE
        return ledger.reserve(
            population, event, source=source, release=release, key=key, owner="run-1", plan_digest=PLAN
        )

    register(ledger, scope)
    ledger.bind_source("inbox", FINGERPRINT)
    grant = ledger.activate(reserve(TRAINING, "first"))
    ledger.redeem(grant, population="inbox", fingerprint=FINGERPRINT)
    ledger.commit(grant, artifact_digest=ARTIFACT, event=replace(TRAINING, steps=150))
    ledger.void(reserve(Gaussian(4.0), "second").id, reason="its run died")
    ledger.activate(third := reserve(Gaussian(4.0), "third"))
    ledger.forfeit(third.id, reason="cancelled")
    with pytest.raises(BudgetRefused):
        reserve(Gaussian(0.5), "fourth")

    fifth = reserve(TRAINING, "fifth")
    ledger.redeem(ledger.activate(fifth), population="inbox", fingerprint=FINGERPRINT)
    ledger.resume(fifth.id, owner="run-2", replayed=replace(TRAINING, steps=20))
    ledger.lower_cap("inbox", 1.0, actor=ALICE, reason="too much")
    with pytest.raises(BudgetRefused):
        ledger.resume(fifth.id, owner="run-3", replayed=replace(TRAINING, steps=20))
    ledger.approve(ledger.propose(RaiseCap("inbox", 4.0), actor=ALICE, reason="more"), actor=BOB, reason="agreed")
    terms = SetTerms("letters", {"release": {"rows": 100}}, "inbox")
    ledger.approve(ledger.propose(terms, actor=ALICE, reason="new"), actor=BOB, reason="agreed")
    ledger.external_charge("inbox", Gaussian(30.0), actor=ALICE, reason="a figure given by telephone")

    plan = (("count", COUNT), ("count", COUNT), ("adapter", TRAINING))
    register(ledger, replace(scope, population="archive", closed_plan=plan, blocks_by="month of joining"))
    ledger.bind_source("archive", ARCHIVE, blocks=("january", "february"), overlaps=("inbox/everything",))
    reserve(COUNT, "sixth", "archive", "count")
    reserve(COUNT, "seventh", "archive", "count")
    with ledger._store.transaction() as book:
        head = {"seq": book.head.seq, "hash": book.head.hash}
        book.append(Draft("restored", owner=ALICE, payload={"reason": "the disk", "head": head, "missing": None}))
    people = SetPeople("inbox", People((ALICE, "carol@example.org"), (ALICE, BOB)))
    ledger.approve(ledger.propose(people, actor=ALICE, reason="Carol joins"), actor=BOB, reason="agreed")
    ledger.seal("letters/without", "r1", {"rows.parquet": "c" * 64}, protected=False)
    finding = Finding(1.0, 1.5, 0.95, 1e-6, {"audit.json": "d" * 64})
    ledger.incident(grant.reservation_id, finding, reason="an audit of the training code, by canaries")
    return ledger


@pytest.fixture(scope="session")
def used_file(tmp_path_factory: pytest.TempPathFactory, scope: Scope) -> Path:
    path = tmp_path_factory.mktemp("used") / "ledger.duckdb"
    used(Ledger.create(path), scope)
    return path


@pytest.fixture(scope="session")
def history(used_file: Path) -> tuple[str, list[Record]]:
    ledger_id, records, _ = Ledger(used_file)._store.everything()
    return ledger_id, records


@pytest.fixture
def ledger_id(history: tuple[str, list[Record]]) -> str:
    return history[0]


@pytest.fixture
def records(history: tuple[str, list[Record]]) -> list[Record]:
    return list(history[1])
