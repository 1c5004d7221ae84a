"""Tampering at random: after any history and any interference with the files, checkpoints from before tell."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import duckdb
import pytest

from ledger import (
    Checkpoint,
    Gaussian,
    Grant,
    Ledger,
    LedgerError,
    LedgerMissing,
    PoissonSampledGaussian,
    RaiseCap,
    chain,
)
from ledger.chain import Draft, Record

FINGERPRINT = "hmac-sha256:6f1ed002ab5595859014ebf0951522d9"
PLAN, ARTIFACT = "a" * 64, "b" * 64
EVENTS = [Gaussian(6.0), Gaussian(9.0), PoissonSampledGaussian(0.01, 1.0, 40)]
Reseal = Callable[..., Record]
Rechain = Callable[[list[Record]], list[Record]]


class Files:
    """A ledger's files in the hands of somebody who may write to them."""

    sha256 = "sha256(body)"

    def __init__(self, path: Path, resealed: Reseal, rechained: Rechain) -> None:
        self.path, self.resealed, self.rechained = path, resealed, rechained

    def records(self) -> list[Record]:
        return Ledger(self.path)._store.everything()[1]

    def run(self, *statements: str, values: list[list[Any]] | None = None, mend: bool = True) -> None:
        """With the triggers out of the way, and, by the more careful ones, put back afterwards."""
        connection = duckdb.connect(str(self.path))
        try:
            triggers = connection.execute("SELECT trigger_name, sql FROM duckdb_triggers()").fetchall()
            for name, _ in triggers:
                connection.execute(f"DROP TRIGGER {name} ON {'ledger' if name.startswith('ledger') else 'entries'}")
            for statement in statements:
                connection.execute(statement)
            for row in values or ():
                connection.execute("INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
            for _, sql in triggers if mend else ():
                connection.execute(sql)
        finally:
            connection.close()

    def append(self, record: Record) -> None:
        """No trigger is in the way of that."""
        connection = duckdb.connect(str(self.path))
        connection.execute("INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?)", cells(record))
        connection.close()

    def replace_by(self, records: list[Record]) -> None:
        self.run("DELETE FROM entries", values=[cells(record) for record in records])

    def keep(self) -> object:
        """What `put_back` puts back."""
        older = self.path.with_suffix(".older")
        shutil.copy(self.path, older)
        return older

    def put_back(self, older: Any) -> None:
        shutil.copy(older, self.path)
        Path(f"{self.path}.wal").unlink(missing_ok=True)


def cells(record: Record) -> list[Any]:
    columns = [getattr(record, name) for name in ("seq", "kind", "population", "reservation", "key")]
    return [*columns, list(record.blocks), record.body, record.hash]


# Each takes the files, chance, and a copy of them from before the last steps; it leaves something wrong.


def edits_a_row(files: Files, chance: random.Random, older: object) -> None:
    number = chance.randrange(1, len(files.records()) + 1)
    column = chance.choice(["body = body || ' '", "hash = repeat('0', 64)", "kind = 'terms_set'", "key = 'other'"])
    files.run(f"UPDATE entries SET {column} WHERE seq = {number}")


def edits_a_row_with_its_hash(files: Files, chance: random.Random, older: object) -> None:
    number = chance.randrange(1, len(files.records()) + 1)
    files.run(
        f'UPDATE entries SET body = replace(body, \'"time":"\', \'"time":"1\') WHERE seq = {number}',
        f"UPDATE entries SET hash = {files.sha256} WHERE seq = {number}",
    )


def lowers_what_stands(files: Files, chance: random.Random, older: object) -> None:
    files.run("UPDATE entries SET body = regexp_replace(body, '\"sums\":\\[[^]]*\\]', '\"sums\":[0.0]') WHERE seq > 4")


def deletes_a_row(files: Files, chance: random.Random, older: object) -> None:
    files.run(f"DELETE FROM entries WHERE seq = {chance.randrange(1, len(files.records()) + 1)}")


def deletes_the_end(files: Files, chance: random.Random, older: object) -> None:
    files.run(f"DELETE FROM entries WHERE seq > {chance.randrange(4, len(files.records()))}")


def deletes_all_rows(files: Files, chance: random.Random, older: object) -> None:
    files.run("DELETE FROM entries")


def rolls_back(files: Files, chance: random.Random, older: object) -> None:
    files.put_back(older)


def rolls_back_and_goes_on(files: Files, chance: random.Random, older: object) -> None:
    count = len(files.records())
    rolls_back(files, chance, older)
    ledger = Ledger(files.path)
    while len(ledger.entries()) < count + 2:
        ledger.lower_cap(
            "inbox", ledger.balance("inbox", with_pld=False).epsilon_cap - 0.01, actor="alice@example.org", reason="x"
        )


def computes_the_chain_anew(files: Files, chance: random.Random, older: object) -> None:
    records = files.records()
    number = chance.randrange(len(records))
    records[number] = files.resealed(records[number], lambda said: said.update(time="1999-12-31T23:59:59+00:00"))
    files.replace_by(files.rechained(records))


def computes_the_chain_anew_without_an_entry(files: Files, chance: random.Random, older: object) -> None:
    records = files.records()
    del records[chance.randrange(4, len(records))]
    files.replace_by(files.rechained(records))


def appends_an_entry_that_forgives(files: Files, chance: random.Random, older: object) -> None:
    """Nothing that stands is touched, no trigger is in the way, every hash is right."""
    head = files.records()[-1]
    nothing = {"inbox/everything": {"sums": [0.0] * 14, "charges": 0}}
    payload = {"reason": "x", "missing": None, "head": {"seq": head.seq, "hash": head.hash}, "standing": nothing}
    forged = chain.seal(Draft("restored", owner="eve", payload=payload), seq=head.seq + 1, time="-", previous=head.hash)
    files.append(forged)


def appends_a_void_of_what_was_activated(files: Files, chance: random.Random, older: object) -> None:
    records = files.records()
    activated = [record for record in records if record.kind == "activated"]
    head, about = records[-1], chance.choice(activated).said
    standing = {"inbox/everything": {"sums": [0.0] * 14, "charges": 0}}
    draft = Draft(
        "voided", "inbox", about["release"], about["owner"], about["reservation"], None, {"standing": standing}
    )
    forged = chain.seal(draft, seq=head.seq + 1, time="-", previous=head.hash)
    files.run(values=[cells(forged)])


def drops_triggers(files: Files, chance: random.Random, older: object) -> None:
    files.run(mend=False)


def makes_the_tables_anew(files: Files, chance: random.Random, older: object) -> None:
    files.run("CREATE OR REPLACE TABLE entries AS SELECT * FROM entries", mend=False)


def renames_the_ledger(files: Files, chance: random.Random, older: object) -> None:
    files.run("UPDATE ledger SET id = 'other'")


def deletes_the_file(files: Files, chance: random.Random, older: object) -> None:
    files.path.unlink()


def puts_an_empty_file_in_its_place(files: Files, chance: random.Random, older: object) -> None:
    files.path.write_bytes(b"")


def puts_another_ledger_in_its_place(files: Files, chance: random.Random, older: object) -> None:
    files.path.unlink()
    Path(f"{files.path}.key").unlink()
    Ledger.create(files.path)


def damages_the_file(files: Files, chance: random.Random, older: object) -> None:
    contents = bytearray(files.path.read_bytes())
    for place in range(4096, len(contents), 512):
        contents[place] ^= 0xFF
    files.path.write_bytes(bytes(contents))


ATTACKS = [
    edits_a_row,
    edits_a_row_with_its_hash,
    lowers_what_stands,
    deletes_a_row,
    deletes_the_end,
    deletes_all_rows,
    rolls_back,
    rolls_back_and_goes_on,
    computes_the_chain_anew,
    computes_the_chain_anew_without_an_entry,
    appends_an_entry_that_forgives,
    appends_a_void_of_what_was_activated,
    drops_triggers,
    makes_the_tables_anew,
    renames_the_ledger,
    deletes_the_file,
    puts_an_empty_file_in_its_place,
    puts_another_ledger_in_its_place,
    damages_the_file,
]


def live_a_little(ledger: Ledger, chance: random.Random, steps: int) -> None:
    held: list[Grant] = []
    for number in range(steps):
        event, key = chance.choice(EVENTS), f"key {number} {chance.random()}"
        with suppress(LedgerError):
            reservation = ledger.reserve(
                "inbox", event, source=FINGERPRINT, release="r", key=key, owner="run", plan_digest=PLAN
            )
            what = chance.choice(["leave", "void", "activate", "activate"])
            if what == "void":
                ledger.void(reservation.id, reason="died")
            elif what == "activate":
                held.append(ledger.activate(reservation))
        if held and chance.random() < 0.5:
            grant = held.pop()
            ledger.redeem(grant, population="inbox", fingerprint=FINGERPRINT)
            ledger.commit(grant, artifact_digest=ARTIFACT, event=grant.event)


@pytest.fixture
def files(path: Path, resealed: Reseal, rechained: Rechain) -> Files:
    return Files(path, resealed, rechained)


@pytest.mark.slow
@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_no_tampering_passes_verification(
    ledger: Ledger,
    path: Path,
    granted: Callable[..., Grant],
    files: Files,
    attack: Callable[[Files, random.Random, object], None],
) -> None:
    found = verified_after(attack, ledger, path, granted, files)
    if found is None:
        assert attack is deletes_the_file
        return
    assert found
    assert all(isinstance(problem, str) and problem for problem in found)


def verified_after(
    attack: Callable[[Files, random.Random, object], None],
    ledger: Ledger,
    path: Path,
    granted: Callable[..., Grant],
    files: Files,
) -> list[str] | None:
    """What verification finds after a little life and the attack; None where there is no ledger any more."""
    chance = random.Random(attack.__name__)
    granted(ledger, Gaussian(9.0), key="at least one")
    points: list[Checkpoint] = [ledger.checkpoint()]
    live_a_little(ledger, chance, chance.randrange(3))
    older = files.keep()
    live_a_little(ledger, chance, 1 + chance.randrange(2))
    ledger.lower_cap("inbox", 2.9, actor="alice@example.org", reason="less")
    points.append(ledger.checkpoint())
    assert ledger.verify(points) == []

    attack(files, chance, older)
    try:
        return Ledger(path).verify(points)
    except LedgerMissing:
        return None


def test_what_is_not_tampering_passes(ledger: Ledger, path: Path) -> None:
    """The same interference, put right again: a complaint about everything would be no use."""
    points = [ledger.checkpoint()]
    moved = path.with_suffix(".moved")
    path.rename(moved)
    shutil.copy(moved, path)
    assert ledger.verify(points) == []
    asked = ledger.propose(RaiseCap("inbox", 4.0), actor="alice@example.org", reason="more")
    ledger.approve(asked, actor="bob@example.org", reason="agreed")
    assert Ledger(path).verify([*points, ledger.checkpoint()]) == []
