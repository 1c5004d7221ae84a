"""`dpsynth new` over every kind of source that is read: what it drafts holds, and the source can be read by it."""

from __future__ import annotations

import gzip
import io
import sqlite3
import sys

import duckdb
import pyarrow as pa
import pyarrow.parquet
import pytest

from dpsynth_assets.contract import lint_contract, load_contract
from ledger import Ledger
from resources.home import Home
from tests.postgresql import PASSWORD, postgresql
from tests.resources.test_s3 import KEY, endpoint

__all__ = ["endpoint"]  # a fixture: a bucket
from tests.workbooks import write_workbook

SECRET = "XYZZY-4471-PLUGH"
HEADER = ["Kunden-Nr.", "Ticket Text", "Größe/Art", "order"]
ROW = ["7", f"Grüße {SECRET}", "groß", "1"]
TABLE = '"Kunden-Nr." integer, "Ticket Text" varchar, "Größe/Art" varchar, "order" integer'
ROWS = f"values (7, 'Grüße {SECRET}', 'groß', 1)"
SAID = ["--unit", "Kunden-Nr.", "--text", "Ticket Text", "--label", "Größe/Art=groß,klein", "--public-count", "500"]
SAID += ["--population", "shop-customers", "--epsilon", "8", "--owner", "owner@example.org"]
SAID += ["--approver", "privacy@example.org"]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DPSYNTH_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    return tmp_path


def commas(delimiter=",", encoding="utf-8"):
    return "\n".join(delimiter.join(cells) for cells in (HEADER, ROW)).encode(encoding)


def workbook(path):
    write_workbook(path, {"Übersicht": [["Stand"]], "Tickets (alle)": [HEADER, ROW]})


def in_duckdb(path):
    with duckdb.connect(str(path)) as connection:
        connection.execute('create schema "Help Desk"')
        connection.execute(f'create table "Help Desk"."Ticket Log" ({TABLE})')
        connection.execute(f'insert into "Help Desk"."Ticket Log" {ROWS}')


def in_sqlite(path):
    with sqlite3.connect(path) as connection:
        connection.execute(f'create table "Ticket Log" ({TABLE})')
        connection.execute(f'insert into "Ticket Log" {ROWS}')
    connection.close()


def parquet(path):
    pyarrow.parquet.write_table(pa.table([[7], [SECRET], ["groß"], [1]], HEADER), path)


# Each with the file, how it is made, what is given, and what the contract says of it.
SOURCES = {
    "semicolons in Latin-1": ("a.csv", commas(";", "latin-1"), ["a.csv", "--encoding", "latin-1"], "delimiter"),
    "tabs": ("a.tsv", commas("\t"), ["a.tsv"], "format: csv"),
    "a mark of one's own": ("a.txt", commas("~"), ["a.txt", "--delimiter", "~"], 'delimiter: "~"'),
    "UTF-16": ("a.csv", commas("\t", "utf-16"), ["a.csv"], "encoding: utf-16"),
    "packed": ("a.csv.gz", gzip.compress(commas("|")), ["a.csv.gz"], 'delimiter: "|"'),
    "a pattern": ("a-1.csv", commas(), ["a-*.csv"], "a-*.csv"),
    "a workbook": ("ä.xlsx", workbook, ["ä.xlsx", "--table", "Tickets (alle)"], 'physicalName: "Tickets (alle)"'),
    "DuckDB": ("a.duckdb", in_duckdb, ["a.duckdb", "--schema", "Help Desk"], 'physicalName: "Ticket Log"'),
    "SQLite": ("a.db", in_sqlite, ["a.db"], 'physicalName: "Ticket Log"'),
    "Parquet": ("a.parquet", parquet, ["a.parquet"], "format: parquet"),
}


@pytest.mark.parametrize("kind", SOURCES)
def test_what_is_drafted_holds_and_the_source_can_be_read_by_it(dpsynth, folder, kind):
    name, made, given, said = SOURCES[kind]
    made(folder / name) if callable(made) else (folder / name).write_bytes(made)
    code, out, err = dpsynth("new", *given, *SAID)
    assert code == 0, out + err
    [path] = (folder / "contracts").iterdir()
    assert lint_contract(path) == []
    contract = load_contract(path)
    assert (contract.privacy.text.column, contract.privacy.unit.column) == ("ticket_text", "kunden_nr")
    assert [label.column for label in contract.privacy.labels] == ["groesse_art"]
    text = path.read_text(encoding="utf-8")
    assert said in text
    assert SECRET not in text + out + err
    assert "In the contract and in SQL `Ticket Text` is ticket_text" in out
    assert dpsynth("source", "check", path)[0] == 0


@pytest.fixture(scope="module")
def port():
    log = '"Help Desk"."Ticket Log"'
    with postgresql('create schema "Help Desk"', f"create table {log} ({TABLE})", f"insert into {log} {ROWS}") as port:
        yield port


def test_a_table_of_postgresql(dpsynth, folder, port):
    code, out, err = dpsynth("new", f"postgresql://127.0.0.1:{port}/postgres", "--schema", "Help Desk", *SAID)
    assert code == 0, out + err
    contract = load_contract(folder / "contracts" / "ticket_log.odcs.yaml")
    assert (contract.source, contract.stored_as, contract.database_schema) == (
        f"postgresql://127.0.0.1:{port}/postgres",
        "Ticket Log",
        "Help Desk",
    )
    assert contract.logical_type("kunden_nr") == "integer"
    assert PASSWORD not in contract.path.read_text(encoding="utf-8") + out + err
    assert dpsynth("source", "check", contract.path)[0] == 0


def test_files_on_s3(dpsynth, folder, endpoint):
    said = ["--unit", "who", "--text", "said", *SAID[6:]]
    code, out, err = dpsynth("new", f"s3://letters/in/a-*.csv{endpoint}", *said)
    assert code == 0, out + err
    contract = load_contract(folder / "contracts" / "a.odcs.yaml")
    assert contract.source == f"s3://letters/in/a-*.csv{endpoint}"
    assert KEY not in contract.path.read_text(encoding="utf-8") + out + err
    assert dpsynth("source", "check", contract.path)[0] == 0


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["postgresql://me:hunter2@db/crm"], "Put them into the environment"),
        (["postgresql://me:hunter2 hunter2@1@db/crm"], "Put them into the environment"),
        (["postgresql://me:hunter2/crm"], "Put them into the environment"),
        (["postgresql://db/crm?sslmode=require"], "write postgresql://host:5432/database"),
        (["postgresql:///crm"], "write postgresql://host:5432/database"),
        (["mysql://db/crm"], "is no place that is read"),
        (["a.csv", "b.csv"], "write a pattern in quotes"),
        (["b-*.csv"], "no file is called"),
        (["two.xlsx"], "--table: Which sheet holds the texts?"),
        (["two.xlsx", "--table", "Ticket (alle)"], "Did you mean `Tickets (alle)`?"),
        (["latin.csv"], "--encoding: How are characters stored? The header is not UTF-8"),
        (["latin.csv", "--encoding", "utf-8"], "name its encoding"),
        (["two.xlsx", "--delimiter", ";"], "about CSV files"),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, list) else None,
)
def test_what_cannot_be_a_source_gets_a_sentence_and_nothing_is_written(dpsynth, folder, given, said):
    workbook(folder / "two.xlsx")
    (folder / "latin.csv").write_bytes(commas(";", "latin-1"))
    code, out, err = dpsynth("new", *given, *SAID)
    assert (code, said in err) == (2, True), err
    assert "hunter2" not in out + err
    assert SECRET not in out + err
    assert not (folder / "contracts").exists()


def test_names_that_clash_or_mean_something_are_told_apart(dpsynth, folder):
    (folder / "a.csv").write_text("unit,Select,SELECT,text,日本\na,hello,,b,c1\n", encoding="utf-8")
    said = [*SAID[6:], "--unit", "日本", "--text", "Select", "--label", "unit=a,b", "--label", "text=a,b"]
    assert dpsynth("new", "a.csv", *said)[0] == 0
    contract = load_contract(folder / "contracts" / "a.odcs.yaml")
    assert contract.privacy.unit.column == "column_5"
    assert contract.privacy.text.column == "select_column"
    assert [label.column for label in contract.privacy.labels] == ["unit_label", "text_label"]
    assert dpsynth("source", "check", contract.path)[0] == 0


def test_texts_as_long_as_may_be_are_drafted_with_room_to_compute_one(dpsynth, folder):
    (folder / "a.csv").write_bytes(commas())
    assert dpsynth("new", "a.csv", *SAID, "--max-tokens", "4096")[0] == 0
    assert lint_contract(folder / "contracts" / "a.odcs.yaml") == []


@pytest.mark.slow
def test_the_owner_makes_the_ledger_and_signs_as_the_first_of_two(dpsynth, folder):
    (folder / "a.csv").write_bytes(commas())
    code, _, err = dpsynth("new", "a.csv", *SAID, "--reason", "to try")
    assert (code, "--init makes one" in err) == (2, True)
    (folder / "contracts" / "a.odcs.yaml").unlink()
    code, out, err = dpsynth("new", "a.csv", *SAID, "--init", "--reason", "to try")
    assert code == 0, err
    assert "waits for an approver" in out
    assert "--as owner@example.org" not in out
    book = Ledger(Home.at().ledger_file)
    assert {(each.actor, each.reason, each.effect) for each in book.proposals()} == {
        ("owner@example.org", "to try", None)
    }
    assert list(book.populations()) == []
    assert dpsynth("approve", "contracts/a.odcs.yaml", "--as", "privacy@example.org", "--reason", "read")[0] == 0
    assert list(book.populations()) == ["shop-customers"]
