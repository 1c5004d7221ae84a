"""`dpsynth run`: materializes a contract end to end and says what came of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
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
    from resources.artifact_store import Artifact


def run(
    contract: Annotated[Path, typer.Argument(help="A contract file.")],
    source: Annotated[str | None, typer.Option(help="A copy of the source, where the contract names one.")] = None,
    size: Annotated[float | None, typer.Option(help="Share of the units to use, in (0, 1], for a quick pass.")] = None,
    variant: Annotated[str | None, typer.Option(help="A release variant of the contract, such as lora-3.")] = None,
    only: Annotated[list[str] | None, typer.Option(help="Only this asset (repeat for more), such as corpus.")] = None,
    again: Annotated[
        list[str] | None, typer.Option(help="Pay for this release again, such as adapter, though one stands.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the result only.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Materialize a contract's assets. Every release is charged to the ledger first; a no ends with exit code 3.

    Releases that stand are used and not charged again, so after a kill, a full disk or a failure the same command goes
    on. `--again` and `--only` ask for a release by its name, which is then charged.
    """
    chosen = variant_of(contract_at(contract), variant)
    parts = {"only": tuple(only or ()), "again": tuple(again or ())}
    raise typer.Exit(run_contract(chosen, source, size, **parts, quiet=quiet or as_json, as_json=as_json))


def run_contract(
    contract: Contract,
    source: str | None = None,
    size: float | None = None,
    *,
    only: tuple[str, ...] = (),
    again: tuple[str, ...] = (),
    quiet: bool = False,
    as_json: bool = False,
) -> int:
    """Run it, or the partition of the release variant that it is, show the outcome, and give the exit code."""
    from dpsynth_assets import variants

    if size is not None and not 0 < size <= 1:
        raise BadInput(f"--size is a share in (0, 1], not {size}")
    if only and (source or size) and "source" not in only:
        raise BadInput("--source and --size decide about the snapshot: add `source` to --only, or leave them out")
    if only and again:
        raise BadInput("--only makes what it names again, whatever stands: leave --again out")
    if source is not None:
        require_source(contract, source)
    home = Home.at()
    if not only:  # which may be of what stands
        require_base_model(contract)
    book = Ledger(home.ledger_file)  # fails closed, before Dagster and the models are loaded
    if not quiet:
        named = f" · variant {variants.name_of(contract)}" if contract.base else ""
        say(
            (contract.title, "bold"),
            f"{named} · population {contract.privacy.population} · "
            f"budget ε {contract.privacy.budget.epsilon:g} at δ {contract.privacy.budget.delta:g}",
        )

    from dpsynth_assets.cli.going_on import require_planned, say_what_stands, standing_parts
    from dpsynth_assets.cli.running import materialize
    from dpsynth_assets.factory import asset_names
    from dpsynth_assets.gate.resumption import clear_ended
    from resources.sensitive_store import SensitiveStore

    require_planned(contract, again)
    if home.ledger_file.exists():
        clear_ended(book, SensitiveStore(home=str(home.root)))
    names = asset_names(contract)
    if unknown := sorted(set(only) - set(names)):
        raise BadInput(f"--only {', '.join(unknown)}: the contract's assets are {', '.join(names)}")
    used: Mapping[str, Artifact] = {}
    left_out: set[str] = set()
    if not only:
        resnapshot = source is not None or size is not None
        used, left_out = standing_parts(contract, home, size, anew=again, resnapshot=resnapshot)
        if not quiet:
            say_what_stands(used, contract)
    outcome = materialize(
        contract.declared if contract.privacy.variants else contract,  # one that has no partitions is by itself
        home,
        source=source,
        size=size,
        only=only or tuple(name for name in names if name not in left_out),
        partition=variants.name_of(contract),
        out=None if quiet else console(),
    )
    if as_json:
        put(json.dumps(_as_json(contract, home, outcome, used), indent=2))
    else:
        asked = {"--source": (source,), "--size": (size,), "--only": only, "--again": again}
        _show(contract, home, outcome, asked)
    return 0 if outcome.success else REFUSED if outcome.refusal else 1


def _show(contract: Contract, home: Home, outcome: Outcome, asked: Mapping[str, tuple[object, ...]]) -> None:
    from dpsynth_assets.cli import summary

    if outcome.stopped:
        summary.show_stopped(contract, home, outcome, asked)
    elif outcome.refusal:
        summary.show_refusal(contract, home, outcome)
    elif not outcome.success:
        summary.show_failure(contract, home, outcome, asked)
    else:
        summary.show_success(contract, home, outcome)


def _as_json(contract: Contract, home: Home, outcome: Outcome, used: Mapping[str, Artifact]) -> dict[str, object]:
    from dpsynth_assets.cli import summary

    return {
        "contract": contract.declared.id,
        "variant": name_of(contract) if contract.privacy.variants or contract.base else None,
        "run": outcome.run_id,
        "success": outcome.success,
        "stopped": outcome.stopped,
        "seconds": round(outcome.seconds, 1),
        "refusal": outcome.refusal,
        "failures": outcome.failures,
        "checks_failed": outcome.checks_failed,
        "used_as_it_stands": {name: artifact.id for name, artifact in used.items()},
        **summary.figures(contract, home),
    }
