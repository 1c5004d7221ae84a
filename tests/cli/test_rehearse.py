"""`dpsynth rehearse`: the whole run on made-up rows. It never opens the source, and leaves the home as it was."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from dpsynth_assets.cli.console import BadInput
from dpsynth_assets.cli.rehearsal.estimate import estimates, growth
from dpsynth_assets.cli.rehearsal.rows import of_base_model, of_file, write_rows
from dpsynth_assets.cli.rehearsal.terms import MIX, POPULATION, SOURCE, TEST, Scale, rehearsed
from dpsynth_assets.cli.running import Stage
from dpsynth_assets.contract import load_contract
from dpsynth_assets.gate.sources import source_of
from dpsynth_assets.language.generation import GenerationError
from ledger import Ledger
from resources.sensitive_store import ProtectedRowsError, SensitiveStore

SCALE = Scale(units=12, steps=2, texts=16)
_opened: list[str] | None = None


def _note_opened(event, arguments):
    if event == "open" and _opened is not None and isinstance(arguments[0], str | bytes):
        _opened.append(os.fsdecode(arguments[0]))


sys.addaudithook(_note_opened)  # which cannot be taken back; it does nothing where nobody looks


@pytest.fixture
def opened(monkeypatch):
    """The paths that Python opens from now on."""
    paths: list[str] = []
    monkeypatch.setattr(sys.modules[__name__], "_opened", paths)
    return paths


@pytest.fixture
def temporary(tmp_path_factory, monkeypatch):
    """Where temporary folders are made."""
    folder = tmp_path_factory.mktemp("temporary")
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def state_of(folder: Path) -> dict[str, object]:
    """Every byte of a folder, and when it was written."""
    return {
        str(path.relative_to(folder)): (
            path.stat().st_mtime_ns,
            path.stat().st_mode,
            path.is_file() and path.read_bytes(),
        )
        for path in sorted(folder.rglob("*"))
    }


def flat(text):
    return " ".join(text.replace("│", " ").split())


def test_a_rehearsal_reads_no_source_and_leaves_the_home_alone(
    dpsynth, contract_path, rooms, book, home, tmp_path, opened
):
    """There is no source and no test split to be read."""
    for name in ("train", "test"):
        (contract_path.parent / f"{name}.jsonl").unlink()
    before, kept, variables = state_of(home.root), tmp_path / "kept", dict(os.environ)
    opened.clear()
    code, out, err = dpsynth(
        "rehearse", contract_path, "--units", "12", "--steps", "2", "--texts", "16", "--keep", kept
    )
    looked_at = [path for path in opened if Path(path).is_relative_to(home.root) or path.endswith(".jsonl")]
    assert code == 0, out + err
    assert looked_at == []
    assert state_of(home.root) == before
    assert {name: os.environ.get(name) for name in variables} == variables
    said = flat(out)
    assert "Adapter, trained with DP-SGD" in said
    assert "Quality rules" in said
    assert "GB at most" in said
    assert "made-up records" in said
    assert "Nothing was charged" in said

    # What it charged, it charged a ledger of its own, which can publish nothing.
    own = Ledger(kept / "home" / "ledger" / "ledger.duckdb")
    assert own.populations() == [POPULATION]
    assert book.populations() == ["small-bank"]
    assert own.id != book.id
    assert not (kept / "home" / "ledger" / "ledger.duckdb.key").exists()
    assert not (kept / "home" / "warehouse").exists()


@pytest.mark.parametrize("how", ["by name", "by a link", "by another name", "as a copy"])
def test_the_source_is_refused_as_public_rows(dpsynth, contract_path, book, home, tmp_path, temporary, how):
    source = contract_path.parent / "train.jsonl"
    given = tmp_path / "elsewhere.jsonl"
    if how == "by name":
        given = source
    elif how == "by a link":
        given.symlink_to(source)
    elif how == "by another name":
        given.hardlink_to(source)
    else:
        copies = f"          source_copies: [{tmp_path}/else*.jsonl]\n          budget:"
        contract_path.write_text(contract_path.read_text(encoding="utf-8").replace("          budget:", copies))
        given.write_text(source.read_text(encoding="utf-8"), encoding="utf-8")
    code, _, err = dpsynth("rehearse", contract_path, "--rows", given)
    assert code == 2
    assert "a rehearsal never reads that" in flat(err)
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("how", ["by a pattern", "by its folder"])
def test_public_rows_are_one_file(contract, tmp_path, how):
    """A pattern or a folder may name the source among others."""
    with pytest.raises(BadInput, match="no pattern and no folder"):
        of_file(contract, contract.path.parent / ("trai*.jsonl" if how == "by a pattern" else ""))


@pytest.mark.parametrize("written", ["${ROWS}/train.jsonl", "rows[1]/train.jsonl"])
def test_the_source_is_known_by_another_name_however_its_place_is_written(contract, tmp_path, monkeypatch, written):
    monkeypatch.setenv("ROWS", str(tmp_path / "rows[1]"))
    source, given = tmp_path / "rows[1]" / "train.jsonl", tmp_path / "public.jsonl"
    source.parent.mkdir()
    source.write_text('{"customer": "c1", "text": "a text", "topic": "card"}\n')
    given.hardlink_to(source)
    declared = replace(contract, source=written, path=tmp_path / "small.odcs.yaml")
    with pytest.raises(BadInput, match="never reads that"):
        of_file(declared, given)


def test_a_copy_that_lies_elsewhere_is_known_by_its_records(contract, home, tmp_path):
    texts = [json.loads(line)["text"] for line in (contract.path.parent / "train.jsonl").read_text().splitlines()]
    given = tmp_path / "elsewhere.jsonl"
    given.write_text("\n".join(json.dumps({"text": text.upper()}) for text in texts), encoding="utf-8")
    assert of_file(contract, given), "of a source that was never read nothing is known"
    SensitiveStore(home=str(home.root)).ingest(source_of(contract))
    with pytest.raises(ProtectedRowsError, match="a copy or a part of one"):
        of_file(contract, given)


def test_public_rows_are_taken_with_the_labels_that_they_have(contract, tmp_path):
    rows = tmp_path / "public.csv"
    rows.write_text("text,topic\n" + "".join(f"public {n},{('card', 'loan')[n % 2]}\n" for n in range(6)))
    assert of_file(contract, rows) == [((("card", "loan")[n % 2],), f"public {n}") for n in range(6)]
    rows.write_text("text\n" + "".join(f"public {n}\n" for n in range(4)))
    assert [cell for cell, _ in of_file(contract, rows)] == [("card",), ("loan",)] * 2
    rows.write_text("body\nsomething\n")
    with pytest.raises(BadInput, match="no column `text`"):
        of_file(contract, rows)


def test_the_base_model_is_asked_for_each_label(contract, rooms, tmp_path):
    small = rehearsed(contract, tmp_path, SCALE).contract
    assert {cell for cell, _ in of_base_model(small, tmp_path, lambda *_: None)} == set(contract.cells)


def test_a_model_that_writes_nothing_ends_it_in_a_sentence(dpsynth, contract_path, book, temporary, monkeypatch):
    from dpsynth_assets.language import generation

    def fails(*_, **__):
        raise GenerationError("no text")

    monkeypatch.setattr(generation, "generate_corpus", fails)
    code, _, err = dpsynth("rehearse", contract_path)
    assert code == 2
    assert "give --rows FILE" in flat(err)
    assert list(temporary.iterdir()) == []


def test_a_folder_with_something_in_it_is_kept_as_it_is(dpsynth, contract_path, book, home):
    before = state_of(home.root)
    code, _, err = dpsynth("rehearse", contract_path, "--keep", home.root)
    assert code == 2
    assert "something is there already" in flat(err)
    assert state_of(home.root) == before


ELSEWHERE = """\
          source_copies: [secret-copy.jsonl]
          source_where: {topic: card}
          classifier: {target: topic, mix: {path: secret-mix.jsonl, declared_public_by: owner@example.org}}
"""


def test_the_rehearsed_contract_names_nothing_of_the_real_one_s(contract_path, tmp_path):
    text = contract_path.read_text(encoding="utf-8").replace("          classifier: {target: topic}\n", ELSEWHERE)
    text = text.replace("path: train.jsonl", "path: secret-source.jsonl").replace("test.jsonl", "secret-test.jsonl")
    contract_path.write_text(text.replace("[card, loan]}", "[card, loan], codes: [7, 8]}"), encoding="utf-8")
    real = load_contract(contract_path)
    small = rehearsed(real, tmp_path, SCALE).contract
    named = repr(small)
    for word in ("secret", "small-bank", "owner@example.org", "privacy@example.org", str(contract_path.parent)):
        assert word in repr(real), word
        assert word not in named, word
    terms = small.privacy
    assert (small.source, terms.test_split.path, terms.classifier.mix.path) == tuple(
        str(tmp_path / name) for name in (SOURCE, TEST, MIX)
    )
    assert terms.population == POPULATION
    assert (terms.unit.public_count, terms.generation.rows, terms.releases.adapter.steps) == (12, 16, 2)


def test_public_rows_may_be_headed_as_the_source_is(contract_path, tmp_path):
    text = contract_path.read_text(encoding="utf-8")
    for name, own in (("text", "Ticket Text"), ("topic", "What for")):
        text = text.replace(f"{{name: {name},", f"{{name: {name}, physicalName: {own},")
    contract_path.write_text(text, encoding="utf-8")
    contract, rows = load_contract(contract_path), tmp_path / "public.csv"
    for header in ("Ticket Text,What for", "text,What for", "Ticket Text,topic"):
        rows.write_text(f"{header}\n" + "".join(f"public {n},{('card', 'loan')[n % 2]}\n" for n in range(4)))
        assert of_file(contract, rows) == [((("card", "loan")[n % 2],), f"public {n}") for n in range(4)], header
    rows.write_text("body\nsomething\n")
    with pytest.raises(BadInput, match="no column `text` or `Ticket Text`"):
        of_file(contract, rows)


def test_made_up_rows_have_the_shape_that_is_declared(contract, tmp_path):
    import pandas as pd

    small = rehearsed(contract, tmp_path, SCALE).contract
    texts = [(cell, f"a text about {cell[0]} {number}") for number in range(10) for cell in small.cells]
    assert write_rows(small, texts, tmp_path) == contract.privacy.unit.max_records
    source, test = (pd.read_parquet(tmp_path / name) for name in (SOURCE, TEST))
    assert source["customer"].value_counts().tolist() == [2] * 12
    assert source["topic"].value_counts().to_dict() == {"card": 12, "loan": 12}
    assert set(test["topic"]) == {"card", "loan"}
    assert set(source["text"]).isdisjoint(test["text"]), "or it would be taken for records of the source"


def test_rules_about_how_many_rows_there_are_cannot_be_rehearsed(contract_path, tmp_path):
    rule = """\
      - {name: enough_rows, type: library, metric: rowCount, mustBeGreaterOrEqualTo: 20}
    quality:
"""
    text = contract_path.read_text(encoding="utf-8")
    head, _, tail = text.partition("    quality:\n")
    contract_path.write_text(head + "    quality:\n" + rule.partition("    quality:\n")[0] + tail, encoding="utf-8")
    made = rehearsed(load_contract(contract_path), tmp_path, SCALE)
    assert "enough_rows" in made.left_out[0]
    assert "enough_rows" not in [rule.name for rule in made.contract.quality]


def test_canaries_that_could_refute_nothing_in_so_few_steps_are_left_out(contract_path, tmp_path, monkeypatch):
    monkeypatch.setattr("dpsynth_assets.audit.result.right_to_refute", lambda *_: None)
    text = contract_path.read_text(encoding="utf-8").replace("steps: 3,", "steps: 3, canaries: 40,")
    contract_path.write_text(text, encoding="utf-8")
    made = rehearsed(load_contract(contract_path), tmp_path, SCALE)
    assert made.contract.privacy.releases.adapter.canaries == 0
    assert "audit" in made.left_out[-1]


def test_a_full_run_is_reckoned_by_the_work_that_there_is_more_of(contract, tmp_path):
    small = rehearsed(contract, tmp_path, Scale(units=20, steps=2, texts=12)).contract
    grown = growth(contract, small)
    assert grown["source"].times == 2
    assert grown["candidates"].times == 2
    # 3 steps of 8 units, where 2 steps of 5 were rehearsed
    assert grown["adapter"].times == pytest.approx(3 / 2 * 8 / 5)

    training = Stage(began=0.0, seconds=14.0, told=[(10.0, 1), (12.0, 2)])  # 10 s of loading, then 2 s a step
    full = {
        each.name: each.full for each in estimates(contract, small, {"adapter": training, "budget": Stage(0.0, 3.0)})
    }
    assert full["adapter"] == pytest.approx(10 + 4 * grown["adapter"].times)
    assert full["budget"] == 3.0
    assert growth(contract, small)["adapter"].rest == 1.0
    [plain] = estimates(contract, small, {"classifier": Stage(began=0.0, seconds=14.0)})
    assert plain.full == pytest.approx(14 * 2), "what reports nothing is taken to grow as a whole"


def test_a_labeller_that_has_learned_next_to_nothing_chooses_no_texts(contract_path, tmp_path):
    """All texts of one label may be left out by it, which says nothing of a full run."""
    labeller = "{classifier: word_cnn, epsilon: 0.4, expected_batch_size: 8, steps: 30, learning_rate: 0.1}"
    text = contract_path.read_text(encoding="utf-8").replace(
        "          generation:",
        f"            labeller: {labeller}\n          curation: {{labels: relabelled}}\n          generation:",
    )
    contract_path.write_text(text.replace("{target: topic}", "{target: topic, teacher: labeller}"), encoding="utf-8")
    real = load_contract(contract_path)
    made = rehearsed(real, tmp_path, SCALE)
    terms = made.contract.privacy
    assert (terms.curation.labels, terms.classifier.teacher) == ("asked", None)
    assert "labeller" in made.left_out[0]
    grown = growth(real, made.contract)["labeller"]
    assert grown.times == pytest.approx(30 / 2 * 8 / 3)
    assert grown.rest == pytest.approx(40 / 12), "its rows are encoded before, each once"
