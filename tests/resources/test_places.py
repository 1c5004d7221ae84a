"""Where sources lie: files, packed ones, patterns, databases, variables; and what is said where nothing can be read."""

from __future__ import annotations

import gzip
import sqlite3
import tracemalloc
import warnings
import zipfile
from contextlib import closing

import duckdb
import pytest

from resources.cells import SourceError
from resources.formats import records
from resources.places import stored_at
from resources.source import Layout
from tests.workbooks import write_workbook

KINDS = {"who": "string", "said": "text", "topic": "string"}
LETTERS = Layout(table="letters")
SECRET = "hunter2-XYZZY"


def read(place, layout=LETTERS, kinds=KINDS):
    return [record for stored in stored_at(str(place), {}) for record in records(stored, kinds, layout)]


def refusal(place, layout=LETTERS, kinds=KINDS):
    with pytest.raises(SourceError) as caught:
        read(place, layout, kinds)
    assert caught.value.__context__ is None
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv.gz", b"who,said,topic\n7,a,t\n"),
        ("a.tsv.gz", b"who\tsaid\ttopic\n7\ta\tt\n"),
        ("a.jsonl.gz", b'{"who": 7, "said": "a", "topic": "t"}\n'),
    ],
)
def test_packed_files_are_read_as_what_is_in_them(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(gzip.compress(content))
    assert read(path) == [["7", "a", "t"]]


def test_a_pattern_is_all_files_of_such_names_in_their_order(tmp_path):
    for name in ("a-2", "a-1", "b-1"):
        (tmp_path / f"{name}.csv").write_text(f"who,said,topic\n{name},a,t\n")
    assert [who for who, *_ in read(tmp_path / "a-*.csv")] == ["a-1", "a-2"]
    assert "no file is called" in refusal(tmp_path / "c-*.csv")


def test_only_a_star_is_a_pattern(tmp_path):
    (tmp_path / "a[1].csv").write_text("who,said,topic\n7,a,t\n")
    assert read(tmp_path / "a[1]*.csv") == [["7", "a", "t"]]


def test_a_variable_is_put_in_when_a_place_is_opened_and_its_value_shows_nowhere(tmp_path, monkeypatch):
    folder = tmp_path / SECRET
    folder.mkdir()
    (folder / "a.csv").write_text("who,said,topic\n7,a,t\n")
    (folder / "b.csv").write_text("who\n")
    monkeypatch.setenv("LETTERS_AT", str(folder))
    assert read("${LETTERS_AT}/a.csv") == [["7", "a", "t"]]
    for gone in ("${LETTERS_AT}/b.csv", "${LETTERS_AT}/c.csv", "${LETTERS_AT}", "${LETTERS_AT}/c-*.csv"):
        said = refusal(gone)
        assert gone in said
        assert SECRET not in said


@pytest.mark.parametrize(
    ("value", "says"),
    [(None, "is not set"), ("", "is not set"), ("letters", "no absolute path"), ("/*", "holds a `*`")],
)
def test_a_variable_that_cannot_begin_a_path_is_named(monkeypatch, value, says):
    monkeypatch.delenv("LETTERS_AT", raising=False)
    if value is not None:
        monkeypatch.setenv("LETTERS_AT", value)
    said = refusal("${LETTERS_AT}/a.csv")
    assert "${LETTERS_AT}" in said
    assert says in said


def duckdb_file(path):
    with duckdb.connect(str(path)) as connection:
        connection.execute("create table letters (who hugeint, said text, topic text, sent timestamp)")
        connection.execute("insert into letters values (7, 'é', 't', null), (null, null, 't', null)")
        connection.execute("create view outside as select * from read_csv('/etc/passwd')")
    return path


def test_a_table_of_duckdb_is_read_by_its_schema(tmp_path):
    path = duckdb_file(tmp_path / "a.duckdb")
    assert read(path) == [["7", "é", "t"], [None, None, "t"]]
    assert "it has `letters`, `outside`. Correct the table's `physicalName`" in refusal(path, Layout(table="letter"))
    assert "column sent has type timestamp[us]" in refusal(path, kinds={"sent": "string"})
    assert "lacks the columns body" in refusal(path, kinds={"body": "text"})


def test_a_view_of_duckdb_opens_no_other_file(tmp_path):
    said = refusal(duckdb_file(tmp_path / "a.duckdb"), Layout(table="outside"), {"who": "string"})
    assert "could not be parsed as .duckdb (PermissionException)" in said


def test_a_file_called_db_is_told_by_what_it_begins_with(tmp_path):
    assert read(duckdb_file(tmp_path / "a.db")) == [["7", "é", "t"], [None, None, "t"]]
    assert read(sqlite_file(tmp_path / "b.db"))[0] == ["7", "é", "t"]
    (tmp_path / "c.db").write_text(SECRET)
    assert "the format .db is not one of" in refusal(tmp_path / "c.db")


def sqlite_file(path):
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("create table letters (who, said text, topic text)")
        values = [(7, "é", "t"), ("007", "a", "t"), (7.5, b"\x00", "t")]
        connection.executemany("insert into letters values (?, ?, ?)", values)
        connection.execute("insert into letters values (1, cast(x'ff41' as text), 't')")
        connection.execute("create index by_topic on letters (topic, said, who)")
        connection.commit()
    return path


def test_each_value_of_sqlite_has_its_own_type_and_no_index_orders_them(tmp_path):
    path = sqlite_file(tmp_path / "a.sqlite")
    assert read(path) == [["7", "é", "t"], ["007", "a", "t"], [None, None, "t"], ["1", None, "t"]]
    assert "has no table `letter`: it has `letters`" in refusal(path, Layout(table="letter"))


ODD_CELLS = {
    "hours that no clock has": b'<c s="1"><v>123456789012</v></c>',
    "hours before all time": b'<c s="1"><v>-1E12</v></c>',
    "an error": b'<c t="e"><v>#GETTING_DATA</v></c>',
    "a newer error": b'<c t="e"><v>#SPILL!</v></c>',
    "a formula's empty text": b'<c t="str"><f>""</f><v></v></c>',
    "a cell at the end of all columns": b'<c r="XFD3"><v>1</v></c>',
    "no number, as openpyxl writes NaN": b"<c ><v>nan</v></c>",
    "a number without end": b"<c ><v>inf</v></c>",
    "a number of too many digits": b"<c ><v>" + b"9" * 5000 + b"</v></c>",
    "a number beyond all": b"<c ><v>1E999</v></c>",
    "no truth value": b'<c t="b"><v>yes</v></c>',
    "a text that the list of texts lacks": b'<c t="s"><v>7</v></c>',
    "a day that there is none of": b'<c t="d"><v>2024-02-31</v></c>',
    "a number of a style that there is none of": b'<c s="x"><v>1</v></c>',
}


@pytest.mark.parametrize("cell", ODD_CELLS.values(), ids=ODD_CELLS)
def test_a_cell_of_a_workbook_that_cannot_be_read_is_missing_and_touches_no_other_record(tmp_path, cell, recwarn):
    path = tmp_path / "a.xlsx"
    write_workbook(path, {"A": [["who", "said", "topic"], [1, "a", "t"], [None, "b", "t", cell], [3, "c", "t"]]})
    others = read(path)
    assert others == [["1", "a", "t"], [None, "b", "t"], ["3", "c", "t"]]
    write_workbook(path, {"A": [["who", "said", "topic"], [1, "a", "t"], [cell, "b", "t"], [3, "c", "t"]]})
    assert read(path) in (others, [others[0], ["", "b", "t"], others[2]])
    assert not recwarn.list  # it would quote the value


def test_a_cell_at_the_end_of_all_rows_costs_no_memory(tmp_path):
    path = tmp_path / "a.xlsx"
    rows = [["who", "said", "topic"], [1, "a", "t"], [b'<c r="XFD1048576"><v>1</v></c>']]
    write_workbook(path, {"A": rows})
    text = zipfile.ZipFile(path).read("xl/sheets/1.xml").decode().replace('<row r="3">', '<row r="1048576">')
    with zipfile.ZipFile(path, "a") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        file.writestr("xl/sheets/1.xml", text)
    tracemalloc.start()
    assert read(path) == [["1", "a", "t"], [None, None, None]]
    assert tracemalloc.get_traced_memory()[1] < 64 * 2**20
    tracemalloc.stop()


def test_a_sheet_of_a_workbook_is_read_by_its_name_and_its_cells_by_their_types(tmp_path):
    path = tmp_path / "a.xlsx"
    rows = [[], ["who", "said", "topic"], [7, "é", "t"], ["007", 5, "t"], [None, None, None], [7.5, "a", None]]
    write_workbook(path, {"A": rows, "B": [["x"]]})
    expected = [["7", "é", "t"], ["007", None, "t"], [None, "a", None]]
    assert read(path, Layout(sheet="A")) == expected
    assert "has the sheets `A`, `B`: write the one to read as the table's `physicalName`" in refusal(path)
    assert "has no sheet `C`" in refusal(path, Layout(sheet="C"))
    write_workbook(path, {"Alone": rows})
    assert read(path) == expected
    write_workbook(path, {"Empty": []})
    assert "is empty and has no header" in refusal(path)


CSV = {
    "semicolons": (b"who;said;topic\n7;a;t\n", {}, 'divided by ";": write `csv: {delimiter: ";"}`'),
    "tabs": (b"who\tsaid\ttopic\n", {}, 'write `csv: {delimiter: "\\t"}`'),
    "utf_16": ("who,said,topic\n7,ä,t\n".encode("utf-16"), {}, "is written in UTF-16"),
    "utf_16_unmarked": ("who,said,topic\n".encode("utf-16-le"), {}, "write `csv: {encoding: utf-16-le}`"),
    "no_utf_16": (b"who,said,topic\n", {"encoding": "utf-16"}, "is not written in UTF-16"),
    "latin_header": ("wér,said,topic\n".encode("latin-1"), {}, "Its header is not utf-8"),
    "other_case": (b"Who,said,Topic \n", {}, "It has `Topic ` for topic, `Who` for who: write that as"),
    "empty": (b"", {}, "is empty and has no header"),
    "twice": (b"who,said,topic,who\n", {}, "has the columns who twice"),
    "unclosed": (b'"who,said,topic\n', {}, "a quote in its first line is not closed"),
}


@pytest.mark.parametrize("name", CSV)
def test_a_header_that_does_not_fit_is_told_by_what_it_is(tmp_path, name):
    content, layout, says = CSV[name]
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    assert says in refusal(path, Layout(**layout))


@pytest.mark.parametrize(
    ("encoding", "delimiter"), [("utf-16", ","), ("utf-16-le", ";"), ("cp1252", "|"), ("latin-1", "\t")]
)
def test_a_csv_file_is_read_by_the_terms_that_say_how_it_is_written(tmp_path, encoding, delimiter):
    path = tmp_path / "a.csv"
    rows = ["who,said,topic", '7,"ä,\nö",t', "8,ü,t"]
    path.write_bytes("\r\n".join(rows).replace(",", delimiter).encode(encoding))
    text = "ä,\nö".replace(",", delimiter)
    assert read(path, Layout(encoding=encoding, delimiter=delimiter)) == [["7", text, "t"], ["8", "ü", "t"]]


@pytest.mark.parametrize(
    ("encoding", "broken"), [("utf-16-le", b"\x00\xd8"), ("shift_jis", b"\x81"), ("cp1252", b"\x81")]
)
def test_what_is_not_of_the_encoding_costs_its_own_cell(tmp_path, encoding, broken):
    path = tmp_path / "a.csv"
    lines = ["who,said,topic\n", "7,a", ",t\n8,b,t\n"]
    path.write_bytes(lines[0].encode(encoding) + lines[1].encode(encoding) + broken + lines[2].encode(encoding))
    assert read(path, Layout(encoding=encoding)) == [["7", None, "t"], ["8", "b", "t"]]
