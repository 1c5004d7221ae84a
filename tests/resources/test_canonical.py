"""One spelling for each value of a declared type, and none for what is no such value."""

from __future__ import annotations

from decimal import Decimal

import pytest

from resources.canonical import spelled

HUGE = 10**200
HALF = "\ud800"


@pytest.mark.parametrize("kind", ["string", "integer", "number"])
@pytest.mark.parametrize("value", [5, 5.0, Decimal("5.0"), Decimal("5E0"), Decimal("50e-1")])
def test_a_whole_number_is_its_digits_however_it_is_stored(kind, value):
    assert spelled(value, kind) == "5"


@pytest.mark.parametrize("value", ["007", "7", "0007", " 7 ", "+7", "7.0", "7.", "7e0", "70e-1"])
def test_text_that_spells_a_whole_number_is_that_number_only_where_one_is_declared(value):
    assert spelled(value, "integer") == "7"
    assert spelled(value, "string") == spelled(value, "date") == spelled(value, "text") == value


@pytest.mark.parametrize(
    "value",
    [None, 0.5, float("nan"), float("inf"), Decimal("NaN"), Decimal("1e400"), HUGE, [5], {"a": 5}, b"5", HALF],
)
@pytest.mark.parametrize("kind", ["string", "integer", "number", "boolean", "text"])
def test_what_is_no_value_of_a_type_has_no_spelling(kind, value):
    assert spelled(value, kind) is None


@pytest.mark.parametrize("value", ["", "nan", "NA", "None", "0x7", "1_000", "٧", "7,0", "7 0", "1e400", "9" * 101])
def test_text_that_spells_no_whole_number_is_missing_where_one_is_declared(value):
    assert spelled(value, "integer") is None
    assert spelled(value, "string") == value


def test_numbers_are_compared_exactly():
    assert spelled(2**53 + 1, "integer") == spelled(str(2**53 + 1), "integer") == "9007199254740993"
    assert spelled(Decimal("9007199254740993.0"), "integer") == "9007199254740993"
    assert spelled("9007199254740993.00001", "integer") is None
    assert spelled(Decimal("-0.0"), "string") == "0"


def test_truth_values_are_words_or_one_and_zero_as_declared():
    assert [spelled(value, "boolean") for value in (True, "True", " FALSE", 1, 0.0, "1", "yes", 2)] == [
        "true", "true", "false", "true", "false", "true", None, None,
    ]  # fmt: skip
    assert [spelled(True, kind) for kind in ("integer", "number", "string", "text")] == ["1", "1", None, None]


def test_a_number_is_no_text():
    assert spelled(4471, "text") is None
