"""What a grid has found, as a table, a chart and a file of figures. Test splits that are declared public only.

Intervals are 95 % ones of the mean over runs, by Student's t; where there is one run, over classifier seeds, and the
table says so: that interval does not know how another adapter would have written.

Where the line that reads nothing was measured, every other row says how far it is above it: what its rows added.
"""

from __future__ import annotations

import math
import statistics
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure as Canvas

from dpsynth_assets.classify.evaluation import interval_of_mean
from dpsynth_assets.cli.utility.cell import AS_DRAWN, CURATED
from dpsynth_assets.cli.utility.grid import REAL, REAL_DP, GridCell
from dpsynth_assets.markdown import table
from dpsynth_assets.releases.evolution import VOTED
from dpsynth_assets.releases.key_phrases import BY_PHRASES
from dpsynth_assets.variants import NOTHING

_CORPORA = (REAL, REAL_DP, AS_DRAWN, CURATED)
_COLOURS = {
    "lora": "#1f77b4",
    "prompt": "#ff7f0e",
    "full": "#2ca02c",
    VOTED: "#8c564b",
    BY_PHRASES: "#17becf",
    REAL_DP: "#d62728",
    REAL: "#7f7f7f",
    NOTHING: "#9467bd",
}
_ROUNDING = 1e-4  # of an epsilon that releases were calibrated to
_ASIDE = 0.02  # of the distance between two epsilons, from one line of the chart to the next
_MARGIN = 0.4  # of the same distance, to either side
_LINE = 0.13  # inches: a line of small print
_ALONE = "base model alone"  # as it comes: nothing was read
_NONE = "none"  # in place of an epsilon: no privacy


@dataclass(frozen=True)
class Figure:
    """Mean accuracy of a kind of classifier on what one line left, with its interval.

    `spent` is the largest epsilon that the ledger composed one of the runs to; None without privacy. `mauve` says how
    much the texts overlap those of the test split, where they are synthetic: the mean over runs.
    """

    method: str
    epsilon: float | None
    corpus: str
    classifier: str
    rows: int | None
    runs: int
    seeds: int
    mean: float
    low: float
    high: float
    spent: float | None = None
    mauve: float | None = None

    @property
    def trained_on(self) -> str:
        if self.corpus in (REAL, REAL_DP):
            return "real rows" + (", DP-SGD" if self.corpus == REAL_DP else "")
        return f"{_ALONE if self.method == NOTHING else self.method}, {self.corpus}"

    @property
    def over(self) -> str:
        return f"{self.runs} runs" if self.runs > 1 else f"{self.seeds} seeds" if self.seeds > 1 else "1 run"


def raw(measured: Sequence[tuple[GridCell, dict[str, Any]]]) -> pd.DataFrame:
    """A row for each classifier that was trained."""
    return pd.DataFrame(
        [
            {"line": cell.line.name, "method": cell.line.method, "epsilon": cell.line.epsilon, "run": cell.run, **each}
            for cell, result in measured
            for each in _found(result)
        ]
    )


def _found(result: dict[str, Any]) -> list[dict[str, Any]]:
    """A cell's classifiers, each with what the releases that it rests on composed to."""
    alike = result.get("mauve", {})
    return [
        {"epsilon_composed": result.get("epsilon_composed"), "mauve": alike.get(each["corpus"])} | each
        for each in result["accuracies"]
    ]


def figures(measured: Sequence[tuple[GridCell, dict[str, Any]]]) -> list[Figure]:
    """One for each line, corpus and kind of classifier, by classifier, then line."""
    groups: dict[tuple[str, str, str], list[tuple[GridCell, dict[str, Any]]]] = {}
    for cell, result in measured:
        for each in _found(result):
            groups.setdefault((each["classifier"], cell.line.name, each["corpus"]), []).append((cell, each))
    found = []
    for (classifier, _, corpus), entries in sorted(groups.items(), key=lambda group: group[0][0]):
        by_run: dict[int, list[float]] = {}
        for cell, each in entries:
            by_run.setdefault(cell.run, []).append(each["accuracy"])
        means = [statistics.fmean(accuracies) for accuracies in by_run.values()]
        varied = means if len(means) > 1 else next(iter(by_run.values()))
        low, high = interval_of_mean(varied)
        line = entries[0][0].line
        rows = [each["rows"] for _, each in entries if "rows" in each]
        spent = [each["epsilon_composed"] for _, each in entries if each["epsilon_composed"] is not None]
        alike = [each["mauve"] for _, each in entries if each["mauve"] is not None]
        found.append(
            Figure(
                *(line.method, line.epsilon, corpus, classifier, round(statistics.fmean(rows)) if rows else None),
                *(len(means), len(next(iter(by_run.values()))), statistics.fmean(means), low, high),
                max(spent, default=None),
                statistics.fmean(alike) if alike else None,
            )
        )
    return found


def markdown(found: Sequence[Figure]) -> str:
    """The table: a row for each epsilon and what was trained on, a column for each kind of classifier."""
    kinds = sorted({each.classifier for each in found})
    alone = {(each.classifier, each.corpus): each for each in found if each.method == NOTHING}
    compared = [kind for kind in kinds if (kind, AS_DRAWN) in alone]
    rows: dict[tuple[float, int, str], dict[str, Figure]] = {}
    for each in found:
        epsilon = math.inf if each.epsilon is None else each.epsilon
        rows.setdefault((epsilon, _CORPORA.index(each.corpus), each.trained_on), {})[each.classifier] = each
    body = []
    for (epsilon, _, trained_on), by_kind in sorted(rows.items(), key=lambda row: row[0][:2]):
        sizes = sorted({f"{each.rows:,}" for each in by_kind.values() if each.rows is not None})
        over = list(dict.fromkeys(each.over for each in by_kind.values()))
        means = [_mean(by_kind[kind]) if kind in by_kind else "" for kind in kinds]
        told = _NONE if math.isinf(epsilon) else f"{epsilon:g}"
        added = [_added(by_kind[kind], alone) if kind in by_kind else "" for kind in compared]
        alike = next(([f"{each.mauve:.2f}"] for each in by_kind.values() if each.mauve is not None), [""])
        body.append([trained_on, told, " or ".join(sizes), " or ".join(over), *means, *added, *alike])
    head = ["trained on", "ε", "rows", "over", *kinds, *(f"{kind}, above {_ALONE}" for kind in compared), "MAUVE"]
    if not any(row[-1] for row in body):  # on real rows only, or measured before it was taken
        head, body = head[:-1], [row[:-1] for row in body]
    text = table(head, body, "lrrlr")
    if dearer := {
        f"{each.method}-{each.epsilon:g} ({each.spent:.4g})": None
        for each in found
        if each.spent and each.epsilon and each.spent > each.epsilon * (1 + _ROUNDING)
    }:
        text += f"\n\nA killed training pays for the steps that ran again; in ε, at most: {', '.join(dearer)}."
    return text


def _added(figure: Figure, alone: Mapping[tuple[str, str], Figure]) -> str:
    """How many points the mean lies above the base model alone, as curated where that is there too, else as drawn."""
    if figure.method == NOTHING:
        return ""
    beside = alone.get((figure.classifier, figure.corpus)) or alone[figure.classifier, AS_DRAWN]
    return f"{100 * (figure.mean - beside.mean):+.1f}"


def _mean(figure: Figure) -> str:
    """With half of the interval's width, where there is one."""
    reach = "" if figure.low == figure.high else f" ± {100 * (figure.high - figure.mean):.1f}"
    return f"{100 * figure.mean:.1f}{reach} %"


def chart(found: Sequence[Figure], title: str, file: Path, said: str = "") -> None:
    """Accuracy by epsilon, a panel for each classifier and a line for each method; training on real rows is the bar,
    and the base model alone the floor. `said` stands below."""
    kinds = sorted({each.classifier for each in found})
    ticks = sorted({each.epsilon for each in found if each.epsilon is not None and each.method != NOTHING})
    without = any(each.epsilon is None and each.corpus != REAL for each in found)  # the real rows' is a bar
    named = [f"{epsilon:g}" for epsilon in ticks] + ([_NONE] if without or not ticks else [])
    places = {epsilon: place for place, epsilon in enumerate(ticks)}
    words = textwrap.fill(said, 80 * max(1, len(kinds)))
    small_print = _LINE * (words.count("\n") + 2)
    canvas = Canvas(figsize=(5.2 * max(1, len(kinds)), 4.4 + small_print), dpi=130, layout="constrained")
    parts: Any = canvas.subfigures(2, 1, height_ratios=[4.4, small_print])  # or the legend would stand on the words
    above, below = parts
    panels = above.subplots(1, max(1, len(kinds)), squeeze=False, sharey=True)[0]
    for panel, kind in zip(panels, kinds, strict=False):
        of_kind = [each for each in found if each.classifier == kind]
        names = list(dict.fromkeys(each.trained_on for each in of_kind if _is_drawn_by_epsilon(each)))
        for number, name in enumerate(names):
            aside = _ASIDE * (number - (len(names) - 1) / 2)  # or points at the same height would hide each other
            line = sorted(
                (each for each in of_kind if each.trained_on == name),
                key=lambda each: len(ticks) if each.epsilon is None else places[each.epsilon],
            )
            x = [aside + (len(ticks) if each.epsilon is None else places[each.epsilon]) for each in line]
            y = [100 * each.mean for each in line]
            reach = [
                [max(0.0, 100 * (each.mean - each.low)) for each in line],
                [max(0.0, 100 * (each.high - each.mean)) for each in line],
            ]
            as_drawn, colour = line[0].corpus == AS_DRAWN, _COLOURS[line[0].method]
            look: dict[str, Any] = {"linestyle": "--", "markerfacecolor": "white"} if as_drawn else {"linestyle": "-"}
            panel.errorbar(x, y, reach, label=name, color=colour, marker="o", markersize=4, capsize=3, **look)
        for each in of_kind:
            if each.corpus == REAL:
                panel.axhline(100 * each.mean, color=_COLOURS[REAL], linewidth=1, label="real rows, no privacy")
            if each.method == NOTHING:
                look = {"color": _COLOURS[NOTHING], "linestyle": ":" if each.corpus == AS_DRAWN else "-."}
                panel.axhline(100 * each.mean, linewidth=1, label=each.trained_on, **look)
        panel.set_xticks(range(len(named)), named)
        panel.set_xlim(-_MARGIN, len(named) - 1 + _MARGIN)
        panel.margins(y=0.08)
        panel.set(title=kind, xlabel="ε of everything" + (" (none: no privacy)" if _NONE in named else ""))
        panel.grid(axis="y", alpha=0.3)
    panels[0].set_ylabel("accuracy on the public test split, %")
    shown = {
        label: handle for panel in panels for handle, label in zip(*panel.get_legend_handles_labels(), strict=True)
    }
    look = {"ncols": 2 * max(1, len(kinds)), "fontsize": 8, "frameon": False}
    above.legend(shown.values(), shown.keys(), loc="outside lower center", **look)
    below.text(0.5, 0.5, words, ha="center", va="center", fontsize=7, parse_math=False)
    above.suptitle(title, parse_math=False)  # a title may hold dollars
    canvas.savefig(file, metadata={"Software": None})


def _is_drawn_by_epsilon(figure: Figure) -> bool:
    """What has no epsilon of its own, or reads nothing, is a line across the panel."""
    return figure.corpus != REAL and figure.method != NOTHING
