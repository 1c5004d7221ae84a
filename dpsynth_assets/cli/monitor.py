"""`dpsynth monitor`: new texts beside the published synthetic table, for whoever holds them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from dpsynth_assets.cli.console import BadInput, console, contract_at, put, say, shown, variant_of
from dpsynth_assets.cli.ended_early import called
from dpsynth_assets.contract.addresses import is_fixed
from resources.home import Home

if TYPE_CHECKING:
    from dpsynth_assets.contract import Contract
    from resources.checks import Check

_WORDS = 8  # on each side
_STYLES = {"drift": "red", "no drift": "green", "": ""}  # of one comparison; else it cannot be told
_CODES = {"no drift": 0, "first": 0, "drift": 1, "too few": 2, "cannot be told": 2}


def monitor(
    path: Annotated[Path, typer.Argument(metavar="CONTRACT", help="The contract file.")],
    file: Annotated[
        str | None, typer.Argument(help="A file of new texts, written like the source; none: show the last check.")
    ] = None,
    variant: Annotated[str | None, typer.Option(help="Compare with the table of this release variant.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as data.")] = False,
) -> None:
    """Compare new texts with the published synthetic table: labels, lengths, words and meaning. Exit code 0: no drift,
    1: drift, 2: it cannot be said.

    What this prints is as sensitive as the new texts: it is computed from them, outside any release. It is kept in the
    sensitive store, with a page, for as long as the contract's retention."""
    contract = variant_of(contract_at(path), variant)
    home = Home.at()
    from dpsynth_assets.assets.monitored import put_page

    found = put_page(contract, home) if file is None else _check(contract, file, home)
    if found is None:
        raise BadInput(f"no batch of {contract.id} was checked yet, or none is kept: name a file of new texts")
    check, where = found
    if as_json:
        put(json.dumps(check.result | {"page": str(where)}, indent=2, allow_nan=False))
    else:
        _show(check.result, where)
    raise typer.Exit(_CODES[check.result["verdict"]])


def _check(contract: Contract, file: str, home: Home) -> tuple[Check, Path]:
    from dpsynth_assets.assets.monitored import check_batch, yardstick
    from dpsynth_assets.assets.proof import UnprovenError
    from dpsynth_assets.gate.sources import is_protected
    from resources.artifact_store import ArtifactStore

    if not is_fixed(file) and "*" not in file and not Path(file).exists():
        raise BadInput(f"{file}: there is no such file of new texts")
    place = file if is_fixed(file) else str(Path(file).expanduser().absolute())
    if is_protected(place, contract, home.sensitive):
        raise BadInput(
            f"{file} is the contract's source, or a copy of it, and not new texts: its rows are read under a charge, "
            "and for nothing else"
        )
    if ArtifactStore(home=str(home.root)).find(contract.id, "synthetic") is None:
        raise BadInput(
            f"{contract.id} has no published table to compare with: `dpsynth run {called(contract)}` makes one"
        )
    try:
        beside = yardstick(contract, home)
    except UnprovenError as error:
        raise BadInput(f"nothing was compared: {error}") from None
    return check_batch(beside, place, Path(file).name, home)


def _show(result: dict[str, Any], where: Path) -> None:
    from dpsynth_assets.monitoring import page

    say((result["batch"], "bold"), f": {page.counted(result)}.")
    if result["statistics"]:
        table = Table("in", "observed", "by chance, up to", "p", "size", "allowed", "")
        for each in result["statistics"]:
            figures = (each[name] for name in ("observed", "by_chance", "p_value", "size"))
            limit = "" if each["limit"] is None else f"{each['limit']:.3f}"
            said = page.outcome(each)
            style = _STYLES.get(said, "yellow")
            table.add_row(page.called(each), *(f"{figure:.3f}" for figure in figures), limit, Text(said, style))
        console().print(table)
        say(f"{result['compared']:,} were compared with {result['table_texts']:,} of release {result['release']}.")
        say("Called drift: what is beyond chance, and whose size (observed, with chance taken off) is above allowed.")
        for name, words in _moved(result["shown"]["words"]):
            say(f"{name}: {', '.join(words)}")
    style = {"drift": "bold red", "no drift": "bold green"}.get(result["verdict"], "bold")
    say((page.sentence(result), style))
    say("The page: ", (shown(where), "bold"))
    say(
        "Sensitive: computed from the new texts, outside any release. For those who may read them; base no release on "
        "it.",
        style="dim",
    )


def _moved(words: list[dict[str, Any]]) -> list[tuple[str, list[str]]]:
    more = [each["word"] for each in words if each["batch"] > each["table"]][:_WORDS]
    fewer = [each["word"] for each in words if each["batch"] <= each["table"]][:_WORDS]
    return [(name, some) for name, some in (("More often", more), ("Less often", fewer)) if some]
