"""`dpsynth bench utility`: the paper's comparison for one contract, run or taken up where it was."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dpsynth_assets.cli.console import BadInput, console, contract_at, require_source, say, shown

if TYPE_CHECKING:
    from dpsynth_assets.cli.utility.cell import Setup
    from dpsynth_assets.cli.utility.grid import Line
    from dpsynth_assets.contract import Contract

app = typer.Typer(no_args_is_help=True, help="Measure what synthetic tables are worth, on public sources.")
_TABLE, _CHART, _FIGURES = "utility.md", "utility.png", "utility.parquet"
_VECTORS = "vectors"


@app.callback()
def bench() -> None:
    """Measure what synthetic tables are worth, on public sources."""


@app.command()
def utility(
    dataset: Annotated[str, typer.Option(help="A contract with `variants`: ag_news, imdb, yelp, or a contract file.")],
    source: Annotated[str | None, typer.Option(help="A copy of the source, where the contract names one.")] = None,
    only: Annotated[list[str] | None, typer.Option(help="Only this line (repeat for more): lora-3, real-dp-3.")] = None,
    runs: Annotated[int, typer.Option(min=1, help="Runs of each line, each with releases of its own.")] = 3,
    seeds: Annotated[int, typer.Option(min=1, help="Classifiers of each kind on each corpus.")] = 1,
    kinds: Annotated[list[str] | None, typer.Option(help="Kinds of classifiers (repeat).")] = None,
    size: Annotated[float | None, typer.Option(help="Share of the units, in (0, 1], for a quick pass.")] = None,
    out: Annotated[Path | None, typer.Option(help="A folder that keeps everything; ./utility/DATASET if not.")] = None,
    report: Annotated[bool, typer.Option("--report", help="Measure nothing: table and chart only.")] = False,
) -> None:
    """Train classifiers on synthetic tables by method and epsilon, and on real rows with DP and without.

    Repeated, it goes on where it was, and several such commands may share a folder. Writes utility.md, utility.png and
    utility.parquet after every cell.
    """
    from dpsynth_assets.classify.encoder import Remembered
    from dpsynth_assets.classify.recipes import RECIPES
    from dpsynth_assets.classify.vectors import kept_in, public_encoder
    from dpsynth_assets.cli.utility import grid
    from dpsynth_assets.cli.utility.cell import Setup

    contract = contract_at(Path(dataset))
    chosen_kinds = tuple(kinds or ("minilm", "word_cnn"))
    if unknown := sorted(set(chosen_kinds) - set(RECIPES)):
        raise BadInput(f"--kinds {', '.join(unknown)}: choose from {', '.join(RECIPES)}")
    if size is not None and not 0 < size <= 1:
        raise BadInput(f"--size is a share in (0, 1], not {size}")
    if source is not None:
        require_source(contract, source)
    try:
        lines = grid.lines(contract, only or (), size or 1.0)
    except grid.GridError as error:
        raise BadInput(str(error)) from None
    folder = out or Path("utility") / contract.id
    if not report:
        _require_unprotected(contract, source)
        quiet = lambda text: say(f"  {text}", style="dim")  # noqa: E731 - a name for what is said
        with kept_in(folder / _VECTORS):
            encoder = Remembered(public_encoder())
        setup = Setup(contract, source, size, chosen_kinds, seeds, encoder, folder / _VECTORS, quiet)
        _run(lines, runs, folder, setup)
    _write(contract, folder, size or 1.0)


def _require_unprotected(contract: Contract, source: str | None) -> None:
    """Pass if this deployment knows none of the rows as protected: the grid's homes, being new, know nothing of it."""
    from dpsynth_assets.gate.public_rows import require_unprotected
    from resources.home import Home
    from resources.sensitive_store import SensitiveStore
    from resources.tabular import SourceError

    home = Home.at()
    if home.ledger_file.exists():
        try:
            require_unprotected(
                contract.with_source(source) if source else contract, SensitiveStore(home=str(home.root))
            )
        except SourceError as error:
            raise BadInput(str(error)) from None


def _run(lines: list[Line], runs: int, folder: Path, setup: Setup) -> None:
    """Measure what is not measured yet and in nobody else's hands."""
    from dpsynth_assets.cli.utility import grid
    from dpsynth_assets.cli.utility.cell import measure

    todo = grid.cells(lines, runs)
    for number, cell in enumerate(todo, start=1):
        with grid.claimed(cell, folder, setup.kinds, setup.seeds) as ours:
            if not ours:
                continue
            say((cell.line.name, "bold"), f", run {cell.run} (cell {number} of {len(todo)})")
            try:
                result = measure(cell, cell.folder(folder), setup)
            except grid.GridError as error:
                raise BadInput(f"{cell.line.name}, run {cell.run}: {error}") from None
            grid.keep(cell, folder, result)
            _write(setup.contract, folder, setup.size or 1.0, show=False)
            say(f"  {result['minutes']} minutes")


def _write(contract: Contract, folder: Path, size: float, *, show: bool = True) -> None:
    """Table, chart and figures of the cells that were measured under these very terms, at this size."""
    from dpsynth_assets.cli.utility import grid
    from dpsynth_assets.cli.utility import report as written

    lines = grid.lines(contract, size=size)
    found = grid.measured(lines, folder)
    if not found:
        raise BadInput(f"nothing of this contract at this size has been measured in {folder}")
    figures = written.figures(found)
    text = written.markdown(figures)
    (folder / _TABLE).write_text(f"# {contract.title}\n\n{text}\n", encoding="utf-8")
    written.raw(found).to_parquet(folder / _FIGURES, index=False)
    written.chart(figures, contract.title, folder / _CHART)
    if show:
        from rich.markdown import Markdown

        console().print(Markdown(text))
        if other := grid.left_out(lines, folder):
            say(f"{other} cells that were measured under other terms, or at another size, are left out.", style="dim")
        say(f"Written to {', '.join(shown(folder.absolute() / name) for name in (_TABLE, _CHART, _FIGURES))}.")
