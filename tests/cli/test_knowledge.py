"""The knowledge benchmark as it is called: what it measures, that it goes on where it was, and what it writes."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import pandas as pd
import pytest

from dpsynth_assets.cli.knowledge import cell, report
from dpsynth_assets.cli.utility import grid
from dpsynth_assets.contract import load_contract
from dpsynth_assets.knowledge.domain import facts
from dpsynth_assets.knowledge.reader import Recipe
from dpsynth_assets.knowledge.records import Parameters
from dpsynth_assets.language import generation
from dpsynth_assets.synthesis.key_phrases import KeyPhrases

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "docs" / "results" / "knowledge"


@pytest.fixture
def knowledge_path(tmp_path):
    """The shipped contract in a place of its own, where the records are written too."""
    path = tmp_path / "here" / "contracts" / "knowledge.odcs.yaml"
    path.parent.mkdir(parents=True)
    return Path(shutil.copy(ROOT / "contracts" / "knowledge.odcs.yaml", path))


@pytest.fixture
def knowledge(knowledge_path):
    return load_contract(knowledge_path)


class Finder:
    """In a reader's place: answers what stands with the machine's name in one of the texts, else the first choice."""

    def __init__(self, recipe):
        self._texts = []

    def read(self, texts, progress):
        self._texts = [text.lower() for text in texts]
        progress(1, 1)

    def answers(self, asked):
        return [next(filter(self._stands(each.fact), each.fact.choices), each.fact.choices[0]) for each in asked]

    def _stands(self, fact):
        name = fact.name.lower()
        return lambda choice: any(name in text and choice.lower() in text for text in self._texts)


@pytest.fixture
def found_by_name(monkeypatch, rooms):
    """A finder reads, and a table of one fact about each machine is what every variant has drawn."""
    of_each = {fact.kind: fact for fact in facts(7) if fact.attribute.name == "fuel"}

    def generate_corpus(contract, adapter_folder, counts, rows=None, progress=None, shards=None, draw=None, pool=None):
        told = [of_each[kind] for (kind,) in contract.cells]
        texts = [f"the {fact.name} runs on {fact.value}" for fact in told]
        return pd.DataFrame({"text": texts, "kind": [fact.kind for fact in told]})

    monkeypatch.setattr(cell, "Reader", Finder)
    monkeypatch.setattr(generation, "generate_corpus", generate_corpus)
    return rooms


def test_the_lines_are_the_untaught_reader_the_real_records_and_the_variants(knowledge):
    names = [line.name for line in cell.lines(knowledge, Parameters(), Recipe())]
    assert names[:3] == ["untaught", "real", "lora-1"]
    assert names[-2:] == ["full-none", "nothing"]
    assert not any("dp" in name for name in names)


def test_cells_of_another_seed_or_recipe_are_other_cells(knowledge):
    def terms(parameters=Parameters(), recipe=Recipe()):  # noqa: B008
        return {line.terms for line in cell.lines(knowledge, parameters, recipe)}

    assert not terms() & terms(Parameters(seed=8))
    assert not terms() & terms(recipe=Recipe(steps=10))


def test_the_whole_way(knowledge_path, home, tmp_path, found_by_name, dpsynth):
    out = tmp_path / "knowledge"
    options = ["bench", "knowledge", "--dataset", knowledge_path, "--out", out]
    chosen = [word for name in ("untaught", "real", "lora-3") for word in ("--only", name)]
    code, _, error = dpsynth(*options, *chosen)
    assert code == 0, error
    assert found_by_name.read == 1
    shares = {each["line"]: each["share"] for each in json.loads((out / "knowledge.json").read_text())}
    assert shares["untaught"] == 1 / 4, "the first choice is true of every fourth machine"
    assert shares["lora-3"] == pytest.approx(1 / 4 + 3 / 4 / 8), "one fact of eight"
    assert shares["real"] > 1 / 2, "in the real records other facts stand with a name too"
    assert list(shares) == ["untaught", "lora-3", "real"]
    assert "| lora | 3 |" in (out / "knowledge.md").read_text()
    assert (out / "knowledge.png").read_bytes().startswith(b"\x89PNG")
    [result] = [json.loads(file.read_text()) for file in out.glob("lora-3/*/run-0/result.json")]
    assert 0 < result["epsilon_composed"] <= 3
    code, _, error = dpsynth(*options, *chosen)
    assert code == 0, error
    assert found_by_name.read == 1, "nothing is measured twice"


def test_bad_input_is_refused_before_anything_runs(knowledge_path, contract_path, tmp_path, dpsynth):
    def said(*options):
        code, _, error = dpsynth("bench", "knowledge", *options)
        assert code != 0
        return " ".join(error.split())

    assert "is not a contract of the invented machines" in said("--dataset", contract_path)
    assert "the lines are untaught, real, lora-1" in said("--dataset", knowledge_path, "--only", "lora-7")
    assert "has been measured" in said("--dataset", knowledge_path, "--report", "--out", tmp_path / "empty")
    records = knowledge_path.parents[1] / "data" / "knowledge" / "seed-7.parquet"
    assert not records.parent.exists()
    records.parent.mkdir(parents=True)
    records.write_text("somebody's letters")
    assert "move it away" in said("--dataset", knowledge_path, "--out", tmp_path / "out")


def test_intervals_are_over_facts_or_over_runs(knowledge):
    line = {line.name: line for line in cell.lines(knowledge, Parameters(), Recipe())}["lora-3"]

    def found(run, *right):
        result = {"right": dict(zip("abcd", right, strict=True)), "asked": dict.fromkeys("abcd", 3)}
        return grid.GridCell(line, run), result | {"rows": 10, "epsilon_composed": 2.9}

    [one] = report.figures([found(0, 3, 0, 3, 0)])
    assert (one.share, one.over) == (0.5, "4 facts")
    assert one.high - one.share == pytest.approx(3.182 * math.sqrt(1 / 3) / 2, rel=1e-3), "Student's t of three degrees"
    [two] = report.figures([found(0, 3, 0, 3, 0), found(1, 3, 3, 3, 0)])
    assert (two.share, two.over) == (0.625, "2 runs")


def test_facts_stand_in_key_phrases_whole_or_not(knowledge):
    told, other = facts(7)[0], facts(7)[-1]
    whole = f"{told.name} {told.value}".casefold()
    half = KeyPhrases({(told.kind,): {told.name.casefold(): 9.0, whole + " smell": 5.0}, (other.kind,): {whole: 9.0}})
    assert cell._stands_in(told, half)
    assert not cell._stands_in(other, half)
    line = {line.name: line for line in cell.lines(knowledge, Parameters(), Recipe())}["lora-3"]
    result = {"right": {"a": 1, "b": 2}, "asked": {"a": 3, "b": 3}, "rows": 10, "epsilon_composed": 2.9, "let_out": 2}
    [figure] = report.figures([(grid.GridCell(line, 0), result)])
    assert (figure.facts, figure.let_out) == (2, 2)
    assert "Of the 2 facts 2 stand in the key phrases of `lora-3`" in report.markdown([figure])


def test_it_is_counted_how_often_texts_say_what_is_true_and_what_is_not(knowledge):
    told = facts(7)[0]
    false = next(value for value in told.choices if value != told.value)
    texts = [f"My {told.name.upper()} has {told.value}.", f"{told.name} {told.value} {false}", false, "nothing"]
    assert cell._said(texts, 7) == (2, 1)
    line = {line.name: line for line in cell.lines(knowledge, Parameters(), Recipe())}["lora-3"]
    result = {"right": {"a": 1}, "asked": {"a": 3}, "rows": 4, "epsilon_composed": 2.9, "said": [2, 1]}
    said = report.markdown(report.figures([(grid.GridCell(line, 0), result)]))
    assert "have a machine's name and what is true of it 2 times, and what is not 1 times" in said


def test_the_table_in_the_documents_is_what_its_cells_hold(knowledge):
    """And the cells were measured with the records and the recipe of today."""
    found = grid.measured(cell.lines(knowledge, Parameters(), Recipe()), RESULTS)
    assert len(found) == len(list(RESULTS.rglob(grid.RESULT)))
    figures = report.figures(found)
    assert report.markdown(figures) in (RESULTS.parents[1] / "experiments.md").read_text(encoding="utf-8")
    shares = {each.line: each.share for each in figures}
    assert shares["real"] > 0.8
    assert abs(shares["untaught"] - report.CHANCE) < 0.1
