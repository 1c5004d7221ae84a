"""A ledger on a server through the command line: made there, moved there and back, used as one in a file is."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from dpsynth_assets.cli.init import create_home
from ledger import Ledger, LedgerError, LedgerMissing, moving
from ledger.addresses import address_of
from ledger.errors import LedgerUnsure
from ledger.places import begun_note, write_address
from resources.heads import create_ledger, open_ledger
from resources.home import Home
from tests.postgresql import PASSWORD, postgresql


@pytest.fixture
def place(same_place):
    return same_place


@pytest.fixture(scope="module")
def port():
    with postgresql(fsync="on") as port:
        yield port


@pytest.fixture
def address(port, request):
    name = "".join(filter(str.isalnum, request.node.name.lower()))[-30:]
    return f"postgresql://127.0.0.1:{port}/postgres?schema=a{name}"


def flat(out: str) -> str:
    return " ".join(out.split())


def test_moved_to_a_server_and_back_everything_stays_and_goes_on(dpsynth, contract_path, released, home, address):
    before = [each.hash for each in released.entries()]
    code, out, err = dpsynth("ledger", "move", address)
    assert code == 0, out + err
    assert address in flat(out)
    assert not home.ledger_file.exists()
    assert [each.hash for each in Ledger(home.ledger_file).entries()] == before
    code, out, err = dpsynth("audit", "verify")
    assert code == 0, out + err
    assert f"The ledger at {address} is intact" in flat(out)
    assert dpsynth("status")[0] == 0
    assert f"ledger at {address}" in flat(dpsynth("doctor")[1])
    code, out, err = dpsynth("run", contract_path, "--only", "source", "--only", "label_histogram")
    assert code == 0, out + err
    after = [each.hash for each in Ledger(home.ledger_file).entries()]
    assert (after[: len(before)], len(after) > len(before)) == (before, True)
    assert dpsynth("run", contract_path, "--again", "adapter")[0] == 3, "the budget that is spent there is spent"
    after = [each.hash for each in Ledger(home.ledger_file).entries()]
    code, out, err = dpsynth("ledger", "move", "file")
    assert code == 0, out + err
    assert home.ledger_file.exists()
    assert [each.hash for each in Ledger(home.ledger_file).entries()] == after
    assert dpsynth("audit", "verify")[0] == 0
    assert dpsynth("ledger", "move", address)[0] == 0, "its name there is free again"


def test_init_makes_it_there(dpsynth, tmp_path, address, monkeypatch):
    monkeypatch.setenv("DPSYNTH_HOME", str(tmp_path / "new"))
    monkeypatch.setenv("DPSYNTH_LEDGER", address)
    code, out, err = dpsynth("init", "--owner", "alice@example.org", "--approver", "bob@example.org")
    assert code == 0, out + err
    assert address in flat(out)
    assert dpsynth("init")[0] == 0
    assert dpsynth("init", "--ledger", f"{address}b")[0] == 2
    home = Home.at(tmp_path / "new")
    assert open_ledger(home).verify() == []
    assert PASSWORD not in home.ledger_file.with_suffix(".address").read_text(encoding="utf-8")


def test_another_home_is_not_let_in_by_an_address_alone(tmp_path, address, contract_path, agree, contract):
    """It would not know whose records were charged to which budget."""
    first, second = Home.at(tmp_path / "first"), Home.at(tmp_path / "second")
    for each in (first, second):
        each.create()
    create_ledger(first, address=address_of(address))
    write_address(second.ledger_file, address_of(address))
    shutil.copy(f"{first.ledger_file}.key", f"{second.ledger_file}.key")
    with pytest.raises(LedgerError, match="this home does not know the ledger at"):
        agree(contract, open_ledger(second))
    assert "does not know" in str(open_ledger(second).verify())
    agree(contract, open_ledger(first))
    assert open_ledger(first).verify() == []


class Killed(BaseException):
    """As by -9: nothing of ours runs after it."""


def dies(*given, **more):
    raise Killed


STEPS = ["write_durably", "rename", "create", "write_address", "unlink"]


def move_killed(monkeypatch, home, target, step):
    """A move that is killed before this step of it."""
    back = target is None
    here, there = (moving.PostgreSQLStore, moving.DuckDBStore)[:: 1 if back else -1]
    owner = {"rename": here, "create": there, "unlink": Path}.get(step, moving)
    with monkeypatch.context() as patch:
        patch.setattr(owner, step, dies)
        with pytest.raises(Killed):
            moving.move(home.ledger_file, target)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("back", [False, True], ids=["to the server", "to the file"])
@pytest.mark.parametrize("gives_up", [False, True], ids=["goes on", "gives up"])
def test_a_move_that_was_killed(dpsynth, released, home, address, monkeypatch, step, back, gives_up):
    """The same command goes on, and one to where it came from gives it up; meanwhile there is no ledger."""
    if back:
        assert dpsynth("ledger", "move", address)[0] == 0
    came_from, goes_to = (address, "file") if back else ("file", address)
    before = [each.hash for each in Ledger(home.ledger_file).entries()]
    move_killed(monkeypatch, home, None if back else address_of(address), step)
    begun = step != "write_durably"
    if begun:
        assert home.has_ledger
        with pytest.raises(LedgerMissing, match="is being moved"):
            Ledger(home.ledger_file)
        assert dpsynth("ledger", "move", f"{address}x")[0] == 2
    code, out, err = dpsynth("ledger", "move", came_from if gives_up else goes_to)
    assert code == (0 if begun or not gives_up else 2), out + err
    assert [each.hash for each in open_ledger(home).entries()] == before
    assert open_ledger(home).verify() == []
    at_the_file = gives_up != back
    assert home.ledger_file.exists() == at_the_file
    code, out, err = dpsynth("ledger", "move", address if at_the_file else "file")
    assert code == 0, out + err
    assert [each.hash for each in open_ledger(home).entries()] == before


def test_two_moves_at_once(dpsynth, released, home, address, monkeypatch):
    create, said = moving.PostgreSQLStore.create, []

    def meanwhile(*given):
        with pytest.raises(LedgerError, match="another process makes or moves the ledger"):
            moving.move(home.ledger_file, address_of(f"{address}b"))
        said.append(True)
        return create(*given)

    with monkeypatch.context() as patch:
        patch.setattr(moving.PostgreSQLStore, "create", meanwhile)
        assert dpsynth("ledger", "move", address)[0] == 0
    assert said
    assert home.ledger_name == address


def test_a_connection_that_is_lost_while_it_is_written_there(dpsynth, released, home, address, monkeypatch):
    commit, before = moving.PostgreSQLStore._commit, [each.hash for each in released.entries()]

    def lost(self, session):
        commit(self, session)
        raise LedgerError("the connection was lost")

    with monkeypatch.context() as patch:
        patch.setattr(moving.PostgreSQLStore, "_commit", lost)
        code, _, err = dpsynth("ledger", "move", address)
    assert (code, "is under way" in flat(err)) == (2, True), err
    assert dpsynth("ledger", "move", address)[0] == 0
    assert [each.hash for each in open_ledger(home).entries()] == before


def test_an_artifact_of_another_home_lets_nobody_in(released, home, address, tmp_path, agree, contract, dpsynth):
    assert dpsynth("ledger", "move", address)[0] == 0
    second = Home.at(tmp_path / "second")
    second.create()
    shutil.copytree(home.artifacts, second.artifacts, dirs_exist_ok=True)
    write_address(second.ledger_file, address_of(address))
    shutil.copy(f"{home.ledger_file}.key", f"{second.ledger_file}.key")
    with pytest.raises(LedgerError, match="this home does not know the ledger at"):
        agree(replace(contract, version="9.9.9"), open_ledger(second))
    assert "does not know" in str(open_ledger(second).verify())


@pytest.mark.parametrize("killed", ["before the head", "before the address"])
def test_init_that_was_cut_off_is_given_again(dpsynth, tmp_path, address, monkeypatch, killed):
    monkeypatch.setenv("DPSYNTH_HOME", str(tmp_path / "new"))
    with monkeypatch.context() as patch:
        patch.setattr(
            "resources.heads.KnownHead.take" if killed == "before the head" else "ledger.book.write_address", dies
        )
        with pytest.raises(Killed):
            create_home(Home.at(tmp_path / "new"), None, address_of(address))
    assert not Home.at(tmp_path / "new").has_ledger
    code, out, err = dpsynth("init", "--ledger", address)
    assert code == 0, out + err
    assert open_ledger(Home.at(tmp_path / "new")).verify() == []
    code, out, err = dpsynth("init", "--ledger", address)
    assert (code, "stays as it is" in flat(out)) == (0, True)


def test_a_place_that_is_taken_leaves_it_where_it_is(dpsynth, released, home, address, tmp_path):
    before = [each.hash for each in released.entries()]
    Ledger.create(tmp_path / "ledger.duckdb", address=address_of(address))
    code, out, err = dpsynth("ledger", "move", address)
    assert (code, "a ledger is created once" in flat(err)) == (2, True), out + err
    assert [each.hash for each in Ledger(home.ledger_file).entries()] == before
    for wrong, said in (
        ("file", "already: nothing was moved"),
        ("postgresql://me:hunter2@127.0.0.1/x", "has a password in it"),
        ("postgresql://127.0.0.1:1/x", "cannot be reached"),
        ("elsewhere", "is no address of a ledger"),
    ):
        code, _, err = dpsynth("ledger", "move", wrong)
        assert (code, said in flat(err), "hunter2" in err) == (2, True, False), err
    assert [each.hash for each in Ledger(home.ledger_file).entries()] == before
    assert [each.name for each in home.ledger_file.parent.glob("*.duckdb.moved*")] == []
    assert not moving.moving_note(home.ledger_file).exists()


def test_the_audit_reads_it_there_and_restores_it_there(dpsynth, released, home, address, tmp_path, port):
    assert dpsynth("ledger", "move", address)[0] == 0
    journal, points = tmp_path / "journal.jsonl", tmp_path / "points.jsonl"
    code, out, err = dpsynth("audit", "report", "--out", tmp_path / "report")
    assert code == 0, out + err
    journal.write_text(dpsynth("audit", "export")[1], encoding="utf-8")
    code, out, err = dpsynth("audit", "checkpoint")
    assert code == 0, out + err
    points.write_text(out, encoding="utf-8")
    code, out, err = dpsynth("audit", "verify", "--checkpoint", points)
    assert code == 0, out + err
    before = [each.hash for each in open_ledger(home).entries()]
    schema = address_of(address).schema
    with psycopg.connect(host="127.0.0.1", port=port, dbname="postgres", autocommit=True) as connection:
        connection.execute(f"DROP SCHEMA {schema} CASCADE")
    assert dpsynth("audit", "verify")[0] == 2
    code, out, err = dpsynth("audit", "restore", journal, "--as", "owner@example.org", "--reason", "the server's disk")
    assert code == 0, out + err
    after = open_ledger(home).entries()
    assert [each.hash for each in after][:-1] == before
    assert after[-1].kind == "restored"
    assert dpsynth("audit", "verify", "--checkpoint", points)[0] == 0


def test_a_connection_that_is_lost_while_it_is_put_aside(dpsynth, released, home, address, monkeypatch):
    """The server may rename it a moment later: nothing is concluded from not finding it."""
    assert dpsynth("ledger", "move", address)[0] == 0
    before, rename, late = [each.hash for each in open_ledger(home).entries()], moving.PostgreSQLStore.rename, []

    def lost(self, other):
        late.append((self, other))
        raise LedgerUnsure("the connection was lost")

    with monkeypatch.context() as patch:
        patch.setattr(moving.PostgreSQLStore, "rename", lost)
        code, _, err = dpsynth("ledger", "move", "file")
    assert (code, "is under way" in flat(err)) == (2, True), err
    rename(*late[0])
    assert dpsynth("ledger", "move", "file")[0] == 0
    assert [each.hash for each in open_ledger(home).entries()] == before


@pytest.mark.parametrize("back", [False, True], ids=["to the server", "to the file"])
def test_a_ledger_that_was_opened_before_enters_nothing_meanwhile(dpsynth, released, home, address, monkeypatch, back):
    """It was there before, and its next place is where it was opened."""
    first, second = ("file", address) if back else (address, "file")
    if dpsynth("status")[0] == 0 and first != "file":
        assert dpsynth("ledger", "move", first)[0] == 0
    opened = open_ledger(home)
    assert dpsynth("ledger", "move", second)[0] == 0
    move_killed(monkeypatch, home, None if first == "file" else address_of(first), "write_address")
    with pytest.raises(LedgerMissing, match="nothing was entered"):
        opened.lower_cap("small-bank", 7.9, actor="owner@example.org", reason="less")
    assert dpsynth("ledger", "move", second)[0] == 0
    assert open_ledger(home).verify() == []
    with pytest.raises(LedgerMissing):
        opened.lower_cap("small-bank", 7.9, actor="owner@example.org", reason="less")


def test_a_note_that_comes_back_is_of_what_is_done(dpsynth, released, home, address, monkeypatch):
    """As after a power cut."""
    note = moving.moving_note(home.ledger_file)
    with monkeypatch.context() as patch:
        patch.setattr(moving, "_forget", lambda path: None)
        assert dpsynth("ledger", "move", address)[0] == 0
    kept = note.read_text(encoding="utf-8")
    assert dpsynth("ledger", "move", address)[0] == 2, "it is there already"
    assert not note.exists()
    open_ledger(home).lower_cap("small-bank", 7.9, actor="owner@example.org", reason="less")
    after = [each.hash for each in open_ledger(home).entries()]
    for to in (address, "file"):
        note.write_text(kept, encoding="utf-8")
        assert dpsynth("ledger", "move", to)[0] == (2 if to == address else 0)
        assert [each.hash for each in open_ledger(home).entries()] == after


def test_giving_up_twice(dpsynth, released, home, address, monkeypatch):
    before = [each.hash for each in released.entries()]
    for _ in range(2):
        move_killed(monkeypatch, home, address_of(address), "write_address")
        move_killed(monkeypatch, home, None, "write_address")
    assert dpsynth("ledger", "move", "file")[0] == 0
    assert [each.hash for each in open_ledger(home).entries()] == before


@pytest.mark.parametrize(
    "said", ["{}", "no", '{"came_from": "file", "suffix": "x/../y", "goes_to": "file"}',
             '{"came_from": "file", "suffix": "moved_00000000", "goes_to": 5}'],
)  # fmt: skip
def test_a_note_that_cannot_be_read(dpsynth, released, home, address, said):
    note = moving.moving_note(home.ledger_file)
    note.write_text(said, encoding="utf-8")
    code, _, err = dpsynth("ledger", "move", address)
    assert (code, "cannot be read: put it back from a backup" in flat(err), "Traceback" in err) == (2, True, False)


def test_the_key_alone_does_not_make_a_fresh_ledger_another_home_s(tmp_path, address):
    first, second = Home.at(tmp_path / "first"), Home.at(tmp_path / "second")
    for each in (first, second):
        each.create()
    create_ledger(first, address=address_of(address))
    shutil.copy(f"{first.ledger_file}.key", f"{second.ledger_file}.key")
    with pytest.raises(LedgerError, match="a ledger is created once"):
        create_ledger(second, address=address_of(address))


@pytest.mark.parametrize("comes_late", [False, True], ids=["before it was made", "after the server was told"])
def test_init_whose_connection_is_lost_is_given_again(tmp_path, address, monkeypatch, comes_late):
    home = Home.at(tmp_path / "new")
    home.create()
    create = moving.PostgreSQLStore.create
    told = []

    def lost(self, *given):
        told.append((self, given))
        raise LedgerUnsure("the connection was lost")

    with monkeypatch.context() as patch, pytest.raises(LedgerUnsure):  # noqa: PT012
        patch.setattr(moving.PostgreSQLStore, "create", lost)
        create_ledger(home, address=address_of(address))
    if comes_late:
        create(told[0][0], *told[0][1])
    assert create_ledger(home, address=address_of(address)).verify() == []
    assert home.ledger_name == address


def test_without_a_ledger_there_is_nothing_to_move(dpsynth, tmp_path, address, monkeypatch):
    monkeypatch.setenv("DPSYNTH_HOME", str(tmp_path / "none"))
    code, _, err = dpsynth("ledger", "move", address)
    assert (code, "there is no privacy ledger at" in flat(err)) == (2, True)
    assert not (tmp_path / "none").exists()


def test_a_key_is_taken_again_only_where_that_ledger_was_begun(tmp_path, address, monkeypatch):
    """Elsewhere the key of no ledger says that one was here and is gone."""
    home = Home.at(tmp_path / "new")
    home.create()
    with monkeypatch.context() as patch:  # by a signal: the server may still make it
        patch.setattr(moving.PostgreSQLStore, "create", dies)
        with pytest.raises(Killed):
            create_ledger(home, address=address_of(address))
    assert begun_note(home.ledger_file).read_text(encoding="utf-8") == address
    for other in (None, address_of(f"{address}b")):
        with pytest.raises(LedgerError, match="is the signing key of a ledger that was here"):
            Ledger.create(home.ledger_file, address=other)
        begun_note(home.ledger_file).write_text(address, encoding="utf-8")
    assert create_ledger(home, address=address_of(address)).verify() == []
    assert not begun_note(home.ledger_file).exists()


def test_a_head_that_cannot_be_kept_is_said_in_words(released, home, monkeypatch):
    def refused(*given, **more):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("resources.heads.FileLock", refused)
    with pytest.raises(LedgerError, match=r"cannot be written .Permission denied.* into the ledger stands"):
        open_ledger(home).lower_cap("small-bank", 7.9, actor="owner@example.org", reason="less")
