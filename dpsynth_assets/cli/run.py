"""`dpsynth run`: says what a contract's run costs, asks, materializes it end to end, and says what came of it."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dpsynth_assets.cli.charged import charged_in
from dpsynth_assets.cli.charged_too import charged_too
from dpsynth_assets.cli.console import (
    REFUSED,
    STOPPED,
    BadInput,
    console,
    contract_at,
    fail,
    put,
    require_source,
    variant_of,
)
from dpsynth_assets.cli.costs import costs_of, require_agreed, say_costs
from dpsynth_assets.cli.ended_early import Asked, goes_on_by, say_stopped
from dpsynth_assets.gate.approval import require_approved
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
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Charge what it costs without asking.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the result only.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Materialize a contract's assets. Shows what that costs, and asks before anything is charged; a no of the ledger
    ends with exit code 3. Without a terminal, and where only the result is printed, --yes says what nobody is asked.

    Releases that stand are used and not charged again, so after a kill, a full disk or a failure the same command goes
    on. `--again` and `--only` ask for a release by its name, which is then charged.
    """
    chosen = variant_of(contract_at(contract), variant)
    parts = {"only": tuple(only or ()), "again": tuple(again or ())}
    raise typer.Exit(run_contract(chosen, source, size, **parts, yes=yes, quiet=quiet or as_json, as_json=as_json))


def run_contract(
    contract: Contract,
    source: str | None = None,
    size: float | None = None,
    *,
    only: tuple[str, ...] = (),
    again: tuple[str, ...] = (),
    yes: bool = False,
    quiet: bool = False,
    as_json: bool = False,
) -> int:
    """Say what running it, or the partition of the release variant that it is, costs; ask, unless `yes`; run it, show
    the outcome, and give the exit code."""
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
    asked: Asked = {"--source": (source,), "--size": (size,), "--only": only, "--again": again}
    try:
        used, making = _parts(contract, home, book, source, size, only=only, again=again)
        costs = costs_of(contract, home, _size(contract, home, size, making), making)
        if costs.due or "source" in making:
            require_approved(contract, book)
        if not quiet:
            say_costs(contract, home, used, making, costs)
        if costs.charged and not yes:
            require_agreed(contract, costs, quiet=quiet)
            now = costs_of(contract, home, _size(contract, home, size, making), making)
            if now.charged != costs.charged:  # another run was quicker, while somebody thought about it
                raise BadInput("what this run would be charged is not what was shown any more: ask for it again")
    except (KeyboardInterrupt, typer.Abort):
        if as_json:
            put(json.dumps({"contract": contract.declared.id, "success": False, "stopped": True}))
        else:
            say_stopped(contract, home, None, asked)
        return STOPPED
    from dpsynth_assets.cli.interrupts import one_interrupt
    from dpsynth_assets.cli.running import materialize

    with one_interrupt():
        try:
            outcome = materialize(
                contract.declared if contract.privacy.variants else contract,  # one without partitions is by itself
                home,
                source=source,
                size=size,
                only=making,
                partition=name_of(contract),
                agreed=costs.anew,
                out=None if quiet else console(),
            )
        except KeyboardInterrupt:  # where Dagster does not take it for the run's end
            command = goes_on_by(contract, home, None, asked)
            fail(f"stopped: what was charged stays (`dpsynth audit` shows it), and {command} goes on")
            return STOPPED
        if as_json:
            put(json.dumps(_as_json(contract, home, outcome, used), indent=2))
        else:
            _show(contract, home, outcome, asked)
    if outcome.stopped:
        return STOPPED
    return 0 if outcome.success else REFUSED if outcome.refusal else 1


def _parts(
    contract: Contract,
    home: Home,
    book: Ledger,
    source: str | None,
    size: float | None,
    *,
    only: tuple[str, ...],
    again: tuple[str, ...],
) -> tuple[Mapping[str, Artifact], tuple[str, ...]]:
    """What stands and is used, by name, and the assets that are made."""
    from dpsynth_assets.cli.going_on import require_planned, standing_parts
    from dpsynth_assets.factory import asset_names
    from dpsynth_assets.gate.resumption import clear_ended
    from resources.sensitive_store import SensitiveStore

    require_planned(contract, again)
    names = asset_names(contract)
    if unknown := sorted(set(only) - set(names)):
        raise BadInput(f"--only {', '.join(unknown)}: the contract's assets are {', '.join(names)}: name one of these")
    if home.has_ledger:
        clear_ended(book, SensitiveStore(home=str(home.root)))
    if only:
        return {}, only
    resnapshot = source is not None or size is not None
    used, left_out = standing_parts(contract, home, size, anew=again, resnapshot=resnapshot)
    return used, tuple(name for name in names if name not in left_out)


def _size(contract: Contract, home: Home, size: float | None, making: Collection[str]) -> float:
    """The share of the units that releases will be of: that of the snapshot which is taken, or of the one that lies
    here."""
    from dpsynth_assets.gate.sources import source_of
    from resources.sensitive_store import SensitiveStore
    from resources.tabular import SourceError

    if "source" not in making:
        with suppress(SourceError):
            return SensitiveStore(home=str(home.root)).latest(source_of(contract)).size
    return size or 1.0


def _show(contract: Contract, home: Home, outcome: Outcome, asked: Asked) -> None:
    from dpsynth_assets.cli import summary

    if outcome.stopped:
        say_stopped(contract, home, outcome.run_id, asked)
    elif outcome.refusal:
        summary.show_refusal(contract, home, outcome)
    elif not outcome.success:
        summary.show_failure(contract, home, outcome, asked)
    else:
        summary.show_success(contract, home, outcome)


def _as_json(contract: Contract, home: Home, outcome: Outcome, used: Mapping[str, Artifact]) -> dict[str, object]:
    from dpsynth_assets.cli import summary

    others = {
        each.population: {
            "charged": dict(each.charged),
            "epsilon_spent": each.stands.epsilon_spent,
            "epsilon_remaining": each.stands.epsilon_remaining,
        }
        for each in charged_too(contract, home, outcome.run_id)
    }
    charges = charged_in(Ledger(home.ledger_file), outcome.run_id)
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
        "checks_warned": outcome.checks_warned,
        "published": outcome.published,
        "used_as_it_stands": {name: artifact.id for name, artifact in used.items()},
        "charged": {each.release: each.epsilon for each in charges if each.own},
        "charged_before": {each.release: sum(each.before) for each in charges if each.before},
        **summary.figures(contract, home),
        "charged_too": others,
    }
