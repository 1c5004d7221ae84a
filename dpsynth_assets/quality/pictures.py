"""One small picture of a corpus: how long its texts are and how its labels are spread, beside a public reference.

Draws shares and lengths of synthetic and public rows only. Knows nothing of who shows it.
"""

from __future__ import annotations

import io
from collections import Counter
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from dpsynth_assets.quality.metrics.words import words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dpsynth_assets.quality.metrics.materials import Materials

_LABELS = 20  # more bars than this cannot be told apart
_BINS = 30
_COLOURS = ("#1f77b4", "#c7c7c7")


def portrait(materials: Materials, label: str, values: Sequence[str], reference: str | None = None) -> bytes:
    """A PNG of two panels: lengths in words up to the 99th percentile, and the share of each value of a label. Labels
    are drawn as they are: dollars in them are no formula.

    Args:
        label: a label column, and `values` what it may hold; of more than 20, the commonest are drawn.
        reference: the name of public rows to draw beside the corpus.
    """
    with matplotlib.rc_context({"text.parse_math": False}):
        return _portrait(materials, label, values, reference)


def _portrait(materials: Materials, label: str, values: Sequence[str], reference: str | None) -> bytes:
    sides = {"synthetic": None} | ({reference: reference} if reference else {})
    figure = Figure(figsize=(8, 2.6), dpi=80, layout="constrained")
    lengths, shares = figure.subplots(1, 2)
    counted = {
        name: np.array([len(words(text)) for text in materials.values(materials.text, side)])
        for name, side in sides.items()
    }
    together = np.concatenate(list(counted.values()))
    bins = np.linspace(0, max(1.0, np.percentile(together, 99)) if together.size else 1.0, _BINS + 1)
    found = {name: Counter(materials.values(label, side)) for name, side in sides.items()}
    shown = sorted(values, key=lambda value: -sum(counts[value] for counts in found.values()))[:_LABELS]
    shown = [value for value in values if value in shown]
    width = 0.8 / len(sides)
    for place, ((name, numbers), colour) in enumerate(zip(counted.items(), _COLOURS, strict=False)):
        style: dict[str, Any] = {"color": colour, "label": name.replace("_", " ")}
        lengths.hist(numbers, bins, weights=np.full(len(numbers), 1 / max(1, len(numbers))), alpha=0.7, **style)
        heights = [found[name][value] / max(1, found[name].total()) for value in shown]
        shares.bar(np.arange(len(shown)) + (place - (len(sides) - 1) / 2) * width, heights, width, **style)
    lengths.set(xlabel="words", ylabel="share of texts")
    shares.set(ylabel=f"share of rows, by {label}")
    shares.set_xticks(range(len(shown)), shown, rotation=30, ha="right", fontsize=7)
    lengths.legend(fontsize=8, frameon=False)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", metadata={"Software": None})
    return picture.getvalue()
