"""The budget going down, entry by entry, as a drawing that stands inside the page.

Text stays text (it can be searched, read aloud and printed sharply) and is never read as mathematics, since block names
are people's. There is no figure in the drawing that the tables do not have.
"""

from __future__ import annotations

import io
import re
from typing import Any

from ledger.report.facts import Budget, Row

MAX_POINTS = 300  # a line's; more cannot be seen
MAX_LINES = 6  # the fullest blocks get a line and a name each
INK, QUIET, LIMIT = "#1f3a5f", "#8a8f98", "#9c2f2f"
_SETTINGS = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.family": "sans-serif",
    "font.size": 8.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": QUIET,
    "axes.linewidth": 0.6,
    "xtick.color": "#444444",
    "ytick.color": "#444444",
}


def drawing(budget: Budget) -> str:
    """The SVG element of a population's burn-down, or nothing where nothing was ever charged."""
    lines = _lines(budget)
    if not lines:
        return ""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    # The salt makes ids of several drawings differ on one page, and those of the same drawing the same each time.
    with matplotlib.rc_context(_SETTINGS | {"svg.hashsalt": budget.name}):
        figure = Figure(figsize=(6.0, 2.3), layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        _draw(axes, budget, lines)
        buffer = io.StringIO()
        figure.savefig(
            buffer, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")), transparent=True
        )
    return _embeddable(buffer.getvalue())


def _lines(budget: Budget) -> list[tuple[str, list[Row]]]:
    """The rows of each block that was charged, fullest first."""
    found: dict[str, list[Row]] = {}
    for row in budget.facts["burn_down"]:
        if row["population"] == budget.name:
            found.setdefault(row["block"], []).append(row)
    charged = [(block, rows) for block, rows in found.items() if any(row["charges"] for row in rows)]
    return sorted(charged, key=lambda line: -_height(budget, line[1][-1]))[:MAX_LINES]


def _height(budget: Budget, row: Row) -> float:
    """What the line shows: epsilon, or for a closed plan, where one release more costs nothing more, how many."""
    value = row["places_used"] if budget.closed else row["spent"]
    return float(value or 0)


def _draw(axes: Any, budget: Budget, lines: list[tuple[str, list[Row]]]) -> None:
    end = int(budget.facts.head["head_seq"] or 1)
    start = min(rows[0]["seq"] for _, rows in lines)
    limit = _limits(budget, start, end)
    top = max([height for _, height in limit] + [_height(budget, row) for _, rows in lines for row in rows])
    top = min(top, 1e6)  # an infinite cost runs out of the top
    axes.step(*zip(*limit, strict=True), where="post", color=LIMIT, linewidth=1.0, linestyle=(0, (5, 3)))
    for place, (_, rows) in reversed(list(enumerate(lines))):
        shown = rows[:: max(1, len(rows) // MAX_POINTS)]
        points = [(row["seq"], min(_height(budget, row), top * 1.2)) for row in [*shown, rows[-1]]]
        points.append((end, points[-1][1]))
        axes.step(
            *zip(*points, strict=True), where="post", color=QUIET if place else INK, linewidth=1.0 if place else 1.6
        )
    axes.set_xlim(start, end + (end == start))
    axes.set_ylim(0, top * 1.12)
    _name_ends(axes, budget, lines, limit[-1][1], top)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_xlabel("entry of the ledger", color="#444444")
    axes.set_ylabel("releases of the plan" if budget.closed else "ε spent", color="#444444")
    if budget.closed:
        axes.yaxis.get_major_locator().set_params(integer=True)


def _limits(budget: Budget, start: int, end: int) -> list[tuple[int, float]]:
    if budget.closed:
        places = float(budget.row["places"] or 0)
        return [(start, places), (end, places)]
    caps = [row for row in budget.facts["cap_history"] if row["population"] == budget.name]
    steps = [(max(int(row["seq"]), start), float(row["epsilon"])) for row in caps]
    return [*steps, (end, steps[-1][1])]


def _name_ends(axes: Any, budget: Budget, lines: list[tuple[str, list[Row]]], limit: float, top: float) -> None:
    """Names at the right end of the lines, moved apart where they would overlap; a single line needs none."""
    ends = [(limit, "plan" if budget.closed else "cap", LIMIT)]
    for place, (block, rows) in enumerate(lines):
        name = block.partition("/")[2] if len(lines) > 1 else "used" if budget.closed else "spent"
        ends.append((min(_height(budget, rows[-1]), top * 1.2), name, QUIET if place else INK))
    gap, last = top * 0.1, float("-inf")
    for height, name, colour in sorted(ends):
        last = max(height, last + gap)
        axes.annotate(
            name if len(name) <= 24 else name[:23] + "…",
            (1.0, last),
            xycoords=("axes fraction", "data"),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            color=colour,
            annotation_clip=False,
        )


def _embeddable(document: str) -> str:
    """The bare element: without prologue, without a size of its own, and without ids that a second drawing repeats."""
    element = document[document.index("<svg") :]
    element = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", element, count=1)
    element = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", element, count=1)
    return re.sub(r' id="[A-Za-z0-9.]+_\d+"', "", element)
