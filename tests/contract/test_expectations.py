"""Quality rules: the standard's library metrics said as expectations, and the allow-list against the real library."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dpsynth_assets.contract import load_contract
from dpsynth_assets.contract.expectations import (
    EXPECTATIONS,
    PATTERNS,
    InexpressibleError,
    from_library,
)
from dpsynth_assets.contract.rules import TAKEN

ROOT = Path(__file__).parents[2]
NULL, SET = "expect_column_values_to_not_be_null", "expect_column_values_to_be_in_set"


@pytest.mark.parametrize(
    ("rule", "expectation", "kwargs"),
    [
        ({"metric": "nullValues", "mustBe": 0}, NULL, {"column": "c"}),
        ({"metric": "nullValues", "mustBeLessOrEqualTo": 5, "unit": "percent"}, NULL, {"column": "c", "mostly": 0.95}),
        (
            {"metric": "duplicateValues", "mustBeLessOrEqualTo": 10, "unit": "percent"},
            "expect_column_proportion_of_unique_values_to_be_between",
            {"column": "c", "min_value": 0.9},
        ),
        (
            {"metric": "invalidValues", "mustBe": 0, "arguments": {"validValues": ["a", "b"]}},
            SET,
            {"column": "c", "value_set": ["a", "b"]},
        ),
        (
            {"metric": "invalidValues", "mustBe": 0, "arguments": {"pattern": "^x"}},
            "expect_column_values_to_match_regex",
            {"column": "c", "regex": "^x"},
        ),
        (
            {"metric": "missingValues", "mustBe": 0, "arguments": {"missingValues": ["N/A", None]}},
            "expect_column_values_to_not_be_in_set",
            {"column": "c", "value_set": ["N/A"]},
        ),
        (
            {"metric": "rowCount", "mustBeBetween": [10, 20]},
            "expect_table_row_count_to_be_between",
            {"min_value": 10, "max_value": 20},
        ),
        (
            {"metric": "rowCount", "mustBe": 7},
            "expect_table_row_count_to_be_between",
            {"min_value": 7, "max_value": 7},
        ),
    ],
)
def test_library_metrics_are_said_exactly(rule: dict[str, Any], expectation: str, kwargs: dict[str, Any]) -> None:
    assert from_library(rule, "c") == (expectation, kwargs)


@pytest.mark.parametrize(
    "rule",
    [
        {"metric": "nullValues", "mustBeLessThan": 5, "unit": "percent"},  # `mostly` includes its bound
        {"metric": "nullValues", "mustBeLessOrEqualTo": 5},  # rows, not a share
        {"metric": "nullValues", "mustNotBe": 0},
        {"metric": "invalidValues", "mustBe": 0},
        {"metric": "rowCount", "mustBeGreaterThan": "many"},
        {"metric": "rowCount", "mustNotBeBetween": [1, 2]},
    ],
)
def test_what_no_expectation_says_exactly_is_refused(rule: dict[str, Any]) -> None:
    with pytest.raises(InexpressibleError):
        from_library(rule, "c")


@pytest.mark.slow
def test_the_allow_list_names_expectations_and_arguments_that_exist() -> None:
    """Great Expectations takes seconds to import."""
    from dpsynth_assets.quality import patterns, rules
    from dpsynth_assets.quality.expectations import build

    example: dict[str, Any] = {
        "column": "c", "value_set": ["a"], "regex": "a", "regex_list": ["a"], "patterns": ["iban"], "mostly": 0.5,
        "column_set": ["a"], "exact_match": True, "ties_okay": True, "bucketize_data": False, "threshold": 0.1,
        "min_value": 0, "max_value": 1, "strict_min": False, "strict_max": False,
        "partition_object": {"values": ["a"], "weights": [1.0]},
        "reference": "test_split", "n": 2, "similarity": 0.8, "quantile": 0.5,
    }  # fmt: skip
    for name, form in EXPECTATIONS.items():
        build("rule", name, {argument: example[argument] for argument in form.arguments}, {})
    assert set(PATTERNS) == set(patterns.DETECTORS)
    assert rules.SENSITIVE_PATTERNS in EXPECTATIONS
    for path in sorted((ROOT / "contracts").glob("*.odcs.yaml")):
        contract = load_contract(path)
        assert rules.check_rules(contract) == ()
        fixed = [rule.name for rule in rules.platform_rules(contract) if not rule.replaceable]
        assert all(TAKEN.fullmatch(name) for name in fixed)
