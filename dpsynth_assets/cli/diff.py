"""`dpsynth diff`: what a contract's privacy terms changed, and which changes need approval."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from dpsynth_assets.cli.console import BadInput, console, contract_at, say
from dpsynth_assets.cli.signing import say_who_stands
from dpsynth_assets.contract.diff import changes, terms_for_approval
from dpsynth_assets.gate.approval import needs
from resources.heads import open_ledger
from resources.home import Home

if TYPE_CHECKING:
    from ledger import Ledger


def diff(
    contract: Annotated[Path, typer.Argument(help="A contract file.")],
    against: Annotated[
        Path | None, typer.Argument(help="An earlier version of it; what was approved last unless given.")
    ] = None,
) -> None:
    """Compare a contract's privacy terms with those approved, or with another file. Exit code 1 if some are weaker."""
    read = contract_at(contract)
    say_who_stands(read)
    if against:
        before, after = terms_for_approval(contract_at(against)), terms_for_approval(read)
    else:
        book = open_ledger(Home.at())
        before, after = _approved(read.id, book), terms_for_approval(read.seen_from(book.folder))
    found = changes(before, after)
    if found:
        table = Table("term", "before", "now", "less protection?")
        for change in found:
            weaker = Text(f"yes: {change.weakens}", style="red") if change.weakens else Text("no", style="green")
            values = (change.before, change.after)
            table.add_row(change.term, *(Text("—" if v is None else str(v)) for v in values), weaker)
        console().print(table)
    else:
        say("No privacy term differs.")
    if against is None:
        needs(read, book)  # TermsConflict where it changes what never changes about its population
    if any(change.refused for change in found):
        say("What never changes about a population cannot be signed: set it back, or name another population.")
    elif any(change.weakens for change in found):
        say("What gives less protection needs two signatures before anything runs: ", ("dpsynth approve", "bold"), ".")
    if any(change.weakens for change in found):
        raise typer.Exit(1)


def _approved(contract_id: str, book: Ledger) -> dict[str, object]:
    approved = book.terms(contract_id)
    if approved is None:
        raise BadInput(f"nothing was ever approved about contract {contract_id}: give an earlier file to compare with")
    return approved
