"""What the system refuses, and wrong usage, are one sentence; what cannot be looked at is never called fine."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from dpsynth_assets.gate.sources import source_of
from resources.sensitive_store import SensitiveStore
from resources.tabular import SourceError

START = "import sys; sys.argv[0] = 'dpsynth'; from dpsynth_assets.cli.app import run; run()"


def one_sentence(err: str) -> bool:
    return err.startswith("error: ") and "Traceback" not in err and "Exception ignored" not in err


def refuse(monkeypatch, module, name, path):
    """The system refuses this account one path, whichever account the tests run under."""
    real = getattr(module, name)

    def refusing(given, *rest, **options):
        if os.fspath(given) == str(path):
            raise PermissionError(13, "Permission denied", str(path))
        return real(given, *rest, **options)

    monkeypatch.setattr(module, name, refusing)


@pytest.mark.parametrize("verb", ["plan", "audit", "sql"])
def test_a_ledger_of_another_account_is_a_sentence(verb, dpsynth, home, book, contract_path, monkeypatch):
    refuse(monkeypatch, os, "stat", home.ledger_file)
    arguments = {"plan": [contract_path], "audit": [], "sql": ["SELECT 1"]}[verb]
    code, out, err = dpsynth(verb, *arguments)
    assert (code, out) == (2, "")
    assert one_sentence(err)
    assert str(home.ledger_file) in err
    assert ("--key" in err) == (verb == "sql")


def test_lint_works_without_the_ledger_and_says_so(dpsynth, home, book, contract_path, monkeypatch):
    refuse(monkeypatch, os, "stat", home.ledger_file)
    code, out, _ = dpsynth("lint", contract_path)
    assert code == 0
    assert "not compared with the ledger" in out


@pytest.mark.parametrize("where", ["", "small"])
def test_forget_says_what_it_cannot_look_at(where, dpsynth, home, contract, monkeypatch):
    SensitiveStore(home=str(home.root)).ingest(source_of(contract))
    refuse(monkeypatch, os, "scandir", home.sensitive / where if where else home.sensitive)
    code, out, err = dpsynth("forget")
    assert (code, out) == (2, "")
    assert one_sentence(err)
    assert f"{home.sensitive / where} (Permission denied)" in err


def test_forget_deletes_the_others_where_one_cannot_be_looked_at(home, contract):
    store = SensitiveStore(home=str(home.root))
    made = store.ingest(source_of(contract))
    (home.sensitive / "other" / "damaged").mkdir(parents=True)
    (home.sensitive / "other" / "damaged" / "manifest.json").write_text("{")
    (home.sensitive / "other" / "damaged" / "rows.parquet").touch()
    with pytest.raises(SourceError, match="damaged"):
        store.forget("small")
    assert not (home.sensitive / "small" / made.id / "rows.parquet").exists()


def test_forget_needs_a_home(dpsynth, tmp_path, monkeypatch):
    monkeypatch.setenv("DPSYNTH_HOME", str(tmp_path / "none"))
    code, _, err = dpsynth("forget")
    assert code == 2
    assert "$DPSYNTH_HOME" in err


def test_a_home_that_is_a_file_is_a_sentence(dpsynth, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("DPSYNTH_HOME", str(tmp_path / "file"))
    code, _, err = dpsynth("init")
    assert code == 2
    assert one_sentence(err)


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/full is Linux's")
def test_a_full_standard_output_is_a_sentence_and_a_closed_one_is_nothing(home, contract_path):
    command = [sys.executable, "-c", START, "lint", str(contract_path)]
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert ended.returncode == 2
    assert one_sentence(ended.stderr)
    assert "standard output" in ended.stderr
    closed = subprocess.run(["sh", "-c", '"$@" >&- 2>&-', "sh", *command])
    assert closed.returncode == 0


def test_wrong_usage_commands_no_terminal(dpsynth):
    code, _, err = dpsynth("plan", "a", "\x1b[31mb\u202ec")
    assert code == 2
    assert one_sentence(err)
    assert "[31mb\\u202ec" in err
    assert not {"\x1b", "\u202e"} & set(err)
    assert dpsynth("plan", "--nosuch")[0] == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ("plan", "{contract}", "--size", "nan"),
        ("plan", "{contract}", "--size", "5"),
        ("sql", "SELECT 1", "--memory", "inf"),
        ("sql", "SELECT 1", "--timeout", "nan"),
        ("sql", "SELECT 1", "--timeout", "1e300"),
        ("audit", "report", "--out", "{folder}"),
    ],
)
def test_numbers_and_places_that_cannot_be_are_refused(arguments, dpsynth, home, book, contract_path, tmp_path):
    (tmp_path / "folder").mkdir()
    given = [each.format(contract=contract_path, folder=tmp_path / "folder") for each in arguments]
    before = sorted(tmp_path.iterdir())
    code, _, err = dpsynth(*given)
    assert code == 2
    assert one_sentence(err)
    assert sorted(tmp_path.iterdir()) == before


def test_the_demo_of_an_installed_wheel_is_a_sentence_where_its_contract_lies(dpsynth, tmp_path, monkeypatch):
    """The wheel leaves out what writes the inbox; the contract may have been copied."""
    (tmp_path / "contracts").mkdir()
    (tmp_path / "contracts" / "inbox.odcs.yaml").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "dpsynth_assets.demo", None)
    code, _, err = dpsynth("demo")
    assert code == 2
    assert one_sentence(err)
    assert "checkout" in err


@pytest.mark.parametrize(
    ("base_model", "remedy"),
    [("smollm2-135m", "dpsynth model add smollm2-135m"), ("gpt-9", "embedded or smollm2-135m")],
)
def test_the_demo_by_a_base_model_that_is_not_here_writes_nothing(base_model, remedy, dpsynth, home, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    code, _, err = dpsynth("demo", "--base-model", base_model)
    assert code == 2
    assert one_sentence(err)
    assert remedy in err
    assert sorted(tmp_path.rglob("*")) == before


def test_dagster_s_storage_on_a_full_disk_is_a_sentence(dpsynth, tmp_path, monkeypatch):
    import dagster as dg
    from sqlalchemy.exc import OperationalError

    def full(*_, **__):
        why = sqlite3.OperationalError("database or disk is full")
        raise OperationalError("INSERT INTO runs VALUES (?)", ("a value",), why) from why

    monkeypatch.setenv("DPSYNTH_HOME", str(tmp_path / "another"))
    monkeypatch.setattr(dg.DagsterInstance, "from_config", full)
    code, _, err = dpsynth("init")
    assert code == 2
    assert one_sentence(err)
    assert "disk is full" in err
    assert "a value" not in err
