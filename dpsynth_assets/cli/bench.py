"""`dpsynth bench utility`: the paper's comparison for one contract, run or taken up where it was."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dpsynth_assets.cli.console import contract_at

app = typer.Typer(no_args_is_help=True, help="Measure what synthetic tables are worth, on public sources.")


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
    from dpsynth_assets.cli.utility.compare import compare

    compare(
        contract_at(Path(dataset)),
        source=source,
        only=only or (),
        runs=runs,
        seeds=seeds,
        kinds=tuple(kinds or ("minilm", "word_cnn")),
        size=size,
        out=out,
        report=report,
    )


@app.command()
def knowledge(
    dataset: Annotated[
        str, typer.Option(help="The contract of the invented machines, or a file like it.")
    ] = "knowledge",
    seed: Annotated[int, typer.Option(help="Of the domain: another seed, other names and facts.")] = 7,
    only: Annotated[list[str] | None, typer.Option(help="Only this line (repeat): real, untaught, lora-3.")] = None,
    runs: Annotated[int, typer.Option(min=1, help="Runs of each line, each with releases of its own.")] = 1,
    out: Annotated[
        Path | None, typer.Option(help="A folder that keeps everything; ./utility/knowledge if not.")
    ] = None,
    report: Annotated[bool, typer.Option("--report", help="Measure nothing: table and chart only.")] = False,
) -> None:
    """Ask readers of synthetic tables, of the real records and of no text about facts that nobody can know beforehand.

    Writes the invented records first. Repeated, it goes on where it was. Writes knowledge.md, knowledge.png and
    knowledge.json after every cell.
    """
    from dpsynth_assets.cli.knowledge.compare import compare

    compare(contract_at(Path(dataset)), seed=seed, only=only or (), runs=runs, out=out, report=report)
