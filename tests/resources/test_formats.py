"""What a file's schema or header says is judged as a whole; what a record holds concerns that record."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from decimal import Decimal

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest

from resources import canonical, databases, formats
from resources.formats import SourceError, records
from resources.places import Stored
from resources.source import Layout

KINDS = {"who": "string", "said": "text", "topic": "string"}
NUMBERED = KINDS | {"who": "integer"}


def parquet(folder, **columns):
    path = folder / "some.parquet"
    pyarrow.parquet.write_table(pa.table(columns), path)
    return path


def lines(folder, *found):
    path = folder / "some.jsonl"
    path.write_bytes(b"\n".join(line if isinstance(line, bytes) else json.dumps(line).encode() for line in found))
    return path


def commas(folder, content: bytes):
    path = folder / "some.csv"
    path.write_bytes(content)
    return path


TEXT = pa.array(["a", "b"])


@pytest.mark.parametrize(
    "who",
    [
        pa.array(["7", None]),
        pa.array(["7", None], pa.large_string()),
        pa.array(["7", None], pa.string_view()),
        pa.array(["7", None]).dictionary_encode(),
        pa.array([7, None], pa.int8()),
        pa.array([7, None], pa.uint64()),
        pa.array([7, None]).dictionary_encode(),
        pa.array([Decimal(7), None], pa.decimal128(38, 0)),
    ],
    ids=lambda column: str(column.type),
)
def test_columns_of_parquet_that_serve(tmp_path, who):
    found = list(records(parquet(tmp_path, who=who, said=TEXT, topic=TEXT), KINDS))
    assert found == [["7", "a", "a"], [None, "b", "b"]]


def test_a_pandas_column_of_categories_serves(tmp_path):
    path = tmp_path / "some.parquet"
    frame = pd.DataFrame({"who": pd.Categorical(["x", None]), "said": pd.Categorical(["a", "b"]), "topic": ["a", "b"]})
    frame.to_parquet(path)
    assert list(records(path, KINDS)) == [["x", "a", "a"], [None, "b", "b"]]


@pytest.mark.parametrize(
    ("column", "values", "says"),
    [
        ("who", pa.array([7.0, None]), r"column who has type double where text or whole numbers are declared.*Int64"),
        ("topic", pa.array([0.0, 1.0]), r"column topic has type double .*nullable integers"),
        ("topic", pa.array([True, False]), r"column topic has type bool .*as text"),
        ("topic", pa.array([["a"], ["b"]]), r"column topic has type list"),
        ("who", pa.array([0, 1], pa.timestamp("s")), r"column who has type timestamp"),
        ("who", pa.array([Decimal("7.5")] * 2), r"column who has type decimal"),
        ("said", pa.array([1, 2]), r"column said has type int64 where text is declared"),
        ("said", pa.array([b"a", b"b"]), r"column said has type binary where text is declared"),
    ],
)
def test_a_schema_that_cannot_serve_is_refused_with_what_to_do(tmp_path, column, values, says):
    columns = {"who": TEXT, "said": TEXT, "topic": TEXT} | {column: values}
    with pytest.raises(SourceError, match=says):
        list(records(parquet(tmp_path, **columns), KINDS))


def test_truth_values_of_parquet_serve_where_numbers_are_declared(tmp_path):
    path = parquet(tmp_path, who=TEXT, said=TEXT, topic=pa.array([True, None]))
    assert [record[2] for record in records(path, KINDS | {"topic": "integer"})] == ["1", None]


def test_a_column_of_nothing_but_nulls_serves_as_any(tmp_path):
    path = parquet(tmp_path, who=pa.nulls(2), said=pa.nulls(2), topic=TEXT)
    assert list(records(path, KINDS)) == [[None, None, "a"], [None, None, "b"]]


LONG = "é" * canonical.LONGEST  # two bytes each
CUT = "é" * (canonical.LONGEST // 2)


def as_lines(folder, rows):
    return lines(folder, *(dict(zip(KINDS, row, strict=True)) for row in rows))


def as_commas(folder, rows):
    return commas(folder, "".join(f"{','.join(row)}\n" for row in [list(KINDS), *rows]).encode())


def as_parquet(folder, rows, **how):
    columns = {name: pa.array(values, **how) for name, values in zip(KINDS, zip(*rows, strict=True), strict=True)}
    return parquet(folder, **columns)


def as_categories(folder, rows):
    path = folder / "some.parquet"
    pd.DataFrame(rows, columns=list(KINDS)).astype("category").to_parquet(path)
    return path


@pytest.mark.parametrize("write", [as_lines, as_commas, as_parquet, as_categories])
def test_a_text_longer_than_any_that_is_used_is_cut_and_other_cells_so_long_are_missing(tmp_path, write):
    rows = [["a", "x" + LONG, "t"], [LONG, "b", LONG], ["c", CUT, CUT]]
    expected = [["a", "x" + CUT[:-1], "t"], [None, "b", None], ["c", CUT, CUT]]
    assert list(records(write(tmp_path, rows), KINDS)) == expected


def test_a_text_that_many_records_have_is_decoded_once(tmp_path):
    """Together they would be more than fits into one column, though the file is small."""
    column = pa.DictionaryArray.from_arrays(pa.array([0, 1, None] * 2000, pa.int32()), pa.array(["a", LONG]))
    who = pa.array(["7"] * len(column))
    found = records(parquet(tmp_path, who=who, said=column, topic=who), KINDS)
    assert [record[1] for record in found] == ["a", CUT, None] * 2000


@pytest.mark.parametrize("ends", [b"\n", b""])
def test_a_line_of_json_longer_than_any_that_is_read_is_no_record(tmp_path, monkeypatch, ends):
    monkeypatch.setattr(formats, "_LONGEST_LINE", 64)
    good = json.dumps({"who": "a", "said": "b", "topic": "c"}).encode()
    path = tmp_path / "some.jsonl"
    for length in (63, 64, 65, 128, 129, 1000):
        long = json.dumps({"who": "a", "said": "x" * (length - 24)}).encode()
        assert len(long) == length
        path.write_bytes(good + b"\n" + long + b"\n" + good + b"\n" + long + ends)
        one = ["a", "x" * (length - 24), None] if length == 63 else None
        assert list(records(path, KINDS)) == [["a", "b", "c"], one, ["a", "b", "c"], one]


def test_names_of_csv_columns_survive_a_byte_order_mark(tmp_path):
    path = commas(tmp_path, b"\xef\xbb\xbfwho,said,topic\r\n007,a,x\r\n7,b,y\r\n0007,c,z\r\n")
    assert [record[0] for record in records(path, KINDS)] == ["007", "7", "0007"]
    assert [record[0] for record in records(path, NUMBERED)] == ["7", "7", "7"]


@pytest.mark.parametrize("broken", [b"eve,b,c,more", b"eve,b", b"eve", b'eve,"b"x,c'])
def test_a_csv_record_with_a_cell_too_many_or_too_few_is_left_out_alone(tmp_path, broken):
    path = commas(tmp_path, b"who,said,topic\r\na,b,c\r\n" + broken + b"\r\na,b,c\r\n")
    assert list(records(path, KINDS)) == [["a", "b", "c"], None, ["a", "b", "c"]]


def test_bytes_that_are_no_utf_8_cost_their_own_cell(tmp_path):
    path = commas(tmp_path, b"who,said,topic\r\na,b,c\r\na,\xff\xe2,c\r\na,b,c\r\n")
    assert list(records(path, KINDS)) == [["a", "b", "c"], ["a", None, "c"], ["a", "b", "c"]]
    stored = pa.array([b"b", b"\xff\xe2", b"b"])
    unchecked = pa.StringArray.from_buffers(len(stored), stored.buffers()[1], stored.buffers()[2])
    path = parquet(tmp_path, who=pa.array(["a"] * 3), said=unchecked, topic=pa.array(["c"] * 3))
    assert list(records(path, KINDS)) == [["a", "b", "c"], ["a", None, "c"], ["a", "b", "c"]]


@pytest.mark.parametrize("word", ["NA", "null", "nan", "None", "N/A", "NULL", "-"])
def test_words_for_nothing_are_text_in_csv_quoted_or_not(tmp_path, word):
    path = commas(tmp_path, f'who,said,topic\n{word},{word},{word}\n"{word}","{word}","{word}"\n'.encode())
    assert list(records(path, KINDS)) == [[word] * 3] * 2


def test_numbers_and_truth_values_of_json_are_read_by_declared_type(tmp_path):
    path = lines(tmp_path, {"who": 5, "said": "a"}, {"who": 5.0}, {"who": "5"}, {"who": "5.0"}, {"who": True}, {})
    assert [record[0] for record in records(path, KINDS)] == ["5", "5", "5", "5.0", None, None]
    assert [record[0] for record in records(path, NUMBERED)] == ["5", "5", "5", "5", "1", None]


def test_long_numbers_of_json_are_not_rounded_into_one_another(tmp_path):
    path = lines(
        tmp_path, *(b'{"who": %s}' % number for number in (b"9007199254740993.0", b"9007199254740992", b"1e22"))
    )
    assert [record[0] for record in records(path, KINDS)] == ["9007199254740993", "9007199254740992", "1" + "0" * 22]


def test_a_byte_order_mark_does_not_cost_the_first_record_of_json(tmp_path):
    line = b'{"who": "a", "said": "b", "topic": "c"}'
    assert list(records(lines(tmp_path, b"\xef\xbb\xbf" + line, line), KINDS)) == [["a", "b", "c"]] * 2


def test_texts_like_times_are_text(tmp_path):
    times = ["2024-01-01 10:00:01", "2024-01-01T10:00:01"]
    assert [record[0] for record in records(lines(tmp_path, *({"who": time} for time in times)), KINDS)] == times


@pytest.mark.parametrize(
    "line", [b"{", b"[]", b"null", b'"text"', b"\xff", b"[" * 100_000, b'{"who": 1' + b"0" * 5000 + b"}"]
)
def test_a_line_that_is_no_record_is_one_that_nothing_is_known_of(tmp_path, line):
    good = {"who": "a", "said": "b", "topic": "c"}
    assert list(records(lines(tmp_path, good, line, b"", b"  \r", good), KINDS)) == [
        ["a", "b", "c"],
        None,
        ["a", "b", "c"],
    ]


def test_line_separators_of_unicode_end_no_record(tmp_path):
    said = "a\u2028b\u0085c\x0bd"
    path = tmp_path / "some.jsonl"
    path.write_text(f'{{"who": "a", "said": "{said}"}}'.replace("\x0b", "\\u000b"), encoding="utf-8")
    assert list(records(path, KINDS)) == [["a", said, None]]


@pytest.mark.parametrize("content", [b"", b"{", b"PAR1"])
def test_an_empty_or_torn_file_is_refused_by_what_is_public_of_it_only(tmp_path, content):
    assert all(record is None for record in records(lines(tmp_path, content), KINDS))
    torn = tmp_path / "torn.parquet"
    torn.write_bytes(content)
    with pytest.raises(SourceError, match="is it a whole file of that format"):
        list(records(torn, KINDS))


def test_a_workbook_with_a_password_is_called_that(tmp_path):
    """It is no .xlsx inside, but the container of one, as workbooks of before 2007 are."""
    protected = tmp_path / "letters.xlsx"
    protected.write_bytes(bytes.fromhex("d0cf11e0a1b11ae1") + bytes(4096))
    with pytest.raises(SourceError, match="protected by a password, or was written by an Excel before 2007"):
        list(records(protected, KINDS))


def test_how_much_text_duckdb_hands_over_at_once_is_not_counted_in_32_bits(tmp_path):
    """Or one record of 2 GiB, which is a small file, would end the reading of all."""
    with duckdb.connect(str(tmp_path / "letters.duckdb")) as connection:
        connection.execute("create table letters (text varchar)")
    schema = databases.schema_of_duckdb(Stored.of(tmp_path / "letters.duckdb"), Layout(table="letters"))
    assert schema.field("text").type == pa.large_string()


FAILING = {  # by format, what fails for the one record that is called `secret` and for no other
    ".duckdb": [
        "cast(case who when 'secret' then who else '1' end as integer)",
        "error(case who when 'secret' then who end)",
        "9223372036854775807 + (who = 'secret')::bigint",
    ],
    ".sqlite": [
        "abs(-9223372036854775807 - (who = 'secret'))",
        "json_extract(case who when 'secret' then who else '{}' end, '$')",
        "zeroblob(2000000000 * (who = 'secret'))",
    ],
}


@pytest.mark.parametrize(
    ("format_", "expression"), [(each, said) for each, expressions in FAILING.items() for said in expressions]
)
def test_a_view_that_fails_for_a_record_is_called_that_without_the_record(tmp_path, format_, expression):
    """And its file is not said to be broken, which it is not."""
    path = tmp_path / f"letters{format_}"
    connection = duckdb.connect(str(path)) if format_ == ".duckdb" else sqlite3.connect(path)
    connection.execute("create table letters (who varchar, said varchar)")
    connection.execute("insert into letters values ('a', 'b'), ('secret', 'c')")
    connection.execute(f"create view odd as select who, said, cast({expression} as varchar) as topic from letters")
    connection.commit()
    connection.close()
    with pytest.raises(SourceError, match="its table or view `odd` fails itself: an expression in it") as caught:
        list(records(path, KINDS, Layout(table="odd")))
    assert caught.value.__context__ is None
    assert "secret" not in str(caught.value)
    assert "whole file" not in str(caught.value)


def test_a_view_of_duckdb_that_needs_too_much_memory_is_called_that(tmp_path, monkeypatch):
    monkeypatch.setattr(databases, "_MEMORY", "20MB")
    with duckdb.connect(str(tmp_path / "letters.duckdb")) as connection:
        connection.execute("create table letters as select repeat('a', 1000) as said from range(100000)")
        connection.execute("create view odd as select 'a' as who, string_agg(said) as said, 'b' as topic from letters")
    with pytest.raises(SourceError, match="`odd` needs more than 20MB of memory: make it a table"):
        list(records(tmp_path / "letters.duckdb", KINDS, Layout(table="odd")))


def test_a_damaged_sqlite_file_is_not_blamed_on_its_table(tmp_path):
    path = tmp_path / "letters.sqlite"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("create table letters (who text, said text, topic text)")
        connection.executemany("insert into letters values (?, ?, 't')", [(str(n), "a" * 500) for n in range(100)])
    whole = path.read_bytes()
    path.write_bytes(whole[:8192] + bytes(4096) + whole[12288:])
    with pytest.raises(SourceError, match=r"could not be parsed as \.sqlite .*is it a whole file of that format"):
        list(records(path, KINDS, Layout(table="letters")))
