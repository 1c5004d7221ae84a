"""A ledger's file that DuckDB cannot use is called what it is, and one that cannot be written is read all the same."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from ledger import Grant, Ledger, LedgerBroken, LedgerBusy, LedgerError
from ledger.duckdb_files import trouble
from ledger.snapshot import write_snapshot
from tests.duckdb_files import UNUSABLE, held
from tests.read_only import on_a_read_only_disk


@pytest.mark.parametrize("kind", UNUSABLE)
def test_a_file_that_duckdb_cannot_use_is_called_what_it_is(ledger: Ledger, path: Path, kind: str) -> None:
    spoil, said = UNUSABLE[kind]
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(LedgerBroken) as caught:
        ledger.balance("inbox")
    message = str(caught.value)
    assert f"the ledger {path} {said}" in message
    assert "nothing is admitted" in message
    assert "program" not in message or kind in ("newer", "older")
    assert ("audit restore" in message) == (kind not in ("newer", "older"))
    assert ledger.verify() == [message]


def test_a_file_that_another_program_has_open_is_not_called_broken(ledger: Ledger, path: Path) -> None:
    with held(path), pytest.raises(LedgerBusy, match=r"is open in another program, .*\(PID \d+\).*close it there"):
        ledger.balance("inbox")
    assert ledger.verify() == []


def test_names_are_not_taken_for_what_duckdb_says() -> None:
    """Once "block" was: it contains "lock"."""
    odd = Path("/block/Could not set lock on file/No space left on device/ledger.duckdb")
    error = duckdb.IOException(f'IO Error: Cannot open file "{odd}": Is a directory, in block 7')
    assert trouble(odd, error).kind == "other"


def test_another_database_is_no_ledger(tmp_path: Path) -> None:
    path = tmp_path / "other.duckdb"
    duckdb.connect(str(path)).execute("CREATE TABLE t AS SELECT 1").close()
    with pytest.raises(LedgerBroken, match="is a database of something else than a ledger"):
        Ledger(path).balance("inbox")


def test_a_snapshot_for_which_there_is_no_space_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise duckdb.IOException('IO Error: Could not write file "x": No space left on device')

    monkeypatch.setattr(duckdb, "connect", full)
    with pytest.raises(LedgerError, match=r"audit\.duckdb lies on a disk without space, so it was not written"):
        write_snapshot([], tmp_path / "audit.duckdb")
    assert list(tmp_path.iterdir()) == []


READ_ONLY = """
import sys
from ledger import Ledger, LedgerError
book = Ledger(sys.argv[1])
print(book.verify(), len(book.entries()), book.statement("inbox").balance.epsilon_spent > 0, book.checkpoint().seq)
try:
    book.lower_cap("inbox", 2.0, actor="alice@example.org", reason="less is enough")
except LedgerError as error:
    print(error)
"""

KILLED = """
import os, sys
from ledger import Ledger
from ledger.store import DuckDBStore
commit = DuckDBStore._commit
DuckDBStore._commit = lambda *given: (commit(*given), os._exit(0))
Ledger(sys.argv[1]).lower_cap("inbox", 2.5, actor="alice@example.org", reason="less is enough")
"""


@pytest.mark.slow
def test_a_ledger_on_a_read_only_disk_is_read_as_a_kill_left_it(
    ledger: Ledger, path: Path, granted: Callable[..., Grant]
) -> None:
    granted(ledger)
    subprocess.run([sys.executable, "-c", KILLED, str(path)], check=True)
    assert path.with_name(path.name + ".wal").stat().st_size > 0, "committed, and not yet in the file itself"
    before = {file: file.read_bytes() for file in path.parent.iterdir()}
    read, refused = on_a_read_only_disk(path.parent, READ_ONLY, str(path)).splitlines()
    assert read == "[] 7 True 7"
    assert "its disk is read-only" in refused
    assert "nothing was entered" in refused
    assert {file: file.read_bytes() for file in path.parent.iterdir()} == before
