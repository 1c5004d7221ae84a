"""The bridge to Great Expectations: quiet, offline, and with expectations of our own.

Great Expectations takes seconds to import, so nothing here happens before a corpus is evaluated. It knows rules and
synthetic rows; it must not know where a verdict goes. Its results quote rows and its exceptions quote values, hence the
allow-list in `numbers_of`: what is not a number does not leave.
"""

from __future__ import annotations

import difflib
import logging
import math
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

from dpsynth_assets.quality.patterns import DETECTORS, contains_any
from dpsynth_assets.quality.verdict import QualityError

if TYPE_CHECKING:
    from dpsynth_assets.quality.metrics.materials import Materials

SENSITIVE_PATTERNS = "expect_column_values_to_not_contain_sensitive_patterns"

# The only parts of a result that may leave, and only where they are numbers: a maximum over a text column is a text.
_NUMBERS = (
    "observed_value",
    "element_count",
    "missing_count",
    "missing_percent",
    "unexpected_count",
    "unexpected_percent",
)


@contextmanager
def _quietly() -> Iterator[None]:
    """Keep the library's warnings and log lines to itself: both may quote rows.

    On import it also trips over deprecated standard modules, and a contract's regular expression with groups makes
    pandas warn; neither is news to anybody who reads a verdict.
    """
    logger = logging.getLogger("great_expectations")  # where its modules' log lines pass on their way to the root
    propagate, logger.propagate = logger.propagate, False
    silence = logging.NullHandler()  # without any handler, the last resort would print to stderr
    logger.addHandler(silence)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.removeHandler(silence)
        logger.propagate = propagate


@cache
def _library() -> Any:
    """The great_expectations module, with analytics off and our own expectation registered."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    with _quietly():
        import great_expectations as gx
        import great_expectations.expectations

        from dpsynth_assets.quality import measured

        _register_sensitive_patterns()
        measured.register()
    return gx


def _register_sensitive_patterns() -> None:
    """Define the expectation that texts hold none of the named patterns; defining it registers it by its name."""
    from great_expectations.compatibility.pydantic import validator
    from great_expectations.execution_engine import PandasExecutionEngine
    from great_expectations.expectations.expectation import ColumnMapExpectation
    from great_expectations.expectations.metrics import ColumnMapMetricProvider, column_condition_partial

    class ColumnValuesFreeOfSensitivePatterns(ColumnMapMetricProvider):  # type: ignore[misc]
        condition_metric_name = "column_values.free_of_sensitive_patterns"
        condition_value_keys = ("patterns",)

        @column_condition_partial(engine=PandasExecutionEngine)  # type: ignore[untyped-decorator]
        def _pandas(cls, column: Any, patterns: Sequence[str], **_: Any) -> Any:  # noqa: N805
            return column.map(lambda text: not contains_any(str(text), patterns)).astype(bool)

    class ExpectColumnValuesToNotContainSensitivePatterns(ColumnMapExpectation):  # type: ignore[misc]
        """Texts hold no card number, IBAN, e-mail address or phone number; `patterns` chooses among them."""

        patterns: list[str] = list(DETECTORS)  # noqa: RUF012 - a pydantic field
        map_metric = ColumnValuesFreeOfSensitivePatterns.condition_metric_name
        success_keys = ("mostly", "patterns")

        @validator("patterns")  # type: ignore[untyped-decorator]
        def _known(cls, patterns: list[str]) -> list[str]:  # noqa: N805
            unknown = sorted(set(patterns) - set(DETECTORS))
            if unknown or not patterns:
                raise ValueError(f"unknown patterns {unknown}; choose from {sorted(DETECTORS)}")
            return patterns


def build(rule: str, expectation: str, kwargs: Mapping[str, Any], meta: Mapping[str, Any]) -> Any:
    """The expectation object of a rule, or a QualityError that names the rule and what is wrong with it."""
    _library()
    from great_expectations.compatibility.pydantic import ValidationError
    from great_expectations.exceptions import ExpectationNotFoundError
    from great_expectations.expectations import registry

    known = sorted(n for n in registry.list_registered_expectation_implementations() if n.startswith("expect_"))
    try:
        implementation = registry.get_expectation_impl(expectation) if expectation in known else None
    except ExpectationNotFoundError:
        implementation = None
    if implementation is None:
        close = difflib.get_close_matches(expectation, known, n=3)
        hint = f"did you mean {' or '.join(close)}?" if close else "see greatexpectations.io/expectations for the names"
        raise QualityError(f"quality rule {rule!r}: unknown expectation {expectation!r}; {hint}")
    try:
        return implementation(**kwargs, meta=dict(meta))
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise QualityError(f"quality rule {rule!r} ({expectation}): wrong arguments: {faults}") from None
    except TypeError as error:
        raise QualityError(f"quality rule {rule!r} ({expectation}): wrong arguments: {error}") from None


def validate(materials: Materials, expectations: Sequence[Any]) -> list[Any]:
    """Run expectations on a corpus in an ephemeral context and return the results, in whatever order they come."""
    gx = _library()
    from dpsynth_assets.quality.measured import measuring

    with _quietly(), measuring(materials):
        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = {"globally": False}
        batch = (
            context.data_sources.add_pandas("synthetic")
            .add_dataframe_asset("corpus")
            .add_batch_definition_whole_dataframe("whole")
            .get_batch(batch_parameters={"dataframe": materials.synthetic})
        )
        outcome = batch.validate(
            gx.ExpectationSuite(name="contract", expectations=list(expectations)),
            # The other formats, and any partial count above zero, put rows into the result.
            result_format={"result_format": "SUMMARY", "partial_unexpected_count": 0},
        )
    return list(outcome.results)


def numbers_of(result: Any) -> dict[str, float]:
    """The finite numbers of a result, by allow-list; anything else, rows and values above all, is dropped."""
    import numpy as np

    raw = result.result or {}
    numbers: dict[str, float] = {}
    for key in _NUMBERS:
        value = raw.get(key)
        if isinstance(value, np.generic):
            value = value.item()
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            numbers[key] = value
    return numbers


def raised(result: Any) -> bool:
    """Whether the rule could not be evaluated. The exception's text is not read: it may quote a value."""
    info = result.exception_info or {}
    nested = [entry for entry in info.values() if isinstance(entry, Mapping)]
    return any(bool(entry.get("raised_exception")) for entry in [info, *nested])
