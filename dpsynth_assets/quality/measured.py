"""The platform's figures as expectations of Great Expectations: one class for each that a contract can name.

An expectation's arguments are plain values that a contract writes; what is measured, rows, references and models, is
at hand in `measuring`. Imported only where the library is: see `dpsynth_assets.quality.expectations`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Literal

from great_expectations.execution_engine import PandasExecutionEngine
from great_expectations.expectations.expectation import ColumnAggregateExpectation
from great_expectations.expectations.metrics import ColumnAggregateMetricProvider, column_aggregate_value

from dpsynth_assets.contract.expectations import FIGURES, REFERENCES, Figure
from dpsynth_assets.quality.metrics.materials import Materials
from dpsynth_assets.quality.metrics.measuring import measure

_AT_HAND: ContextVar[Materials] = ContextVar("materials")
_TYPES: dict[str, Any] = {
    **{"min_value": float, "max_value": float, "strict_min": bool, "strict_max": bool},
    **{"reference": Literal[REFERENCES], "n": int, "similarity": float, "quantile": float},
}
_DEFAULTS = {"strict_min": False, "strict_max": False}


@contextmanager
def measuring(materials: Materials) -> Iterator[None]:
    """In here the expectations measure these materials."""
    token = _AT_HAND.set(materials)
    try:
        yield
    finally:
        _AT_HAND.reset(token)


def register() -> None:
    """Define every figure's metric and expectation; defining them registers them by their names."""
    for expectation, figure in FIGURES.items():
        _define(expectation, figure)


def _define(expectation: str, figure: Figure) -> None:
    measured = expectation.removeprefix("expect_column_").removesuffix("_to_be_between")
    name = f"column.corpus_{measured}"

    class Measured(ColumnAggregateMetricProvider):  # type: ignore[misc]
        metric_name = name
        value_keys = figure.parameters

        @column_aggregate_value(engine=PandasExecutionEngine)  # type: ignore[untyped-decorator]
        def _pandas(cls, column: Any, **values: Any) -> float:  # noqa: N805
            given = {key: values[key] for key in figure.parameters if values.get(key) is not None}
            return measure(figure, _AT_HAND.get(), column.name, **given)

    def validate(self: Any, metrics: Any, runtime_configuration: Any = None, execution_engine: Any = None) -> Any:
        return self._validate_metric_value_between(name, metrics, runtime_configuration, execution_engine)

    arguments = {name: _TYPES[name] for name in ("min_value", "max_value", *_DEFAULTS, *figure.parameters)}
    optional = {key: _DEFAULTS.get(key) for key in arguments if key != "reference"}
    # Made by calling the library's metaclass, since it registers a class by its name.
    type(ColumnAggregateExpectation)(
        "".join(word.title() for word in expectation.split("_")),
        (ColumnAggregateExpectation,),
        {
            "__module__": __name__,
            "__doc__": f"{measured.replace('_', ' ').capitalize()}: {figure.unit}.",
            "__annotations__": {
                k: kind if k in ("reference", *_DEFAULTS) else kind | None for k, kind in arguments.items()
            },
            "metric_dependencies": (name,),
            "success_keys": tuple(arguments),
            "_validate": validate,
            **optional,
        },
    )
