"""`dpsynth source check`, before anybody has signed."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import psycopg

from tests.postgresql import postgresql

MARKER = "XYZZY-4471-PLUGH"


def of_csv(contract_path, content: bytes):
    text = contract_path.read_text(encoding="utf-8").replace("path: train.jsonl", "path: train.csv")
    contract_path.write_text(text.replace("format: jsonl", "format: csv"), encoding="utf-8")
    contract_path.with_name("train.csv").write_bytes(content)


def words(text: str) -> str:
    return " ".join(text.split())


def test_a_source_that_can_be_read_is_said_to_be_without_a_home(dpsynth, contract_path, tmp_path, monkeypatch):
    monkeypatch.setenv("DPSYNTH_HOME", str(tmp_path / "home"))
    of_csv(contract_path, b"customer,text,topic\nc1,a,card\n")
    code, out, err = dpsynth("source", "check", contract_path)
    assert code == 0, out + err
    assert "csv in utf-8, divided by commas, with the columns customer, text, topic" in words(out)
    assert not (tmp_path / "home").exists()


def test_what_cannot_be_read_is_told_by_line_and_column_and_not_quoted(dpsynth, contract_path):
    of_csv(contract_path, f"customer,text,topic\nc1,a,card\n{MARKER},x\nc1,{MARKER}\xff,card\n".encode("latin-1"))
    code, out, err = dpsynth("source", "check", contract_path)
    assert code == 1
    for piece in ("line 3: fewer cells than the header has", "line 4, column text", "csv: {encoding: cp1252}"):
        assert piece in words(out)
    assert MARKER not in out + err


def test_what_is_no_text_in_a_database_is_no_affair_of_csv(dpsynth, contract_path):
    text = contract_path.read_text(encoding="utf-8").replace("path: train.jsonl", "path: train.sqlite")
    contract_path.write_text(text.replace("format: jsonl", "format: sqlite", 1), encoding="utf-8")
    with closing(sqlite3.connect(contract_path.with_name("train.sqlite"))) as connection, connection:
        connection.execute("create table messages (customer text, text text, topic text)")
        connection.execute("insert into messages values ('c1', 'a', 'card'), ('c2', cast(x'61ff' as text), 'card')")
    code, out, _ = dpsynth("source", "check", contract_path)
    assert code == 1
    assert "record 2, column text: characters that the encoding does not have" in words(out)
    assert "correct these texts in the source" in words(out)
    assert "csv" not in out


def test_a_database_without_an_encoding_is_told_what_fits_it(dpsynth, contract_path):
    made = "template template0 encoding 'SQL_ASCII' lc_collate 'C' lc_ctype 'C'"
    with postgresql() as port:
        where = {"host": "127.0.0.1", "port": port}
        with psycopg.connect(**where, dbname="postgres", autocommit=True) as connection:
            connection.execute(f"create database letters {made}")
        with psycopg.connect(**where, dbname="letters", client_encoding="SQL_ASCII") as connection:
            connection.execute(b"create table messages (customer text, text text, topic text)")
            connection.execute(b"insert into messages values ('c1', 'a', 'card'), ('c2', E'a\\xe9', 'card')")
        text = contract_path.read_text(encoding="utf-8")
        server = f"type: postgresql\n    host: 127.0.0.1\n    port: {port}\n    database: letters\n    schema: public"
        local = "type: local\n    path: train.jsonl\n    format: jsonl"
        contract_path.write_text(text.replace(local, server), encoding="utf-8")
        code, out, _ = dpsynth("source", "check", contract_path)
    assert code == 1, out
    assert "record 2, column text: characters that the encoding does not have" in words(out)
    assert "as UTF-8 where that is SQL_ASCII" in words(out)
    assert "csv" not in out


def test_a_file_that_is_divided_otherwise_is_told_what_to_write(dpsynth, contract_path):
    of_csv(contract_path, b"customer;text;topic\nc1;a;card\n")
    code, out, _ = dpsynth("source", "check", contract_path)
    assert code == 1
    assert 'write `csv: {delimiter: ";"}` into the privacy terms' in words(out)


def test_a_place_that_is_not_there_is_one_fault_among_others(dpsynth, contract_path):
    contract_path.with_name("train.jsonl").unlink()
    code, out, _ = dpsynth("source", "check", contract_path)
    assert code == 1
    assert "✗ source:" in out
    assert "✓ test_split:" in out


def test_a_source_in_which_no_record_has_a_text_is_a_fault(dpsynth, contract_path):
    for content, why in {
        b"customer,text,topic\n": "there is no record that can be read",
        b"customer,text,topic\nc1,,card\nc2, ,loan\n": "the column text is empty in every record",
    }.items():
        of_csv(contract_path, content)
        code, out, _ = dpsynth("source", "check", contract_path)
        assert code == 1
        assert f"✗ source: no record has a text: {why}" in words(out)
        assert "✓ source:" not in out


def test_a_filter_that_takes_no_record_is_a_fault(dpsynth, contract_path):
    of_csv(contract_path, b"customer,text,topic\nc1,a,card\n")
    text = contract_path.read_text(encoding="utf-8")
    for value, code in (("card", 0), ("loan", 1)):
        filtered = f"          source_where: {{topic: {value}}}\n          generation:"
        contract_path.write_text(text.replace("          generation:", filtered), encoding="utf-8")
        found, out, _ = dpsynth("source", "check", contract_path)
        assert found == code, out
        assert ("that the filter takes" in words(out)) == bool(code)
