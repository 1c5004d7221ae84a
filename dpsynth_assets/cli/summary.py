"""What `dpsynth run` and `dpsynth demo` print at the end: synthetic rows, epsilon, accuracy, files, what to do next.

Reads the stores, not the run: so it can also show a release that stood before.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from dpsynth_assets.assets.card import CARD
from dpsynth_assets.assets.privacy_audit import CHECK
from dpsynth_assets.classify.results import REAL, REAL_WITH_DP, results_in
from dpsynth_assets.cli.console import console, say, shown
from dpsynth_assets.publish.release import NO_GUARANTEE, READ_NOTHING
from dpsynth_assets.publish.sql import plain, schema_of
from dpsynth_assets.releases.adapter import ADAPTER
from dpsynth_assets.variants import name_of
from ledger import Ledger
from resources.artifact_store import Artifact, ArtifactStore

if TYPE_CHECKING:
    import pandas as pd

    from dpsynth_assets.cli.running import Outcome
    from dpsynth_assets.contract import Contract
    from resources.home import Home

_SAMPLES = 6


def show_success(contract: Contract, home: Home, outcome: Outcome) -> None:
    """A finished run."""
    _show_standing(contract, home)
    _show_budget(contract, home)
    say(f"Run {outcome.run_id[:8]} took {outcome.seconds:.0f} s.", style="dim")
    _show_next(contract, home)


def show_refusal(contract: Contract, home: Home, outcome: Outcome) -> None:
    """The ledger's no, and what stands nevertheless."""
    refusal = outcome.refusal or {}
    stopped, refused = f"{contract.id}/{refusal['asset']}", refusal["refused_release"]
    alone = refused == stopped
    first = f"{stopped} was not started" if alone else f"{refused} would not fit after {stopped}: neither was started"
    read = "no sensitive row was read for it."
    if refusal["was_read_before"]:
        first = f"{stopped} was begun by an earlier run, and the steps that it lost do not fit a second time"
        read = "what it was charged stays, what it left is kept, and no sensitive row was read now."
    beside = "" if alone else f", with {stopped} reserved to ask"
    console().print(
        Panel(
            f"{first};\n{read}\n\n"
            f"spent  ε {refusal['epsilon_spent']:.3f} of {refusal['epsilon_cap']:g}{beside}\n"
            f"asked  ε {refusal['epsilon_asked']:.3f}\n"
            f"left   ε {refusal['epsilon_left']:.3f}\n\n"
            "The refusal is in the ledger (dpsynth audit). To go on: use the release that stands, without limit; or "
            "enlarge the budget in the contract, which its owners must approve; or plan a cheaper release "
            f"(dpsynth plan {_called(contract)}).",
            title="Refused by the privacy ledger",
            border_style="red",
            title_align="left",
        )
    )
    if _store(home).find(contract.id, "synthetic") is not None:
        say("The standing release:")
        _show_standing(contract, home)
        _show_next(contract, home)


def show_stopped(contract: Contract, home: Home, outcome: Outcome, asked: Mapping[str, tuple[object, ...]]) -> None:
    """A run that was interrupted: one sentence with what it was charged, and the command that goes on."""
    charged = _charged(home, outcome)
    say(
        ("Stopped. ", "bold"),
        f"This run was charged {charged}, which stays. Nothing of it is lost: " if charged else "Nothing was charged: ",
        (_goes_on_by(contract, home, outcome, asked), "bold"),
        " goes on from here." if charged else " begins anew.",
    )


def show_failure(contract: Contract, home: Home, outcome: Outcome, asked: Mapping[str, tuple[object, ...]]) -> None:
    """Failures in their own words; those of releases never quote a row."""
    for asset, text in outcome.failures.items():
        first, *more = text.splitlines() or ["failed"]
        say(("✗ ", "red"), (asset, "bold"), f": {first}")
        for line in more:
            say(line)
    if outcome.checks_failed:
        say(f"Checks that failed: {', '.join(outcome.checks_failed)}. Nothing was published.")
    charged = _charged(home, outcome)
    if f"{ADAPTER.name}_{CHECK}" in outcome.failures:  # a check that only warns is no failure
        say(
            f"This run was charged {charged}, which stays. " if charged else "",
            "Nothing is made of this adapter: docs/audit.md says what to do. Afterwards ",
            (f"dpsynth run {_called(contract)} --again {ADAPTER.name}", "bold"),
            " pays for another.",
        )
    elif charged:
        command = _goes_on_by(contract, home, outcome, asked)
        say(f"This run was charged {charged}. What stands of it is used by ", (command, "bold"), ".")
    say(f"Run {outcome.run_id[:8]}: see it in the UI (dpsynth ui).", style="dim")


def figures(contract: Contract, home: Home) -> dict[str, Any]:
    """The standing release and the budget as plain values."""
    balance = Ledger(home.ledger_file)
    found: dict[str, Any] = {}
    if contract.privacy.population in balance.populations():
        stands = balance.spending(contract.privacy.population)
        found["epsilon_spent"], found["epsilon_remaining"] = stands.epsilon_spent, stands.epsilon_remaining
    if synthetic := _store(home).find(contract.id, "synthetic"):
        found["synthetic"] = synthetic.receipt["about"]
    if evaluation := _store(home).find(contract.id, "evaluation"):
        found["evaluation"] = results_in(evaluation.folder)
    return found


def _show_standing(contract: Contract, home: Home) -> None:
    """Sample rows and accuracy of what is published."""
    store = _store(home)
    synthetic = store.find(contract.id, "synthetic")
    if synthetic is None:
        return
    about = synthetic.receipt["about"]
    corpus = store.get(contract.id, "corpus", about["corpus"])
    say()
    _show_sample(contract, _sample(contract, corpus))
    delta = contract.privacy.budget.delta
    epsilon = about["epsilon"]
    promised = READ_NOTHING if epsilon == 0 else NO_GUARANTEE if epsilon is None else f"ε {epsilon:.3f} at δ {delta:g}"
    say((f"{about['rows']:,}", "bold"), f" synthetic rows, published with {promised}; quality checks passed.")
    if complaint := corpus.receipt["about"].get("complaint"):
        say(("! ", "yellow"), complaint)
    evaluation = store.find(contract.id, "evaluation")
    if evaluation is not None:
        _show_accuracy(contract, results_in(evaluation.folder))


def _show_accuracy(contract: Contract, results: list[dict[str, Any]]) -> None:
    """The contract's first kind of classifier in a sentence; the others in the card and in the UI."""
    first = results[0]
    alike = {result["trained_on"]: result for result in results if result["classifier"] == first["classifier"]}
    others = f"(always the commonest class: {first['majority_baseline']:.1%}"
    if REAL_WITH_DP in alike:
        others += f"; trained on the real rows with DP-SGD: {alike[REAL_WITH_DP]['accuracy']:.1%}"
    if REAL in alike:
        others += f"; trained on as many real rows, which are public here: {alike[REAL]['accuracy']:.1%}"
    say(
        "A classifier of ",
        (contract.privacy.classifier.target, "bold"),
        " trained on them is right for ",
        (f"{first['accuracy']:.1%}", "bold"),
        f" of {first['n']:,} public test records {others}).",
    )
    for result in results:
        if result["classifier"] != first["classifier"]:
            say(f"{result['classifier']}, trained on {result['trained_on']}: {result['accuracy']:.1%}.")


def _show_sample(contract: Contract, frame: pd.DataFrame) -> None:
    table = Table(title="synthetic records", title_justify="left", show_lines=False)
    labels = [label.column for label in contract.privacy.labels]
    for column in [*labels, contract.privacy.text.column]:
        table.add_column(column, overflow="fold", no_wrap=False)
    for row in frame[[*labels, contract.privacy.text.column]].itertuples(index=False, name=None):
        table.add_row(*(Text(str(value)) for value in row))
    console().print(table)


def _show_budget(contract: Contract, home: Home) -> None:
    balance = Ledger(home.ledger_file).balance(contract.privacy.population, with_pld=False)
    say(
        f"Privacy budget of {balance.population}: ε ",
        (f"{balance.epsilon_spent:.3f}", "bold"),
        " spent, ",
        (f"{balance.epsilon_remaining:.3f}", "bold"),
        f" left of {balance.epsilon_cap:g} at δ {balance.delta:g}, adding or removing one {balance.unit}.",
    )


def _show_next(contract: Contract, home: Home) -> None:
    out = console()
    table = plain(schema_of(contract.id), contract.table)
    say()
    say("Next", style="bold")
    if _store(home).find(contract.id, "synthetic") is not None:
        out.print(f'  dpsynth sql "select * from {table} limit 10"    query the synthetic table, free of budget')
    say("  dpsynth audit                                 what was spent, on what, what was refused")
    say("  make ui                                       the Dagster UI: assets, plots of the budget, checks")
    if (card := _store(home).find(contract.id, "card")) is not None:
        say(f"  {shown(card.folder / CARD)}    the certificate")


def _called(contract: Contract) -> str:
    """The contract as the commands take it."""
    return shown(contract.path) + (f" --variant {name_of(contract)}" if contract.base else "")


def _goes_on_by(contract: Contract, home: Home, outcome: Outcome, asked: Mapping[str, tuple[object, ...]]) -> str:
    """The command that goes on with what a run with these options was charged: without the names of releases that it
    has made, which would be paid for once more."""
    own = {each.id for each in Ledger(home.ledger_file).reservations() if each.owner == outcome.run_id}
    command = f"dpsynth run {_called(contract)}"
    for option, values in asked.items():
        for value in values:
            made = option in ("--again", "--only") and _store(home).find(contract.id, str(value))
            if value is not None and not (made and own & {charge.reservation for charge in made.charges}):
                command += f" {option} {value}"
    return command


def _sample(contract: Contract, corpus: Artifact) -> pd.DataFrame:
    """A few rows, of different labels where there are some."""
    import pandas as pd

    from dpsynth_assets.synthesis.corpus import rows_of

    frame = rows_of(corpus.folder)
    target = contract.privacy.classifier.target
    varied = frame.groupby(target, sort=False).head(1)
    return pd.concat([varied, frame.drop(varied.index)]).head(_SAMPLES)


def _charged(home: Home, outcome: Outcome) -> str:
    """What the run was charged itself, as a sentence has it; empty if nothing."""
    found = [
        f"ε {each.epsilon_alone:.3f} for {each.release}"
        for each in Ledger(home.ledger_file).reservations()
        if each.owner == outcome.run_id and each.state not in ("reserved", "voided")
    ]
    return " and ".join(filter(None, (", ".join(found[:-1]), *found[-1:])))


def _store(home: Home) -> ArtifactStore:
    return ArtifactStore(home=str(home.root))
