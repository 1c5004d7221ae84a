"""`dpsynth init`: makes the home folder and its empty privacy ledger."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dpsynth_assets.cli.console import BadInput, say
from ledger import People
from resources.heads import create_ledger
from resources.home import Home


def init(
    owner: Annotated[
        list[str] | None, typer.Option(help="Who may ask for new populations here: NAME, or NAME=KEY.pub (repeat).")
    ] = None,
    approver: Annotated[
        list[str] | None, typer.Option(help="Who may also agree to them: NAME, or NAME=KEY.pub (repeat).")
    ] = None,
) -> None:
    """Make the home folder ($DPSYNTH_HOME, or .dpsynth here) and an empty privacy ledger.

    An explicit step: a ledger that goes missing must stop everything instead of starting anew with a full budget.
    With --owner and --approver only these people may register a population in it; without, whoever comes first names
    a population's people.
    """
    home = Home.at()
    people = _people(owner or [], approver or [])
    if home.ledger_file.exists():
        if people is not None:
            raise BadInput(f"{home.ledger_file} is there already: its people change by `dpsynth people set`")
        say(f"There is a ledger at {home.ledger_file} already; it stays as it is.")
        return
    create_home(home, people)
    say("Made an empty privacy ledger at ", (str(home.ledger_file), "bold"), ".")
    if people is None:
        say("Whoever registers a population names its people: give --owner and --approver to name who may.")
    say("Next: ", ("dpsynth plan contracts/inbox.odcs.yaml", "bold"), " shows what its releases would cost.")


def create_home(home: Home, people: People | None = None) -> None:
    """The home folder and its empty ledger, with the people who may register populations in it, if any."""
    home.create()
    create_ledger(home, people)


def _people(owners: list[str], approvers: list[str]) -> People | None:
    if not owners and not approvers:
        return None
    named: list[str] = []
    keys = {}
    for text in (*owners, *approvers):
        name, _, path = text.partition("=")
        named.append(name)
        if path:
            try:
                keys[name] = Path(path).expanduser().read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise BadInput(f"{path} cannot be read ({type(error).__name__}): give the .pub file") from None
    return People(tuple(named[: len(owners)]), tuple(named[len(owners) :]), keys)
