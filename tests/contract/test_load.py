"""What a contract that holds looks like to the rest of the platform."""

from __future__ import annotations

import hashlib
import json
import pickle
import warnings
from pathlib import Path

import pytest
import yaml

from dpsynth_assets.contract import Contract, ContractError, Problem, lint_contract, load_contract, resolve
from dpsynth_assets.contract.people import is_person
from dpsynth_assets.contract.standard import json_schema

ROOT = Path(__file__).parents[2]
SHIPPED = sorted((ROOT / "contracts").glob("*.odcs.yaml"))
MINIMAL = Path(__file__).parent / "right" / "minimal.odcs.yaml"
RIGHT = [*SHIPPED, *sorted(MINIMAL.parent.glob("*.odcs.yaml"))]


def variant(tmp_path: Path, *changes: tuple[str, str]) -> Path:
    """The minimal contract with some of its text replaced."""
    text = MINIMAL.read_text()
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    path = tmp_path / "letters.odcs.yaml"
    path.write_text(text)
    return path


@pytest.fixture
def inbox() -> Contract:
    return load_contract(ROOT / "contracts" / "inbox.odcs.yaml")


@pytest.fixture
def ag_news() -> Contract:
    return load_contract(ROOT / "contracts" / "ag_news.odcs.yaml")


@pytest.mark.parametrize("path", RIGHT, ids=lambda path: path.name)
def test_there_is_nothing_to_say_of_a_right_contract(path: Path) -> None:
    assert lint_contract(path) == []
    contract = load_contract(path)
    assert contract.digest == hashlib.sha256(path.read_bytes()).hexdigest()
    assert contract.path == path
    assert set(contract.approvers) - set(contract.owners)


@pytest.mark.parametrize("path", RIGHT, ids=lambda path: path.name)
def test_the_standards_own_package_reads_it_and_reads_the_same(path: Path) -> None:
    from open_data_contract_standard.model import OpenDataContractStandard

    contract = load_contract(path)
    theirs = OpenDataContractStandard.from_string(path.read_text())
    assert theirs.id == contract.id
    raw = yaml.safe_load(path.read_text())  # YAML 1.1
    properties = raw["schema"][0]["customProperties"]
    (privacy,) = [entry["value"] for entry in properties if entry["property"] == "privacy"]
    ours = contract.privacy.model_dump(mode="json", exclude_unset=True)
    if "test_split" in privacy:
        privacy["test_split"]["path"] = ours["test_split"]["path"]  # `source` is resolved on loading
    assert ours == privacy


def test_the_schema_is_the_one_that_the_standards_package_gives_out() -> None:
    from open_data_contract_standard.model import OpenDataContractStandard

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # it opens its data file by a function of old
        theirs = json.loads(OpenDataContractStandard.json_schema())
    assert json_schema() == theirs


def test_the_demo_contract(inbox: Contract) -> None:
    assert (inbox.id, inbox.table, inbox.version) == ("inbox", "messages", "1.0.0")
    assert inbox.privacy.unit.column == "customer_id"
    assert inbox.retention_days == 30
    assert inbox.owners == ("inbox-owner@bank.example", "team:customer-service")
    assert inbox.approvers == ("privacy@bank.example",)
    assert [column.name for column in inbox.columns if column.classification == "restricted"] == ["text"]
    assert not inbox.privacy.source_is_public
    assert resolve(inbox.source, inbox) == ROOT / "data" / "inbox" / "train.parquet"
    assert resolve(inbox.privacy.test_split.path, inbox) == ROOT / "data" / "inbox" / "test.parquet"


def test_the_demo_contract_describes_what_the_generator_writes(inbox: Contract) -> None:
    from dataclasses import fields

    from dpsynth_assets.demo import inbox as demo

    topic, safety = inbox.privacy.labels
    assert sorted(topic.values) == sorted(demo.TOPIC_SHARES)
    assert sorted(safety.values) == ["safe", "unsafe"]
    assert {column.name for column in inbox.columns} == {field.name for field in fields(demo.Message)}
    assert inbox.privacy.unit.public_count == demo.Parameters().customers


def test_cells_are_every_combination_in_the_order_of_the_contract(inbox: Contract) -> None:
    assert len(inbox.cells) == 12
    assert inbox.cells[:3] == (("card_lost", "safe"), ("card_lost", "unsafe"), ("payment_failed", "safe"))
    assert inbox.plain_label(inbox.cells[1]) == "topic: card lost, safety: unsafe"
    with pytest.raises(ValueError, match="shorter"):
        inbox.plain_label(("card_lost",))


def test_a_hub_source_and_a_test_split_inside_it(ag_news: Contract) -> None:
    assert ag_news.source == ag_news.privacy.test_split.path == "hub:fancyzhx/ag_news"
    assert ag_news.privacy.source_where == {"split": "train"}
    assert ag_news.privacy.test_split.where == {"split": "test"}
    with pytest.raises(ValueError, match="not a path"):
        resolve(ag_news.source, ag_news)


def test_labels_are_decoded_from_every_form_the_source_comes_in(ag_news: Contract) -> None:
    (label,) = ag_news.privacy.labels
    assert [label.decoding[stored] for stored in (3, "Sci/Tech", "sci_tech")] == ["sci_tech"] * 3
    assert "World " not in label.decoding
    assert 4 not in label.decoding


def test_another_source_takes_the_test_split_inside_it_along(inbox: Contract, ag_news: Contract) -> None:
    copy = str(ROOT / "data" / "ag_news.parquet")
    moved = ag_news.with_source(copy)
    assert moved.source == moved.privacy.test_split.path == copy
    assert moved.privacy.test_split.where == {"split": "test"}
    assert moved.digest == ag_news.digest
    assert moved != ag_news
    elsewhere = inbox.with_source(ROOT / "data" / "inbox" / "train.parquet")
    assert elsewhere.privacy.test_split == inbox.privacy.test_split


def test_a_rule_blocks_unless_it_is_a_warning(tmp_path: Path, inbox: Contract) -> None:
    blocking = {rule.name: rule.blocking for rule in inbox.quality}
    assert blocking["text_is_present"]
    assert not blocking["some_messages_are_unsafe"]
    assert load_contract(MINIMAL).quality[0].blocking


def test_a_library_rule_under_a_column_is_about_that_column(tmp_path: Path) -> None:
    path = variant(
        tmp_path,
        (
            "classification: restricted}",
            "classification: restricted, quality: [{name: full, metric: nullValues, mustBe: 0, severity: warning}]}",
        ),
    )
    rule = load_contract(path).quality[1]
    assert (rule.expectation, rule.kwargs) == ("expect_column_values_to_not_be_null", {"column": "body"})
    assert not rule.blocking


def test_owners_who_left_and_the_older_form_of_a_team(tmp_path: Path) -> None:
    members = """team:
  - {username: owner@example.com, role: Owner}
  - {username: former@example.com, role: owner, dateOut: "2025-01-01"}
"""
    path = variant(tmp_path, ("team:\n  members:\n    - {username: owner@example.com, role: owner}\n", members))
    assert load_contract(path).owners == ("owner@example.com",)


@pytest.mark.parametrize(
    ("retention", "days"), [("value: 2, unit: y", 730), ("value: 7", 7), ("value: 1, unit: day", 1)]
)
def test_retention_is_counted_in_days(tmp_path: Path, retention: str, days: int) -> None:
    assert load_contract(variant(tmp_path, ("value: 30, unit: d", retention))).retention_days == days


def test_records_may_be_units_of_their_own(tmp_path: Path) -> None:
    path = variant(tmp_path, ("name: author, column: author, max_records: 3, ", "name: record, "))
    unit = load_contract(path).privacy.unit
    assert (unit.column, unit.max_records) == (None, 1)
    (problem,) = lint_contract(variant(tmp_path, ("name: author, column: author, ", "name: record, ")))
    assert problem.where == "privacy.unit.max_records"


@pytest.mark.parametrize("unit", ["name: author, ", "name: record, column: author, max_records: 3, "])
def test_a_unit_is_called_what_it_is(tmp_path: Path, unit: str) -> None:
    (problem,) = lint_contract(variant(tmp_path, ("name: author, column: author, max_records: 3, ", unit)))
    assert (problem.where, problem.severity) == ("privacy.unit.name", "error")


def test_a_source_folder_may_not_hold_the_test_split(tmp_path: Path) -> None:
    changes = [("path: letters.parquet", "path: ../data"), ("public_letters.parquet", "../data/test.parquet")]
    (problem,) = lint_contract(variant(tmp_path, *changes))
    assert "unmetered output" in problem.what


@pytest.mark.parametrize(
    "split",
    ["{folder}/letters.parquet", "../{name}/letters.parquet", "link.parquet", "hard.parquet", "linked/letters.parquet",
     "dangling.parquet", "./letters.parquet", "~/../{folder}/letters.parquet"],
)  # fmt: skip
@pytest.mark.parametrize("there", [True, False])
def test_the_source_is_no_test_split_however_its_place_is_spelled(tmp_path, split, there, monkeypatch) -> None:
    monkeypatch.setenv("HOME", "/home")
    source = tmp_path / "letters.parquet"
    source.touch()
    (tmp_path / "link.parquet").symlink_to(source)
    (tmp_path / "hard.parquet").hardlink_to(source)
    (tmp_path / "linked").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "dangling.parquet").symlink_to("link.parquet")
    if not there and "hard" not in split:
        source.unlink()
    said = split.format(folder=tmp_path, name=tmp_path.name)
    (problem,) = lint_contract(variant(tmp_path, ("public_letters.parquet", said)))
    assert "unmetered output" in problem.what


def test_a_file_of_a_source_folder_or_of_its_copies_is_no_test_split_under_another_name(tmp_path: Path) -> None:
    (tmp_path / "all").mkdir()
    inside, copy = tmp_path / "all" / "one.parquet", tmp_path / "letters-2.parquet"
    for path, name in ((inside, "other.parquet"), (copy, "copy.parquet")):
        path.touch()
        (tmp_path / name).hardlink_to(path)
    copies = "          source_copies: [letters-*.parquet]\n          generation:"
    for changes in (
        [("path: letters.parquet", "path: all"), ("public_letters.parquet", "other.parquet")],
        [("          generation:", copies), ("public_letters.parquet", "copy.parquet")],
    ):
        (problem,) = lint_contract(variant(tmp_path, *changes))
        assert "unmetered output" in problem.what


def test_a_name_with_brackets_is_a_name(tmp_path: Path) -> None:
    name = '"letters[1].parquet"'
    changes = [("path: letters.parquet", f"path: {name}"), ("public_letters.parquet", name)]
    (problem,) = lint_contract(variant(tmp_path, *changes))
    assert "unmetered output" in problem.what


def test_no_contract_takes_the_name_of_a_folder_of_the_store(tmp_path: Path) -> None:
    (problem,) = lint_contract(variant(tmp_path, ("id: letters", "id: known")))
    assert (problem.where, "a folder of the platform's own" in problem.what) == ("id", True)


HUB_SOURCE = (
    "{server: local, type: local, path: letters.parquet, format: parquet}",
    "{server: hub, type: custom, format: huggingface, dataset: a/letters}",
)


@pytest.mark.parametrize(
    ("split", "right"), [("test", True), ("a_b.c-1", True), ("", False), ("*", False), ("[!x]", False)]
)
def test_a_split_on_the_hub_goes_by_a_name(tmp_path: Path, split: str, right: bool) -> None:
    named = ("{path: public_letters.parquet,", f'{{path: source, where: {{split: "{split}"}},')
    column = (
        "      - {name: kind,",
        "      - {name: split, logicalType: string, required: true}\n      - {name: kind,",
    )
    own = ("          generation:", "          source_where: {split: train}\n          generation:")
    problems = lint_contract(variant(tmp_path, HUB_SOURCE, named, column, own))
    assert [problem.where for problem in problems] == ([] if right else ["privacy.test_split.where.split"])


def test_a_data_set_on_the_hub_is_one_however_its_name_is_written(tmp_path: Path) -> None:
    (problem,) = lint_contract(variant(tmp_path, HUB_SOURCE, ("public_letters.parquet", "hub:A/Letters")))
    assert "unmetered output" in problem.what


def test_shares_are_shares_of_the_budget() -> None:
    terms = load_contract(MINIMAL).privacy
    assert terms.releases.adapter.epsilon_of(terms.budget) == pytest.approx(3.6)


def test_an_error_survives_the_way_to_another_process() -> None:
    error = ContractError(Path("c.yaml"), [Problem(2, "id", "is wrong", "Mend it"), Problem(1, "x", "y", "Really?")])
    again = pickle.loads(pickle.dumps(error))
    assert (again.path, again.problems) == (error.path, error.problems)
    assert str(again) == "c.yaml: 2 problems\n  line 1: x: y. Really?\n  line 2: id: is wrong. Mend it."


def test_a_contract_can_be_a_key(inbox: Contract) -> None:
    assert hash(inbox) == hash(load_contract(inbox.path))
    assert inbox == load_contract(inbox.path)


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("name@example.com", True),
        ("first.last+tag@mail.example.org", True),
        ("team:customer-service", True),
        ("team:", False),
        ("team:two words", False),
        ("name@example", False),
        ("name@example.photography", False),
        (".name@example.com", False),
        ("name", False),
    ],
)
def test_who_is_a_person_to_us_is_an_owner_to_dagster(name: str, known: bool) -> None:
    from dagster import AssetSpec

    assert is_person(name) is known
    if known:
        AssetSpec("asset", owners=[name])
