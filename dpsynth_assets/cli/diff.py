"""`dpsynth diff`: what a contract's privacy terms changed, and which changes need approval."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dpsynth_assets.cli.console import BadInput, console, contract_at, say
from dpsynth_assets.cli.signing import say_who_stands


def diff(
    contract: Annotated[Path, typer.Argument(help="A contract file.")],
    against: Annotated[
        Path | None, typer.Argument(help="An earlier version of it; what was approved last unless given.")
    ] = None,
) -> None:
    """Compare a contract's privacy terms with those approved, or with another file. Exit code 1 if some are weaker."""
    from rich.table import Table
    from rich.text import Text

    from dpsynth_assets.contract.diff import changes, terms_for_approval

    read = contract_at(contract)
    before = terms_for_approval(contract_at(against)) if against else _approved(read.id)
    found = changes(before, terms_for_approval(read))
    say_who_stands(read)
    if not found:
        say("No privacy term differs.")
        return
    table = Table("term", "before", "now", "less protection?")
    for change in found:
        weaker = Text(f"yes: {change.weakens}", style="red") if change.weakens else Text("no", style="green")
        table.add_row(change.term, *(Text("—" if v is None else str(v)) for v in (change.before, change.after)), weaker)
    console().print(table)
    if any(change.weakens for change in found):
        say("What gives less protection needs two signatures before anything runs: ", ("dpsynth approve", "bold"), ".")
        raise typer.Exit(1)


def _approved(contract_id: str) -> dict[str, object]:
    from ledger import Ledger
    from resources.home import Home

    approved = Ledger(Home.at().ledger_file).terms(contract_id)
    if approved is None:
        raise BadInput(f"nothing was ever approved about contract {contract_id}: give an earlier file to compare with")
    return approved
