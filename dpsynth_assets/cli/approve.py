"""`dpsynth approve`: the signatures of two people under what a contract asks of the ledger."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dpsynth_assets.cli.console import BadInput, console, contract_at, say, shown

if TYPE_CHECKING:
    from ledger import Ledger


def approve(
    contract: Annotated[Path | None, typer.Argument(help="A contract file.")] = None,
    actor: Annotated[str | None, typer.Option("--as", help="Who signs: an owner or approver of the contract.")] = None,
    reason: Annotated[str | None, typer.Option(help="Why, in a line; it stands in the ledger for good.")] = None,
    listing: Annotated[bool, typer.Option("--list", help="Show what was asked for and what became of it.")] = False,
) -> None:
    """Sign for a contract: its population's budget, a raised cap, weaker terms. The first signature asks, a second
    one by an approver who is somebody else makes it so. Lowering a cap takes one."""
    from dpsynth_assets.approval import needs, sign
    from resources.heads import open_ledger
    from resources.home import Home

    book = open_ledger(Home.at())
    if listing:
        _show(book)
        return
    if contract is None:
        raise BadInput("give a contract, or --list")
    read = contract_at(contract)
    lacking = needs(read, book)
    if not lacking:
        say(f"Nothing to sign: contract {read.id} is approved as it stands.")
        return
    if actor is None or reason is None:
        say("Contract ", (read.id, "bold"), " needs two signatures under")
        for need in lacking:
            say(f"  - {need.what}")
        say(f"Owners: {', '.join(read.owners)}. Approvers: {', '.join(read.approvers)}.")
        say(f"Sign with: dpsynth approve {shown(read.path)} --as NAME --reason TEXT")
        raise typer.Exit(1)
    for line in sign(read, book, actor=actor, reason=reason):
        say(line)
    if not needs(read, book):
        say("Contract ", (read.id, "bold"), " is approved. Next: ", (f"dpsynth run {shown(read.path)}", "bold"))


def _show(book: Ledger) -> None:
    from rich.table import Table

    table = Table()
    for heading in ("entry", "when", "asked for by", "what", "reason", "effect"):
        table.add_column(heading)
    for each in book.proposals():
        change = each.change
        about = change.get("population") or change.get("contract")
        what = f"{change['kind'].replace('_', ' ')}: {about}"
        if "epsilon" in change:
            what += f", ε {change['epsilon']:g}"
        done = f"entry {each.effect}" if each.effect else "waits for an approver"
        table.add_row(str(each.seq), each.time[:19], each.actor, what, each.reason, done)
    console().print(table)
