"""`dpsynth card` and `dpsynth report`: where the pages on a release lie, and the gist of them on the terminal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from dpsynth_assets.cli.console import BadInput, console, contract_at, put, say, shown, variant_of
from dpsynth_assets.publish.card import CARD, DATA
from dpsynth_assets.publish.quality import FIGURES, REPORT, figure
from resources.home import Home

if TYPE_CHECKING:
    from resources.artifact_store import Artifact

Contract = Annotated[Path, typer.Argument(metavar="CONTRACT", help="The contract file.")]
Variant = Annotated[str | None, typer.Option("--variant", help="Of this release variant.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print it as data.")]


def card(path: Contract, variant: Variant = None, as_json: AsJson = False) -> None:
    """Show the certificate of the standing release, and where its page lies: what is guaranteed, what it cost, who
    approved, how good it is."""
    found = _standing(path, variant, "card", CARD)
    said = _data(found, DATA, as_json)
    if said is None:
        return
    say(
        (said["table"]["name"], "bold"),
        f", {said['table']['rows']:,} synthetic rows, release {said['table']['release']}.",
    )
    say(said["guarantee"]["in_words"])
    say(f"Quality rules {said['quality']['summary']}.")
    if (tested := said["usefulness"]) is not None:
        for each in tested["classifiers"]:
            say(
                f"{each['classifier']} of {tested['target']}, trained on {each['trained_on']}: right for "
                f"{each['accuracy']:.1%} of {tested['test_records']:,} public test records."
            )
    say("The page: ", (shown(found.folder / CARD), "bold"))


def report(path: Contract, variant: Variant = None, as_json: AsJson = False) -> None:
    """Show how good the newest synthetic rows are, published or not, and where the page lies: what failed, figures
    beside public rows, distributions, samples."""
    found = _standing(path, variant, "verdict", REPORT)
    said = _data(found, FIGURES, as_json)
    if said is None:
        return
    say((said["title"], "bold"), f", release {said['release']}: quality rules {said['summary']}.")
    for rule in said["rules"]:
        if not rule["passed"]:
            observed = ", ".join(
                f"{name.replace('_', ' ')} {figure(value)}" for name, value in rule["observed"].items()
            )
            mark = ("✗ ", "red") if rule["blocking"] else ("! ", "yellow")
            say(mark, (rule["name"], "bold"), f": {rule['description']}" + (f" Found: {observed}." if observed else ""))
    beside = any(each["of_halves"] is not None for each in said["figures"])  # there are public rows
    table = Table("figure", "this table", *(["two halves of the public rows"] if beside else []), "what it is")
    for each in said["figures"]:
        value = each["why_not"] or figure(each["value"])
        table.add_row(each["name"], value, *([figure(each["of_halves"])] if beside else []), each["meaning"])
    if said["figures"]:
        console().print(table)
    say("The page: ", (shown(found.folder / REPORT), "bold"))


def _standing(path: Path, variant: str | None, kind: str, page: str) -> Artifact:
    """The standing artifact with that page.

    Raises:
        BadInput: nothing has made it yet.
    """
    from resources.artifact_store import ArtifactStore

    contract = variant_of(contract_at(path), variant)
    found = ArtifactStore(home=str(Home.at().root)).find(contract.id, kind)
    if found is None or not (found.folder / page).is_file():
        named = f"{shown(path)}{f' --variant {variant}' if variant else ''}"
        raise BadInput(f"{contract.id} has no {page} yet: `dpsynth run {named}` makes it")
    return found


def _data(artifact: Artifact, name: str, as_json: bool) -> dict[str, Any] | None:
    """What an artifact's page says, as data; None where that was all that was asked for, and it is printed."""
    text = (artifact.folder / name).read_text(encoding="utf-8")
    if as_json:
        put(text.rstrip("\n"))
        return None
    said: dict[str, Any] = json.loads(text)
    return said
