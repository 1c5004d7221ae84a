"""`dpsynth run`: materializes a contract end to end and says what came of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dpsynth_assets.cli.console import REFUSED, BadInput, console, contract_at, put, require_source, say, variant_of
from dpsynth_assets.language.model_places import require_base_model
from dpsynth_assets.variants import name_of
from ledger import Ledger
from resources.home import Home

if TYPE_CHECKING:
    from dpsynth_assets.cli.running import Outcome
    from dpsynth_assets.contract import Contract


def run(
    contract: Annotated[Path, typer.Argument(help="A contract file.")],
    source: Annotated[str | None, typer.Option(help="A copy of the source, where the contract names one.")] = None,
    size: Annotated[float | None, typer.Option(help="Share of the units to use, in (0, 1], for a quick pass.")] = None,
    variant: Annotated[str | None, typer.Option(help="A release variant of the contract, such as lora-3.")] = None,
    only: Annotated[list[str] | None, typer.Option(help="Only this asset (repeat for more), such as corpus.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the result only.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Materialize a contract's assets. Every release is charged to the ledger first; a no ends with exit code 3."""
    chosen = variant_of(contract_at(contract), variant)
    raise typer.Exit(run_contract(chosen, source, size, tuple(only or ()), quiet=quiet or as_json, as_json=as_json))


def run_contract(
    contract: Contract,
    source: str | None = None,
    size: float | None = None,
    only: tuple[str, ...] = (),
    *,
    quiet: bool = False,
    as_json: bool = False,
) -> int:
    """Run it, or the partition of the release variant that it is, show the outcome, and give the exit code."""
    from dpsynth_assets import variants

    if size is not None and not 0 < size <= 1:
        raise BadInput(f"--size is a share in (0, 1], not {size}")
    if only and (source or size) and "source" not in only:
        raise BadInput("--source and --size decide about the snapshot: add `source` to --only, or leave them out")
    if source is not None:
        require_source(contract, source)
    home = Home.at()
    if not only:  # which may be of what stands
        require_base_model(contract)
    Ledger(home.ledger_file)  # fails closed, before Dagster and the models are loaded
    if not quiet:
        named = f" · variant {variants.name_of(contract)}" if contract.base else ""
        say(
            (contract.title, "bold"),
            f"{named} · population {contract.privacy.population} · "
            f"budget ε {contract.privacy.budget.epsilon:g} at δ {contract.privacy.budget.delta:g}",
        )

    from dpsynth_assets.cli.running import materialize
    from dpsynth_assets.factory import asset_names

    names = asset_names(contract)
    if unknown := sorted(set(only) - set(names)):
        raise BadInput(f"--only {', '.join(unknown)}: the contract's assets are {', '.join(names)}")
    outcome = materialize(
        contract.declared,
        home,
        source=source,
        size=size,
        only=only or (names if contract.base else ()),  # a variant has no baseline
        partition=variants.name_of(contract),
        out=None if quiet else console(),
    )
    if as_json:
        put(json.dumps(_as_json(contract, home, outcome), indent=2))
    else:
        _show(contract, home, outcome)
    return 0 if outcome.success else REFUSED if outcome.refusal else 1


def _show(contract: Contract, home: Home, outcome: Outcome) -> None:
    from dpsynth_assets.cli import summary

    if outcome.refusal:
        summary.show_refusal(contract, home, outcome)
    elif not outcome.success:
        summary.show_failure(outcome)
    else:
        summary.show_success(contract, home, outcome)


def _as_json(contract: Contract, home: Home, outcome: Outcome) -> dict[str, object]:
    from dpsynth_assets.cli import summary

    return {
        "contract": contract.declared.id,
        "variant": name_of(contract) if contract.privacy.variants else None,
        "run": outcome.run_id,
        "success": outcome.success,
        "seconds": round(outcome.seconds, 1),
        "refusal": outcome.refusal,
        "failures": outcome.failures,
        "checks_failed": outcome.checks_failed,
        **summary.figures(contract, home),
    }
