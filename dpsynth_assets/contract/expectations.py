"""Which quality rules a contract may state, and how ODCS says them.

An allow-list: every expectation here decides on a synthetic table, by itself or beside rows that the contract declares
public, and answers with numbers, so nothing of a text reaches a result. Knows the names and arguments of Great
Expectations and of the platform's own, not the library.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from dpsynth_assets.contract.problems import choose_from, listing

Check = Callable[[Any], str | None]
"""What must be said of an argument's value, or None where it is right."""


def _number(value: Any) -> str | None:
    return None if isinstance(value, int | float) and not isinstance(value, bool) else "must be a number"


def _share(value: Any) -> str | None:
    return _number(value) or (None if 0 <= value <= 1 else "must lie between 0 and 1")


def _count(value: Any) -> str | None:
    return None if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else "must be a whole number"


def _words(value: Any) -> str | None:
    return _count(value) or (None if 1 <= value <= 50 else "must lie between 1 and 50")


def _similarity(value: Any) -> str | None:
    return _share(value) or (None if value > 0 else "must be above 0")


def _truth(value: Any) -> str | None:
    return None if isinstance(value, bool) else "must be true or false"


def _column(value: Any) -> str | None:
    return None if isinstance(value, str) and value else "must be the name of a column"


def _values(value: Any) -> str | None:
    ok = isinstance(value, list) and value and all(isinstance(v, str | int | float) for v in value)
    return None if ok else "must be a list of values"


def _names(value: Any) -> str | None:
    ok = isinstance(value, list) and value and all(isinstance(v, str) for v in value)
    return None if ok else "must be a list of names"


PATTERNS = ("card_number", "iban", "email", "phone")
"""What the platform's own expectation can look for in a text."""


def _patterns(value: Any) -> str | None:
    ok = isinstance(value, list) and value and all(v in PATTERNS for v in value)
    return None if ok else f"must be a list of some of {', '.join(PATTERNS)}"


TEST_SPLIT, SOURCE = "test_split", "source"
REFERENCES = (TEST_SPLIT, SOURCE)
"""What a rule may compare the synthetic table with; `source` only where it is declared public."""


def _reference(value: Any) -> str | None:
    return None if value in REFERENCES else f"must be `{TEST_SPLIT}`, or `{SOURCE}` where the source is public"


def _regex(value: Any) -> str | None:
    try:
        re.compile(value)
    except (TypeError, re.error) as error:
        return f"must be a regular expression ({error})"
    return None


def _regexes(value: Any) -> str | None:
    return _names(value) or next((fault for pattern in value if (fault := _regex(pattern))), None)


def _partition(value: Any) -> str | None:
    if not isinstance(value, dict) or set(value) != {"values", "weights"}:
        return "must be a mapping of `values` and `weights`"
    values, weights = value["values"], value["weights"]
    if _values(values) or not isinstance(weights, list) or len(weights) != len(values) or any(map(_share, weights)):
        return "must give one weight between 0 and 1 for each of its values"
    return None if abs(sum(weights) - 1) < 1e-6 else f"has weights that add up to {sum(weights):g}, not to 1"


@dataclass(frozen=True)
class Expectation:
    """The arguments of one expectation. `least_one_of` are the optional ones of which at least one must stand.

    `about` is the kind of column that it makes sense of; None where any will do.
    """

    required: Mapping[str, Check]
    optional: Mapping[str, Check]
    least_one_of: tuple[str, ...] = ()
    about: Literal["text", "label"] | None = None

    @property
    def arguments(self) -> dict[str, Check]:
        return {**self.required, **self.optional}


_RANGE = ("min_value", "max_value")


def _of_column(required: Mapping[str, Check] | None = None, /, **optional: Check) -> Expectation:
    bounds = tuple(name for name in _RANGE if name in optional)
    return Expectation({"column": _column, **(required or {})}, optional, bounds)


_BETWEEN: dict[str, Check] = {"strict_min": _truth, "strict_max": _truth}


@dataclass(frozen=True)
class Figure(Expectation):
    """A figure of the corpus that the quality package measures itself, with a lower or an upper bound, or both.

    Attributes:
        unit: of the figure and its bounds.
        measured_by: `module:function` in `dpsynth_assets.quality.metrics`; None for the base model's perplexity.
        of: what the function is given: the column's values, the texts' vectors, or the base model's view of the texts.
            Where the figure `compares`, those of the reference too.
    """

    unit: str = ""
    measured_by: str | None = None
    of: Literal["values", "vectors", "base model"] = "values"

    @property
    def compares(self) -> bool:
        """Whether it compares the corpus with a reference."""
        return "reference" in self.required

    @property
    def parameters(self) -> tuple[str, ...]:
        """Its arguments beside the column and the bounds."""
        return tuple(name for name in self.arguments if name not in ("column", *_RANGE, *_BETWEEN))


def _figure(
    measured_by: str | None,
    unit: str,
    bound: Check,
    *,
    compares: bool = False,
    of: Literal["values", "vectors", "base model"] = "values",
    about: Literal["text", "label"] = "text",
    **optional: Check,
) -> Figure:
    required: dict[str, Check] = {"column": _column, **({"reference": _reference} if compares else {})}
    bounds: dict[str, Check] = {"min_value": bound, "max_value": bound, **_BETWEEN}
    return Figure(required, {**bounds, **optional}, _RANGE, about, unit, measured_by, of)


FIGURES: Mapping[str, Figure] = {
    f"expect_column_{name}_to_be_between": figure
    for name, figure in {
        "distinct_ngrams": _figure("diversity:distinct_ngrams", "share of runs of words", _share, n=_words),
        "self_bleu": _figure("diversity:self_bleu", "BLEU, 0 to 1", _share),
        "near_duplicates": _figure("diversity:near_duplicates", "share of texts", _share, similarity=_similarity),
        "word_count_quantile": _figure("diversity:word_count_quantile", "words", _number, quantile=_share),
        "perplexity": _figure(None, "perplexity, 1 and above", _number, of="base model"),
        "length_distance": _figure("distances:length_distance", "words", _number, compares=True),
        "label_distance": _figure("distances:label_distance", "share of rows", _share, compares=True, about="label"),
        "ngram_overlap": _figure("distances:ngram_overlap", "share of texts", _share, compares=True, n=_words),
        "mauve": _figure("mauve:mauve", "MAUVE, 0 to 1", _share, compares=True, of="vectors"),
        "frechet_distance": _figure(
            "vectors:frechet_distance", "squared distance, 0 to 4", _number, compares=True, of="vectors"
        ),
        "nearest_neighbour_similarity": _figure(
            "vectors:nearest_neighbour_similarity", "cosine, -1 to 1", _number, compares=True, of="vectors"
        ),
    }.items()
}
"""docs/contracts.md says what each one means."""

EXPECTATIONS: Mapping[str, Expectation] = {
    "expect_column_to_exist": _of_column(),
    "expect_column_values_to_not_be_null": _of_column(mostly=_share),
    "expect_column_values_to_be_unique": _of_column(mostly=_share),
    "expect_column_values_to_be_in_set": _of_column({"value_set": _values}, mostly=_share),
    "expect_column_values_to_not_be_in_set": _of_column({"value_set": _values}, mostly=_share),
    "expect_column_distinct_values_to_be_in_set": _of_column({"value_set": _values}),
    "expect_column_distinct_values_to_contain_set": _of_column({"value_set": _values}),
    "expect_column_distinct_values_to_equal_set": _of_column({"value_set": _values}),
    "expect_column_most_common_value_to_be_in_set": _of_column({"value_set": _values}, ties_okay=_truth),
    "expect_column_kl_divergence_to_be_less_than": _of_column(
        {"partition_object": _partition, "threshold": _number}, bucketize_data=_truth
    ),
    "expect_column_values_to_match_regex": _of_column({"regex": _regex}, mostly=_share),
    "expect_column_values_to_not_match_regex": _of_column({"regex": _regex}, mostly=_share),
    "expect_column_values_to_not_match_regex_list": _of_column({"regex_list": _regexes}, mostly=_share),
    "expect_column_values_to_not_contain_sensitive_patterns": _of_column(patterns=_patterns, mostly=_share),
    "expect_column_value_lengths_to_be_between": _of_column(
        min_value=_count, max_value=_count, mostly=_share, **_BETWEEN
    ),
    "expect_column_proportion_of_unique_values_to_be_between": _of_column(
        min_value=_share, max_value=_share, **_BETWEEN
    ),
    "expect_column_proportion_of_non_null_values_to_be_between": _of_column(
        min_value=_share, max_value=_share, **_BETWEEN
    ),
    "expect_column_unique_value_count_to_be_between": _of_column(min_value=_count, max_value=_count, **_BETWEEN),
    "expect_table_row_count_to_be_between": Expectation(
        {}, {"min_value": _count, "max_value": _count, **_BETWEEN}, _RANGE
    ),
    "expect_table_columns_to_match_set": Expectation({"column_set": _names}, {"exact_match": _truth}),
    **FIGURES,
}


class InexpressibleError(ValueError):
    """A library rule that no expectation says exactly: what is wrong and what to write instead."""

    def __init__(self, what: str, remedy: str) -> None:
        self.what, self.remedy = what, remedy
        super().__init__(f"{what}. {remedy}")


OPERATORS = frozenset(
    f"{word}{bound}"
    for word in ("mustBe", "mustNotBe")
    for bound in ("", "GreaterThan", "GreaterOrEqualTo", "LessThan", "LessOrEqualTo", "Between")
)


_RULES_OF_3_0 = {
    "nullCheck": "nullValues",
    "nullCount": "nullValues",
    "duplicateCount": "duplicateValues",
    "validValues": "invalidValues",
}


def as_metric(rule: Mapping[str, Any]) -> dict[str, Any]:
    """A library rule as the standard wrote it before 3.1, with `rule: duplicateCount`, in the words of today."""
    said = {key: value for key, value in rule.items() if key not in ("rule", "validValues")}
    metric = _RULES_OF_3_0.get(rule["rule"], rule["rule"])
    if rule["rule"] == "validValues":
        said = {"mustBe": 0, **said} if not OPERATORS & said.keys() else said
        said["arguments"] = {"validValues": rule.get("validValues"), **(rule.get("arguments") or {})}
    return {**said, "metric": metric}


def from_library(rule: Mapping[str, Any], column: str | None) -> tuple[str, dict[str, Any]]:
    """The expectation and arguments that say an ODCS library rule (`metric: nullValues` and so on) exactly."""
    metric, arguments = rule.get("metric"), rule.get("arguments") or {}
    if metric == "rowCount":
        return "expect_table_row_count_to_be_between", _bounds(rule)
    if column is None:
        raise InexpressibleError(f"the metric {metric} needs a column", "Move the rule under the property it is about")
    if metric not in METRICS:
        raise InexpressibleError(f"the metric {metric} is not known", choose_from(str(metric), METRICS))
    if metric == "duplicateValues" and (bound := _percent(rule, "mustBeLessThan")) is not None:
        least = round(1 - bound, 12)
        unique = "expect_column_proportion_of_unique_values_to_be_between"
        return unique, {"column": column, "min_value": least, "strict_min": True}
    share = _share_allowed(rule)
    least = round(1 - share, 12)
    mostly = {} if share == 0 else {"mostly": least}
    if metric == "nullValues":
        return "expect_column_values_to_not_be_null", {"column": column, **mostly}
    if metric == "missingValues" and (missing := [v for v in arguments.get("missingValues") or () if v is not None]):
        return "expect_column_values_to_not_be_in_set", {"column": column, "value_set": missing, **mostly}
    if metric == "duplicateValues":
        return "expect_column_proportion_of_unique_values_to_be_between", {"column": column, "min_value": least}
    if metric == "invalidValues" and isinstance(valid := arguments.get("validValues"), list):
        return "expect_column_values_to_be_in_set", {"column": column, "value_set": valid, **mostly}
    if metric == "invalidValues" and isinstance(pattern := arguments.get("pattern"), str):
        return "expect_column_values_to_match_regex", {"column": column, "regex": pattern, **mostly}
    raise InexpressibleError(
        f"the metric {metric} lacks its arguments",
        "Give `arguments: {validValues: [...]}`, `{pattern: ...}` or `{missingValues: [...]}`",
    )


METRICS = ("rowCount", "nullValues", "missingValues", "invalidValues", "duplicateValues")


def _share_allowed(rule: Mapping[str, Any]) -> float:
    """The share of rows a library rule allows to break it."""
    none = {"mustBe": 0, "mustBeLessOrEqualTo": 0, "mustBeLessThan": 1}  # of rows; no share is below 0 %
    for operator, bound in none.items():
        if rule.get(operator) == bound and (operator != "mustBeLessThan" or rule.get("unit") != "percent"):
            return 0.0
    if (allowed := _percent(rule, "mustBeLessOrEqualTo")) is not None:
        return allowed
    written = "`mustBe: 0`, or `mustBeLessOrEqualTo: 2` with `unit: percent`"
    if _percent(rule, "mustBeLessThan") is not None:
        raise InexpressibleError("a share of rows is compared with the bound itself", f"Write {written}")
    raise InexpressibleError("a number of rows depends on how many are drawn", f"Write {written}")


def _percent(rule: Mapping[str, Any], operator: str) -> float | None:
    """The bound as a share, where it is one."""
    bound = rule.get(operator)
    if rule.get("unit") != "percent" or _number(bound) is not None or not 0 <= float(bound or 0) <= 100:
        return None
    return float(bound or 0) / 100


def _bounds(rule: Mapping[str, Any]) -> dict[str, Any]:
    exact, between = rule.get("mustBe"), rule.get("mustBeBetween")
    above, below = rule.get("mustBeGreaterThan"), rule.get("mustBeLessThan")
    low, high = rule.get("mustBeGreaterOrEqualTo", exact), rule.get("mustBeLessOrEqualTo", exact)
    low, high = (low if above is None else above), (high if below is None else below)
    if isinstance(between, list) and len(between) == 2:
        low, high = between
    given = {name: value for name, value in zip(_RANGE, (low, high), strict=True) if value is not None}
    if not given or any(map(_count, given.values())):
        bounds = [name for name in sorted(OPERATORS) if not name.startswith("mustNot")]
        raise InexpressibleError(
            "this bound cannot be checked", f"Write {listing(bounds)}, with whole numbers of at least 0"
        )
    strict = {"strict_min": above is not None, "strict_max": below is not None}
    return {**given, **{name: True for name, is_strict in strict.items() if is_strict}}
