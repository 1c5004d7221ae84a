"""Verification: an intact ledger passes, and whoever edits the file is told which entry shows it."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest

from ledger import (
    Gaussian,
    Ledger,
    PoissonSampledGaussian,
    chain,
)
from ledger.chain import Record
from ledger.verification import problems_of

FINGERPRINT = "hmac-sha256:6f1ed002ab5595859014ebf0951522d9"
ARCHIVE = "hmac-sha256:6f1ed002ab5595859014ebf0951522d9:archive"
PLAN, ARTIFACT = "a" * 64, "b" * 64
TRAINING = PoissonSampledGaussian(0.01, 1.0, 200)
COUNT = Gaussian(20.0)
ALICE, BOB = "alice@example.org", "bob@example.org"
Reseal = Callable[..., Record]
Rechain = Callable[[list[Record]], list[Record]]


@pytest.fixture
def used_ledger(path: Path, used_file: Path) -> Ledger:
    path.parent.mkdir(parents=True)
    shutil.copy(used_file, path)
    return Ledger(path)


def test_a_used_ledger_is_intact(used_ledger: Ledger) -> None:
    assert used_ledger.verify() == []
    kinds = [entry.kind for entry in used_ledger.entries()]
    assert set(kinds) == set(chain.KINDS)


def test_the_hash_is_that_of_the_body_and_nothing_else(records: list[Record]) -> None:
    """What an independent verifier needs: SHA-256 of the line, which names the hash of the line before."""
    previous = "0" * 64
    for record in records:
        assert hashlib.sha256(record.body.encode()).hexdigest() == record.hash
        assert json.loads(record.body)["previous"] == previous
        previous = record.hash


@pytest.mark.parametrize(
    ("statement", "complaint"),
    [
        ("UPDATE entries SET body = replace(body, 'adapter', 'adaptor') WHERE seq = 5", "entry 5 (reserved): its body"),
        (
            "UPDATE entries SET body = 'x', hash = sha256('x') WHERE seq = 6",
            "entry 6 (activated): its body is not JSON",
        ),
        ("UPDATE entries SET hash = repeat('0', 64) WHERE seq = 7", "entry 7 (redeemed): its body does not match"),
        ("UPDATE entries SET kind = 'voided' WHERE seq = 8", "entry 8 (voided): its columns differ"),
        ("UPDATE entries SET population = NULL WHERE seq = 9", "entry 9 (reserved): its columns differ"),
        ("UPDATE entries SET key = 'other' WHERE seq = 4", "entry 4 (bound): its columns differ"),
        ("UPDATE entries SET blocks = [] WHERE seq = 18", "entry 18 (resumed): its columns differ"),
        ("UPDATE entries SET blocks = [NULL] WHERE seq = 25", "entry 25 (external_charge): its columns differ"),
        ("UPDATE entries SET reservation = 5 WHERE seq = 20", "entry 20 (refused): its columns differ"),
        ("DELETE FROM entries WHERE seq = 13", "entry 14 (refused): it should be number 13"),
        ("DELETE FROM entries", "the ledger holds no entries"),
        ("UPDATE entries SET seq = 99 WHERE seq = 35", "entry 99 (incident): it should be number 35"),
        (
            "UPDATE entries SET body = repeat('[', 100000), hash = sha256(repeat('[', 100000)) WHERE seq = 6",
            "entry 6 (activated): its body",
        ),
    ],
)
def test_edited_rows_are_named(used_ledger: Ledger, path: Path, statement: str, complaint: str) -> None:
    connection = duckdb.connect(str(path))
    for trigger in ("entries_keep_their_rows", "entries_keep_all_rows"):
        connection.execute(f"DROP TRIGGER {trigger} ON entries")
    connection.execute(statement)
    connection.close()
    problems = used_ledger.verify()
    assert problems[0].startswith(complaint)
    assert problems[-2:] == [
        "database: trigger entries_keep_all_rows is missing from the database",
        "database: trigger entries_keep_their_rows is missing from the database",
    ]


@pytest.mark.parametrize(
    ("statement", "complaint"),
    [
        ("DROP TRIGGER entries_keep_all_rows ON entries", "trigger entries_keep_all_rows is missing"),
        ("CREATE TABLE notes (text VARCHAR)", "table notes does not belong"),
        ("CREATE VIEW notes AS SELECT 1", "view notes does not belong"),
        ("CREATE INDEX i ON entries (kind)", "index i does not belong"),
        ("ALTER TABLE append_only ADD COLUMN x INTEGER", "table append_only is not defined as"),
        ("CREATE OR REPLACE TABLE entries AS SELECT * FROM entries", "table entries is not defined as"),
    ],
)
def test_changed_definitions_are_named(ledger: Ledger, path: Path, statement: str, complaint: str) -> None:
    connection = duckdb.connect(str(path))
    connection.execute(statement)
    connection.close()
    assert any(f"database: {complaint}" in problem for problem in ledger.verify())


@pytest.mark.parametrize("number", [n for n in range(2, 33) if n not in (14, 19, 20)])
def test_a_removed_entry_is_noticed_even_in_a_mended_chain(
    ledger_id: str, records: list[Record], rechained: Rechain, number: int
) -> None:
    assert problems_of(ledger_id, rechained([record for record in records if record.seq != number]), [])


def test_a_ledger_rolled_back_is_a_ledger_that_was(ledger_id: str, records: list[Record]) -> None:
    """Nothing inside the file can show that its end is missing; a checkpoint kept elsewhere can."""
    assert problems_of(ledger_id, records[:-2], []) == []


def test_two_registrations_of_one_population(ledger_id: str, records: list[Record], rechained: Rechain) -> None:
    doubled = rechained([*records[:4], *records[1:3], *records[4:]])
    assert any("was registered before" in problem for problem in problems_of(ledger_id, doubled, []))


def test_one_bad_entry_is_named_first(ledger_id: str, records: list[Record]) -> None:
    records[5] = replace(records[5], body=records[5].body + " ")
    assert problems_of(ledger_id, records, [])[0] == "entry 6 (activated): its body does not match its hash"
