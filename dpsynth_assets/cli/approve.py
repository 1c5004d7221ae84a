"""`dpsynth approve`: the signatures of two people under what a contract asks of the ledger."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from dpsynth_assets.cli.console import BadInput, console, contract_at, say, shown
from dpsynth_assets.cli.signing import KeyOption, SignatureOption, sign_all
from dpsynth_assets.gate.approval import needs, people_differ, people_of
from resources.heads import open_ledger
from resources.home import Home

if TYPE_CHECKING:
    from ledger import Ledger


def approve(
    contract: Annotated[Path | None, typer.Argument(help="A contract file.")] = None,
    actor: Annotated[str | None, typer.Option("--as", help="Who signs: one of the population's people.")] = None,
    reason: Annotated[str | None, typer.Option(help="Why, in a line; it stands in the ledger for good.")] = None,
    key: KeyOption = None,
    signature: SignatureOption = None,
    listing: Annotated[bool, typer.Option("--list", help="Show what was asked for and what became of it.")] = False,
) -> None:
    """Sign for a contract: its population's budget, a raised cap, weaker terms. The first signature asks, a second
    one by an approver who is somebody else makes it so. Lowering a cap takes one. Who may sign stands in the ledger
    (`dpsynth people`); whoever has a key there signs with it."""
    book = open_ledger(Home.at())
    if listing:
        _show(book)
        return
    if contract is None:
        raise BadInput("give a contract, or --list")
    read = contract_at(contract)
    lacking = needs(read, book)
    if differ := people_differ(read, book):
        say(f"Note: {differ}.")
    if not lacking:
        say(f"Nothing to sign: contract {read.id} is approved as it stands.")
        return
    if actor is None or reason is None:
        say("Contract ", (read.id, "bold"), " needs two signatures under")
        for need in lacking:
            say(f"  - {need.what}")
        stand = book.people(read.privacy.population) or book.people()
        say(f"Who may sign: {stand or 'whom the contract names: ' + str(people_of(read, book))}.")
        say(f"Sign with: dpsynth approve {shown(read.path)} --as NAME --reason TEXT")
        raise typer.Exit(1)
    before = len(book.entries())
    sign_all(lacking, book, actor=actor, reason=reason, key=key, signatures=signature, name=read.id)
    if len(book.entries()) == before:
        raise BadInput(
            "nothing was signed now: this is asked for already, and an approver who did not ask has to agree, by "
            f"dpsynth approve {read.file} --as NAME --reason TEXT"
        )
    if not needs(read, book):
        say("Contract ", (read.id, "bold"), " is approved. Next: ", (f"dpsynth run {shown(read.path)}", "bold"))


def _show(book: Ledger) -> None:
    table = Table()
    for heading in ("entry", "when", "asked for by", "what", "reason", "signed", "effect"):
        table.add_column(heading)
    authenticated = True
    effects = {entry.seq: entry for entry in book.entries()}
    for each in book.proposals():
        change = each.change
        about = change.get("contract") or change.get("population") or "the ledger"
        what = f"{change['kind'].replace('_', ' ')}: {about}"
        if "epsilon" in change:
            what += f", ε {change['epsilon']:g}"
        done, by_key = "waits for an approver", each.signed
        if each.effect:
            effect = effects[each.effect]
            done, by_key = f"entry {each.effect} by {effect.owner}", by_key and bool(effect.payload.get("signature"))
        elif each.overtaken:
            done = f"none: overtaken by entry {each.overtaken}"
        authenticated = authenticated and by_key
        table.add_row(
            str(each.seq), each.time[:19], each.actor, what, each.reason, "by key" if by_key else "by name only", done
        )
    console().print(table)
    if not authenticated:
        say("By name only: these names are unauthenticated. `dpsynth people key` enrols keys.")
