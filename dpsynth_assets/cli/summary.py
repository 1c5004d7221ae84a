"""What `dpsynth run` and `dpsynth demo` print at the end: synthetic rows, epsilon, accuracy, files, what to do next.

Reads the stores, not the run: so it can also show a release that stood before.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from dpsynth_assets.assets.privacy_audit import CHECK
from dpsynth_assets.classify.results import REAL, REAL_WITH_DP, results_in
from dpsynth_assets.cli.charged import charged_in, own_charges, went_on
from dpsynth_assets.cli.charged_too import say_charged_too
from dpsynth_assets.cli.console import as_called, console, say, shown
from dpsynth_assets.cli.ended_early import Asked, called, goes_on_by
from dpsynth_assets.publish.card import CARD
from dpsynth_assets.publish.release import NO_GUARANTEE, READ_NOTHING
from dpsynth_assets.publish.sql import plain, schema_of
from dpsynth_assets.quality.verdict import VERDICT, Verdict
from dpsynth_assets.releases.adapter import ADAPTER
from ledger import Ledger
from ledger.rounded import down, up
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
    _say_warned(outcome)
    _show_budget(contract, home)
    say_charged_too(contract, home, outcome.run_id)
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
    text = (
        f"{first};\n{read}\n\n"
        f"spent  ε {up(refusal['epsilon_spent'])} of {refusal['epsilon_cap']:g}{beside}\n"
        f"asked  ε {up(refusal['epsilon_asked'])}\n"
        f"left   ε {down(refusal['epsilon_left'])}\n"
        f"{_would_be(refusal)}\n"
        "The refusal is in the ledger (dpsynth audit). To go on: use the release that stands, without limit; or "
        "enlarge the budget in the contract, which its owners must approve; or plan a cheaper release "
        f"(dpsynth plan {called(contract)})."
    )
    title = "Refused by the privacy ledger"
    console().print(Panel(as_called(text), title=title, border_style="red", title_align="left"))
    if _store(home).find(contract.id, "synthetic") is not None:
        say("The standing release:")
        _show_standing(contract, home)
        _show_next(contract, home)


def _would_be(refusal: Mapping[str, Any]) -> str:
    """What would be spent with a charge that asks less by itself than is left: it counts for more with the others."""
    if refusal["epsilon_asked"] > refusal["epsilon_left"] or refusal["epsilon_would_be"] == "none":
        return ""
    would_be = refusal["epsilon_would_be"]
    return f"With what is spent it counts for more: ε {up(would_be)} would be spent, at the orders that were planned.\n"


def show_failure(contract: Contract, home: Home, outcome: Outcome, asked: Asked) -> None:
    """Failures in their own words; those of releases never quote a row."""
    for asset, text in outcome.failures.items():
        first, *more = text.splitlines() or ["failed"]
        say(("✗ ", "red"), (asset, "bold"), f": {first}")
        for line in more:
            say(line)
    if outcome.checks_failed:
        say(f"Checks that failed: {', '.join(outcome.checks_failed)}.")
    _say_warned(outcome)
    _say_published(contract, home, outcome)
    charges = charged_in(Ledger(home.ledger_file), outcome.run_id)
    charged, before = own_charges(charges), went_on(charges)
    if f"{ADAPTER.name}_{CHECK}" in outcome.failures:  # a check that only warns is no failure
        say(
            f"This run was charged {charged}, which stays. " if charged else "",
            "Nothing is made of this adapter: docs/audit.md says what to do. Afterwards ",
            (f"dpsynth run {called(contract)} --again {ADAPTER.name}", "bold"),
            " pays for another.",
        )
    elif charges:
        command = goes_on_by(contract, home, outcome.run_id, asked)
        say(f"This run was charged {charged or 'nothing'}. What stands of it is used by ", (command, "bold"), ".")
    else:
        say("This run was charged nothing.")
    if before:
        say(before)
    say_charged_too(contract, home, outcome.run_id)
    say(f"Run {outcome.run_id[:8]}: see it in the UI (dpsynth ui).", style="dim")


def _say_warned(outcome: Outcome) -> None:
    if outcome.checks_warned:
        say(("! ", "yellow"), f"Checks that stop nothing, and warn: {', '.join(outcome.checks_warned)}.")


def _say_published(contract: Contract, home: Home, outcome: Outcome) -> None:
    """What is published after a run that failed."""
    stands = _store(home).find(contract.id, "synthetic")
    if outcome.published:
        say("The table was published before that, and stands.")
    elif stands is not None:
        say(f"Nothing was published; the table of {stands.receipt['created'][:10]} stands as before.")
    else:
        say("Nothing was published.")


def figures(contract: Contract, home: Home) -> dict[str, Any]:
    """The standing release and the budget as plain values."""
    balance = Ledger(home.ledger_file)
    found: dict[str, Any] = {}
    if contract.privacy.population in balance.populations():
        stands = balance.spending(contract.privacy.population)
        found["epsilon_spent"], found["epsilon_remaining"] = stands.epsilon_spent, stands.epsilon_remaining
    if synthetic := _store(home).find(contract.id, "synthetic"):
        found["synthetic"] = synthetic.receipt["about"]
    if (evaluation := _evaluation(contract, home)) is not None:
        found["evaluation"] = results_in(evaluation.folder)
    return found


def _show_standing(contract: Contract, home: Home) -> None:
    """Sample rows and accuracy of what is published."""
    store = _store(home)
    from dpsynth_assets.synthesis.corpus import few_of_each, rows_of

    synthetic = store.find(contract.id, "synthetic")
    if synthetic is None:
        return
    about = synthetic.receipt["about"]
    corpus = store.get(contract.id, "corpus", about["corpus"])
    say()
    varied = contract.privacy.target if contract.privacy.labels else None
    show_sample(contract, few_of_each(rows_of(corpus.folder), varied, _SAMPLES))
    delta = contract.privacy.budget.delta
    epsilon = about["epsilon"]
    promised = READ_NOTHING if epsilon == 0 else NO_GUARANTEE if epsilon is None else f"ε {up(epsilon)} at δ {delta:g}"
    say((f"{about['rows']:,}", "bold"), f" synthetic rows, published with {promised}{_judged(store, corpus)}.")
    if complaint := corpus.receipt["about"].get("complaint"):
        say(("! ", "yellow"), complaint)
    if (evaluation := _evaluation(contract, home)) is not None:
        _show_accuracy(contract, results_in(evaluation.folder))
    elif contract.privacy.classifier is not None:
        say("How good its classifiers are is not known: the contract names no public test split.", style="dim")


def _judged(store: ArtifactStore, corpus: Artifact) -> str:
    """How the quality checks went on a corpus, as the end of a sentence."""
    found = store.find(corpus.contract, "verdict")
    if found is None or found.receipt["about"].get("corpus") != corpus.id:
        return ""
    verdict = Verdict.load(found.folder / VERDICT)
    if not verdict.failures and not verdict.warnings:
        return "; quality checks passed"
    held = len(verdict.results) - len(verdict.failures) - len(verdict.warnings)
    unmet = ", ".join(each.name for each in (*verdict.failures, *verdict.warnings))
    return f"; {held} of {len(verdict.results)} quality checks passed, all but {unmet}"


def _evaluation(contract: Contract, home: Home) -> Artifact | None:
    """The standing evaluation, where the contract still asks for one."""
    return _store(home).find(contract.id, "evaluation") if contract.privacy.evaluated else None


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
        (contract.privacy.target, "bold"),
        " trained on them is right for ",
        (f"{first['accuracy']:.1%}", "bold"),
        f" of {first['n']:,} public test records {others}).",
    )
    for result in results:
        if result["classifier"] != first["classifier"]:
            say(f"{result['classifier']}, trained on {result['trained_on']}: {result['accuracy']:.1%}.")


def show_sample(contract: Contract, frame: pd.DataFrame, title: str = "synthetic records") -> None:
    """Rows for people to look at."""
    table = Table(title=title, title_justify="left", show_lines=False)
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
        (up(balance.epsilon_spent), "bold"),
        " spent, ",
        (down(balance.epsilon_remaining), "bold"),
        f" left of {balance.epsilon_cap:g} at δ {balance.delta:g}, adding or removing one {balance.unit}.",
    )


def _show_next(contract: Contract, home: Home) -> None:
    steps = {}
    if _store(home).find(contract.id, "synthetic") is not None:
        query = f'dpsynth sql "select * from {plain(schema_of(contract.id), contract.table)} limit 10"'
        steps[query] = "the synthetic table, free of budget"
    steps["dpsynth audit"] = "what was spent, on what, what was refused"
    steps["dpsynth ui"] = "assets, plots of the budget, checks, as web pages"
    if (card := _store(home).find(contract.id, "card")) is not None:
        steps[shown(card.folder / CARD)] = "the certificate"
    say()
    say("Next", style="bold")
    for step, why in steps.items():
        say(f"  {why}: ", (step, "bold"))


def _store(home: Home) -> ArtifactStore:
    return ArtifactStore(home=str(home.root))
