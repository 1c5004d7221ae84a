"""What `source check` finds: lines and columns of what cannot be read, and nothing of what stands there."""

from __future__ import annotations

import pytest

from resources.source import Columns, Label, Layout
from resources.source_check import MOST, look_at
from tests.workbooks import write_workbook

SECRET = "XYZZY"
TYPES = {"who": "integer", "said": "string"}
COLUMNS = Columns("said", (Label("topic", {}, {}),), TYPES, "who", None, (), {"said": "Ticket Text"})


def found(path, content: bytes | None = None, layout=None):
    if content is not None:
        path.write_bytes(content)
    looked = list(look_at(str(path), {}, COLUMNS, layout or Layout()))
    for each in looked:
        assert not any(SECRET in f"{fault.at}{fault.what}" for fault in each.faults)
    return [(fault.at, fault.what) for each in looked for fault in each.faults]


def test_a_csv_file_by_line_and_column(tmp_path):
    lines = [
        b"who,Ticket Text,topic",
        b"1,fine,t",
        b"1,XYZZY,t,XYZZY",
        b"1,XYZZY",
        b'1,"XYZZY,t',
        b"XYZZY,fine,t",
        b"1,XYZZY\xff,t",
        b'1,"two\nlines",t',
        b"1.5,fine,t",
    ]
    said = found(tmp_path / "a.csv", b"\n".join(lines) + b"\n")
    assert [at for at, _ in said] == [
        "line 3",
        "line 4",
        "line 5, column 3",
        "line 6, column who",
        "line 7, column Ticket Text",
        "line 10, column who",
    ]
    assert "more cells" in said[0][1]
    assert "fewer cells" in said[1][1]
    assert "quote" in said[2][1]
    assert said[3][1] == "no whole number"
    assert "encoding" in said[4][1]


def test_a_delimiter_too_many_in_the_header_is_called_that(tmp_path):
    ((at, what),) = found(tmp_path / "a.csv", b"who,Ticket Text,topic,\n1,XYZZY,t\n")
    assert at == "line 2"
    assert "the header ends with a delimiter too many" in what


def test_json_lines_by_line_and_column(tmp_path):
    content = b'{"who": 1, "Ticket Text": "a", "topic": "t"}\n{"who": XYZZY}\n["XYZZY"]\n\xff\n{"Ticket Text": 5}\n'
    said = found(tmp_path / "a.jsonl", content)
    places = ["line 2, column 9", "line 3", "line 4, byte 1", "line 5, column Ticket Text"]
    assert [at for at, _ in said] == places


def test_a_workbook_by_row_and_column(tmp_path):
    path = tmp_path / "a.xlsx"
    write_workbook(path, {"A": [["who", "Ticket Text", "topic"], [1, "a", "t"], ["XYZZY", 5, "t"]]})
    assert [at for at, _ in found(path)] == ["row 3, column who", "row 3, column Ticket Text"]


def test_a_file_as_a_whole(tmp_path):
    ((at, what),) = found(tmp_path / "a.csv", b"who,text,topic\n")
    assert at is None
    assert "lacks the columns Ticket Text" in what


@pytest.mark.parametrize("wrong", [MOST, 10 * MOST])
def test_how_many_there_are_is_not_said(tmp_path, wrong):
    (looked,) = look_at(str(broken(tmp_path, wrong)), {}, COLUMNS, Layout())
    assert len(looked.faults) == MOST
    assert looked.more == (wrong > MOST)


def broken(folder, number):
    path = folder / "a.csv"
    path.write_bytes(b"who,Ticket Text,topic\n" + b"XYZZY\n" * number)
    return path


def test_of_a_text_column_of_numbers_one_sentence_says_so(tmp_path):
    path = tmp_path / "a.xlsx"
    write_workbook(path, {"1": [["who", "Ticket Text", "topic"], *([1, row, "t"] for row in range(2 * MOST))]})
    [looked] = look_at(str(path), {}, COLUMNS, Layout())
    assert looked.faults == ()
    assert "the column Ticket Text holds numbers, dates or other values, and no text" in looked.without_text


def test_where_one_record_has_a_text_the_others_are_told_by_their_rows(tmp_path):
    path = tmp_path / "a.xlsx"
    rows = [[1, row, "t"] for row in range(2 * MOST)]
    write_workbook(path, {"1": [["who", "Ticket Text", "topic"], *rows, [1, "a", "t"]]})
    [looked] = look_at(str(path), {}, COLUMNS, Layout())
    assert (len(looked.faults), looked.more, looked.without_text) == (MOST, True, None)


def test_formulas_whose_values_were_not_saved_are_no_texts(tmp_path):
    path = tmp_path / "a.xlsx"
    formula = b'<c t="str"><f>CONCATENATE("XYZZY","a")</f></c>'
    write_workbook(path, {"1": [["who", "Ticket Text", "topic"], [1, formula, "t"]]})
    [looked] = look_at(str(path), {}, COLUMNS, Layout())
    assert "empty in every record; of a formula the value counts" in looked.without_text
