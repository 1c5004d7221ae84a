"""`dpsynth plan`: what each release would cost and what would remain, before anything is spent."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dpsynth_assets.cli.charged_too import say_would_be_charged_too
from dpsynth_assets.cli.console import REFUSED, BadInput, contract_at, put, say, shown, variant_of
from dpsynth_assets.cli.costs import costs_of, show_costs, show_quote, uncharged
from dpsynth_assets.cli.plan_writing import say_writing, writes, writing_of
from dpsynth_assets.gate.approval import needs
from dpsynth_assets.language.model_places import lacking as lacking_model
from dpsynth_assets.privacy.plan import TrainingPlan
from dpsynth_assets.privacy.signal import signal_of
from dpsynth_assets.releases.adapter import ADAPTER
from dpsynth_assets.releases.key_phrases import KEY_PHRASES
from dpsynth_assets.variants import name_of
from ledger import NEIGHBOURING_RELATION, Ledger, LedgerError, Scope, quote_unregistered
from ledger.events import from_json
from ledger.rounded import up
from resources.home import Home

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dpsynth_assets.contract import Contract
    from dpsynth_assets.privacy.signal import Signal
    from ledger import Event, Quote


def plan(
    contract: Annotated[Path | None, typer.Argument(help="A contract file.")] = None,
    variant: Annotated[str | None, typer.Option(help="A release variant of the contract, such as lora-3.")] = None,
    size: Annotated[float, typer.Option(help="Plan a quick pass over this share of the units.")] = 1.0,
    again: Annotated[
        list[str] | None, typer.Option(help="What this release would cost again, such as adapter, though one stands.")
    ] = None,
    events: Annotated[
        Path | None, typer.Option(help="In place of a contract: a JSON list of [release, event].")
    ] = None,
    epsilon: Annotated[float, typer.Option(help="With --events: the budget's epsilon.")] = 8.0,
    delta: Annotated[float, typer.Option(help="With --events: the budget's delta.")] = 1e-6,
    timed: Annotated[
        bool,
        typer.Option("--timed", help="Have a few texts written, where none trains a model for them, and time all."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the plan as JSON.")] = False,
) -> None:
    """Show what the releases that `dpsynth run` would charge now would cost. Spends nothing, reads no row. Exit code 3
    if the ledger would refuse one of them."""
    if (contract is None) == (events is None):
        raise BadInput("give a contract, or --events FILE with a list of releases")
    if not 0 < size <= 1:
        raise BadInput(f"--size is a share in (0, 1], not {size}")
    if timed and (as_json or contract is None):
        raise BadInput("--timed says a sentence of a contract's texts: leave out --json and --events")
    if contract is not None:
        admitted = _plan_contract(
            variant_of(contract_at(contract), variant), size, again or (), timed=timed, as_json=as_json
        )
    else:
        assert events is not None
        admitted = _plan_events(_events_in(events), epsilon, delta, as_json=as_json)
    raise typer.Exit(0 if admitted else REFUSED)


def _plan_contract(contract: Contract, size: float, again: Sequence[str], *, timed: bool, as_json: bool) -> bool:
    from dpsynth_assets.cli.going_on import require_planned, say_what_stands, standing_parts, to_be_made

    require_planned(contract, again)
    if timed and not writes(contract):
        raise BadInput("--timed is for texts of an evolution or by key phrases, and this contract plans neither")
    if contract.without_privacy or contract.reads_nothing:
        if as_json:
            promised = 0.0 if contract.reads_nothing else "none"
            put(
                json.dumps(
                    {"contract": contract.declared.id, "variant": name_of(contract), "guarantee": promised}, indent=2
                )
            )
        else:
            say((contract.title, "bold"), f", variant {name_of(contract)}, is {uncharged(contract)}")
        return True
    home = Home.at()
    used = standing_parts(contract, home, size, anew=again, resnapshot=False)[0]
    costs = costs_of(contract, home, size, to_be_made(contract, used))
    quote, items = costs.quote, costs.charged
    planned = {each.name: each.plan for each in costs.due}
    signals = {name: said for name, each in planned.items() if (said := signal_of(each, contract, size)) is not None}
    assert quote is not None, "it is charged to a budget"
    if not home.has_ledger:
        lacking = [f"a ledger: `dpsynth init` makes one, and `dpsynth approve {shown(contract.path)}` signs for this"]
    else:
        lacking = [need.what for need in needs(contract, Ledger(home.ledger_file))]
    if as_json:
        about = {
            "contract": contract.declared.id,
            "variant": _variant(contract),
            "needs_approval": lacking,
            "needs_base_model": lacking_model(contract),
            "used_as_it_stands": {name: artifact.id for name, artifact in used.items()},
            "goes_on_with": {each.name: each.former.id for each in costs.due if each.former is not None},
            "writing": asdict(writing_of(contract, size)) if writes(contract) else None,
            "signal": {name: {**said.figures, "warnings": said.warnings} for name, said in signals.items()},
        }
        plans = {name: each.describe() for name, each in planned.items()}
        put(json.dumps(_as_json(quote, items, plans) | about, indent=2))
        return quote.admitted
    terms = contract.privacy
    named = f", variant {_variant(contract)}," if contract.base else ""
    say(
        (contract.title, "bold"),
        f"{named} draws on the budget of population ",
        (terms.population, "bold"),
        f": ε {quote.epsilon_cap:g} at δ {quote.delta:g}, adding or removing one {terms.unit.name}. "
        f"Spent so far: ε {up(quote.epsilon_spent)}.",
    )
    say_what_stands(used, contract)
    show_costs(costs)
    if costs.charged:
        say_would_be_charged_too(contract, home)
    _say_together(quote)
    if terms.releases.get(ADAPTER) is not None:
        _say_training(contract, size)
    if writes(contract):
        say_writing(contract, size, timed=timed)
    if signals:
        _say_signals(signals, contract, size)
    if terms.prompt is not None:
        more = " And it is to have some of the key phrases." if terms.releases.get(KEY_PHRASES) is not None else ""
        say(f"A text is asked for by words such as: {contract.asking(contract.cells[0])}{more}", style="dim")
    if terms.base_model.known:
        say(
            f"The base model {terms.base_model.name} has read English. For texts in another language name one that has "
            "read it: `base_model.name`.",
            style="dim",
        )
    if absent := lacking_model(contract):
        say(f"Nothing can be released yet: {absent}.", style="yellow")
    if lacking:
        say(f"It lacks {'; '.join(lacking)}.")
    if lacking and quote.admitted:
        signing = f"dpsynth approve {shown(contract.path)} --as OWNER --reason ..."
        say("Nothing was spent. Next: ", (signing, "bold"), ", then an approver.")
    elif quote.admitted:
        option = f" --variant {_variant(contract)}" if contract.base else ""
        say("Nothing was spent. Next: ", (f"dpsynth run {shown(contract.path)}{option}", "bold"))
    else:
        say(
            "Nothing was spent. What stands can be used without limit (",
            ("dpsynth sql", "bold"),
            "); more needs a larger budget in the contract, approved by its owners and approvers.",
        )
    return quote.admitted


def _say_training(contract: Contract, size: float) -> None:
    """What the adapter's training does."""
    training = TrainingPlan.from_contract(contract, size=size)
    mechanism = training.mechanism
    group = f" of one group in {mechanism.num_bands}" if mechanism.num_bands > 1 else ""
    correlated = f", correlated over {mechanism.num_bands} steps" if mechanism.num_bands > 1 else ""
    say(
        f"The adapter trains {mechanism.steps} steps; each samples every {contract.privacy.unit.name}{group} with "
        f"probability {mechanism.group_sampling_probability:.4g}, clips to {mechanism.l2_clip_norm:g}, and adds noise "
        f"of {mechanism.noise_multiplier:.3f} times the clip{correlated}.",
        style="dim",
    )
    if training.canaries and mechanism.is_private:
        say(_audit(training), style="dim")


def _say_signals(signals: Mapping[str, Signal], contract: Contract, size: float) -> None:
    """What can be heard beside the noise, release by release, and on what that rests."""
    unit = contract.privacy.unit
    say("What signal to expect beside the noise", style="bold")
    for release, signal in signals.items():
        say(("  " + release.partition("/")[2], "bold"), f": {signal.said}", style="dim")
        for warning in signal.warnings:
            say(("  ! ", "yellow"), f"{warning}.")
    say(
        f"  These figures take the contract at its word: {round(unit.public_count * size):,} {unit.name}s "
        "(unit.public_count), which nobody has counted. With fewer, everything is worse."
        + ("" if len(contract.cells) == 1 else " How common each label is, no term says: all are taken to be alike.")
    )


def _audit(plan: TrainingPlan) -> str:
    """What the audit of the training could find."""
    from dpsynth_assets.audit.result import right_to_refute
    from dpsynth_assets.language.promise import TrainingPromise

    event, canaries = plan.event(), plan.canaries
    needed = right_to_refute(TrainingPromise([event], plan.delta), canaries)
    if needed is None:
        return f"Its {canaries:,} canaries can refute nothing, were every guess right: a run will refuse to begin."
    never_drawn = (1 - event.sampling_rate) ** event.steps
    return (
        f"Training is audited by {canaries:,} canaries: {needed:,} right guesses about all of them refute its promise. "
        f"If it had no noise, {canaries * (1 - never_drawn / 2):,.0f} would be right on average."
    )


def _variant(contract: Contract) -> str | None:
    return name_of(contract) if contract.privacy.variants else None


def _plan_events(items: list[tuple[str, Event]], epsilon: float, delta: float, *, as_json: bool) -> bool:
    """Releases that no contract names: what they would cost a fresh budget."""
    scope = Scope("hypothetical", "unit", NEIGHBOURING_RELATION, epsilon, delta, tuple(event for _, event in items))
    quote = quote_unregistered(scope, items)
    if as_json:
        put(json.dumps(_as_json(quote, items, {}), indent=2))
        return quote.admitted
    say(f"{len(items)} releases on a fresh budget of ε {epsilon:g} at δ {delta:g}. Nothing was spent.")
    show_quote(quote, items)
    _say_together(quote)
    return quote.admitted


def _events_in(path: Path) -> list[tuple[str, Event]]:
    try:
        listed = json.loads(path.read_text(encoding="utf-8"))
        return [(str(release), from_json(event)) for release, event in listed]
    except (OSError, ValueError, TypeError, LedgerError) as error:
        raise BadInput(
            f"{path} is not a JSON list of [release, event] ({error}): docs/journal.md lists the events"
        ) from None


def _say_together(quote: Quote) -> None:
    """What several releases cost together, by the three ways of counting. On a budget of which something is spent they
    cannot be compared: the filter counts that too."""
    if quote.plan_epsilon is not None and len(quote.lines) > 1 and not quote.epsilon_spent:
        say(
            f"All of them: ε {up(quote.lines[-1].epsilon_spent, 2)} if each may be chosen after seeing the ones before "
            f"(the filter); ε {up(quote.plan_epsilon, 2)} if all are fixed now, as a closed plan; "
            f"ε {up(sum(line.epsilon_alone for line in quote.lines), 2)} by adding them up.",
        )


def _as_json(quote: Quote, items: Any, plans: dict[str, Any]) -> dict[str, Any]:
    return {
        "population": quote.population,
        "epsilon_cap": quote.epsilon_cap,
        "delta": quote.delta,
        "epsilon_spent": quote.epsilon_spent,
        "epsilon_as_a_closed_plan": quote.plan_epsilon,
        "admitted": quote.admitted,
        "releases": {
            release: {
                "epsilon_alone": line.epsilon_alone,
                "epsilon_spent_after": line.epsilon_spent,
                "epsilon_remaining_after": line.epsilon_remaining,
                "admitted": line.admitted,
                "plan": plans.get(release),
            }
            for (release, _), line in zip(items, quote.lines, strict=True)
        },
    }
