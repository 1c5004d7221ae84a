"""What `dpsynth sql` prints is what it says: JSON, CSV and Parquet for programs, and a table that people can read."""

from __future__ import annotations

import io
import json
import math
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from uuid import UUID

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dpsynth_assets.cli import answers
from dpsynth_assets.cli.answers import Format, as_csv, as_json, give
from dpsynth_assets.cli.console import BadInput
from dpsynth_assets.publish.answer import Answer, described
from dpsynth_assets.publish.json_values import decode, encode
from dpsynth_assets.publish.release import QueryError


def refused(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")


@pytest.mark.parametrize(
    ("value", "printed"),
    [
        (date(2030, 1, 2), "2030-01-02"),
        ({date(2030, 1, 2): 1}, {"2030-01-02": 1}),
        ({Decimal("1.5"): 1}, {"1.5": 1}),
        ({b"x": 1}, {"b'x'": 1}),
        (math.nan, None),
        ([math.inf, {"a": -math.inf}], [None, {"a": None}]),
        ([{1: [Decimal("0.1")]}], [{"1": ["0.1"]}]),
    ],
)
def test_every_value_is_json(value: object, printed: object) -> None:
    assert json.loads(as_json(["x"], [(value,)]), parse_constant=refused) == [{"x": printed}]


def test_csv_has_a_line_for_the_names_and_one_for_each_row() -> None:
    assert as_csv(["a", "b, c"], [(1, None), ("x\ny", 'z"')]) == 'a,"b, c"\n1,\n"x\ny","z"""'


@pytest.mark.parametrize("form", [Format.json, Format.parquet])
def test_no_column_is_lost(form: Format) -> None:
    with pytest.raises(BadInput, match=f"more than one column 'a': name them apart with AS, for {form}"):
        give(Answer(["a", "b", "a"], ["integer"] * 3, [(1, 2, 3)]), form)


def answer_to(sql: str) -> Answer:
    """As it comes from a query's process."""
    with duckdb.connect() as connection:
        cursor = connection.execute(sql)
        columns, kinds = zip(*((name, described(kind)) for name, kind, *_ in cursor.description), strict=True)
        rows = json.loads(json.dumps([[encode(value) for value in row] for row in cursor.fetchall()]))
        kinds = json.loads(json.dumps(kinds))
    return Answer(list(columns), kinds, [tuple(map(decode, row)) for row in rows])


VALUES = """
SELECT sum(1) AS total, 1::UTINYINT AS small, 1.50::DECIMAL(5, 2) AS price, 'nan'::FLOAT AS real, [1, NULL] AS list,
    {'a': [1.5]} AS struct, MAP {'k': 1} AS map, MAP {[1]: 2} AS odd_map, 'x'::BLOB AS bytes, NULL AS nothing,
    DATE '2030-01-02' AS day, TIMESTAMP '2030-01-02 03:04:05.6' AS moment, TIME '10:00' AS hour,
    TIMESTAMPTZ '2030-01-02 03:04:05+00' AS zoned, INTERVAL 1 DAY AS span, 'b'::ENUM('a', 'b') AS choice,
    '00000000-0000-0000-0000-000000000001'::UUID AS uuid, true AS truth, '{"j": 1}'::JSON AS json
"""


def test_parquet_has_the_types_of_the_answer_with_rows_and_without(capfdbinary) -> None:
    give(answer_to(VALUES), Format.parquet)
    table = pq.read_table(io.BytesIO(capfdbinary.readouterr().out))
    [row] = table.to_pylist()
    assert math.isnan(row.pop("real"))
    assert row == {
        **{"total": 1, "small": 1, "price": Decimal("1.50"), "list": [1, None], "struct": {"a": [Decimal("1.5")]}},
        **{"map": [("k", 1)], "odd_map": "{'key': [[1]], 'value': [2]}", "bytes": b"x", "nothing": None},
        **{"day": date(2030, 1, 2), "moment": datetime(2030, 1, 2, 3, 4, 5, 600_000), "hour": time(10)},
        **{"zoned": datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC), "span": str(timedelta(days=1)), "choice": "b"},
        **{"uuid": str(UUID(int=1)), "truth": True, "json": '{"j": 1}'},
    }
    none = answer_to(f"{VALUES} HAVING false")
    assert none.rows == []
    assert none.arrow().schema == answer_to(VALUES).arrow().schema
    assert none.arrow().schema.field("total").type == pa.int64()


def test_a_number_that_fits_no_column_is_not_rounded() -> None:
    with pytest.raises(QueryError, match=r"column 'x' holds a value that does not fit.*VARCHAR"):
        answer_to("SELECT 170141183460469231731687303715884105726::HUGEINT AS x").arrow()


@pytest.fixture
def printed(capsys, forget_console):
    def act(columns: list[str], *rows: tuple[object, ...]) -> list[str]:
        give(Answer(columns, ["varchar"] * len(columns), list(rows)), Format.table)
        return [line.rstrip() for line in capsys.readouterr().out.splitlines()]

    return act


def test_a_table_that_is_too_wide_is_a_block_of_lines_for_each_row(printed) -> None:
    columns = [f"column_number_{number}" for number in range(12)]
    lines = printed(columns, tuple(range(12)), ("x" * 200, None, *range(10)))
    assert lines[:3] == ["row 1", "  column_number_0   0", "  column_number_1   1"]
    assert lines[13:15] == ["row 2", f"  column_number_0   {'x' * 90}"]
    assert "".join(line.strip() for line in lines[14:17]).count("x") == 200, "nothing is cut off"
    assert all(len(line) <= 110 for line in lines)


def test_a_table_that_fits_is_one_and_long_texts_are_whole_in_it(printed) -> None:
    lines = printed(["text", "topic"], ("word " * 100, "card"))
    assert lines[1].startswith("┃ text")
    assert "\n".join(lines).count("word") == 100


def test_a_plan_is_drawn_as_it_came(capsys, forget_console) -> None:
    wide = "╭" + "─" * 200 + "╮\n│ A \x1b[2J scan │"
    give(Answer(["explain_key", "explain_value"], ["varchar"] * 2, [("physical_plan", wide)]), Format.table)
    assert capsys.readouterr().out == wide.replace("\x1b", "\\u001b") + "\n"


def test_of_many_rows_the_first_are_shown_and_the_rest_named(printed) -> None:
    lines = printed(["n"], *((number,) for number in range(1234)))
    assert lines[-1] == "100 of 1,234 rows; --format csv, json or parquet gives all of them."
    assert len(lines) == answers.SHOWN + 5


def test_what_is_longer_than_the_terminal_goes_through_its_pager(monkeypatch, forget_console) -> None:
    from tests.cli.test_terminal import screen

    paged: list[str] = []
    monkeypatch.setattr("rich.pager.SystemPager.show", lambda _, content: paged.append(content))
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setenv("LINES", "20")
    with screen() as shown:
        give(Answer(["n"], ["bigint"], [(number,) for number in range(5)]), Format.table)
        assert (paged, "4" in shown.getvalue()) == ([], True)
        give(Answer(["n"], ["bigint"], [(number,) for number in range(50)]), Format.table)
    assert "49" in paged[0]
    assert "49" not in shown.getvalue()


def test_a_format_is_named_in_any_case(dpsynth, book) -> None:
    said = {form: dpsynth("sql", "select 1 as one", "--format", form)[2] for form in ("csv", "CSV", "xlsx")}
    assert said["CSV"] == said["csv"]
    assert "nothing has been published" in said["CSV"], "the option was taken"
    assert "xlsx" in said["xlsx"]
