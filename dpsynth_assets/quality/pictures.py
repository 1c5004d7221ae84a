"""One small picture of a corpus: how long its texts are and how its labels are spread, beside a public reference.

Draws shares and lengths of synthetic and public rows only. Knows nothing of who shows it.
"""

from __future__ import annotations

import io
from collections import Counter
from typing import TYPE_CHECKING

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from dpsynth_assets.quality.metrics.words import words

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes

    from dpsynth_assets.quality.metrics.materials import Materials

_LABELS = 20  # more bars than this cannot be told apart
_BINS = 30
_COLOURS = ("#1f77b4", "#c7c7c7")


def portrait(materials: Materials, labels: Mapping[str, Sequence[str]], reference: str | None = None) -> bytes:
    """A PNG of panels: lengths in words up to the 99th percentile, and the share of each value of a label. Labels
    are drawn as they are: dollars in them are no formula.

    Args:
        labels: what a label column may hold, by its name; of more than 20 values, the commonest are drawn.
        reference: the name of public rows to draw beside the corpus.
    """
    with matplotlib.rc_context({"text.parse_math": False}):
        return _portrait(materials, labels, reference)


def _portrait(materials: Materials, labels: Mapping[str, Sequence[str]], reference: str | None) -> bytes:
    sides = {"synthetic": None} | ({reference: reference} if reference else {})
    figure = Figure(figsize=(8, 2.6), dpi=80, layout="constrained")
    lengths, *panels = figure.subplots(1, 1 + len(labels), squeeze=False)[0]
    counted = {
        name: np.array([len(words(text)) for text in materials.values(materials.text, side)])
        for name, side in sides.items()
    }
    together = np.concatenate(list(counted.values()))
    bins = np.linspace(0, max(1.0, np.percentile(together, 99)) if together.size else 1.0, _BINS + 1)
    for (name, numbers), colour in zip(counted.items(), _COLOURS, strict=False):
        weights = np.full(len(numbers), 1 / max(1, len(numbers)))
        lengths.hist(numbers, bins, weights=weights, alpha=0.7, color=colour, label=name.replace("_", " "))
    lengths.set(xlabel="words", ylabel="share of texts")
    lengths.legend(fontsize=8, frameon=False)
    for panel, (label, values) in zip(panels, labels.items(), strict=True):
        _shares(panel, label, values, {name: Counter(materials.values(label, side)) for name, side in sides.items()})
    picture = io.BytesIO()
    figure.savefig(picture, format="png", metadata={"Software": None})
    return picture.getvalue()


def _shares(panel: Axes, label: str, values: Sequence[str], found: Mapping[str, Counter[str]]) -> None:
    """How a label's values are spread on each side."""
    shown = sorted(values, key=lambda value: -sum(counts[value] for counts in found.values()))[:_LABELS]
    shown = [value for value in values if value in shown]
    width = 0.8 / len(found)
    for place, (counts, colour) in enumerate(zip(found.values(), _COLOURS, strict=False)):
        heights = [counts[value] / max(1, counts.total()) for value in shown]
        panel.bar(np.arange(len(shown)) + (place - (len(found) - 1) / 2) * width, heights, width, color=colour)
    panel.set(ylabel=f"share of rows, by {label}")
    panel.set_xticks(range(len(shown)), shown, rotation=30, ha="right", fontsize=7)
