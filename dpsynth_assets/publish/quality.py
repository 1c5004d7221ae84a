"""The report on a synthetic table's quality: a page that stands alone, and the same as data.

Written from `dpsynth_assets.quality.report` and from nothing else. Drawings are shapes in the page, of numbers only;
texts in it were written by a model and are escaped. Knows no contract and no store.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ledger.report.document import document

REPORT, FIGURES = "report.html", "report.json"


def save(report: Mapping[str, Any], folder: Path, *, release: str) -> None:
    """Write page and data to a folder. `release` is the corpus that it is about."""
    said = {**report, "release": release}
    (folder / FIGURES).write_text(json.dumps(said, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    (folder / REPORT).write_text(page(said), encoding="utf-8")


def page(report: Mapping[str, Any]) -> str:
    """The report as a page."""
    return document(("dpsynth_assets.publish", "quality.html.j2"), {"figure": figure, "said": said_of}, report=report)


def figure(value: float | None) -> str:
    """A figure to three digits, as people read it."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"


def said_of(observed: Mapping[str, float]) -> str:
    """What a rule was judged by, in words, of the numbers that Great Expectations gives; nothing where it gives none.

    Args:
        observed: as `quality.verdict.RuleResult` has it: a value, or counts and percentages of rows.
    """
    said = []
    if (value := observed.get("observed_value")) is not None:
        said.append(f"observed: {figure(value)}")
    rows, against = observed.get("element_count"), observed.get("unexpected_count")
    if against is not None:
        said.append(f"{figure(against)}{'' if rows is None else f' of {figure(rows)}'} rows do not meet it")
    if missing := observed.get("missing_count"):
        said.append(f"{figure(missing)}{'' if rows is None else f' of {figure(rows)}'} rows have no value")
    return ", ".join(said)
