"""What a run would be charged, before it starts: as `dpsynth plan` shows it, and as `dpsynth run` asks about it.

Spends nothing and reads no row. What the gate will do is foreseen by `gate.foresight`; here it is priced and said.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer
from rich.table import Table
from rich.text import Text

from dpsynth_assets.cli.charged import charged_before
from dpsynth_assets.cli.charged_too import say_would_be_charged_too
from dpsynth_assets.cli.console import REFUSED, BadInput, console, fail, say
from dpsynth_assets.cli.ended_early import called
from dpsynth_assets.cli.questions import somebody_answers
from dpsynth_assets.gate.approval import scope_of
from dpsynth_assets.releases.registry import planned
from dpsynth_assets.variants import name_of
from ledger import LedgerError, quote_unregistered
from ledger.accounting import epsilon
from ledger.rounded import down, up

if TYPE_CHECKING:
    from dpsynth_assets.contract import Contract
    from dpsynth_assets.gate.foresight import Due
    from ledger import Event, Quote
    from resources.artifact_store import Artifact
    from resources.home import Home


@dataclass(frozen=True)
class Costs:
    """What a run comes to, and what the ledger says of it: a line for each release in `charged`. `quote` is None for a
    variant that is charged to no budget."""

    due: tuple[Due, ...]
    quote: Quote | None

    @property
    def charged(self) -> list[tuple[str, Event]]:
        """What is charged now, in the order in which it is."""
        return [(each.name, each.event) for each in self.due if each.event is not None]

    @property
    def anew(self) -> tuple[str, ...]:
        """The keys of what is charged anew, and not gone on with."""
        from dpsynth_assets.gate.spec import spec_keys  # with Dagster

        return tuple(spec_keys(each.name, each.plan)[0] for each in self.due if each.former is None)

    @property
    def epsilon(self) -> float:
        """What the population's budget has spent more afterwards, by what the ledger would admit."""
        admitted = [line.epsilon_spent for line in self.quote.lines if line.admitted] if self.quote else []
        return admitted[-1] - self.quote.epsilon_spent if self.quote and admitted else 0.0

    @property
    def left(self) -> float:
        """What of the budget remains afterwards."""
        return self.quote.lines[-1].epsilon_remaining if self.quote and self.quote.lines else math.nan

    @property
    def refused(self) -> bool:
        """Whether a run would only be refused: it fits as a whole or not at all, unless an earlier one left something
        that it finishes first."""
        if self.quote is None or self.quote.admitted:
            return False
        lines = zip(self.charged, self.quote.lines, strict=True)
        unfit = {name for (name, _), line in lines if not line.admitted}
        return all(each.former is None or each.name in unfit for each in self.due)


def costs_of(contract: Contract, home: Home, size: float, making: Collection[str]) -> Costs:
    """What a run that makes these assets is charged. Without a ledger everything is new.

    Raises:
        LedgerError: the ledger cannot be read, or has other terms for the population, or would refuse everything.
        OSError: what dead runs left cannot be looked at.
    """
    from dpsynth_assets.gate.ahead import give_back  # with Dagster, which takes seconds to load
    from dpsynth_assets.gate.foresight import Due, foresee
    from resources.artifact_store import ArtifactStore
    from resources.heads import open_ledger
    from resources.sensitive_store import SensitiveStore

    if contract.without_privacy or contract.reads_nothing:
        return Costs((), None)
    if not home.has_ledger:
        new = [(each, each.plan(contract, size)) for each in planned(contract) if each.name in making]
        due = tuple(Due(f"{contract.id}/{each.name}", each.title, plan, plan.event()) for each, plan in new)
        return Costs(due, quote_unregistered(scope_of(contract), [(each.name, each.plan.event()) for each in due]))
    book = open_ledger(home)
    book.require_known()
    with suppress(OSError, LedgerError):  # a home that cannot be written: then it counts as spent
        give_back(book.reservations("reserved"), book, str(home.root))
    store, artifacts = SensitiveStore(home=str(home.root)), ArtifactStore(home=str(home.root))
    due = foresee(contract, size, making, book, store, artifacts)
    charged = [(each.name, each.event) for each in due if each.event is not None]
    return Costs(due, book.quote(scope_of(contract), charged))


def say_costs(
    contract: Contract, home: Home, used: Mapping[str, Artifact], making: Collection[str], costs: Costs
) -> None:
    """Everything that a run will cost, before it starts."""
    from dpsynth_assets.cli.durations import last_seconds, roughly
    from dpsynth_assets.cli.going_on import say_what_stands

    budget, named = contract.privacy.budget, f" · variant {name_of(contract)}" if contract.base else ""
    say(
        (contract.title, "bold"),
        f"{named} · population {contract.privacy.population} · budget ε {budget.epsilon:g} at δ {budget.delta:g}",
    )
    if costs.quote is None:
        say(f"This variant is {uncharged(contract)}")
        return
    say_what_stands(used, contract)
    show_costs(costs)
    if not costs.charged:
        say("Nothing is charged for this run.")
        return
    if costs.refused:
        spent = f"of the population's ε {costs.quote.epsilon_cap:g}, {up(costs.quote.epsilon_spent)} is spent"
        say(f"This run does not fit: {spent}. It would be refused as a whole, and nothing charged.")
    else:
        say(
            "This run is charged ε ",
            (up(costs.epsilon), "bold"),
            f"; of the population's ε {costs.quote.epsilon_cap:g}, {down(costs.left)} is left after it.",
        )
        say_would_be_charged_too(contract, home)
    if (seconds := last_seconds(contract, home, making)) is not None:
        say(f"The last time, all of this took {roughly(seconds)} here.")


def require_agreed(contract: Contract, costs: Costs, *, quiet: bool) -> None:
    """Pass if whoever sits at the terminal agrees to what is charged.

    Raises:
        typer.Exit: they do not, or the ledger would refuse it.
        BadInput: nobody can be asked.
    """
    assert costs.quote is not None, "something is charged"
    if costs.refused:
        refused = [name for (name, _), line in zip(costs.charged, costs.quote.lines, strict=True) if not line.admitted]
        fail(
            f"the privacy ledger would refuse {', '.join(refused)}: of ε {costs.quote.epsilon_cap:g}, "
            f"{up(costs.quote.epsilon_spent)} is spent. No sensitive row was read and nothing was charged. Use the "
            "release that stands, without limit; or enlarge the budget in the contract, which its owners must approve; "
            f"or plan a cheaper release (`dpsynth plan {called(contract)}`). With --yes the ledger is asked all the "
            "same, and enters its refusal"
        )
        raise typer.Exit(REFUSED)
    if quiet or not somebody_answers():
        raise BadInput(
            f"this run would be charged ε {up(costs.epsilon)} for {', '.join(name for name, _ in costs.charged)}, and "
            f"nobody is asked here: give --yes to agree (`dpsynth plan {called(contract)}` shows the costs). Nothing "
            "was charged"
        )
    if not typer.confirm("Start, and charge this?"):
        say("Nothing was started, and nothing was charged.")
        raise typer.Exit(1)


def show_costs(costs: Costs) -> None:
    """What an earlier run left and is gone on with, what each release is charged, and what is left after each."""
    for each in costs.due:
        if each.former is None:
            continue
        assert costs.quote is not None, "there is a ledger"
        again = [epsilon(event, costs.quote.delta) for event in each.former.replayed]
        before = charged_before([each.former.epsilon_alone, *again], "it")
        if each.finished:
            say(("= ", "cyan"), f"{each.title}: {before}, and finished it. It is taken, nothing is charged")
        elif each.event is None:
            say(("> ", "cyan"), f"{each.title}: {before}, and ended. This run goes on with it, nothing more is charged")
        else:
            lost = "the steps that were lost run again, and these alone are charged"
            say(("> ", "cyan"), f"{each.title}: {before}, and ended. This run goes on with it: {lost}")
    if costs.quote is not None and costs.charged:
        show_quote(costs.quote, costs.charged)


def show_quote(quote: Quote, items: Sequence[tuple[str, Event]]) -> None:
    """A line for each release: what it costs by itself, what is spent and left after it, and what the ledger says."""
    table = Table()
    for heading in ("release", "mechanism", "ε alone", "spent after", "left after", "ledger says"):
        number = heading.startswith(("ε", "spent", "left"))
        table.add_column(heading, justify="right" if number else "left", no_wrap=number, overflow="fold")
    for (release, _), line in zip(items, quote.lines, strict=True):
        table.add_row(
            release,
            line.event.describe(),
            up(line.epsilon_alone),
            up(line.epsilon_spent),
            down(line.epsilon_remaining),
            Text("yes", "green") if line.admitted else Text("no", "red"),
        )
    console().print(table)


def uncharged(contract: Contract) -> str:
    """Why a variant costs nothing, as the end of a sentence: without privacy it promises nothing, and one that reads no
    row takes nothing."""
    how = (
        "made of the base model as it comes, and no row is read for it. Its ε is 0"
        if contract.reads_nothing
        else "made without noise, from a source declared public. It has no privacy guarantee at all"
    )
    return f"{how}, and is charged to no budget."
