"""A contract that has private texts and nothing else: no labels, no test split, no classifier and no rules."""

from __future__ import annotations

import re

import pytest

from dpsynth_assets.contract import lint_contract, load_contract
from dpsynth_assets.contract.diff import changes, terms_for_approval
from dpsynth_assets.factory import asset_names
from resources.artifact_store import ArtifactStore


def without(text: str, *terms: str) -> str:
    """A contract without these terms; each is a line with what is indented below it."""
    for term in terms:
        text, count = re.subn(rf"(?m)^( *){term}:.*\n(?:\1 +.*\n)*", "", text)
        assert count == 1, term
    return text


@pytest.fixture
def contract_path(contract_path):
    text = without(contract_path.read_text(encoding="utf-8"), "labels", "test_split", "classifier", "quality")
    contract_path.write_text(text, encoding="utf-8")
    return contract_path


def test_what_is_left_out_has_a_default(contract_path):
    assert lint_contract(contract_path) == []
    terms = load_contract(contract_path).privacy
    assert (terms.labels, terms.test_split, terms.classifier) == ((), None, None)


def test_it_runs_to_the_end_and_the_card_says_what_nobody_knows(run, contract, home, book, query):
    result = run()
    assert result.success, [event.message for event in result.all_events if event.is_failure]
    assert not {"classifier", "evaluation"} & set(asset_names(contract))
    store = ArtifactStore(home=str(home.root))
    card = (store.latest("small", "card").folder / "card.html").read_text(encoding="utf-8")
    assert "Not measured: the table has no labels" in card
    assert [column for (column, *_) in query("describe small.messages")] == ["text"]
    assert query("select count(*) from small.messages") == [(24,)]
    [histogram] = [e for e in result.get_asset_materialization_events() if e.asset_key.path[-1] == "label_histogram"]
    assert re.search(r"\| messages \| \d+ \|", histogram.materialization.metadata["noisy_counts"].value)
    assert [each.release for each in book.reservations()] == ["small/label_histogram", "small/adapter"]


def test_texts_of_one_class_are_asked_for_by_the_tables_name_and_drawn_as_one(contract, tmp_path):
    from dpsynth_assets.language.drawing import one_by_one
    from dpsynth_assets.language.generation import generate_corpus

    def draw(cells, seed, told):
        return [f"{contract.asking(cell)}, number {seed % 1009} {place}" for place, cell in enumerate(cells)]

    frame = generate_corpus(contract, tmp_path, {(): 3}, rows=5, draw=one_by_one(draw))
    assert (list(frame.columns), len(frame)) == (["text"], 5)
    assert frame["text"].str.startswith("messages, number ").all()


def test_with_labels_and_no_test_split_classifiers_are_of_the_first_label(contract_path):
    labelled = "          labels:\n            - {column: topic, values: [card, loan]}\n          budget:"
    text = contract_path.read_text(encoding="utf-8").replace("          budget:", labelled)
    contract_path.write_text(text, encoding="utf-8")
    contract = load_contract(contract_path)
    assert contract.privacy.target == "topic"
    names = asset_names(contract)
    assert "classifier" in names
    assert "evaluation" not in names
    named = contract_path.parent / "named.odcs.yaml"
    named.write_text(text.replace("          budget:", "          classifier: {target: topic}\n          budget:"))
    assert load_contract(named).privacy == contract.privacy


def test_an_empty_classifier_is_one_that_is_left_out(contract_path):
    labels = "          labels:\n            - {column: topic, values: [card, loan]}\n"
    labels += "          classifier: null\n          budget:"
    text = contract_path.read_text(encoding="utf-8").replace("          budget:", labels)
    contract_path.write_text(text, encoding="utf-8")
    assert not [problem for problem in lint_contract(contract_path) if problem.severity == "error"]
    assert load_contract(contract_path).privacy.target == "topic"


def test_a_test_split_that_is_named_no_longer_declares_nothing_public(contract):
    split = {"path": "test.jsonl", "where": {"fold": 2}, "declared_public_by": "owner@example.org"}
    after = terms_for_approval(contract)
    before = after | {"test_split": split}
    assert not [change for change in changes(before, after) if change.weakens]
    wider = before | {"test_split": split | {"where": {}}}
    assert [change.term for change in changes(before, wider) if change.weakens] == ["test_split.where"]
    assert [change.term for change in changes(after, before) if change.weakens]
