"""The label histogram: counted and made noisy by `privacy.histogram`, which states the guarantee; and read again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dpsynth_assets.markdown import escaped, table
from dpsynth_assets.releases.release import Made, Markdown, Progress, Ran, Workspace

if TYPE_CHECKING:
    import pandas as pd

    from dpsynth_assets.contract import Contract
    from dpsynth_assets.privacy.histogram import HistogramPlan

COUNTS = "counts.json"


def check(contract: Contract, plan: HistogramPlan, made_from: Mapping[str, Made], progress: Progress) -> None:
    """Nothing here can fail without a row."""


def run(contract: Contract, plan: HistogramPlan, rows: pd.DataFrame, ready: None, work: Workspace) -> Ran:
    """Release the counts of all label combinations."""
    columns = [label.column for label in contract.privacy.labels]
    counts = plan.release(list(rows[columns].itertuples(index=False, name=None)), rows["unit"].tolist())
    released = [[list(cell), count] for cell, count in counts.items()]
    (work.folder / COUNTS).write_text(json.dumps(released), encoding="utf-8")
    facts = {"noisy_counts": Markdown(_table(contract, counts)), "noise_scale": plan.scale}
    return Ran(None if contract.without_privacy else plan.event(), facts=facts)


def released_counts(folder: Path) -> dict[tuple[str, ...], int]:
    """The noisy counts that the release left in a folder."""
    stored: list[list[Any]] = json.loads((folder / COUNTS).read_text(encoding="utf-8"))
    return {tuple(cell): int(count) for cell, count in stored}


def _table(contract: Contract, counts: Mapping[tuple[str, ...], int]) -> str:
    rows = [(escaped(contract.plain_label(cell)), count) for cell, count in counts.items()]
    return table(["label", "noisy count"], rows, "lr")
