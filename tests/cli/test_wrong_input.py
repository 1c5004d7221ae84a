"""Wrong contracts, arguments and sources: each is told what, where, and what to do, and nothing is charged."""

from __future__ import annotations

import io
import json
import re

import pytest

from dpsynth_assets.cli import audit
from dpsynth_assets.contract import load_contract
from dpsynth_assets.gate.approval import sign
from ledger import Ledger
from resources.home import Home
from tests.conftest import write_contract

ADAPTER = "rank: 2, expected_batch_size: 8, steps: 3,"

# What stands in the contract, what is written in its place, then what is said: what and remedy. Where is the line.
CONTRACTS = {
    "id_main": ("id: small\n", "id: main\n", "a name that DuckDB reserves", "Choose another name"),
    "id_temp": ("id: small\n", "id: temp\n", "a name that DuckDB reserves", "Choose another name"),
    "id_system": ("id: small\n", "id: system\n", "a name that DuckDB reserves", "Choose another name"),
    "id_information_schema": ("id: small\n", "id: information_schema\n", "DuckDB reserves", "Choose another name"),
    "id_pg_catalog": ("id: small\n", "id: pg_catalog\n", "DuckDB reserves", "Choose another name"),
    "id_select": ("id: small\n", "id: select\n", "is a word of SQL", "Choose another name"),
    "id_of_the_store": ("id: small\n", "id: known\n", "a folder of the platform's own", "Choose another name"),
    "id_with_capitals": ("id: small\n", "id: Small Inbox\n", "not usable as an asset key", "Add `asset: small_inbox`"),
    "version": ("version: 1.0.0", "version: the first", "`the first` is not a version", 'such as "1.0.0"'),
    "api": ("apiVersion: v3.2.0", "apiVersion: v9.0.0", "v9.0.0", "v3"),
    "no_such_format": ("format: jsonl", "format: avro", "avro", "parquet"),
    "label_called_unit": ("{column: topic, values", "{column: unit, values", "cannot be called `unit`", "Rename"),
    "label_called_text": ("{column: topic, values", "{column: text, values", "a label and the text", "Name another"),
    "label_not_a_column": ("{column: topic, values", "{column: topik, values", "no column `topik`", "`topic`?"),
    "label_with_comma": ("[card, loan]", "['card, lost', loan]", "cannot be written into a condition", "no comma"),
    "label_twice": ("[card, loan]", "[card, card]", "not distinct", "Keep each value once"),
    "one_label": ("[card, loan]", "[card]", "at least 2 entries", "Complete it"),
    "unit_not_a_column": ("customer, column: customer", "customer, column: client", "no column `client`", "customer"),
    "unit_many": ("max_records: 2", "max_records: 20000", "20000 is out of range", "at most 10000"),
    "count_of_all_stars": ("public_count: 40", "public_count: 90000000000", "out of range", "at most 1e+10"),
    "count_as_text": ("public_count: 40", 'public_count: "40"', "is text here, not a number", "Write 40"),
    "batch_over_count": ("expected_batch_size: 8", "expected_batch_size: 800", "800 units out of 40", "Write 4,"),
    "clip_huge": (ADAPTER, f"{ADAPTER} clipping_norm: 1.0e+300,", "1e+300 is out of range", "at most 1e+06"),
    "clip_tiny": (ADAPTER, f"{ADAPTER} clipping_norm: 1.0e-300,", "1e-300 is out of range", "at least 1e-09"),
    "rate_huge": ("learning_rate: 0.001", "learning_rate: 1.0e+30", "1e+30 is out of range", "at most 1e+06"),
    "rate_negative": ("learning_rate: 0.001", "learning_rate: -0.1", "-0.1 is out of range", "at least 1e-09"),
    "rate_infinite": ("learning_rate: 0.001", "learning_rate: .inf", "not a finite number", "Write a number"),
    "steps_none": ("steps: 3", "steps: 0", "0 is out of range", "at least 1"),
    "steps_many": ("steps: 3", "steps: 2000000", "2000000 is out of range", "at most 1e+06"),
    "memory": (ADAPTER, f"{ADAPTER} micro_batch_tokens: 99999999,", "out of range", "at most 1.67772e+07"),
    "rank": ("rank: 2,", "rank: 4096,", "4096 is out of range", "at most 512"),
    "alpha": (ADAPTER, f"{ADAPTER} alpha: 1.0e+20,", "1e+20 is out of range", "at most 1e+06"),
    "method": ("method: lora", "method: loar", "`loar` is not known here", "Did you mean `lora`?"),
    "misspelt_term": ("learning_rate: 0.001", "learning_rat: 0.001", "`learning_rat` is not known", "`learning_rate`?"),
    "epsilon_negative": ("epsilon: 8.0", "epsilon: -8.0", "-8.0 is out of range", "at least 1e-09"),
    "epsilon_huge": ("epsilon: 8.0", "epsilon: 1.0e+9", "out of range", "at most 1e+06"),
    "release_over_budget": ("epsilon: 7.0", "epsilon: 70.0", "this release alone costs epsilon 70", "Lower it"),
    "delta_large": ("delta: 1.0e-5", "delta: 0.5", "0.5 is out of range", "below 0.01"),
    "delta_unsigned": ("delta: 1.0e-5", "delta: 1e-5", "different YAML readers", "Write 1.0e-5"),
    "rows_none": ("rows: 24", "rows: 0", "0 is out of range", "at least 1"),
    "rows_many": ("rows: 24", "rows: 999999999", "999999999 is out of range", "at most 1e+08"),
    "texts_too_long": ("max_new_tokens: 8", "max_new_tokens: 80", "more than training sees", "Write at most 12"),
    "temperature": ("batch_size: 32}", "batch_size: 32, temperature: 0.0}", "0.0 is out of range", "at least 1e-09"),
    "seed": ("batch_size: 32}", "batch_size: 32, seed: -1}", "-1 is out of range", "at least 0"),
    "texts_at_once": ("batch_size: 32}", "batch_size: 9999999}", "out of range", "at most 100000"),
    "no_such_target": ("{target: topic}", "{target: mood}", "`mood` is not a label", "topic"),
    "no_owner": (
        "team:\n  members:\n    - {username: owner@example.org, role: owner}",
        "team:\n  members:\n    - {username: owner@example.org, role: guest}",
        "owner",
        "Add",
    ),
    "retention": ("value: 30, unit: d", "value: forever, unit: d", "whole number of 1 to 36500 days", "Write 30"),
    "tab": ("kind: DataContract", "kind:\tDataContract\n\tx: y", "cannot start any token", "Indent with spaces"),
    "test_split_is_nobodys": (
        ", declared_public_by: owner@example.org",
        "",
        "`declared_public_by` is missing",
        "Add it",
    ),
    "unclassified": ("classification: restricted, ", "", "no classification", "Add `classification: confidential`"),
}


def words(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("name", CONTRACTS)
def test_a_wrong_contract(name, dpsynth, contract_path, tmp_path, monkeypatch):
    monkeypatch.setenv("DPSYNTH_HOME", str(tmp_path / "home"))
    was, written, what, remedy = CONTRACTS[name]
    text = contract_path.read_text(encoding="utf-8")
    assert text.count(was) >= 1
    contract_path.write_text(text.replace(was, written, 1), encoding="utf-8")
    code, out, err = dpsynth("lint", contract_path)
    assert code == 1, out
    at = text[: text.index(was)].count("\n") + 1
    said = [line for line in words(out).split(f"{contract_path}:") if what in line and remedy in line]
    assert said, out
    lines = [int(re.match(r"\d+", line)[0]) for line in said]
    assert any(at <= line <= at + 1 for line in lines), (at, lines)
    for verb in (("plan", contract_path), ("run", contract_path)):
        code, _, err = dpsynth(*verb)
        assert code == 2
        assert err.startswith("error: ")
        assert "Traceback" not in err
        assert what in words(err)
    assert not (tmp_path / "home").exists()


GAUSSIAN = '{"event": "gaussian", "version": 1, "noise_multiplier": 30.0}'
ME = ("--as", "owner@example.org", "--reason", "x")

# Arguments, then what is said: what, where and remedy, in any order. `{contract}` and `{here}` are places.
ARGUMENTS = {
    "lint_nothing_there": (("lint", "nowhere.yaml"), "no such file", "nowhere.yaml"),
    "lint_a_folder": (("lint", "{here}"), "not a file", "{here}"),
    "plan_nothing_there": (("plan", "nowhere.yaml"), "nowhere.yaml is not a file", "give the path of a contract"),
    "plan_nothing": (("plan",), "give a contract, or --events FILE"),
    "plan_size": (("plan", "{contract}", "--size", "7"), "--size is a share in (0, 1], not 7"),
    "plan_events_missing": (("plan", "--events", "nowhere.json"), "nowhere.json is not a JSON list", "docs/journal.md"),
    "plan_variant": (("plan", "{contract}", "--variant", "lora-3"), "--variant lora-3", "declares no `variants`"),
    "plan_option": (("plan", "{contract}", "--sise", "1"), "--sise", "--size"),
    "run_nothing_there": (("run", "nowhere.yaml"), "nowhere.yaml is not a file", "give the path of a contract"),
    "run_size": (("run", "{contract}", "--size", "0"), "--size is a share in (0, 1], not 0"),
    "run_only": (("run", "{contract}", "--only", "korpus"), "--only korpus", "the contract's assets are source"),
    "run_source": (("run", "{contract}", "--source", "nowhere.jsonl"), "--source nowhere.jsonl", "no such file"),
    "run_elsewhere": (("run", "{contract}", "--source", "{here}"), "is no place that", "privacy.source_copies"),
    "run_variant": (("run", "{contract}", "--variant", "lora-3"), "--variant lora-3", "docs/contracts.md says how"),
    "people_set_nobody": (("people", "set", *ME), "contract"),
    "people_key_nowhere": (("people", "key", "eve@example.org", "nowhere.pub", *ME), "nowhere.pub"),
    "audit_nobodys": (("audit", "--population", "nosuch"), "'nosuch' has no budget", "knows small-bank", "name one"),
    "external_nobodys": (("audit", "external", "nosuch", GAUSSIAN, "--yes", *ME), "'nosuch'", "knows small-bank"),
    "external_block": (
        ("audit", "external", "small-bank", GAUSSIAN, "--yes", "--block", "may", *ME),
        "has the blocks everything: name one of these",
        "nothing was written down",
    ),
    "external_event": (("audit", "external", "small-bank", "{{", "--yes", *ME), "the event is not JSON", "write"),
    "external_stranger": (
        ("audit", "external", "small-bank", GAUSSIAN, "--yes", "--as", "eve@example.org", "--reason", "x"),
        "does not stand for population small-bank",
    ),
    "checkpoint": (("audit", "verify", "--checkpoint", "{contract}"), "holds no checkpoints", "audit checkpoint"),
    "report_folder": (("audit", "report", "--out", "{here}"), "is a folder", "give the name of the page"),
    "restore_over": (("audit", "restore", "nowhere", *ME), "nowhere cannot be read", "give an exported journal"),
    "sql_nothing_yet": (("sql", "select 1"), "nothing has been published", "dpsynth run"),
    "sql_memory": (("sql", "select 1", "--memory", "nan"), "'--memory'", "should be less than"),
    "sql_key": (("sql", "select 1", "--key", "abc"), "--key", "64 hex digits"),
    "screen_nowhere": (("screen", "nowhere"), "no exported safety classifier", "name a folder with --model"),
    "verify_nowhere": (("verify", "nowhere", "--key", "ab" * 32), "nowhere"),
    "bench_nowhere": (("bench", "utility", "nowhere.yaml"), "'--dataset'"),
    "forget_nowhere": (("forget", "nowhere.yaml"), "nowhere.yaml is not a file", "give the path of a contract"),
    "no_such_verb": (("runn", "{contract}"), "runn", "--help"),
}


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A home in which the small contract is approved, with nothing charged: no row of the table writes to it."""
    place = tmp_path_factory.mktemp("shared")
    contract_path, home = write_contract(place / "contracts"), Home.at(place / "home")
    home.create()
    book = Ledger.create(home.ledger_file)
    for actor in ("owner@example.org", "privacy@example.org"):
        sign(load_contract(contract_path), book, actor=actor, reason="for tests")
    return contract_path, home, book


@pytest.mark.slow
@pytest.mark.parametrize("name", ARGUMENTS)
def test_wrong_arguments(name, dpsynth, shared, monkeypatch, tmp_path):
    contract_path, home, book = shared
    monkeypatch.setenv("DPSYNTH_HOME", str(home.root))
    monkeypatch.chdir(tmp_path)
    arguments, *pieces = ARGUMENTS[name]
    before = len(book.entries())
    places = {"contract": contract_path, "here": tmp_path}
    code, _, err = dpsynth(*(each.format(**places) if each != GAUSSIAN else each for each in arguments))
    assert code == (1 if name == "verify_nowhere" else 2), err
    assert err.startswith("error: ")
    assert "Traceback" not in err
    for piece in pieces:
        assert piece.format(**places) in words(err)
    assert len(book.entries()) == before


@pytest.mark.slow
def test_what_was_spent_elsewhere_is_asked_for_first(dpsynth, shared, monkeypatch):
    _, home, book = shared
    monkeypatch.setenv("DPSYNTH_HOME", str(home.root))
    before = len(book.entries())
    asked = ("to population small-bank", "ε 8.000 is left", "stays charged for good", "Nothing was written down")
    for somebody, more in ((True, ()), (False, ("nobody is asked here: give --yes",))):
        monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
        monkeypatch.setattr(audit, "somebody_answers", lambda somebody=somebody: somebody)
        code, out, err = dpsynth("audit", "external", "small-bank", GAUSSIAN, *ME)
        assert code == (1 if somebody else 2)
        for piece in (*asked, *more):
            assert piece in words(out + err)
    assert len(book.entries()) == before


def lines_of(**changed) -> str:
    row = {"customer": "c1", "text": "my card is lost", "topic": "card"}
    return json.dumps(row | changed) + "\n"


# The file, what it holds instead (None: it is gone), then what is said: what, where and remedy.
SOURCES = {
    "gone": ("train.jsonl", None, "train.jsonl does not exist", "correct its path in the contract"),
    "not_parquet": ("train.parquet", b"PAR1\x00\x01", "train.parquet could not be parsed", "is it a whole file"),
    "empty": ("train.csv", "", "train.csv is empty and has no header", "its first line must name the columns"),
    "a_column_is_missing": ("train.csv", "customer,text\nc1,a\n", "lacks the columns topic", "correct the contract"),
    "a_column_twice": ("train.csv", "customer,text,topic,topic\nc1,a,card,loan\n", "the columns topic twice", "rename"),
    "test_gone": ("test.jsonl", None, "test.jsonl", "nothing was charged"),
    "test_empty": ("test.jsonl", "", "test", "nothing was charged"),
    "test_of_other_labels": ("test.jsonl", lines_of(topic="CARD"), "holds no row that", "spellings of `topic`"),
    "test_without_texts": ("test.jsonl", lines_of(text=" "), "holds no row that", "nothing was charged"),
    "test_of_truth_values": ("test.jsonl", lines_of(topic=True), "holds no row that", "correct `test_split.path`"),
}


@pytest.mark.parametrize("name", SOURCES)
def test_a_wrong_source(name, dpsynth, home, contract_path, rooms, agree):
    file, holds, *pieces = SOURCES[name]
    path = contract_path.with_name(file)
    if not path.exists():
        edited = contract_path.read_text(encoding="utf-8").replace("path: train.jsonl", f"path: {file}")
        contract_path.write_text(edited.replace("format: jsonl", f"format: {path.suffix[1:]}"), encoding="utf-8")
    path.unlink(missing_ok=True)
    if holds is not None:
        path.write_bytes(holds if isinstance(holds, bytes) else holds.encode())
    book = Ledger(home.ledger_file)
    agree(load_contract(contract_path), book)
    code, out, err = dpsynth("run", contract_path, "--quiet", "--only", "source", "--only", "adapter")
    assert code == 1
    assert "Traceback" not in out + err
    for piece in pieces:
        assert piece in words(out + err)
    assert book.reservations() == []
    assert rooms.read == 0
