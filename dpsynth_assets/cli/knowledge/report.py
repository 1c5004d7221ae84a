"""What readers answered, as a table, a chart and a file of figures.

Intervals are 95 % ones by Student's t: of the mean over runs, or where there is one run, over facts. That one does not
know how another adapter would have written.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure as Canvas

from dpsynth_assets.classify.evaluation import interval_of_mean
from dpsynth_assets.cli.knowledge.cell import UNTAUGHT
from dpsynth_assets.cli.utility.grid import REAL, GridCell
from dpsynth_assets.knowledge.domain import CHOICES
from dpsynth_assets.markdown import table
from dpsynth_assets.releases.key_phrases import BY_PHRASES
from dpsynth_assets.variants import NOTHING

CHANCE = 1 / CHOICES
_BARS = {UNTAUGHT: "no text", NOTHING: "the base model's own texts", REAL: "the real records"}
_STYLES = {UNTAUGHT: ":", NOTHING: "-.", REAL: "-"}
_COLOURS = {"lora": "#1f77b4", "prompt": "#ff7f0e", "full": "#2ca02c", BY_PHRASES: "#17becf"}


@dataclass(frozen=True)
class Figure:
    """The share of the questions that readers of a line's texts answer, with its interval; of how many `facts` how many
    stand in the key phrases that it released; and how often its texts have a machine with what is true of it, and with
    what is not."""

    line: str
    method: str
    epsilon: float | None
    rows: int
    over: str
    share: float
    low: float
    high: float
    spent: float | None
    facts: int
    let_out: float | None
    said: tuple[float, float] | None


def figures(measured: Sequence[tuple[GridCell, dict[str, Any]]]) -> list[Figure]:
    """One for each line: that of no text first, the real records last, and between them by epsilon."""
    by_line: dict[str, list[tuple[GridCell, dict[str, Any]]]] = {}
    for cell, result in measured:
        by_line.setdefault(cell.line.name, []).append((cell, result))
    found = []
    for name, entries in by_line.items():
        line, results = entries[0][0].line, [result for _, result in entries]
        facts = [[right / each["asked"][fact] for fact, right in each["right"].items()] for each in results]
        runs = [statistics.fmean(shares) for shares in facts]
        varied, over = (runs, f"{len(runs)} runs") if len(runs) > 1 else (facts[0], f"{len(facts[0])} facts")
        rows = round(statistics.fmean(each["rows"] for each in results))
        spent = max((each["epsilon_composed"] for each in results if each["epsilon_composed"]), default=None)
        of_mean = (statistics.fmean(runs), *interval_of_mean(varied))
        phrased = [each["let_out"] for each in results if each.get("let_out") is not None]
        let_out = statistics.fmean(phrased) if phrased else None
        counted = [each["said"] for each in results if each.get("said") is not None]
        said = (statistics.fmean(t for t, _ in counted), statistics.fmean(f for _, f in counted)) if counted else None
        found.append(Figure(name, line.method, line.epsilon, rows, over, *of_mean, spent, len(facts[0]), let_out, said))
    return sorted(found, key=lambda each: (each.method != UNTAUGHT, each.method == REAL, _place(each.epsilon)))


def _place(epsilon: float | None) -> float:
    return math.inf if epsilon is None else epsilon


def markdown(found: Sequence[Figure]) -> str:
    """The table, a row for each line, and what guessing gives."""
    body = [
        [
            _BARS.get(each.method, each.method),
            "" if each.method in _BARS else f"{each.epsilon:g}" if each.epsilon is not None else "none",
            f"{each.rows:,}",
            each.over,
            f"{100 * each.share:.1f} ± {100 * (each.high - each.share):.1f} %",
        ]
        for each in found
    ]
    text = table(["read", "ε", "texts", "over", "questions answered"], body, "lrrlr")
    phrased = "".join(
        f"\n\nOf the {each.facts} facts {each.let_out:g} stand in the key phrases of `{each.line}`, the machine's name "
        "and what is true of it in one phrase."
        for each in found
        if each.let_out is not None
    )
    said = "".join(
        f"\n\nThe texts of `{each.line}` have a machine's name and what is true of it {each.said[0]:,.0f} times, and "
        f"what is not {each.said[1]:,.0f} times."
        for each in found
        if each.said is not None and each.rows
    )
    return f"{text}\n\nWho guesses answers {100 * CHANCE:.0f} %.{phrased}{said}"


def as_json(found: Sequence[Figure]) -> str:
    return json.dumps([asdict(each) for each in found], indent=2) + "\n"


def chart(found: Sequence[Figure], title: str, file: Path) -> None:
    """The share by epsilon, a line for each method, between what the real records teach and chance."""
    drawn = [each for each in found if each.method not in _BARS]
    ticks = sorted({_place(each.epsilon) for each in drawn})
    canvas = Canvas(figsize=(6.4, 4.4), dpi=130, layout="constrained")
    panel = canvas.subplots()
    for method in dict.fromkeys(each.method for each in drawn):
        line = [each for each in drawn if each.method == method]
        y = [100 * each.share for each in line]
        reach = [100 * (each.high - each.share) for each in line]
        x = [ticks.index(_place(each.epsilon)) for each in line]
        panel.errorbar(x, y, reach, label=method, color=_COLOURS.get(method), marker="o", markersize=4, capsize=3)
    for each in found:
        if each.method in _BARS:
            style, name = _STYLES[each.method], _BARS[each.method]
            panel.axhline(100 * each.share, color="#7f7f7f", linestyle=style, label=name)
    panel.axhline(100 * CHANCE, color="#d62728", linestyle="--", linewidth=1, label="guessing")
    panel.set_xticks(range(len(ticks)), ["none" if math.isinf(each) else f"{each:g}" for each in ticks])
    panel.set(xlabel="ε of everything (none: no privacy)", ylabel="questions answered, %", ylim=(0, 100))
    panel.set_title(title, parse_math=False)
    panel.grid(axis="y", alpha=0.3)
    canvas.legend(loc="outside lower center", ncols=4, fontsize=8, frameon=False)
    canvas.savefig(file, metadata={"Software": None})
