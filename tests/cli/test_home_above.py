"""A command that is given in a folder below finds the home, and nobody makes a second ledger for the same people."""

from __future__ import annotations

import os

import pytest

from resources.home import FOLDER, Home, HomeError, home_above


@pytest.fixture
def below(tmp_path, monkeypatch, dpsynth):
    """A folder below one with a ledger, where commands are given."""
    monkeypatch.setenv("DPSYNTH_HOME", "")
    monkeypatch.chdir(tmp_path)
    assert dpsynth("init")[0] == 0
    folder = tmp_path / "contracts" / "of a year"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    return folder


def test_a_command_below_uses_the_ledger_above(below, tmp_path, dpsynth):
    code, out, _ = dpsynth("init")
    assert code == 0
    assert f"There is a ledger at {tmp_path}/{FOLDER}" in " ".join(out.split())
    assert not (below / FOLDER).exists()
    assert os.environ["DPSYNTH_HOME"] == str(tmp_path / FOLDER), "which processes that are started see too"


def test_what_is_said_counts_more(below, tmp_path, monkeypatch, dpsynth):
    monkeypatch.setenv("DPSYNTH_HOME", str(tmp_path / "another"))
    assert "Made an empty" in dpsynth("init")[1]
    assert (tmp_path / "another" / "ledger").is_dir()


def test_a_home_of_one_s_own_is_nearer(below):
    (below / FOLDER).mkdir()
    assert home_above(below) is None


def test_somebody_else_s_home_is_none(below, tmp_path, monkeypatch):
    assert home_above(below) == tmp_path / FOLDER
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    assert home_above(below) is None


def test_a_folder_without_a_ledger_is_no_home(tmp_path):
    (tmp_path / FOLDER / "models").mkdir(parents=True)
    (tmp_path / "below").mkdir()
    assert home_above(tmp_path / "below") is None


def test_a_home_that_somebody_else_left_here_is_not_taken(below, tmp_path, monkeypatch, dpsynth):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DPSYNTH_HOME", "")
    assert dpsynth("status")[0] == 0
    monkeypatch.setenv("DPSYNTH_HOME", "")
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    for command in ("status", "doctor", "init"):
        code, out, err = dpsynth(command)
        assert code == 2, out + err
        assert f"{tmp_path}/{FOLDER} is a home of another account" in " ".join(err.split())
    monkeypatch.setenv("DPSYNTH_HOME", str(tmp_path / FOLDER))
    assert dpsynth("status")[0] == 0, "one that is named is taken"


def test_nor_is_a_link_of_theirs_to_a_home_of_one_s_own(below, tmp_path, monkeypatch):
    (shared := tmp_path / "shared").mkdir()
    (shared / FOLDER).symlink_to(tmp_path / FOLDER)
    monkeypatch.setenv("DPSYNTH_HOME", "")
    monkeypatch.chdir(shared)
    assert Home.at().root == shared / FOLDER
    if os.getuid() != 0:
        pytest.skip("only root can make a link another account's")
    os.chown(shared / FOLDER, 65534, 65534, follow_symlinks=False)
    with pytest.raises(HomeError, match="another account"):
        Home.at()
    (folder := shared / "below").mkdir()
    assert home_above(folder) == tmp_path / FOLDER, "the next one above"
