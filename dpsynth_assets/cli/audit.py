"""`dpsynth audit`: what was spent, on what, what was refused; `dpsynth audit verify`: is the ledger intact."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dpsynth_assets.cli.console import console, fail, say

if TYPE_CHECKING:
    from ledger import Statement

app = typer.Typer(help="What was spent, on what, and is the ledger intact.", invoke_without_command=True)


@app.callback()
def show(
    context: typer.Context,
    population: Annotated[str | None, typer.Option(help="Only this population.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the statements as JSON.")] = False,
) -> None:
    """Show budget, charges, refusals and guarantee of every population."""
    if context.invoked_subcommand is not None:
        return
    from ledger import Ledger
    from resources.home import Home

    book = Ledger(Home.at().ledger_file)
    statements = [book.statement(name) for name in ([population] if population else book.populations())]
    if as_json:
        typer.echo(json.dumps([_as_json(statement) for statement in statements], indent=2, default=_plain))
        return
    for statement in statements:
        _show(statement)
    if not statements:
        say("The ledger is empty: nothing has been registered or spent.")


@app.command()
def verify() -> None:
    """Recompute the ledger's chain and every admission. Exit code 1 if anything does not hold."""
    from ledger import Ledger
    from resources.home import Home

    path = Home.at().ledger_file
    book = Ledger(path)
    problems = book.verify()
    for problem in problems:
        fail(problem)
    if problems:
        raise typer.Exit(1)
    say(f"[green]✓[/] The ledger at {path} is intact: {len(book.entries())} entries, every one recomputed.")


def _as_json(statement: Statement) -> dict[str, Any]:
    return {
        "ledger": statement.ledger_id,
        "balance": dataclasses.asdict(statement.balance),
        "guarantee": statement.guarantee,
        "charges": [
            {**dataclasses.asdict(charge), "event": charge.event.to_json()} for charge in statement.reservations
        ],
        "refusals": [
            {
                "seq": entry.seq,
                "time": entry.time,
                "release": entry.release,
                "owner": entry.owner,
                "event": entry.event.to_json() if entry.event else None,
            }
            for entry in statement.refusals
        ],
        "head": {"seq": statement.head.seq, "hash": statement.head.hash},
    }


def _show(statement: Statement) -> None:
    from rich.table import Table

    out, balance = console(), statement.balance
    say(f"[bold]{balance.population}[/]: {statement.guarantee}")
    say(
        f"  cap ε {balance.epsilon_cap:g} at δ {balance.delta:g} · spent [bold]{balance.epsilon_spent:.3f}[/] "
        f"(of it reserved {balance.epsilon_reserved:.3f}) · left [bold]{balance.epsilon_remaining:.3f}[/]"
    )
    reported = f"  beside it, enforced nowhere: basic sum ε {balance.basic_sum_epsilon:.3f}"
    if balance.pld_epsilon is not None:
        reported += f", PLD ε {balance.pld_epsilon:.3f} (holds for a plan fixed in advance)"
    say(reported, style="dim")
    table = Table(title="charges", title_justify="left")
    for heading in ("release", "mechanism", "ε alone", "state", "run"):
        table.add_column(heading, justify="right" if heading == "ε alone" else "left")
    for charge in statement.reservations:
        state = {"committed": "[green]committed[/]", "voided": "[dim]voided: not charged[/]"}.get(
            charge.state, f"[yellow]{charge.state}: charged[/]"
        )
        table.add_row(charge.release, charge.event.describe(), f"{charge.epsilon_alone:.3f}", state, charge.owner[:8])
    out.print(table)
    if statement.refusals:
        refused = Table(title="refused, nothing read", title_justify="left")
        for heading in ("entry", "when", "release", "mechanism", "run"):
            refused.add_column(heading)
        for entry in statement.refusals:
            mechanism = entry.event.describe() if entry.event else ""
            refused.add_row(str(entry.seq), entry.time[:19], str(entry.release), mechanism, str(entry.owner or "")[:8])
        out.print(refused)


def _plain(value: object) -> str:
    return str(value)
