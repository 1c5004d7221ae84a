"""The label histogram: counted and made noisy by `privacy.histogram`, which states the guarantee; and read again.

Also what the released counts say of the source: whether there is next to nothing to learn from, and which labels nobody
has. That is post-processing of a release that was charged, and free.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dpsynth_assets.markdown import escaped, table
from dpsynth_assets.privacy.histogram import label_plan
from dpsynth_assets.privacy.unit_numbers import UnitNumbers
from dpsynth_assets.progress import Progress
from dpsynth_assets.releases.label_histogram import LABEL_HISTOGRAM
from dpsynth_assets.releases.release import Launch, Made, Markdown, Ran, Workspace
from dpsynth_assets.releases.rows import cells_of

if TYPE_CHECKING:
    from dpsynth_assets.contract import Contract
    from dpsynth_assets.privacy.histogram import Cell, HistogramPlan
    from dpsynth_assets.releases.rows import Rows

COUNTS = "counts.json"
EVEN = "even.json"  # what stands in the place of counts where nobody was counted
_FALSE_ALARM = 1e-6
_SELDOM = 1e-2
_NEXT_TO_NOTHING = 10  # one record for so many units that were declared


class NoRowsError(ValueError):
    """Next to no record of the source can be learned from, as its released histogram says."""


def check(
    contract: Contract,
    plan: HistogramPlan,
    made_from: Mapping[str, Made],
    progress: Progress,
    launch: Launch | None = None,
) -> None:
    """Nothing here can fail without a row."""


def run(contract: Contract, plan: HistogramPlan, rows: Rows, ready: None, work: Workspace) -> Ran:
    """Release the counts of all label combinations."""
    cells: list[Cell] = []
    units = UnitNumbers()
    for frame in rows:
        cells += cells_of(frame, contract)
        units.extend(frame["unit"])
    counts = plan.release(cells, units.numbers())
    released = [[list(cell), count] for cell, count in counts.items()]
    (work.folder / COUNTS).write_text(json.dumps(released), encoding="utf-8")
    facts = {"noisy_counts": Markdown(_table(contract, counts)), "noise_scale": plan.scale}
    warning = of_nobody(contract, plan, counts)
    return Ran(None if contract.without_privacy else plan.event(), facts=facts, warning=warning)


def even(contract: Contract, folder: Path) -> dict[str, Any]:
    """In the place of counts where no row is read: as much of each label combination, which says nothing of anybody."""
    said = {"counted": "nobody: no row was read", "proportions": [[list(cell), 1] for cell in contract.cells]}
    (folder / EVEN).write_text(json.dumps(said), encoding="utf-8")
    return {"noisy_counts": "none: nobody was counted, and every label combination gets as many rows"}


def released_counts(folder: Path) -> dict[tuple[str, ...], int]:
    """The noisy counts that the release left in a folder; where nobody was counted, 1 for each label combination."""
    counted = (folder / COUNTS).exists()
    said: Any = json.loads((folder / (COUNTS if counted else EVEN)).read_text(encoding="utf-8"))
    stored: list[list[Any]] = said if counted else said["proportions"]
    return {tuple(cell): int(count) for cell, count in stored}


def require_rows(contract: Contract, counts: Mapping[tuple[str, ...], int], size: float) -> None:
    """Pass unless released counts say that a source, or that share of its units, has next to no record to learn from.

    Next to none are fewer than a tenth of `public_count`, or no more than noise makes of nobody. A source with at least
    half as many records as `public_count` promises is stopped with a probability of at most 1e-6; where the noise is
    too large to tell such a one from none, nothing is stopped.

    Raises:
        NoRowsError: they do; says what is likely wrong.
    """
    plan, unit, total = label_plan(contract, LABEL_HISTOGRAM, size), contract.privacy.unit, sum(counts.values())
    expected, cells = unit.public_count * size, len(counts)
    little = max(expected / _NEXT_TO_NOTHING, plan.of_nobody(cells, _FALSE_ALARM))
    if total <= min(little, expected / 2 - plan.margin(cells, _FALSE_ALARM)):
        raise NoRowsError(
            f"there is next to nothing to learn from. The noisy label histogram counts {total} records in all, where "
            f"unit.public_count promises {expected:g} {unit.name}s. Likely causes: {_of_labels(contract)}"
            "`source_where` keeps no record; texts or the unit's column are blank, or of another type "
            "than declared; or the file is as good as empty. Correct the contract or the source, materialize "
            f"{contract.declared.id}/source again, then {contract.id}/label_histogram"
        )


def _of_labels(contract: Contract) -> str:
    """What may be wrong with labels, where there are some."""
    if not contract.privacy.labels:
        return ""
    return (
        "the source writes labels otherwise than the contract (capitals, true and false, 1.0 where values are missing: "
        "say so under `codes` or `spellings`); "
    )


def of_nobody(contract: Contract, plan: HistogramPlan, counts: Mapping[tuple[str, ...], int]) -> str | None:
    """Which labels nobody has, as far as noise lets it be told: counts that noise makes of nobody, a tenth of an even
    share at most. None where there is no such label."""
    found, total = [], sum(counts.values())
    for place, label in enumerate(contract.privacy.labels):
        for value in label.values:
            own = [count for cell, count in counts.items() if cell[place] == value]
            if sum(own) <= min(plan.of_nobody(len(own), _SELDOM), total * len(own) / len(counts) / 10):
                found.append(f"{label.column}: {value}")
    if not found:
        return None
    return (
        f"next to no record has the label {'; '.join(found)}, as far as the noisy counts say: does the source write it "
        "otherwise? Say how under `codes` or `spellings`; or take the value out"
    )


def _table(contract: Contract, counts: Mapping[tuple[str, ...], int]) -> str:
    rows = [(escaped(contract.plain_label(cell)), count) for cell, count in counts.items()]
    return table(["label", "noisy count"], rows, "lr")
