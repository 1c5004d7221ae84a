"""The grid: which classifiers are compared, cell by cell, and what has been measured of it so far.

A line is a release variant of the contract, DP training on the real rows for one epsilon, or training on them without
privacy. A cell is one run of a line. Each has a folder; what it found lies there as `result.json`, written last. Cells
are locked one by one, so that several processes can share a grid, and one that was killed is taken up again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dpsynth_assets import variants
from resources.home import replace_atomically

if TYPE_CHECKING:
    from dpsynth_assets.contract import Contract

RESULT = "result.json"
REAL, REAL_DP = "real", "real-dp"


class GridError(ValueError):
    """The grid cannot be what was asked; says what it can be."""


@dataclass(frozen=True)
class Line:
    """`name` is that of the variant, `real`, or `real-dp-<epsilon>`. `epsilon` is None without privacy."""

    name: str
    method: str
    epsilon: float | None


@dataclass(frozen=True)
class Cell:
    """One run of a line, counted from 0. Runs differ in everything that is random."""

    line: Line
    run: int

    def folder(self, out: Path) -> Path:
        return out / self.line.name / f"run-{self.run}"


def lines(contract: Contract, only: Sequence[str] = ()) -> list[Line]:
    """All lines of a contract, or the named ones.

    Raises:
        GridError: the contract declares no variants or a secret source, or has no line of a name.
    """
    declared = contract.privacy.variants
    if declared is None:
        raise GridError(f"{contract.id} declares no `variants`: docs/contracts.md says how")
    if not contract.privacy.source_is_public:
        raise GridError(
            f"the source of {contract.id} is not declared public: its people have one budget, not one for each cell"
        )
    found = [Line(REAL, REAL, None)]
    found += [Line(f"{REAL_DP}-{each:g}", REAL_DP, each) for each in declared.epsilons if not isinstance(each, str)]
    for name in variants.names(contract)[1:]:
        method, _, epsilon = name.partition("-")
        found.append(Line(name, method, None if epsilon == "none" else float(epsilon)))
    if unknown := sorted(set(only) - {line.name for line in found}):
        raise GridError(f"{', '.join(unknown)}: the lines are {', '.join(line.name for line in found)}")
    return [line for line in found if not only or line.name in only]


def cells(chosen: Sequence[Line], runs: int) -> list[Cell]:
    """Every line once before any line twice: an early end leaves something of everything."""
    return [Cell(line, run) for run in range(runs) for line in chosen]


@contextmanager
def claimed(cell: Cell, out: Path) -> Iterator[bool]:
    """Whether the cell is ours to measure: not measured yet, and not in another process' hands."""
    from filelock import FileLock, Timeout

    folder = cell.folder(out)
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(blocking=False)
    except Timeout:
        yield False
        return
    try:
        yield not (folder / RESULT).exists()
    finally:
        lock.release()


def keep(cell: Cell, out: Path, result: dict[str, Any]) -> None:
    """Write down what a cell found."""
    data = json.dumps(result, indent=2, sort_keys=True, allow_nan=False).encode()
    replace_atomically(cell.folder(out) / RESULT, data)


def measured(chosen: Sequence[Line], out: Path) -> list[tuple[Cell, dict[str, Any]]]:
    """The cells of these lines that have been measured, in the order of lines and runs."""
    found = []
    for line in chosen:
        for file in sorted((out / line.name).glob(f"run-*/{RESULT}"), key=lambda each: int(each.parent.name[4:])):
            run = int(file.parent.name.removeprefix("run-"))
            found.append((Cell(line, run), json.loads(file.read_text(encoding="utf-8"))))
    return found
