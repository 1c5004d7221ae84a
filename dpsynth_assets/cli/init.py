"""`dpsynth init`: makes the home folder and its empty privacy ledger."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dpsynth_assets.cli.console import BadInput, say
from dpsynth_assets.cli.ledger_place import server_of
from dpsynth_assets.contracts_folder import contract_files
from ledger import People
from ledger.addresses import Address
from resources.heads import create_ledger
from resources.home import Home


def init(
    owner: Annotated[
        list[str] | None, typer.Option(help="Who may ask for new populations here: NAME, or NAME=KEY.pub (repeat).")
    ] = None,
    approver: Annotated[
        list[str] | None, typer.Option(help="Who may also agree to them: NAME, or NAME=KEY.pub (repeat).")
    ] = None,
    ledger: Annotated[
        str | None,
        typer.Option(
            envvar="DPSYNTH_LEDGER", help="Where the ledger lies, if not in the home: postgresql://USER@HOST/DATABASE."
        ),
    ] = None,
) -> None:
    """Make the home folder ($DPSYNTH_HOME, or .dpsynth here) and an empty privacy ledger.

    An explicit step: a ledger that goes missing must stop everything instead of starting anew with a full budget.
    With --owner and --approver only these people may register a population in it; without, whoever comes first names
    a population's people.
    """
    home = Home.at()
    people = _people(owner or [], approver or [])
    address = server_of(ledger) if ledger else None
    if home.has_ledger:
        if people is not None:
            raise BadInput(f"{home.ledger_name} is there already: its people change by `dpsynth people set`")
        say(f"There is a ledger at {home.ledger_name} already; it stays as it is.")
        if address is not None and str(address) != home.ledger_name:
            raise BadInput(f"it is not at {address}: `dpsynth ledger move` moves it there")
        return
    create_home(home, people, address)
    say("Made an empty privacy ledger at ", (home.ledger_name, "bold"), ".")
    if people is None:
        say("Whoever registers a population names its people: give --owner and --approver to name who may.")
    if (first := next(iter(contract_files()), None)) is None:
        say("Next: ", ("dpsynth new FILE", "bold"), " drafts a contract from the columns of a source.")
    else:
        say("Next: ", (f"dpsynth plan {first}", "bold"), " shows what its releases would cost.")


def create_home(home: Home, people: People | None = None, address: Address | None = None) -> None:
    """The home folder and its empty ledger, with the people who may register populations in it, if any; on the
    server at that address, or else in its file."""
    home.create()
    create_ledger(home, people, address)


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
