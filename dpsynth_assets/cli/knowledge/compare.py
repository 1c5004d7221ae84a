"""What `dpsynth bench knowledge` does: the records written, each line that is not measured yet read and asked about,
then table and chart.

Knows no option of the command line by its name there.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.markdown import Markdown

from dpsynth_assets.cli.console import BadInput, console, say, shown
from dpsynth_assets.cli.knowledge import report as written
from dpsynth_assets.cli.knowledge.cell import Setup, lines, measure
from dpsynth_assets.cli.utility import grid
from dpsynth_assets.cli.utility.cells import measure_cells, say_quietly
from dpsynth_assets.contract import Contract
from dpsynth_assets.knowledge.attributes import KINDS
from dpsynth_assets.knowledge.reader import Recipe
from dpsynth_assets.knowledge.records import NotOursError, Parameters, write

_TABLE, _CHART, _FIGURES = "knowledge.md", "knowledge.png", "knowledge.json"


def compare(contract: Contract, *, seed: int, only: Sequence[str], runs: int, out: Path | None, report: bool) -> None:
    """Measure all lines, or `only` some of them; with `report` only write what was measured.

    Raises:
        BadInput: a contract of other records, a line that is none, or a cell that failed.
    """
    if [label.values for label in contract.privacy.labels] != [KINDS]:
        raise BadInput(
            f"{contract.id} is not a contract of the invented machines: take contracts/knowledge.odcs.yaml, or one "
            "with its labels"
        )
    parameters = Parameters(seed=seed)
    source = (contract.path.parent / contract.source).parent / f"seed-{seed}.parquet"
    setup = Setup(contract, source, parameters, Recipe(), say_quietly)
    try:
        chosen = lines(contract, parameters, setup.recipe, only)
    except grid.GridError as error:
        raise BadInput(str(error)) from None
    folder = out or Path("utility") / contract.id
    if not report:
        try:
            write(source, parameters)
        except NotOursError as error:
            raise BadInput(str(error)) from None
        measure_cells(
            grid.cells(chosen, runs),
            folder,
            lambda cell: measure(cell, cell.folder(folder), setup),
            lambda: _write(folder, setup, show=False),
        )
    _write(folder, setup)


def _write(folder: Path, setup: Setup, *, show: bool = True) -> None:
    """Table, chart and figures of the cells that were measured under these very terms, with this seed."""
    every = lines(setup.contract, setup.parameters, setup.recipe)
    found = grid.measured(every, folder)
    if not found:
        raise BadInput(f"nothing of this contract with this seed has been measured in {folder}")
    figures = written.figures(found)
    text = written.markdown(figures)
    (folder / _TABLE).write_text(f"# {setup.contract.title}\n\n{text}\n", encoding="utf-8")
    (folder / _FIGURES).write_text(written.as_json(figures), encoding="utf-8")
    written.chart(figures, setup.contract.title, folder / _CHART)
    if show:
        console().print(Markdown(text))
        if other := grid.left_out(every, folder):
            say(f"{other} cells that were measured under other terms, or with another seed, are left out.", style="dim")
        say(f"Written to {', '.join(shown(folder.absolute() / name) for name in (_TABLE, _CHART, _FIGURES))}.")
