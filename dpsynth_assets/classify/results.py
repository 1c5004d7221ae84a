"""What a comparison of classifiers keeps. Knows no classifier: whoever shows results loads none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FIGURES = "evaluation.json"
SYNTHETIC, REAL, REAL_WITH_DP = "synthetic rows", "real rows", "real rows with DP-SGD"

Result = dict[str, Any]
"""`classifier`, its kind, `trained_on`, and its figures (`dpsynth_assets.classify.evaluation.over_seeds`)."""


def results_in(folder: Path) -> list[Result]:
    """The results that a folder keeps."""
    stored: list[Result] = json.loads((folder / FIGURES).read_text(encoding="utf-8"))
    return stored


def numbers(results: list[Result]) -> dict[str, float]:
    """Numbers to plot: `accuracy` of the contract's first kind, `accuracy_word_cnn` of another, and with `_on_real` or
    `_with_dp` behind them those of classifiers trained on real rows."""
    behind = {SYNTHETIC: "", REAL: "_on_real", REAL_WITH_DP: "_with_dp"}
    found = {}
    for result in results:
        kind = "" if result["classifier"] == results[0]["classifier"] else f"_{result['classifier']}"
        for name, value in result.items():
            if isinstance(value, int | float):
                found[f"{name}{kind}{behind[result['trained_on']]}"] = float(value)
    return found
