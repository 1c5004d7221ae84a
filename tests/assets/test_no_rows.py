"""Sources of which nothing can be learned: the histogram shows it, and nothing dear is charged."""

from __future__ import annotations

import json

import pytest

from resources.artifact_store import ArtifactStore

HEALTHY = [
    {"customer": f"c{row}", "text": f"my {topic} is lost", "topic": topic}
    for row in range(600)
    for topic in ("card", "loan")
]


@pytest.fixture
def contract_path(contract_path):
    """The small contract about so many people that noise does not hide whether there are any."""
    text = contract_path.read_text(encoding="utf-8").replace("public_count: 40", "public_count: 600")
    contract_path.write_text(text, encoding="utf-8")
    return contract_path


@pytest.fixture
def charged(book):
    """What is charged, without what was only held and given back."""
    return lambda: [each.release for each in book.reservations() if each.state != "voided"]


def write(contract, records):
    lines = "\n".join(json.dumps(record) for record in records)
    (contract.path.parent / "train.jsonl").write_text(lines, encoding="utf-8")


def said(result, failure_of, asset):
    return failure_of(result, asset).step_failure_data.user_failure_data.description


@pytest.mark.parametrize(
    "broken",
    [
        [record | {"topic": record["topic"].upper()} for record in HEALTHY],
        [record | {"topic": True} for record in HEALTHY],
        [record | {"text": "  "} for record in HEALTHY],
        [record | {"customer": "one"} for record in HEALTHY],
        [],
    ],
    ids=["capitals", "booleans", "blank", "one unit", "empty"],
)
def test_an_adapter_is_not_charged_for_next_to_no_rows(contract, run, charged, failure_of, broken):
    write(contract, broken)
    result = run("source", "adapter", "label_histogram")
    assert not result.success
    told = said(result, failure_of, "adapter")
    assert (
        "small/adapter cannot be computed, and nothing was charged for it by this run: there is next to nothing" in told
    )
    assert "promises 600 customers" in told
    assert charged() == ["small/label_histogram"]


def test_where_there_are_rows_the_adapter_is_charged_and_a_label_that_nobody_has_is_warned_of(
    contract, run, charged, capfd
):
    write(contract, [record | {"topic": "card"} for record in HEALTHY])
    result = run("source", "adapter", "label_histogram")
    assert result.success
    assert charged() == ["small/label_histogram", "small/adapter"]
    [shown] = [e for e in result.get_asset_materialization_events() if e.asset_key.path[-1] == "label_histogram"]
    assert "topic: loan, as far" in shown.materialization.metadata["warning"].value
    assert "topic: loan, as far" in capfd.readouterr().err


def test_a_release_that_was_cut_off_is_finished_on_its_own_rows_whatever_was_snapshotted_since(
    contract, run, rooms, charged
):
    def stop(frame):
        raise KeyboardInterrupt

    write(contract, HEALTHY)
    rooms.train = stop
    assert not run("source", "label_histogram", "adapter").success
    write(contract, [])
    rooms.train = lambda frame: None
    assert run("source", "label_histogram").success
    assert run("adapter").success
    assert charged() == ["small/label_histogram", "small/adapter", "small/label_histogram"]


def test_the_histogram_of_another_snapshot_says_nothing_of_this_one(contract, run, charged):
    write(contract, [])
    assert run("source", "label_histogram").success
    write(contract, HEALTHY)
    assert run("source", "adapter").success
    assert charged() == ["small/label_histogram", "small/adapter"]


def test_no_texts_are_drawn_by_a_histogram_of_nobody(contract, run, home, failure_of):
    write(contract, HEALTHY)
    assert run("source", "adapter").success
    write(contract, [])
    assert run("source", "label_histogram").success
    assert "next to nothing to learn from" in said(run("candidates"), failure_of, "candidates")
    assert ArtifactStore(home=str(home.root)).find("small", "candidates") is None
