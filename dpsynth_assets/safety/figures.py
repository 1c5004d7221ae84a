"""What a safety classifier is worth on labelled *public or synthetic* texts: figures, a plot of each kind, its speed.

As `dpsynth_assets.classify.evaluation` for decisions with two thresholds. On private rows every number here would be an
unmetered release.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from scipy.stats import binomtest
from sklearn.metrics import average_precision_score, precision_recall_curve

from dpsynth_assets import markdown
from dpsynth_assets.safety.threshold import Rows, Thresholds

if TYPE_CHECKING:
    from dpsynth_assets.safety.screening import Screener

_BINS = 10
_PRECISIONS = (0.9, 0.95)  # at which rankings are compared
_LEAST = 10  # rows of a slice: fewer say nothing
_TIMED, _WARM_UP = 200, 10


def figures(rows: Rows, thresholds: Thresholds, slices: Mapping[str, Sequence[str]] | None = None) -> dict[str, Any]:
    """Plain data.

    Args:
        slices: further labels of the rows, such as a topic: figures for each value that at least ten rows have.

    Returns:
        `n`, `unsafe`; `precision` and `recall` at the block threshold with Clopper-Pearson's 95 % intervals
        (`precision` is None where nothing was blocked); `blocked`, `reviewed`, `allowed`, shares of all texts;
        `missed`, the share of the unsafe ones that were allowed; `average_precision`; `recall_at`, the most recall that
        a threshold chosen on these very rows would have at a precision of 0.9 and of 0.95, which compares rankings and
        promises nothing; `calibration_error` and the `calibration` bins behind it; `slices`.
    """
    blocked, allowed = _decided(rows, thresholds)
    found, unsafe = int((blocked & rows.unsafe).sum()), int(rows.unsafe.sum())
    bins = calibration_bins(rows)
    at_best = precision_recall_curve(rows.unsafe, rows.probabilities) if unsafe else None
    return {
        "n": len(rows),
        "unsafe": unsafe,
        **_interval("precision", found, int(blocked.sum())),
        **_interval("recall", found, unsafe),
        "blocked": float(blocked.mean()),
        "reviewed": float((~blocked & ~allowed).mean()),
        "allowed": float(allowed.mean()),
        "missed": float((allowed & rows.unsafe).sum() / unsafe) if unsafe else None,
        "average_precision": float(average_precision_score(rows.unsafe, rows.probabilities)) if unsafe else None,
        "recall_at": {
            f"{least:g}": float(at_best[1][at_best[0] >= least].max()) if at_best else None for least in _PRECISIONS
        },
        "calibration_error": sum(each["n"] * abs(each["probability"] - each["unsafe"]) for each in bins) / len(rows),
        "calibration": bins,
        "slices": _slices(rows, thresholds, slices or {}),
    }


def calibration_bins(rows: Rows) -> list[dict[str, Any]]:
    """Ten bins of equal width: how many rows, their mean probability, and the share that is unsafe; empty ones left
    out."""
    place = np.minimum((rows.probabilities * _BINS).astype(int), _BINS - 1)
    return [
        {
            "n": int((place == each).sum()),
            "probability": float(rows.probabilities[place == each].mean()),
            "unsafe": float(rows.unsafe[place == each].mean()),
        }
        for each in range(_BINS)
        if (place == each).any()
    ]


def latency(screener: Screener, texts: Sequence[str]) -> dict[str, float]:
    """Milliseconds a text on one core, the tokenizer included: `median_ms`, `p95_ms`, over up to 200 texts."""
    for text in texts[:_WARM_UP]:
        screener.probability(text)
    taken = []
    for text in texts[:_TIMED]:
        begun = time.perf_counter()
        screener.probability(text)
        taken.append(1e3 * (time.perf_counter() - begun))
    return {"texts": len(taken), "median_ms": float(np.median(taken)), "p95_ms": float(np.quantile(taken, 0.95))}


def plot_precision_recall(curves: Mapping[str, tuple[Rows, Thresholds]], target: float, path: Path) -> None:
    """Precision against recall of every classifier, with the point that its block threshold stands for."""
    figure, axes = _axes("recall", "precision")
    for name, (rows, thresholds) in curves.items():
        precision, recall, _ = precision_recall_curve(rows.unsafe, rows.probabilities)
        [line] = axes.step(recall, precision, where="post", label=name, linewidth=1.5)
        blocked, _ = _decided(rows, thresholds)
        if blocked.any():
            found = (blocked & rows.unsafe).sum()
            axes.plot(found / rows.unsafe.sum(), found / blocked.sum(), "o", color=line.get_color())
    axes.axhline(target, linestyle=":", color="grey", label=f"target {target:g}")
    axes.legend(loc="lower left", fontsize="small")
    axes.set_title("Blocking: dots are the chosen thresholds", fontsize="medium")
    figure.savefig(path, dpi=120)


def plot_calibration(curves: Mapping[str, Rows], path: Path) -> None:
    """The share that is unsafe against what the classifiers say it is."""
    figure, axes = _axes("probability, as said", "share that is unsafe")
    axes.plot([0, 1], [0, 1], linestyle=":", color="grey", label="as it should be")
    for name, rows in curves.items():
        bins = calibration_bins(rows)
        axes.plot([b["probability"] for b in bins], [b["unsafe"] for b in bins], "o-", label=name, linewidth=1.5)
    axes.legend(loc="upper left", fontsize="small")
    figure.savefig(path, dpi=120)


def table(results: Sequence[Mapping[str, Any]]) -> str:
    """Results (`classifier`, `trained_on` and `figures`) as a Markdown table."""
    rates = ["precision", "recall", "blocked", "to review", "unsafe allowed", "average precision"]
    head = ["classifier", "trained on", *rates, "recall at best, precision 0.9 / 0.95"]
    rows = [
        [
            result["classifier"],
            result["trained_on"],
            _with_interval(result, "precision"),
            _with_interval(result, "recall"),
            *(_percent(result[name]) for name in ("blocked", "reviewed", "missed")),
            "none" if result["average_precision"] is None else f"{result['average_precision']:.3f}",
            " / ".join(_percent(recall) for recall in result["recall_at"].values()),
        ]
        for result in results
    ]
    return markdown.table(head, rows, "llr")


def _decided(rows: Rows, thresholds: Thresholds) -> tuple[np.ndarray, np.ndarray]:
    """Which rows are blocked, and which allowed."""
    block = np.inf if thresholds.block is None else thresholds.block
    blocked = rows.probabilities >= block
    return blocked, ~blocked & (rows.probabilities < thresholds.review)


def _slices(rows: Rows, thresholds: Thresholds, slices: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
    blocked, allowed = _decided(rows, thresholds)
    found = []
    for column, values in slices.items():
        for value in dict.fromkeys(values):
            here = np.array([each == value for each in values])
            if here.sum() < _LEAST:
                continue
            caught, unsafe = int((blocked & rows.unsafe & here).sum()), int((rows.unsafe & here).sum())
            found.append(
                {
                    "slice": f"{column}: {value}",
                    "n": int(here.sum()),
                    "unsafe": unsafe,
                    **_interval("precision", caught, int((blocked & here).sum())),
                    **_interval("recall", caught, unsafe),
                    "missed": int((allowed & rows.unsafe & here).sum()) / unsafe if unsafe else None,
                }
            )
    return found


def _interval(name: str, right: int, n: int) -> dict[str, float | None]:
    """A rate with Clopper and Pearson's two-sided 95 % interval; None throughout where there is nothing to count."""
    if not n:
        return {name: None, f"{name}_low": None, f"{name}_high": None}
    interval = binomtest(right, n).proportion_ci(0.95, method="exact")
    return {name: right / n, f"{name}_low": float(interval.low), f"{name}_high": float(interval.high)}


def _axes(x: str, y: str) -> tuple[Any, Any]:
    # Not pyplot: it keeps figures alive and asks for a screen.

    figure = Figure(figsize=(6, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.set(xlabel=x, ylabel=y, xlim=(0, 1), ylim=(0, 1.02))
    axes.grid(alpha=0.3)
    return figure, axes


def _percent(value: float | None) -> str:
    return "none" if value is None else f"{value:.1%}"


def _with_interval(result: Mapping[str, Any], name: str) -> str:
    if result[name] is None:
        return "nothing blocked" if name == "precision" else "none"
    return f"{result[name]:.1%} ({result[f'{name}_low']:.1%} to {result[f'{name}_high']:.1%})"
