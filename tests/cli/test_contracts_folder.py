"""Commands look for contracts where the code location does: $DPSYNTH_CONTRACTS, here, or beside the home above."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from resources.home import FOLDER
from tests.conftest import write_contract


@pytest.fixture
def elsewhere(tmp_path, monkeypatch, home):
    """Where contracts lie by $DPSYNTH_CONTRACTS; commands are given in a folder with none."""
    path = write_contract(tmp_path / "agreed")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("DPSYNTH_CONTRACTS", str(path.parent))
    return path


@pytest.fixture
def below(tmp_path, monkeypatch, dpsynth):
    """A folder below that of a home with a ledger and a contract."""
    monkeypatch.setenv("DPSYNTH_HOME", "")
    monkeypatch.chdir(tmp_path)
    assert dpsynth("init")[0] == 0
    write_contract(tmp_path / "contracts")
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    monkeypatch.setenv("DPSYNTH_HOME", "")  # which `init` has set for its own process
    return tmp_path / "contracts" / "small.odcs.yaml"


@pytest.fixture(params=["elsewhere", "below"])
def there(request) -> Path:
    """A contract that is not in `contracts` of the working directory."""
    return request.getfixturevalue(request.param)


def test_status_lists_them(there, dpsynth):
    code, out, err = dpsynth("status", "--json")
    assert (code, [each["file"] for each in json.loads(out)["contracts"]]) == (0, [str(there)]), err
    assert f"Next: dpsynth approve {there}" in dpsynth("status")[1]


def test_lint_checks_all_of_them(there, dpsynth):
    there.write_text(there.read_text().replace("epsilon: ", "epsilon: -", 1))
    code, out, err = dpsynth("lint")
    assert (code, str(there) in out) == (1, True), out + err


def test_init_says_which_is_the_first(elsewhere, dpsynth, tmp_path, monkeypatch):
    monkeypatch.setenv("DPSYNTH_HOME", str(tmp_path / "another"))
    assert f"Next: dpsynth plan {elsewhere}" in dpsynth("init")[1]


def test_doctor_looks_at_them(there, dpsynth):
    assert f"{there} holds" in dpsynth("doctor")[1]


def test_a_name_is_one_of_theirs(there, dpsynth):
    code, out, err = dpsynth("approve", "small")
    assert (code, "small needs two signatures" in out) == (1, True), out + err
    assert f"There are {there}" in dpsynth("approve", "smal")[2]


def test_new_writes_beside_them(there, dpsynth):
    given = (
        "--text",
        "text",
        "--unit",
        "record",
        "--public-count",
        "2000",
        "--population",
        "writers",
        "--epsilon",
        "8",
    )
    people = ("--owner", "a@example.org", "--approver", "b@example.org")
    code, out, err = dpsynth("new", there.parent / "train.jsonl", "--id", "second", *given, *people)
    assert (code, (there.parent / "second.odcs.yaml").exists()) == (0, True), out + err
    assert not Path("contracts").exists()


def test_the_code_location_loads_them(elsewhere):
    from dpsynth_assets.definitions import loaded_folder

    assert loaded_folder() == elsewhere.parent


def test_the_code_location_below_a_home_loads_those_beside_it(below, dpsynth):
    from dpsynth_assets.definitions import loaded_folder

    assert loaded_folder() == Path(__file__).parents[2] / "contracts", "its home is not the one above until one says so"
    assert dpsynth("status")[0] == 0  # points this process, and those that it starts, at the home above
    assert loaded_folder() == below.parent


def test_those_of_the_working_directory_are_nearer_than_a_home_above(below, dpsynth):
    own = write_contract(Path("contracts"))
    assert f"Next: dpsynth approve {own}" in dpsynth("status")[1]


def test_another_home_s_contracts_are_not_looked_for_above(below, dpsynth, tmp_path, monkeypatch):
    monkeypatch.setenv("DPSYNTH_HOME", str(tmp_path / "another" / FOLDER))
    assert "No contract in contracts/." in dpsynth("status")[1]


def test_where_there_is_none_the_folder_is_named(dpsynth, elsewhere, monkeypatch, tmp_path):
    empty = tmp_path / "empty"
    monkeypatch.setenv("DPSYNTH_CONTRACTS", str(empty))
    assert f"No contract in {empty}/." in dpsynth("status")[1]
    assert f"no contract in {empty}/: " in dpsynth("doctor")[1]
    assert f"there is no *.odcs.yaml in {empty}/" in dpsynth("lint")[2]
    assert f"There is none in {empty}/" in dpsynth("approve", "small")[2]
