"""A home that is damaged, full or not to be written: a sentence and a remedy, no trace, and nothing charged."""

from __future__ import annotations

import os
import shutil
import sqlite3
from pathlib import Path
from types import SimpleNamespace

import duckdb
import pytest
from dagster_shared.error import SerializableErrorInfo

from dpsynth_assets.cli.app import _said
from dpsynth_assets.cli.running import _said as said_of_asset
from ledger import LedgerError


def one_sentence(err: str) -> bool:
    return err.startswith("error: ") and "Traceback" not in err


def refused(dpsynth, contract_path, book) -> str:
    code, out, err = dpsynth("run", contract_path, "--quiet")
    assert code == 2, out + err
    assert one_sentence(err)
    assert book.reservations() == []
    return " ".join(err.split())


@pytest.mark.parametrize(
    "settings",
    [b"telemetry: [\n", b"nosuch: 1\n", b"telemetry: 5\n", b"- a\n", b"\xff\xfe\x00", b"storage: {sqlite: 5}\n"],
)
def test_a_bad_dagster_yaml(settings, dpsynth, home, contract_path, book, rooms):
    (home.dagster / "dagster.yaml").write_bytes(settings)
    said = refused(dpsynth, contract_path, book)
    assert f"{home.dagster / 'dagster.yaml'} is not a configuration of Dagster" in said
    assert "correct it, or move it away" in said
    (home.dagster / "dagster.yaml").unlink()
    assert dpsynth("run", contract_path, "--quiet", "--only", "source")[0] == 0


@pytest.mark.parametrize("keep", [0, 5000])
@pytest.mark.parametrize("database", ["history/runs.db", "history/runs/index.db", "schedules/schedules.db"])
def test_a_damaged_history(database, keep, dpsynth, home, contract_path, book, rooms):
    path = home.dagster / database
    path.write_bytes(path.read_bytes()[:keep] + b"no database" * 1000)
    said = refused(dpsynth, contract_path, book)
    assert f"Dagster's files in {home.dagster} cannot be used" in said
    assert "move the folder away" in said
    home.dagster.rename(home.dagster.with_name("away"))
    assert dpsynth("run", contract_path, "--quiet", "--only", "source")[0] == 0


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("SQLITE_FULL", "free some space"),
        ("SQLITE_READONLY", "let this account write"),
        ("SQLITE_CANTOPEN", "let this account write"),
        ("SQLITE_BUSY", "let the other run end"),
        ("SQLITE_CORRUPT", "move the folder away"),
    ],
)
def test_what_sqlite_refuses_is_a_sentence(name, remedy, capfd, home):
    error = sqlite3.OperationalError("no")
    error.sqlite_errorname = name
    around = RuntimeError("Dagster's own")
    around.__cause__ = error
    assert _said(around) == 2
    err = capfd.readouterr().err
    assert one_sentence(err)
    assert remedy in " ".join(err.split())


@pytest.mark.parametrize(("free", "remedy"), [(2**20, "the disk is full"), (2**30, "move the folder away")])
def test_a_full_disk_is_called_that(free, remedy, capfd, home, monkeypatch):
    """SQLite calls it an I/O error, where it writes beside its file."""
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=free))
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorname = "SQLITE_IOERR_WRITE"
    assert _said(error) == 2
    assert remedy in " ".join(capfd.readouterr().err.split())


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("ledger.errors.LedgerBroken: entry 7 was rewritten\n", "entry 7 was rewritten"),
        ("somebody.LedgerBroken: what it holds\n", "failed with somebody.LedgerBroken: what it holds"),
    ],
)
def test_what_an_asset_says_in_our_own_words_is_said_as_it_is(message, said):
    error = SerializableErrorInfo(message, [], "LedgerBroken")
    assert said_of_asset(error, reads_rows=False) == said
    assert "entry" not in said_of_asset(error, reads_rows=True)
    assert "holds" not in said_of_asset(error, reads_rows=True)


def test_a_disk_that_is_full_under_the_ledger(home, book, monkeypatch):
    def full(*_, **__):
        raise duckdb.IOException('Could not write file "x": No space left on device')

    monkeypatch.setattr(duckdb, "connect", full)
    with pytest.raises(LedgerError, match=r"no space is left on the disk.*free some there") as raised:
        book.populations()
    assert type(raised.value) is LedgerError  # nothing is wrong with the ledger


@pytest.fixture
def place(same_place):
    return same_place


def test_what_lies_there_damaged_is_named_by_audit_verify(dpsynth, released, home):
    [receipt, *_] = home.artifacts.glob("small/adapter/*/receipt.json")
    receipt.write_bytes(receipt.read_bytes()[:40])
    (home.warehouse / "warehouse.duckdb.wal").write_bytes(b"stale")
    head = home.sensitive / "ledger-head.json"
    whole = head.read_bytes()
    code, _, err = dpsynth("audit", "verify")
    said = " ".join(err.split())
    assert code == 1
    assert "Traceback" not in err
    assert "receipt.json was changed" in said
    assert "warehouse.duckdb.wal" in said
    assert "move it away" in said
    head.write_bytes(whole[:20])
    code, _, err = dpsynth("audit", "verify")
    assert (code, "ledger-head.json cannot be read" in " ".join(err.split())) == (1, True)
    receipt.unlink()
    for verb in ("audit", "sql"):
        code, out, err = dpsynth(*((verb,) if verb == "audit" else (verb, "select count(*) from small.messages")))
        assert (code, "Traceback" in out + err) == (0, False)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_home_that_cannot_be_written(dpsynth, home, contract_path, book, rooms):
    folders = [home.root, *(Path(each) for each, _, _ in os.walk(home.root))]
    try:
        for folder in folders:
            folder.chmod(0o500)
        code, out, err = dpsynth("run", contract_path, "--quiet")
    finally:
        for folder in folders:
            folder.chmod(0o700)
    assert code == 2, out + err
    assert one_sentence(err)
    assert book.reservations() == []
