"""Verification: an intact ledger passes, and whoever edits the file is told which entry shows it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from ledger import Gaussian, Ledger, PoissonSampledGaussian, Scope, chain
from ledger.audit import problems_of
from ledger.chain import Record

FINGERPRINT = "hmac-sha256:6f1ed002ab5595859014ebf0951522d9"
PLAN, ARTIFACT = "a" * 64, "b" * 64
TRAINING = PoissonSampledGaussian(0.01, 1.0, 200)


def used(ledger: Ledger) -> Ledger:
    """Every kind of entry: 4 to 7 a release with fewer steps, 8 and 9 voided, 10 to 12 forfeited, 13 refused."""

    def reserve(event: Any, key: str) -> Any:
        return ledger.reserve("inbox", event, release="adapter", key=key, owner="run-1", plan_digest=PLAN)

    grant = ledger.activate(reserve(TRAINING, "first"))
    ledger.redeem(grant, population="inbox", fingerprint=FINGERPRINT)
    ledger.commit(grant, artifact_digest=ARTIFACT, event=PoissonSampledGaussian(0.01, 1.0, 150))
    ledger.void(reserve(Gaussian(4.0), "second").id, reason="its run died")
    ledger.activate(third := reserve(Gaussian(4.0), "third"))
    ledger.forfeit(third.id, reason="cancelled")
    with pytest.raises(Exception, match="refused"):
        reserve(Gaussian(0.5), "fourth")
    return ledger


@pytest.fixture(scope="module")
def used_file(tmp_path_factory: pytest.TempPathFactory, scope: Scope) -> Path:
    path = tmp_path_factory.mktemp("used") / "ledger.duckdb"
    ledger = Ledger.create(path)
    ledger.register(scope, actor="owner@example.org")
    ledger.bind_source("inbox", FINGERPRINT)
    used(ledger)
    return path


@pytest.fixture
def used_ledger(path: Path, used_file: Path) -> Ledger:
    path.parent.mkdir(parents=True)
    shutil.copy(used_file, path)
    return Ledger(path)


@pytest.fixture
def records(new_ledger: Callable[[], Ledger]) -> list[Record]:
    return used(new_ledger())._store.everything()[1]


def resealed(record: Record, change: Callable[[dict[str, Any]], object], previous: str | None = None) -> Record:
    """The record with another content and a hash to match, as a careful forger would write it."""
    said = json.loads(record.body)
    change(said)
    if previous is not None:
        said["previous"] = previous
    body = chain.canonical(said)
    return Record(
        said["seq"],
        said["kind"],
        said["population"],
        said["reservation"],
        said["payload"].get("key"),
        body,
        chain.digest(body),
    )


def rechained(records: list[Record]) -> list[Record]:
    """All numbers and links made valid again: a forger who rewrites the rest of the chain."""
    result: list[Record] = []
    for seq, record in enumerate(records, start=1):
        previous = result[-1].hash if result else chain.GENESIS
        result.append(resealed(record, lambda said, seq=seq: said.update(seq=seq), previous))
    return result


def test_a_used_ledger_is_intact(used_ledger: Ledger) -> None:
    assert used_ledger.verify() == []
    kinds = [entry.kind for entry in used_ledger.entries()]
    assert set(kinds) == set(chain.KINDS)


def test_the_hash_is_that_of_the_body_and_nothing_else(records: list[Record]) -> None:
    """What an independent verifier needs: SHA-256 of the line, which names the hash of the line before."""
    import hashlib

    previous = "0" * 64
    for record in records:
        assert hashlib.sha256(record.body.encode()).hexdigest() == record.hash
        assert json.loads(record.body)["previous"] == previous
        previous = record.hash


@pytest.mark.parametrize(
    ("statement", "complaint"),
    [
        ("UPDATE entries SET body = replace(body, 'adapter', 'adaptor') WHERE seq = 4", "entry 4 (reserved): its body"),
        (
            "UPDATE entries SET body = 'x', hash = sha256('x') WHERE seq = 5",
            "entry 5 (activated): its body is not JSON",
        ),
        ("UPDATE entries SET hash = repeat('0', 64) WHERE seq = 6", "entry 6 (redeemed): its body does not match"),
        ("UPDATE entries SET kind = 'voided' WHERE seq = 7", "entry 7 (voided): its columns differ"),
        ("UPDATE entries SET population = NULL WHERE seq = 8", "entry 8 (reserved): its columns differ"),
        ("UPDATE entries SET key = 'other' WHERE seq = 3", "entry 3 (source_bound): its columns differ"),
        ("DELETE FROM entries WHERE seq = 12", "entry 13 (refused): it should be number 12"),
        ("DELETE FROM entries", "the ledger holds no entries"),
        ("UPDATE entries SET seq = 99 WHERE seq = 13", "entry 99 (refused): it should be number 13"),
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


def lower(name: str) -> Callable[[dict[str, Any]], object]:
    return lambda said: said["payload"].update({name: [x / 2 for x in said["payload"][name]]})


FORGERIES: dict[str, tuple[int, Callable[[dict[str, Any]], object], str]] = {
    "a cheaper charge": (4, lower("cost"), "it was charged less than its event costs"),
    "lower sums": (4, lower("sums"), "its running sums are not those"),
    "lower sums later": (5, lower("sums"), "its running sums are not those"),
    "fewer charges": (10, lambda said: said["payload"].update(charges=1), "its running sums are not those"),
    "a prettier epsilon": (4, lambda said: said["payload"].update(epsilon_alone=0.1), "its epsilon_alone is 0.1"),
    "a refusal made up": (13, lambda said: said["payload"].update(epsilon_would_be=9.0), "its epsilon_would_be is 9.0"),
    "more noise than there was": (
        4,
        lambda said: said["payload"]["event"].update(noise_multiplier=9.0),
        "entry 7 (committed): what it says ran is not what was reserved",
    ),
    "higher caps": (
        2,
        lambda said: said["payload"].update(caps=[x + 1 for x in said["payload"]["caps"]]),
        "caps are higher than its epsilon",
    ),
    "a NaN": (4, lambda said: said["payload"].update(sums=["nan"] * 14), "a stored number is 'nan'"),
    "a void after activation": (
        5,
        lambda said: said.update(kind="voided"),
        "entry 6 (redeemed): redeemed cannot follow",
    ),
    "a commit without redeeming": (
        6,
        lambda said: said.update(kind="committed"),
        "entry 7 (committed): committed cannot",
    ),
    "another owner": (5, lambda said: said.update(owner="run-2"), "its release or owner is not that"),
    "other data": (
        6,
        lambda said: said["payload"].update(fingerprint="hmac:something"),
        "is not bound to its population",
    ),
    "a refusal turned into a charge": (
        13,
        lambda said: said.update(kind="reserved", reservation=13),
        "entry 13 (reserved)",
    ),
    "an unknown kind": (8, lambda said: said.update(kind="granted"), "its kind 'granted' is unknown"),
    "another ledger's beginning": (
        1,
        lambda said: said["payload"].update(ledger="other"),
        "begins with exactly one entry",
    ),
    "an unregistered population": (3, lambda said: said.update(population="other"), "'other' was not registered"),
    "a missing field": (4, lambda said: said["payload"].pop("sums"), "its contents cannot be right"),
    "an extra field": (4, lambda said: said.update(extra=1), "does not have the fields of an entry"),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_forged_entries_are_named(records: list[Record], name: str) -> None:
    number, change, complaint = FORGERIES[name]
    forged = list(records)
    forged[number - 1] = resealed(records[number - 1], change)

    careless = problems_of("memory", forged, [])
    assert careless, "a forger who mends only one hash"
    assert any(f"entry {number + 1} " in p and "the chain is broken" in p for p in careless) or number == len(records)

    careful = problems_of("memory", rechained(forged), [])
    assert any(complaint in problem for problem in careful), careful
    assert not any("the chain is broken" in problem for problem in careful)
    assert careful[0].startswith(tuple(f"entry {n} " for n in range(number, len(records) + 1)))


@pytest.mark.parametrize("number", range(2, 12))
def test_a_removed_entry_is_noticed_even_in_a_mended_chain(records: list[Record], number: int) -> None:
    assert problems_of("memory", rechained([record for record in records if record.seq != number]), [])


def test_a_ledger_rolled_back_is_a_ledger_that_was(records: list[Record]) -> None:
    """Nothing inside the file can show that its end is missing; a receipt kept elsewhere can, by number and hash."""
    assert problems_of("memory", records[:-2], []) == []


def test_two_registrations_of_one_population(records: list[Record]) -> None:
    doubled = rechained([*records[:3], records[1], *records[3:]])
    assert any("was registered before" in problem for problem in problems_of("memory", doubled, []))


def test_one_bad_entry_is_named_first(records: list[Record]) -> None:
    damaged = list(records)
    damaged[4] = Record(*{**vars(records[4]), "body": records[4].body + " "}.values())
    assert problems_of("memory", damaged, [])[0] == "entry 5 (activated): its body does not match its hash"
