"""`dpsynth plan`: what each release would cost and what would remain, before anything is spent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dpsynth_assets.cli.console import console, contract_at, say, shown

if TYPE_CHECKING:
    from dpsynth_assets.contract import Contract
    from ledger import Quote


def plan(
    contract: Annotated[Path, typer.Argument(help="A contract file.")],
    size: Annotated[float, typer.Option(help="Plan a quick pass over this share of the units.")] = 1.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the plan as JSON.")] = False,
) -> None:
    """Show what the releases of a contract would cost now. Spends nothing, reads no row."""
    from dpsynth_assets.privacy.histogram import HistogramPlan
    from dpsynth_assets.privacy.plan import TrainingPlan
    from ledger import Ledger, Scope, quote_unregistered
    from resources.home import Home

    read = contract_at(contract)
    terms = read.privacy
    plans: dict[str, Any] = {
        "label_histogram": HistogramPlan.from_contract(read),
        "adapter": TrainingPlan.from_contract(read, size=size),
    }
    events = tuple(each.event() for each in plans.values())
    scope = Scope(
        population=terms.population,
        unit=terms.unit.name,
        neighbouring_relation=terms.unit.neighbouring_relation,
        epsilon=terms.budget.epsilon,
        delta=terms.budget.delta,
        planned=events,
    )
    ledger_file = Home.at().ledger_file
    quote = Ledger(ledger_file).quote(scope, events) if ledger_file.exists() else quote_unregistered(scope, events)
    if as_json:
        typer.echo(json.dumps(_as_json(quote, plans), indent=2))
    else:
        _show(read, quote, plans, ledger_exists=ledger_file.exists())


def _as_json(quote: Quote, plans: dict[str, Any]) -> dict[str, Any]:
    return {
        "population": quote.population,
        "epsilon_cap": quote.epsilon_cap,
        "delta": quote.delta,
        "epsilon_spent": quote.epsilon_spent,
        "admitted": quote.admitted,
        "releases": {
            name: {
                "epsilon_alone": line.epsilon_alone,
                "epsilon_spent_after": line.epsilon_spent,
                "epsilon_remaining_after": line.epsilon_remaining,
                "admitted": line.admitted,
                "plan": plans[name].describe(),
            }
            for name, line in zip(plans, quote.lines, strict=True)
        },
    }


def _show(contract: Contract, quote: Quote, plans: dict[str, Any], *, ledger_exists: bool) -> None:
    from rich.table import Table

    out, terms = console(), contract.privacy
    say(
        f"[bold]{contract.title}[/] draws on the budget of population [bold]{terms.population}[/]: "
        f"ε {quote.epsilon_cap:g} at δ {quote.delta:g}, adding or removing one {terms.unit.name}. "
        f"Spent so far: ε {quote.epsilon_spent:.3f}."
    )
    table = Table()
    for heading in ("release", "mechanism", "ε alone", "spent after", "left after", "ledger says"):
        table.add_column(heading, justify="left" if heading in ("release", "mechanism", "ledger says") else "right")
    table.columns[0].no_wrap = True
    for name, line in zip(plans, quote.lines, strict=True):
        table.add_row(
            name,
            line.event.describe(),
            f"{line.epsilon_alone:.3f}",
            f"{line.epsilon_spent:.3f}",
            f"{line.epsilon_remaining:.3f}",
            "[green]yes[/]" if line.admitted else "[red]no[/]",
        )
    out.print(table)
    mechanism = plans["adapter"].mechanism
    say(
        f"The adapter trains {mechanism.steps} steps; each samples every {terms.unit.name} with probability "
        f"{mechanism.sampling_rate:.4g}, clips to {mechanism.clipping_norm:g}, and adds noise of "
        f"{mechanism.noise_multiplier:.3f} times the clip.",
        style="dim",
    )
    if not ledger_exists:
        say("There is no ledger here yet: [bold]dpsynth init[/] makes one.")
    elif quote.admitted:
        say(f"Nothing was spent. Next: [bold]dpsynth run {shown(contract.path)}[/]")
    else:
        say(
            "Nothing was spent. What stands can be used without limit ([bold]dpsynth sql[/]); more needs a larger "
            "budget in the contract, approved by its owners."
        )
