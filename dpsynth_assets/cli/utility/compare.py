"""What `dpsynth bench utility` does: cell by cell of the grid that is not measured yet, then table, chart and figures.

Knows no option of the command line by its name there.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.markdown import Markdown

from dpsynth_assets.assets.contamination import contamination_sentence
from dpsynth_assets.classify.encoder import Remembered
from dpsynth_assets.classify.recipes import RECIPES
from dpsynth_assets.classify.vectors import kept_in, public_encoder
from dpsynth_assets.cli.console import BadInput, console, require_source, say, shown
from dpsynth_assets.cli.utility import grid
from dpsynth_assets.cli.utility import report as written
from dpsynth_assets.cli.utility.cell import Setup, measure
from dpsynth_assets.cli.utility.cells import measure_cells, say_quietly
from dpsynth_assets.cli.utility.grid import GridCell
from dpsynth_assets.contract import Contract
from dpsynth_assets.gate.public_rows import require_unprotected
from dpsynth_assets.language.contamination.facts import Facts
from dpsynth_assets.markdown import plain
from resources.home import Home
from resources.sensitive_store import SensitiveStore
from resources.tabular import SourceError

_TABLE, _CHART, _FIGURES = "utility.md", "utility.png", "utility.parquet"
_VECTORS = "vectors"


def compare(
    contract: Contract,
    *,
    source: str | None,
    only: Sequence[str],
    runs: int,
    seeds: int,
    kinds: tuple[str, ...],
    size: float | None,
    out: Path | None,
    report: bool,
) -> None:
    """Measure the lines of a contract's grid, or `only` some of them; with `report` only write what was measured.

    Raises:
        BadInput: a kind, size, line or source that is none, a source that may not be measured, or a cell that failed.
    """
    if unknown := sorted(set(kinds) - set(RECIPES)):
        raise BadInput(f"--kinds {', '.join(unknown)}: choose from {', '.join(RECIPES)}")
    if size is not None and not 0 < size <= 1:
        raise BadInput(f"--size is a share in (0, 1], not {size}")
    if source is not None:
        require_source(contract, source)
    try:
        lines = grid.lines(contract, only, size or 1.0)
    except grid.GridError as error:
        raise BadInput(str(error)) from None
    folder = out or Path("utility") / contract.id
    if not report:
        _require_unprotected(contract, source)
        with kept_in(folder / _VECTORS):
            encoder = Remembered(public_encoder())
        setup = Setup(contract, source, size, kinds, seeds, encoder, folder / _VECTORS, say_quietly)
        measure_cells(
            grid.cells(lines, runs),
            folder,
            lambda cell: measure(cell, cell.folder(folder), setup),
            lambda: _write(contract, folder, size or 1.0, show=False),
            kinds=kinds,
            seeds=seeds,
        )
    _write(contract, folder, size or 1.0)


def _require_unprotected(contract: Contract, source: str | None) -> None:
    """Pass if this deployment knows none of the rows as protected: the grid's homes, being new, know nothing of it."""
    home = Home.at()
    if home.has_ledger:
        try:
            require_unprotected(
                contract.with_source(source) if source else contract, SensitiveStore(home=str(home.root))
            )
        except SourceError as error:
            raise BadInput(str(error)) from None


def _read_before(contract: Contract, found: Sequence[tuple[GridCell, dict[str, Any]]]) -> str:
    """What the base model has read, as cards say it, with the figures of a cell that compared it with the source."""
    compared = [result["contamination"] for _, result in found if result.get("contamination")]
    return contamination_sentence(contract, Facts(**compared[0]) if compared else None)


def _write(contract: Contract, folder: Path, size: float, *, show: bool = True) -> None:
    """Table, chart and figures of the cells that were measured under these very terms, at this size."""
    lines = grid.lines(contract, size=size)
    found = grid.measured(lines, folder)
    if not found:
        raise BadInput(f"nothing of this contract at this size has been measured in {folder}")
    figures = written.figures(found)
    said = _read_before(contract, found)
    text = f"{written.markdown(figures)}\n\n{said}"
    (folder / _TABLE).write_text(f"# {contract.title}\n\n{text}\n", encoding="utf-8")
    written.raw(found).to_parquet(folder / _FIGURES, index=False)
    written.chart(figures, contract.title, folder / _CHART, said=plain(said))
    if show:
        console().print(Markdown(text))
        if other := grid.left_out(lines, folder):
            say(f"{other} cells that were measured under other terms, or at another size, are left out.", style="dim")
        say(f"Written to {', '.join(shown(folder.absolute() / name) for name in (_TABLE, _CHART, _FIGURES))}.")
