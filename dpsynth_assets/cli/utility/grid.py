"""The grid: which classifiers are compared, cell by cell, and what has been measured of it so far.

A line is a release variant of the contract, DP training on the real rows for one epsilon, or training on them without
privacy; one variant reads no row (`nothing`), and what a release adds is the difference to it.

A cell is one run of a line. Each has a folder, named by the terms that it depends on, so that releases made under
others are never taken for it; what it found lies there as `result.json`, written last. Cells are locked one by one, so
that several processes can share a grid, and one that was killed is taken up again.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from dpsynth_assets import variants
from resources.home import replace_atomically

if TYPE_CHECKING:
    from dpsynth_assets.contract import Contract

RESULT = "result.json"
REAL, REAL_DP = "real", "real-dp"
# DP training on the real rows: expected batch and learning rate by kind of classifier, and steps. How they were chosen
# stands in docs/experiments.md.
BAR, BAR_STEPS = {"minilm": (2_048, 0.1), "word_cnn": (2_048, 0.03)}, 100


class GridError(ValueError):
    """The grid cannot be what was asked; says what it can be."""


@dataclass(frozen=True)
class Line:
    """`name` is that of the variant, `real`, or `real-dp-<epsilon>`. `epsilon` is None without privacy, and 0 where
    nothing is read. `terms` is the identity of what its cells depend on."""

    name: str
    method: str
    epsilon: float | None
    terms: str


@dataclass(frozen=True)
class GridCell:
    """One run of a line, counted from 0. Runs differ in everything that is random."""

    line: Line
    run: int

    def folder(self, out: Path) -> Path:
        return out / self.line.name / self.line.terms / f"run-{self.run}"


def lines(contract: Contract, only: Sequence[str] = (), size: float = 1.0) -> list[Line]:
    """All lines of a contract, or the named ones, at a share `size` of its units.

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
    found = [Line(REAL, REAL, None, _terms(contract, REAL, size))]
    bar, bars = _terms(contract, REAL_DP, size), [each for each in declared.epsilons if not isinstance(each, str)]
    found += [Line(f"{REAL_DP}-{each:g}", REAL_DP, each, bar) for each in bars]
    for name in variants.names(contract)[1:]:
        method, _, epsilon = name.partition("-")
        of = _terms(contract, method, size)
        found.append(Line(name, method, None if epsilon == "none" else float(epsilon or 0), of))
    if unknown := sorted(set(only) - {line.name for line in found}):
        raise GridError(f"{', '.join(unknown)}: the lines are {', '.join(line.name for line in found)}")
    return [line for line in found if not only or line.name in only]


def _terms(contract: Contract, method: str, size: float) -> str:
    """Identity of what the cells of a method depend on: terms of other methods may change and leave them as they
    are."""
    terms = contract.privacy.model_dump(mode="json", exclude_defaults=True)
    terms["unit"].pop("name")  # a word: no figure depends on it
    terms.pop("source_copies", None)  # nor on where the same rows lie
    own = {each["method"]: each for each in terms.pop("variants")["methods"]} | {REAL: None, REAL_DP: [BAR, BAR_STEPS]}
    own[variants.NOTHING] = None
    no_text_is_drawn = ("releases", "generation", "curation") if method in (REAL, REAL_DP) else ()
    nothing_is_released = ("releases",) if method == variants.NOTHING else ()
    for name in ("safety_classifier", *no_text_is_drawn, *nothing_is_released):
        terms.pop(name, None)
    if no_text_is_drawn or nothing_is_released:
        terms["classifier"].pop("teacher", None)
    text = json.dumps([terms, own[method], size], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def cells(chosen: Sequence[Line], runs: int) -> list[GridCell]:
    """Every line once before any line twice: an early end leaves something of everything."""
    return [GridCell(line, run) for run in range(runs) for line in chosen]


@contextmanager
def claimed(cell: GridCell, out: Path, kinds: Sequence[str] = (), seeds: int = 1) -> Iterator[bool]:
    """Whether the cell is ours to measure: not in another process' hands, and not measured yet with these kinds of
    classifiers and so many seeds of each."""
    folder = cell.folder(out)
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(blocking=False)
    except Timeout:
        yield False
        return
    try:
        result = folder / RESULT
        yield not (result.exists() and _answers(cell, json.loads(result.read_text("utf-8")), kinds, seeds))
    finally:
        lock.release()


def _answers(cell: GridCell, result: dict[str, Any], kinds: Sequence[str], seeds: int) -> bool:
    """Whether a result has every kind and seed on each of its corpora. The bar has its own kinds, and one of each."""
    if not kinds:
        return True
    if cell.line.method == REAL_DP:
        kinds, seeds = [kind for kind in kinds if kind in BAR], 1
    found = Counter((each["corpus"], each["classifier"]) for each in result["accuracies"])
    corpora = {corpus for corpus, _ in found}
    return bool(corpora) and all(found[corpus, kind] >= seeds for corpus in corpora for kind in kinds)


def keep(cell: GridCell, out: Path, result: dict[str, Any]) -> None:
    """Write down what a cell found."""
    data = json.dumps(result, indent=2, sort_keys=True, allow_nan=False).encode()
    replace_atomically(cell.folder(out) / RESULT, data)


def measured(chosen: Sequence[Line], out: Path) -> list[tuple[GridCell, dict[str, Any]]]:
    """The cells of these lines that have been measured, in the order of lines and runs."""
    found = []
    for line in chosen:
        files = (out / line.name / line.terms).glob(f"run-*/{RESULT}")
        for run, file in sorted((int(file.parent.name.removeprefix("run-")), file) for file in files):
            found.append((GridCell(line, run), json.loads(file.read_text(encoding="utf-8"))))
    return found


def left_out(chosen: Sequence[Line], out: Path) -> int:
    """How many cells of these lines were measured under other terms, or at another size."""
    return sum(len(list((out / line.name).glob(f"*/run-*/{RESULT}"))) for line in chosen) - len(measured(chosen, out))
