"""Checkpoints: what lies outside the file shows what the file alone cannot."""

from __future__ import annotations

import os
import pickle
import shutil
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pytest

from ledger import (
    AddPopulation,
    Checkpoint,
    Gaussian,
    Grant,
    Ledger,
    LedgerBroken,
    LedgerError,
    People,
    Reservation,
    Scope,
    chain,
)
from ledger.chain import Record
from ledger.checkpoints import new_key, problems_with, sign

FINGERPRINT = "hmac-sha256:6f1ed002ab5595859014ebf0951522d9"
PLAN = "a" * 64
PEOPLE = People(("alice@example.org",), ("bob@example.org",))


def reserve(ledger: Ledger, key: str) -> Reservation:
    asked = {"source": FINGERPRINT, "release": "r", "owner": "run", "plan_digest": PLAN}
    return ledger.reserve("inbox", Gaussian(20.0), key=key, **asked)


def rewrite(path: Path, records: list[Record]) -> None:
    """All entries replaced by other ones, with the triggers as they were: what an administrator can do."""
    connection = duckdb.connect(str(path))
    triggers = connection.execute("SELECT trigger_name, sql FROM duckdb_triggers()").fetchall()
    for name, _ in triggers:
        table = "ledger" if name.startswith("ledger") else "entries"
        connection.execute(f"DROP TRIGGER {name} ON {table}")
    connection.execute("DELETE FROM entries")
    for record in records:
        cells = [getattr(record, name) for name in ("seq", "kind", "population", "reservation", "key")]
        connection.execute(
            "INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [*cells, list(record.blocks), record.body, record.hash],
        )
    for _, sql in triggers:
        connection.execute(sql)
    connection.close()


def test_a_checkpoint_names_the_head_and_is_signed(ledger: Ledger) -> None:
    point = ledger.checkpoint()
    head = ledger.entries()[-1]
    assert (point.ledger, point.seq, point.hash) == (ledger.id, head.seq, head.hash)
    assert ledger.verify([point]) == []
    reserve(ledger, "first")
    assert ledger.verify([point, ledger.checkpoint(), point]) == []
    assert len(ledger.entries()) == head.seq + 1  # a checkpoint is no entry


def test_a_checkpoint_goes_through_json_and_pickle(ledger: Ledger) -> None:
    point = ledger.checkpoint()
    assert Checkpoint.from_json(point.to_json()) == point == pickle.loads(pickle.dumps(point))


@pytest.mark.parametrize(
    "change", [{"seq": True}, {"seq": "4"}, {"seq": 4.0}, {"hash": None}, {"extra": 1}, {"signature": b"x"}]
)
def test_what_is_no_checkpoint_is_refused(ledger: Ledger, change: dict[str, Any]) -> None:
    with pytest.raises(LedgerError):
        Checkpoint.from_json(ledger.checkpoint().to_json() | change)
    for nothing in (None, [], "checkpoint", {}):
        with pytest.raises(LedgerError):
            Checkpoint.from_json(nothing)


def test_a_rollback_shows(ledger: Ledger, path: Path) -> None:
    """The older file is a perfect ledger; only what it signed later tells."""
    copy = path.with_suffix(".copy")
    shutil.copy(path, copy)
    reserve(ledger, "first")
    point = ledger.checkpoint()
    shutil.copy(copy, path)
    assert ledger.verify() == []
    (problem,) = ledger.verify([point])
    assert "the ledger ends at entry 4: it was rolled back" in problem
    reserve(ledger, "second")  # and if others are written in the place of those that are lost
    (problem,) = ledger.verify([point])
    assert "its chain was computed anew" in problem


def test_a_recomputed_chain_shows(
    ledger: Ledger,
    path: Path,
    resealed: Callable[..., Record],
    rechained: Callable[[list[Record]], list[Record]],
) -> None:
    """A forger who mends every hash, keeps every rule and puts the triggers back passes all but the checkpoint."""
    reserve(ledger, "first")
    reserve(ledger, "second")
    points = [ledger.checkpoint()]
    records = ledger._store.everything()[1]
    rewrite(path, rechained(records[:-1]))  # one charge fewer
    reserve(ledger, "other")
    assert ledger.verify() == []
    (problem,) = ledger.verify(points)
    assert f"checkpoint of entry {len(records)}" in problem
    assert "another entry in that place" in problem

    def later(said: dict[str, Any]) -> None:
        said["time"] = "2031-01-01T00:00:00.000+00:00"

    rewrite(path, rechained([resealed(records[0], later), *records[1:]]))
    assert ledger.verify() == []
    (problem,) = ledger.verify(points)
    assert "another entry in that place" in problem


def test_an_older_checkpoint_still_vouches_for_what_it_saw(ledger: Ledger, path: Path) -> None:
    reserve(ledger, "first")
    old = ledger.checkpoint()
    copy = path.with_suffix(".copy")
    shutil.copy(path, copy)
    reserve(ledger, "second")
    new = ledger.checkpoint()
    shutil.copy(copy, path)
    assert ledger.verify([old]) == []
    assert len(ledger.verify([old, new])) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"seq": 3},
        {"hash": "0" * 64},
        {"time": "2031-01-01T00:00:00.000+00:00"},
        {"signature": "00" * 64},
        {"signature": ""},
        {"signature": "no hex"},
    ],
)
def test_a_forged_checkpoint_shows(ledger: Ledger, change: dict[str, Any]) -> None:
    (problem,) = ledger.verify([replace(ledger.checkpoint(), **change)])
    assert "its signature is not by this ledger's key" in problem


def test_a_checkpoint_by_another_key_shows(ledger: Ledger, path: Path) -> None:
    public, head = new_key(path.with_name("mine.key")), ledger._store.everything()[1][-1]
    (problem,) = ledger.verify([sign(path.with_name("mine.key"), ledger.id, head, "now", public)])
    assert "its signature is not by this ledger's key" in problem


@pytest.mark.parametrize("left", [None, b"", b"too short", b"x" * 32, b"x" * 33])  # the fourth is a key
def test_without_its_own_key_a_ledger_signs_nothing_and_charges_nothing(
    ledger: Ledger, path: Path, granted: Callable[..., Grant], left: bytes | None
) -> None:
    grant, reserved, key = granted(ledger), reserve(ledger, "one"), Path(f"{path}.key")
    key.unlink()
    if left is not None:
        key.write_bytes(left)
    count = len(ledger.entries())
    refused: dict[str, Callable[[], object]] = {
        "reserve": lambda: reserve(ledger, "two"),
        "activate": lambda: ledger.activate(reserved),
        "resume": lambda: ledger.resume(grant.reservation_id, owner="another run", replayed=None),
        "checkpoint": ledger.checkpoint,
    }
    for what, act in refused.items():
        with pytest.raises(LedgerError, match="restore it from a backup"):
            pytest.fail(f"{what}: {act()}")
    assert len(ledger.entries()) == count
    assert ledger.verify() == []


def test_a_public_key_exchanged_in_the_first_entry_shows(
    ledger: Ledger,
    path: Path,
    resealed: Callable[..., Record],
    rechained: Callable[[list[Record]], list[Record]],
) -> None:
    point = ledger.checkpoint()
    mine = path.with_name("mine.key")
    public = new_key(mine)
    records = ledger._store.everything()[1]
    first = resealed(records[0], lambda said: said["payload"].update(public_key=public))
    forged = rechained([first, *records[1:]])
    rewrite(path, forged)
    assert ledger.verify([sign(mine, ledger.id, forged[-1], "now", public)]) == []  # the forger's own
    assert len(ledger.verify([point])) == 1  # everybody else's


def test_another_ledgers_checkpoint_shows(ledger: Ledger, tmp_path: Path) -> None:
    other = Ledger.create(tmp_path / "other.duckdb")
    (problem,) = ledger.verify([other.checkpoint()])
    assert f"it is of another ledger, {other.id!r}" in problem


def test_deleted_entries_show_wherever_they_stood(ledger: Ledger, granted: Callable[..., Grant]) -> None:
    granted(ledger)
    point = ledger.checkpoint()
    ledger_id, records, _ = ledger._store.everything()
    public = ledger.entries()[0].payload["public_key"]
    assert list(problems_with([point], ledger_id, public, records)) == []
    for number in range(len(records)):
        assert list(problems_with([point], ledger_id, public, records[:number] + records[number + 1 :]))


def test_an_entry_slipped_in_at_the_end_is_nobodys_checkpoint(ledger: Ledger) -> None:
    """A signature over a head is not one over a later head of the same number."""
    reserve(ledger, "first")
    ledger_id, records, _ = ledger._store.everything()
    public = ledger.entries()[0].payload["public_key"]
    point = ledger.checkpoint()
    body = records[-1].body.replace('"charges":1', '"charges":0')
    forged = [*records[:-1], replace(records[-1], body=body, hash=chain.digest(body))]
    assert list(problems_with([point], ledger_id, public, forged))


# The key --------------------------------------------------------------------------------------------------------------


def test_the_key_is_its_owners_alone(path: Path) -> None:
    before = os.umask(0)
    try:
        Ledger.create(path)
    finally:
        os.umask(before)
    key = Path(f"{path}.key")
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert len(key.read_bytes()) == 32


def test_the_key_stands_nowhere_in_the_ledger(ledger: Ledger, path: Path) -> None:
    secret = Path(f"{path}.key").read_bytes()
    assert all(secret.hex() not in line for line in ledger.export())


def test_a_key_without_its_ledger_stops_a_new_one(ledger: Ledger, path: Path) -> None:
    """The file deleted, a fresh start would be every budget anew."""
    secret = Path(f"{path}.key").read_bytes()
    path.unlink()
    with pytest.raises(LedgerError, match="the signing key of a ledger that was here and is gone"):
        Ledger.create(path)
    assert not path.exists()
    assert Path(f"{path}.key").read_bytes() == secret


def test_the_key_is_found_by_every_name_of_the_ledger(
    ledger: Ledger, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alias = tmp_path / "alias.duckdb"
    alias.symlink_to(path)
    assert Ledger(alias).checkpoint().seq == 4
    monkeypatch.chdir(path.parent)
    relative = Ledger(path.name)
    monkeypatch.chdir(tmp_path)
    assert relative.balance("inbox").charges == 0
    assert relative.checkpoint().seq == 4


def test_no_checkpoint_is_made_of_a_broken_head(ledger: Ledger, path: Path) -> None:
    connection = duckdb.connect(str(path))
    connection.execute("DROP TRIGGER entries_keep_their_rows ON entries")
    connection.execute("UPDATE entries SET body = replace(body, 'inbox', 'outbox') WHERE seq = 4")
    connection.close()
    with pytest.raises(LedgerBroken):
        ledger.checkpoint()


def test_checkpoints_are_for_each_ledger_by_itself(tmp_path: Path, scope: Scope) -> None:
    """The same entries in two ledgers: neither one's checkpoint speaks for the other."""
    ledgers = [Ledger.create(tmp_path / f"{name}.duckdb") for name in "ab"]
    for ledger in ledgers:
        ledger.propose(AddPopulation(scope, PEOPLE), actor="alice@example.org", reason="please")
    first, second = ledgers
    assert first.verify([first.checkpoint()]) == second.verify([second.checkpoint()]) == []
    assert first.verify([second.checkpoint()])
    assert second.verify([replace(first.checkpoint(), ledger=second.id)])
