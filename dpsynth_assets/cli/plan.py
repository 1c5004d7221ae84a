"""`dpsynth plan`: what each release would cost and what would remain, before anything is spent."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from dpsynth_assets.cli.console import REFUSED, BadInput, console, contract_at, put, say, shown, variant_of
from dpsynth_assets.gate.approval import needs, scope_of
from dpsynth_assets.language.model_places import lacking as lacking_model
from dpsynth_assets.privacy.plan import TrainingPlan
from dpsynth_assets.releases.adapter import ADAPTER
from dpsynth_assets.releases.evolution import EVOLUTION
from dpsynth_assets.releases.registry import plans as plans_of
from dpsynth_assets.variants import name_of
from ledger import NEIGHBOURING_RELATION, Ledger, LedgerError, Scope, quote_unregistered
from ledger.events import from_json
from resources.home import Home

if TYPE_CHECKING:
    from dpsynth_assets.contract import Contract
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
    as_json: Annotated[bool, typer.Option("--json", help="Print the plan as JSON.")] = False,
) -> None:
    """Show what the releases that `dpsynth run` would charge now would cost. Spends nothing, reads no row. Exit code 3
    if the ledger would refuse one of them."""
    if (contract is None) == (events is None):
        raise BadInput("give a contract, or --events FILE with a list of releases")
    if not 0 < size <= 1:
        raise BadInput(f"--size is a share in (0, 1], not {size}")
    if contract is not None:
        admitted = _plan_contract(variant_of(contract_at(contract), variant), size, again or (), as_json=as_json)
    else:
        assert events is not None
        admitted = _plan_events(_events_in(events), epsilon, delta, as_json=as_json)
    raise typer.Exit(0 if admitted else REFUSED)


def _plan_contract(contract: Contract, size: float, again: Sequence[str], *, as_json: bool) -> bool:
    from dpsynth_assets.cli.going_on import require_planned, say_what_stands, standing_parts
    from dpsynth_assets.gate.ahead import give_back

    require_planned(contract, again)
    if contract.without_privacy or contract.reads_nothing:
        _say_uncharged(contract, as_json=as_json)
        return True
    used = standing_parts(contract, Home.at(), size, anew=again, resnapshot=False)[0]
    planned = {name: each for name, each in plans_of(contract, size).items() if name.partition("/")[2] not in used}
    items = [(release, each.event()) for release, each in planned.items()]
    plans = {release: each.describe() for release, each in planned.items()}
    ledger_file = Home.at().ledger_file
    scope = scope_of(contract)
    if not ledger_file.exists():
        quote = quote_unregistered(scope, items)
        lacking = [f"a ledger: `dpsynth init` makes one, and `dpsynth approve {shown(contract.path)}` signs for this"]
    else:
        book = Ledger(ledger_file)
        with suppress(OSError, LedgerError):  # a home that cannot be written: then it counts as spent
            give_back(book.reservations("reserved"), book, "")
        lacking = [need.what for need in needs(contract, book)]
        quote = book.quote(scope, items)
    if as_json:
        about = {
            "contract": contract.declared.id,
            "variant": _variant(contract),
            "needs_approval": lacking,
            "needs_base_model": lacking_model(contract),
            "used_as_it_stands": {name: artifact.id for name, artifact in used.items()},
        }
        put(json.dumps(_as_json(quote, items, plans) | about, indent=2))
        return quote.admitted
    terms = contract.privacy
    named = f", variant {_variant(contract)}," if contract.base else ""
    say(
        (contract.title, "bold"),
        f"{named} draws on the budget of population ",
        (terms.population, "bold"),
        f": ε {quote.epsilon_cap:g} at δ {quote.delta:g}, adding or removing one {terms.unit.name}. "
        f"Spent so far: ε {quote.epsilon_spent:.3f}.",
    )
    say_what_stands(used, contract)
    if items:
        _show_lines(quote, items)
    if terms.releases.get(ADAPTER) is not None:
        _say_training(contract, size)
    if terms.releases.get(EVOLUTION) is not None:
        _say_evolution(contract, size)
    if terms.prompt is not None:
        say(f"A text is asked for by words such as: {contract.asking(contract.cells[0])}", style="dim")
    if absent := lacking_model(contract):
        say(f"Nothing can be released yet: {absent}.", style="yellow")
    if lacking:
        say(f"Nothing was spent. It lacks {'; '.join(lacking)}.")
        signing = f"dpsynth approve {shown(contract.path)} --as OWNER --reason ..."
        say("Next: ", (signing, "bold"), ", then an approver.")
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


def _say_evolution(contract: Contract, size: float) -> None:
    """What the evolution does, what it asks of its writer, and what signal its votes can have."""
    from dpsynth_assets.privacy.evolution import evolution_plan
    from dpsynth_assets.synthesis.candidates import rows_drawn

    plan, terms = evolution_plan(contract, EVOLUTION, size), contract.privacy
    noise, texts = plan.mechanism.standard_deviation, len(plan.cells) * plan.texts
    units = terms.unit.public_count * size
    written = plan.written(rows_drawn(contract, size))
    say(
        f"The evolution votes {plan.mechanism.rounds} times on {texts:,} texts; the noise of a text's votes has a "
        f"deviation of {noise:.1f}, and a text has {units / texts:.1f} votes on average if every {terms.unit.name} "
        f"casts one. The model is asked for some {written:,} texts, the table's included: at most "
        f"{written * terms.generation.max_new_tokens:,} tokens.",
        style="dim",
    )
    if units / texts < noise:
        say("A text's votes will mostly drown in their noise: fewer texts, fewer rounds or a larger ε.", style="yellow")


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


def _say_uncharged(contract: Contract, *, as_json: bool) -> None:
    """A variant without privacy costs nothing, since it promises nothing; one that reads no row, since it takes
    nothing."""
    if as_json:
        promised = 0.0 if contract.reads_nothing else "none"
        about = {"contract": contract.declared.id, "variant": name_of(contract), "guarantee": promised}
        put(json.dumps(about, indent=2))
        return
    how = (
        "is made of the base model as it comes, and no row is read for it. Its ε is 0"
        if contract.reads_nothing
        else "is made without noise, from a source declared public. It has no privacy guarantee at all"
    )
    say((contract.title, "bold"), f", variant {name_of(contract)}, {how}, and is charged to no budget.")


def _plan_events(items: list[tuple[str, Event]], epsilon: float, delta: float, *, as_json: bool) -> bool:
    """Releases that no contract names: what they would cost a fresh budget."""
    scope = Scope("hypothetical", "unit", NEIGHBOURING_RELATION, epsilon, delta, tuple(event for _, event in items))
    quote = quote_unregistered(scope, items)
    if as_json:
        put(json.dumps(_as_json(quote, items, {}), indent=2))
        return quote.admitted
    say(f"{len(items)} releases on a fresh budget of ε {epsilon:g} at δ {delta:g}. Nothing was spent.")
    _show_lines(quote, items)
    return quote.admitted


def _events_in(path: Path) -> list[tuple[str, Event]]:
    try:
        listed = json.loads(path.read_text(encoding="utf-8"))
        return [(str(release), from_json(event)) for release, event in listed]
    except (OSError, ValueError, TypeError, LedgerError) as error:
        raise BadInput(
            f"{path} is not a JSON list of [release, event] ({error}): docs/journal.md lists the events"
        ) from None


def _show_lines(quote: Quote, items: Any) -> None:
    table = Table()
    for heading in ("release", "mechanism", "ε alone", "spent after", "left after", "ledger says"):
        table.add_column(heading, justify="left" if heading in ("release", "mechanism", "ledger says") else "right")
    table.columns[0].no_wrap = True
    for (release, _), line in zip(items, quote.lines, strict=True):
        table.add_row(
            release,
            line.event.describe(),
            f"{line.epsilon_alone:.3f}",
            f"{line.epsilon_spent:.3f}",
            f"{line.epsilon_remaining:.3f}",
            Text("yes", "green") if line.admitted else Text("no", "red"),
        )
    console().print(table)
    if quote.plan_epsilon is not None and len(quote.lines) > 1:
        say(
            f"All of them: ε {quote.lines[-1].epsilon_spent:.2f} if each may be chosen after seeing the ones before "
            f"(the filter); ε {quote.plan_epsilon:.2f} if all are fixed now, as a closed plan; "
            f"ε {sum(line.epsilon_alone for line in quote.lines):.2f} by adding them up.",
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
