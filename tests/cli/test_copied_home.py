"""Of two copies of one home on one server's ledger the first that writes goes on, and the other is turned away.

Each remembers by itself which unit is in which block, so together they could charge one person to two budgets.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from dpsynth_assets.gate.ahead import _lock_of
from ledger import Gaussian, LedgerBroken, LedgerError
from ledger.addresses import address_of
from ledger.errors import LedgerUnsure
from ledger.places import moving_note
from ledger.postgresql import PostgreSQLStore
from resources.heads import create_ledger, move_ledger, open_ledger
from resources.home import Home
from tests.postgresql import postgresql

DEAD = "9f1c7f6e-0000-4000-8000-000000000000"  # a run's number


class Killed(BaseException):
    """As by -9: nothing of ours runs after it."""


@pytest.fixture(scope="module")
def port():
    with postgresql(fsync="on") as port:
        yield port


@pytest.fixture
def home(tmp_path, port, request, contract, agree):
    name = "".join(filter(str.isalnum, request.node.name.lower()))[-30:]
    made = Home.at(tmp_path / "home")
    made.create()
    create_ledger(made, address=address_of(f"postgresql://127.0.0.1:{port}/postgres?schema=a{name}"))
    agree(contract, open_ledger(made))
    return made


def copied(home: Home, to: Path) -> Home:
    return Home.at(shutil.copytree(home.root, to))


def write(home: Home, digit: str = "a") -> None:
    open_ledger(home).bind_source("small-bank", digit * 64)


def turned_away(home: Home) -> None:
    before = len(open_ledger(home).entries())
    with pytest.raises(LedgerBroken, match="another home, a copy of this one"):
        write(home, "f")
    assert len(open_ledger(home).entries()) == before
    assert any("another home" in problem for problem in open_ledger(home).verify())


@pytest.mark.parametrize("first", ["copy", "home"])
def test_the_first_of_two_that_writes_goes_on_alone(home, tmp_path, first):
    copy = copied(home, tmp_path / "copy")
    goes_on, waits = (copy, home) if first == "copy" else (home, copy)
    write(goes_on)
    turned_away(waits)
    write(goes_on, "b")
    assert open_ledger(goes_on).verify() == []


def test_a_home_that_is_put_back_from_a_backup_is_turned_away(home, tmp_path):
    backup = copied(home, tmp_path / "backup")
    write(home)
    shutil.rmtree(home.sensitive)
    shutil.copytree(backup.sensitive, home.sensitive)
    turned_away(home)


def test_who_shares_the_folder_is_no_other_home(home):
    write(home, "a")
    write(Home.at(home.root / ".." / home.root.name), "b")
    write(home, "c")
    assert open_ledger(home).verify() == []


@pytest.mark.parametrize("entered", [True, False])
def test_a_process_that_died_while_the_server_committed_locks_nobody_out(home, tmp_path, monkeypatch, entered):
    copy, before = copied(home, tmp_path / "copy"), len(open_ledger(home).entries())
    commit = PostgreSQLStore._commit

    def killed(self, session):
        if entered:
            commit(self, session)
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):  # noqa: PT012
        patch.setattr(PostgreSQLStore, "_commit", killed)
        write(home)
    assert len(open_ledger(home).entries()) == before + entered
    if entered:
        turned_away(copy)
    write(home, "b")
    turned_away(copy)
    assert open_ledger(home).verify() == []


def test_an_answer_that_is_lost_locks_nobody_out(home, monkeypatch):
    commit = PostgreSQLStore._commit

    def lost(self, session):
        commit(self, session)
        raise LedgerUnsure("the connection was lost")

    with monkeypatch.context() as patch, pytest.raises(LedgerUnsure):  # noqa: PT012
        patch.setattr(PostgreSQLStore, "_commit", lost)
        write(home)
    write(home, "b")
    assert open_ledger(home).verify() == []


def test_what_a_former_attempt_expected_is_no_pass_for_another_s_entry(home, tmp_path, monkeypatch):
    copy = copied(home, tmp_path / "copy")
    with monkeypatch.context() as patch, pytest.raises(Killed):  # noqa: PT012
        patch.setattr(PostgreSQLStore, "_commit", lambda self, session: (_ for _ in ()).throw(Killed()))
        write(home)
    write(copy, "b")
    turned_away(home)


def test_nothing_is_entered_where_it_cannot_be_remembered(home, monkeypatch):
    before = len(open_ledger(home).entries())

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(LedgerError, match="Nothing was entered"):  # noqa: PT012
        patch.setattr("resources.heads.replace_atomically", full)
        write(home)
    assert len(open_ledger(home).entries()) == before
    write(home)


def test_a_plan_that_gives_back_what_a_dead_run_held_leaves_the_ledger_known(home, contract_path, dpsynth, monkeypatch):
    monkeypatch.setenv("DPSYNTH_HOME", str(home.root))
    monkeypatch.setenv("DAGSTER_HOME", str(home.dagster))
    write(home)
    asked = {"source": "a" * 64, "release": "small/adapter", "key": "k", "owner": DEAD, "plan_digest": "d" * 64}
    open_ledger(home).reserve("small-bank", Gaussian(30.0), **asked)
    lock = Path(_lock_of(str(home.root), DEAD).lock_file)
    lock.parent.mkdir(parents=True, exist_ok=True)
    lock.touch()
    assert dpsynth("plan", contract_path)[0] == 0
    assert open_ledger(home).reservations("reserved") == []
    write(home, "b")


def moved_to_a_file(home: Home) -> None:
    move_ledger(home, None)


def test_a_copy_moves_nothing_once_the_home_has_written(home, tmp_path):
    copy = copied(home, tmp_path / "copy")
    write(home)
    with pytest.raises(LedgerBroken, match="another home"):
        moved_to_a_file(copy)
    write(home, "b")
    assert open_ledger(home).verify() == []


@pytest.mark.parametrize("killed", [True, False])
def test_a_move_that_a_copy_began_ends_where_the_home_has_written_since(home, tmp_path, monkeypatch, killed):
    """Whether it was killed on its way and called again, or was only slow."""
    copy, rename = copied(home, tmp_path / "copy"), PostgreSQLStore.rename

    def late(self, other):
        if killed:
            raise Killed
        write(home)
        rename(self, other)

    with monkeypatch.context() as patch, pytest.raises(Killed if killed else LedgerBroken):  # noqa: PT012
        patch.setattr(PostgreSQLStore, "rename", late)
        moved_to_a_file(copy)
    if killed:
        assert moving_note(copy.ledger_file).exists()
        write(home)
        with pytest.raises(LedgerBroken, match="another home"):
            moved_to_a_file(copy)
    assert not moving_note(copy.ledger_file).exists(), "it gave up"
    turned_away(copy)
    write(home, "b")
    assert open_ledger(home).verify() == []


def test_a_move_that_a_copy_ends_first_turns_the_home_away(home, tmp_path):
    copy = copied(home, tmp_path / "copy")
    moved_to_a_file(copy)
    with pytest.raises(LedgerError, match="no privacy ledger"):
        write(home)
    write(copy)
    assert open_ledger(copy).verify() == []


def test_a_home_that_is_turned_away_is_told_so_before_it_asks_for_anything(
    dpsynth, home, tmp_path, contract_path, monkeypatch
):
    copy = copied(home, tmp_path / "copy")
    write(home)
    monkeypatch.setenv("DPSYNTH_HOME", str(copy.root))
    for command, expected in (
        (("doctor",), 1),
        (("plan", contract_path), 2),
        (("run", contract_path, "--yes"), 2),
        (("status",), 0),
    ):
        code, out, err = dpsynth(*command)
        said = " ".join((out + err).split())
        assert code == expected, said
        assert "another home, a copy of this one" in said, command
    assert json.loads(dpsynth("status", "--json")[1])["next"] == ["dpsynth audit verify"]
    monkeypatch.setenv("DPSYNTH_HOME", str(home.root))
    assert json.loads(dpsynth("status", "--json")[1])["refused"] is None
