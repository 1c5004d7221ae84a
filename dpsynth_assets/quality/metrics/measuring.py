"""How a figure that a contract declares is measured: by which function, on what.

`dpsynth_assets.contract.expectations.FIGURES` says what figures there are; nothing here names one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any

from dpsynth_assets.contract.expectations import FIGURES, Figure
from dpsynth_assets.quality.metrics.materials import Materials


def measure(figure: Figure, materials: Materials, column: str, reference: str | None = None, **given: Any) -> float:
    """The figure of a column of the corpus, where it compares beside the reference of that name.

    Raises:
        MetricError: the materials lack what it is measured with.
    """
    if figure.measured_by is None:
        return materials.perplexity()
    module, function = figure.measured_by.split(":")
    take = materials.vectors if figure.of == "vectors" else partial(materials.values, column)
    sides = (None, reference) if figure.compares else (None,)
    return float(
        getattr(import_module(f"dpsynth_assets.quality.metrics.{module}"), function)(*map(take, sides), **given)
    )


@dataclass(frozen=True)
class Needs:
    """What a set of rules has to be given before it can be evaluated."""

    references: frozenset[str]
    encoder: bool
    base_model: bool


def needs_of(rules: Iterable[Any]) -> Needs:
    """What the rules need, which have an `expectation` and `kwargs`; rules about other things need nothing."""
    asked = [(FIGURES[rule.expectation], rule.kwargs) for rule in rules if rule.expectation in FIGURES]
    return Needs(
        references=frozenset(kwargs["reference"] for figure, kwargs in asked if figure.compares),
        encoder=any(figure.of == "vectors" for figure, _ in asked),
        base_model=any(figure.of == "base model" for figure, _ in asked),
    )
