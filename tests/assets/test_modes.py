"""Whose files they are: nobody else writes to a home, or reads its ledger, whatever the umask."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger import Ledger, LedgerError
from resources.home import Home


@pytest.fixture
def umask() -> Iterator[None]:
    """None at all, as a careless service has it."""
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def writable_for_others(root: Path) -> list[str]:
    paths = [root, *root.rglob("*")]
    return [f"{mode(path):o} {path}" for path in paths if not path.is_symlink() and mode(path) & 0o022]


def test_a_home_and_its_ledger_are_closed_whatever_the_umask(umask, tmp_path):
    home = Home.at(tmp_path / "home")
    home.create()
    book = Ledger.create(home.ledger_file)
    book.checkpoint()
    assert writable_for_others(home.root) == []
    assert {mode(folder) for folder in (home.ledger_file.parent, home.sensitive, home.dagster)} == {0o700}
    assert {mode(file) for file in home.ledger_file.parent.iterdir()} == {0o600}


def test_the_ledger_is_closed_without_the_home_too(umask, tmp_path):
    book = Ledger.create(tmp_path / "new" / "ledger.duckdb")
    assert book.entries()
    assert mode(tmp_path / "new") == 0o700
    assert {mode(file) for file in (tmp_path / "new").iterdir()} == {0o600}


@pytest.mark.slow
def test_a_whole_run_leaves_nothing_that_others_can_write_to(contract, contract_path, agree, tmp_path):
    home = Home.at(tmp_path / "home")

    def dpsynth(*arguments: str | Path) -> None:
        command = [Path(sys.executable).parent / "dpsynth", *arguments]
        environment = {**os.environ, "DPSYNTH_HOME": str(home.root)}
        done = subprocess.run(command, env=environment, umask=0, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr

    dpsynth("init")
    agree(contract, Ledger(home.ledger_file))
    dpsynth("run", contract_path, "--yes", "--only", "source", "--only", "label_histogram")
    dpsynth("audit", "report")
    assert list(home.artifacts.glob("small/label_histogram/*"))
    assert list(home.dagster.glob("storage/*"))
    assert writable_for_others(home.root) == []


def test_what_an_earlier_program_left_open_is_closed(home):
    book = Ledger(home.ledger_file)
    for folder in (home.root, home.ledger_file.parent, home.dagster, home.artifacts):
        folder.chmod(0o777)
    with pytest.raises(LedgerError, match=r"everybody may write to .*chmod 700"):
        book.entries()
    for file in home.ledger_file.parent.iterdir():
        file.chmod(0o666)
    home.enter()
    assert book.entries()
    assert {mode(file) for file in home.ledger_file.parent.iterdir() if file.suffix != ".lock"} == {0o600}
    assert {mode(folder) for folder in (home.ledger_file.parent, home.dagster)} == {0o700}
    assert {mode(folder) for folder in (home.root, home.artifacts)} == {0o755}


def test_what_a_group_was_granted_stays_granted(home):
    home.ledger_file.parent.chmod(0o770)
    home.ledger_file.chmod(0o660)
    home.enter()
    assert Ledger(home.ledger_file).entries()
    assert (mode(home.ledger_file.parent), mode(home.ledger_file)) == (0o770, 0o660)


@pytest.mark.usefixtures("umask")
def test_the_signing_key_is_the_owners_alone(home):
    key = Path(f"{home.ledger_file}.key")
    assert mode(key) == 0o600
    key.chmod(0o644)  # as a copy from a backup may be
    Ledger(home.ledger_file).checkpoint()
    assert mode(key) == 0o600
