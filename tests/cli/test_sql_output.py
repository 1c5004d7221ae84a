"""What `dpsynth sql --json` prints is JSON, whatever DuckDB answers."""

from __future__ import annotations

import json
import math
from datetime import date
from decimal import Decimal

import pytest

from dpsynth_assets.cli.console import BadInput
from dpsynth_assets.cli.sql import _json


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
    assert json.loads(_json(["x"], [(value,)]), parse_constant=refused) == [{"x": printed}]


def test_no_column_is_lost() -> None:
    with pytest.raises(BadInput, match="more than one column 'a': name them apart with AS"):
        _json(["a", "b", "a"], [(1, 2, 3)])
