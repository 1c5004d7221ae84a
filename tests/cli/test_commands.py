"""The command line: what it prints, where it stops, and with which exit code."""

from __future__ import annotations

import io
import json
import sys

import pytest


@pytest.fixture
def empty(tmp_path, monkeypatch):
    """A home without a ledger."""
    monkeypatch.setenv("DPSYNTH_HOME", str(tmp_path / "nothing"))
    return tmp_path / "nothing"


def one_sentence(err: str) -> bool:
    return err.startswith("error: ") and "Traceback" not in err


def test_without_a_verb_it_helps(dpsynth):
    _, out, err = dpsynth()
    for verb in (
        "init",
        "new",
        "lint",
        "plan",
        "diff",
        "approve",
        "people",
        "run",
        "sql",
        "monitor",
        "screen",
        "audit",
        "forget",
        "status",
        "doctor",
        "demo",
        "ui",
    ):
        assert verb in out + err


def test_init_makes_a_ledger_and_leaves_an_existing_one_alone(dpsynth, empty):
    code, out, _ = dpsynth("init")
    assert code == 0
    assert "Made an empty privacy ledger" in " ".join(out.split())
    before = (empty / "ledger" / "ledger.duckdb").read_bytes()
    code, out, _ = dpsynth("init")
    assert code == 0
    assert "it stays as it is" in " ".join(out.split())
    assert (empty / "ledger" / "ledger.duckdb").read_bytes() == before
    assert (empty / "sensitive").stat().st_mode & 0o777 == 0o700


def test_nothing_runs_without_a_ledger(dpsynth, empty, contract_path):
    for arguments in (("run", contract_path), ("audit",), ("audit", "verify")):
        code, _, err = dpsynth(*arguments)
        assert code == 2, arguments
        assert one_sentence(err)
        assert "dpsynth init" in err


def test_lint(dpsynth, contract_path):
    code, out, _ = dpsynth("lint", contract_path)
    assert code == 0
    text = contract_path.read_text(encoding="utf-8")
    broken = contract_path.with_name("broken.odcs.yaml")
    broken.write_text(text.replace("epsilon: 8.0", "epsilon: -8.0").replace("target: topic", "target: mood"), "utf-8")
    code, out, _ = dpsynth("lint", broken)
    assert code == 1
    line = text.splitlines().index(next(part for part in text.splitlines() if "epsilon: 8.0" in part)) + 1
    assert f"broken.odcs.yaml:{line}:" in "".join(out.split())
    code, out, _ = dpsynth("lint", "--json", broken)
    assert code == 1
    assert len([problem for problem in json.loads(out) if problem["severity"] == "error"]) >= 2


def test_lint_finds_an_id_that_another_contract_of_the_folder_has(dpsynth, tmp_path, contract_path):
    text = contract_path.read_text(encoding="utf-8")
    (tmp_path / "first.odcs.yaml").write_text(text, encoding="utf-8")
    second = tmp_path / "second.odcs.yaml"
    second.write_text(f"# a copy\n{text}", encoding="utf-8")
    code, out, _ = dpsynth("lint", second)
    line = next(n for n, said in enumerate(second.read_text().splitlines(), 1) if said.startswith("id:"))
    assert code == 1
    assert f"second.odcs.yaml:{line}: id: the id" in " ".join(out.split())
    assert "first.odcs.yaml too" in " ".join(out.split())


def test_bad_input_is_one_sentence(dpsynth, home, contract_path):
    broken = contract_path.with_name("broken.odcs.yaml")
    broken.write_text("kind: Nothing", encoding="utf-8")
    for arguments, says in (
        (("run", "nowhere.yaml"), "is not a file"),
        (("run", broken), "problem"),
        (("lint", "nowhere.yaml"), "no such file"),
        (("run", contract_path, "--size", "7"), "share in (0, 1]"),
        (("run", contract_path, "--only", "corpus", "--size", "0.5"), "add `source`"),
        (("run", contract_path, "--source", "nowhere.parquet"), "no such file"),
        (("run", contract_path, "--only", "everything"), "the contract's assets are source"),
        (("sql", "select 1"), "nothing has been published"),
        (("audit", "--population", "nobody"), "nobody"),
    ):
        code, _, err = dpsynth(*arguments)
        assert code == 2, arguments
        assert one_sentence(err), err
        assert says in err


def test_a_plan_shows_costs_and_spends_nothing(dpsynth, home, contract_path, book):
    before = len(book.entries())
    code, out, _ = dpsynth("plan", contract_path)
    assert code == 0
    for word in ("label_histogram", "adapter", "Nothing was spent", "DP-SGD"):
        assert word in " ".join(out.split())
    code, out, _ = dpsynth("plan", "--json", contract_path)
    plan = json.loads(out)
    assert plan["admitted"] is True
    assert plan["releases"]["small/adapter"]["plan"]["mechanism"]["noise_multiplier"] > 0
    assert plan["releases"]["small/adapter"]["epsilon_remaining_after"] < 1
    assert plan["needs_approval"] == []
    assert len(book.entries()) == before


def test_a_plan_needs_no_ledger(dpsynth, empty, contract_path):
    code, out, _ = dpsynth("plan", contract_path)
    assert code == 0
    assert "dpsynth init" in out


def test_a_plan_prices_the_baseline_too(dpsynth, contract_path, book):
    text = contract_path.read_text(encoding="utf-8")
    baseline = "{classifier: minilm, epsilon: 0.4, expected_batch_size: 8, steps: 3, learning_rate: 0.1}"
    contract_path.write_text(
        text.replace("          generation:", f"            dp_baseline: {baseline}\n          generation:"),
        encoding="utf-8",
    )
    code, out, _ = dpsynth("plan", contract_path, "--json")
    assert code == 0
    planned = json.loads(out)["releases"]
    assert list(planned) == ["small/label_histogram", "small/adapter", "small/dp_baseline"]
    assert planned["small/dp_baseline"]["epsilon_alone"] == pytest.approx(0.4, rel=1e-3)
    assert planned["small/dp_baseline"]["plan"]["classifier"] == "minilm"


def test_plan_and_diff_show_what_is_asked(dpsynth, home, contract_path, book):
    text = contract_path.read_text(encoding="utf-8")
    prompt = '{template: "Write about a {topic}.", words: {topic: {card: bank card, loan: student loan}}}'
    contract_path.write_text(
        text.replace("          generation:", f"          prompt: {prompt}\n          generation:"), encoding="utf-8"
    )
    code, out, _ = dpsynth("plan", contract_path)
    assert code == 0
    assert "A text is asked for by words such as: Write about a bank card." in " ".join(out.split())
    code, out, _ = dpsynth("plan", "--json", contract_path)
    planned = json.loads(out)
    assert planned["releases"]["small/adapter"]["plan"]["prompt"]["template"] == "Write about a {topic}."
    assert planned["needs_approval"] == []
    code, out, _ = dpsynth("diff", contract_path)
    assert "prompt.words.topic.loan │ — │ student loan │ no" in " ".join(out.split())


def test_from_run_to_refusal(dpsynth, home, contract_path, rooms, book):
    code, out, err = dpsynth("run", contract_path)
    assert code == 0, out + err
    text = " ".join(out.split())
    for part in (
        "24 synthetic rows",
        "public test records",
        "spent",
        "left of 8",
        "please help me with the",
        "small.messages",
        "card.html",
    ):
        assert part in text
    assert "DEBUG" not in out + err, "Dagster's own log stays out of the terminal"
    again = ("--again", "label_histogram", "--again", "adapter")
    code, out, err = dpsynth("run", contract_path, *again)
    assert code == 3
    text = " ".join(out.split())
    for part in (
        "Refused by the privacy ledger",
        "no sensitive row was read",
        "spent",
        "asked",
        "The standing release",
    ):
        assert part in text
    assert "Traceback" not in out + err
    assert rooms.read == 1
    code, out, _ = dpsynth("run", contract_path, *again, "--json")
    refused = json.loads(out)
    assert code == 3
    assert refused["refusal"]["asset"] == "label_histogram"
    code, out, _ = dpsynth("run", contract_path, "--quiet", "--only", "card")
    assert code == 0

    code, out, _ = dpsynth("audit")
    assert code == 0
    assert "refused" in out
    code, out, _ = dpsynth("audit", "--json")
    [statement] = json.loads(out)
    assert len(statement["refusals"]) == 2
    assert {charge["state"] for charge in statement["charges"]} == {"committed", "voided"}
    code, out, _ = dpsynth("audit", "verify")
    assert code == 0
    assert "intact" in out

    code, out, _ = dpsynth("sql", "select topic, count(*) as n from small.messages group by topic order by topic")
    assert code == 0
    assert "card" in out
    code, out, _ = dpsynth("sql", "--format", "json", "select count(*) as n from small.messages")
    assert json.loads(out) == [{"n": 24}]
    code, out, _ = dpsynth("sql", "--format", "csv", "select count(*) as n from small.messages")
    assert out.split() == ["n", "24"]
    code, _, err = dpsynth("sql", "select * from small.mesages")
    assert code == 2
    assert "small.messages" in err


def test_a_failed_release_says_so_without_its_text(dpsynth, book, home, contract_path, rooms):
    def fail(frame):
        raise ValueError(frame["text"].iloc[0])

    rooms.train = fail
    code, out, err = dpsynth("run", contract_path)
    assert code == 1
    assert "failed with ValueError" in " ".join(out.split())
    assert "XYZZY" not in out + err


def test_what_nobody_foresaw_is_said_by_its_cause_and_by_its_type_where_rows_are_read(
    dpsynth, book, contract_path, rooms, monkeypatch
):
    from dpsynth_assets.assets import card, release

    def fail(*_, **__):
        raise ValueError("no such thing as XYZZY")

    monkeypatch.setattr(card, "certificate", fail)
    code, out, err = dpsynth("run", contract_path)
    assert (code, "Traceback" in err) == (1, False)
    assert "card: failed with ValueError: no such thing as XYZZY" in " ".join(out.split())
    monkeypatch.setattr(release, "release_gate", fail)
    _, out, err = dpsynth("run", contract_path, "--only", "adapter")
    assert "adapter: failed with ValueError;" in " ".join(out.split())
    assert "XYZZY" not in out + err


def test_a_tampered_ledger_is_found(dpsynth, home, contract, book):
    import duckdb

    with duckdb.connect(str(home.ledger_file)) as connection:
        for (trigger,) in connection.execute("select trigger_name from duckdb_triggers()").fetchall():
            connection.execute(f'drop trigger "{trigger}" on entries' if "entries" in trigger else "select 1")
        connection.execute("update entries set body = replace(body, 'customer', 'consumer') where kind = 'registered'")
    code, _, err = dpsynth("audit", "verify")
    assert code == 1
    assert "entry 4" in err


def test_forget(dpsynth, home, contract_path, contract, monkeypatch):
    from dpsynth_assets.gate.sources import source_of
    from resources.sensitive_store import SensitiveStore

    assert "No sensitive copy is over its time." in dpsynth("forget")[1]
    made = SensitiveStore(home=str(home.root)).ingest(source_of(contract))
    rows = home.sensitive / "small" / made.id / "rows.parquet"
    code, out, _ = dpsynth("forget")
    assert (code, rows.exists()) == (0, True)
    assert f"kept     small  {made.id}  until {made.kept_until[:10]}" in out
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    code, out, err = dpsynth("forget", contract_path)
    assert (code, out, rows.exists()) == (2, "", True)
    assert "give --yes to delete 1 sensitive copies of small. Nothing was deleted" in err
    code, out, _ = dpsynth("forget", contract_path, "--yes")
    assert (code, rows.exists()) == (0, False)
    assert f"deleted  small  {made.id}" in out
    assert "Nothing of small lies here." in dpsynth("forget", contract_path, "--yes")[1]
    code, _, err = dpsynth("forget", "nothing")
    assert code == 2
    assert one_sentence(err)
