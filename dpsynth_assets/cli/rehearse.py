"""`dpsynth rehearse`: a contract's whole run on made-up rows, for its time, its memory and a look at texts. Free."""

from __future__ import annotations

import os
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import Progress
from rich.table import Table

from dpsynth_assets.cli.console import BadInput, console, contract_at, fail, say, shown, variant_of
from dpsynth_assets.language.model_places import MODELS, models_folder, require_base_model
from dpsynth_assets.releases.adapter import ADAPTER
from resources.home import Home

if TYPE_CHECKING:
    from dpsynth_assets.cli.rehearsal.rows import Texts
    from dpsynth_assets.cli.rehearsal.terms import Rehearsed, Scale
    from dpsynth_assets.cli.running import Outcome
    from dpsynth_assets.contract import Contract

_SAMPLES = 8
_BUSY = 0.6  # of the time, at least: below that a processor was with others


def rehearse(
    contract: Annotated[Path, typer.Argument(help="A contract file.")],
    rows: Annotated[
        Path | None, typer.Option(help="A PUBLIC file with texts in place of made-up ones. Never the source.")
    ] = None,
    units: Annotated[int, typer.Option(min=8, help="How many made-up units there are, at most.")] = 200,
    steps: Annotated[int, typer.Option(min=2, help="Of each training, at most.")] = 4,
    texts: Annotated[int, typer.Option(min=8, help="Rows of the synthetic table, at most.")] = 100,
    variant: Annotated[str | None, typer.Option(help="A release variant of the contract, such as lora-3.")] = None,
    keep: Annotated[Path | None, typer.Option(help="A new folder that keeps what the rehearsal made.")] = None,
) -> None:
    """Run a contract on made-up rows, in a home and a ledger of its own that go when it ends: how long it will take,
    how much memory, what texts look like, whether its rules can hold. The source is not opened, nothing is charged, and
    nothing of it can be published. Exit code 1 if a stage failed."""
    from dpsynth_assets.cli.rehearsal.terms import Scale

    chosen = variant_of(contract_at(contract), variant)
    if chosen.reads_nothing:
        raise BadInput(f"--variant {variant} reads no row and costs nothing: `dpsynth run` it")
    require_base_model(chosen)
    with _place(keep) as folder, _home_of_its_own():
        outcome = _rehearsed(chosen, rows, Scale(units, steps, texts), folder)
    if keep is not None:
        say(f"What it made lies in {shown(keep.absolute())}, without its published table and its signing keys.")
    raise typer.Exit(0 if outcome.success else 1)


def _rehearsed(contract: Contract, rows: Path | None, scale: Scale, folder: Path) -> Outcome:
    from dpsynth_assets.cli.own_home import opened
    from dpsynth_assets.cli.rehearsal.rows import write_rows
    from dpsynth_assets.cli.rehearsal.terms import rehearsed
    from dpsynth_assets.cli.running import materialize

    small = rehearsed(contract, folder, scale)
    terms = small.contract.privacy
    say(
        (contract.title, "bold"),
        f" · rehearsal with {terms.unit.public_count:,} made-up {terms.unit.name}s and "
        f"{terms.generation.rows:,} texts. The source is not opened, and nothing is charged.",
    )
    each = write_rows(small.contract, _texts(contract, small.contract, rows, folder), folder)
    home = opened(folder / "home", small.contract, "a rehearsal on made-up rows: nobody is in them")
    busy = time.process_time()
    outcome = materialize(small.contract, home, out=console())
    busy = time.process_time() - busy
    if outcome.stopped:
        fail("stopped: the rehearsal did not end, so it says nothing of a full run. Nothing was charged")
        return outcome
    _show_failures(outcome)
    _show_times(contract, small.contract, outcome, each, busy)
    _show_texts(small.contract, home, rows)
    _show_rules(small, outcome)
    say(
        "Nothing was charged: the releases above stand in a ledger of their own, about people who do not exist. "
        "Nothing of it can be published. Next: ",
        (f"dpsynth plan {shown(contract.path)}", "bold"),
        " says what the real ones cost, and what signal to expect.",
    )
    return outcome


def _texts(contract: Contract, small: Contract, rows: Path | None, folder: Path) -> Texts:
    from dpsynth_assets.cli.rehearsal.rows import of_base_model, of_file
    from dpsynth_assets.language.generation import GenerationError

    if rows is not None:
        say(f"Texts are those of {rows}, which must be public: nothing charges for reading it.", style="dim")
        return of_file(contract, rows)
    base = contract.privacy.base_model
    if base.endpoint is not None:
        say(f"The model at {base.endpoint} is asked for texts, as in a full run; it may want money for them.")
    with Progress(console=console(), transient=True) as bars:
        task = bars.add_task("Made-up rows, written by the base model")
        try:
            return of_base_model(small, folder, lambda done, in_all: bars.update(task, completed=done, total=in_all))
        except GenerationError as error:
            raise BadInput(f"the base model writes no texts to rehearse with ({error}): give --rows FILE") from None


def _show_failures(outcome: Outcome) -> None:
    for asset, text in outcome.failures.items():
        say(("✗ ", "red"), (asset, "bold"), f": {text}")
    if not outcome.success:
        say("What comes after it was not measured. More --texts or --units may get further.", style="yellow")


def _show_times(full: Contract, small: Contract, outcome: Outcome, each: int, busy: float) -> None:
    from dpsynth_assets.cli.rehearsal.estimate import estimates
    from dpsynth_assets.cli.running import title_of

    found = estimates(full, small, outcome.stages)
    table = Table(title="time", title_justify="left")
    for heading, side in (
        ("stage", "left"),
        ("measured", "right"),
        ("a full run, about", "right"),
        ("reckoned", "left"),
    ):
        table.add_column(heading, justify=side)  # type: ignore[arg-type]
    for line in found:
        if line.measured >= 0.5 or line.full >= 0.5:
            table.add_row(title_of(line.name), _long(line.measured), _long(line.full), line.why)
    table.add_section()
    table.add_row("all", _long(sum(line.measured for line in found)), _long(sum(line.full for line in found)), "")
    console().print(table)
    unit, terms = small.privacy.unit, full.privacy
    say(
        "Reckoned in proportion to the work, on this machine as busy as it was now. What is done once counts as "
        f"growing where it cannot be told apart, so this is rather too long; texts longer than these (they may have "
        f"{terms.text.max_tokens:,} tokens) take longer. Each {unit.name} had {each:,} record{'s' if each > 1 else ''}"
        + (f"; a {unit.name} may have {terms.unit.max_records:,}." if each < terms.unit.max_records else "."),
        style="dim",
    )
    if busy < _BUSY * outcome.seconds:
        alone = sum(line.full for line in found) * busy / outcome.seconds
        say(
            f"This machine did other things too: of {_long(outcome.seconds)} it worked {_long(busy)} for the "
            f"rehearsal. With nothing else to do, a full run takes some {_long(alone)}.",
            style="yellow",
        )
    say(
        ("Memory", "bold"),
        f": {_peak_gigabytes():.1f} GB at most. A full run needs about as much, since training works in portions of "
        "one size, and what reading your source takes on top.",
    )


def _show_texts(contract: Contract, home: Home, rows: Path | None) -> None:
    from dpsynth_assets.cli.summary import show_sample
    from dpsynth_assets.synthesis.corpus import few_of_each, rows_of
    from resources.artifact_store import ArtifactStore

    corpus = ArtifactStore(home=str(home.root)).find(contract.id, "corpus")
    if corpus is None:
        return
    varied = contract.privacy.target if contract.privacy.labels else None
    show_sample(contract, few_of_each(rows_of(corpus.folder), varied, _SAMPLES), "made-up records")
    of = "public rows" if rows is not None else "its own texts"
    trained = contract.privacy.releases.get(ADAPTER) is not None
    taught = f"after a few noisy steps on {of}" if trained else "asked as the contract asks, untrained"
    say(
        f"So the base model writes {taught}: look whether these are texts of the right kind "
        "and length. They say nothing of what your rows will teach it.",
        style="dim",
    )


def _show_rules(small: Rehearsed, outcome: Outcome) -> None:
    from dpsynth_assets.quality.rules import rules_of

    rules = rules_of(small.contract)
    if "quality" in outcome.stages:
        broken = [rule for rule in rules if rule.name in outcome.checks_failed]
        say(("Quality rules", "bold"), f": {len(rules) - len(broken)} of {len(rules)} hold.")
        for rule in broken:
            effect = "stops the publication" if rule.blocking else "warns"
            say(("  ! ", "yellow"), (rule.name, "bold"), f" does not ({effect}): {rule.description}")
    for what in small.left_out:
        say(f"Not rehearsed: {what}.", style="dim")


def _peak_gigabytes() -> float:
    """The most memory that this process has held at once."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


def _long(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:,.0f} min" if seconds < 7200 else f"{seconds / 3600:,.1f} h"


@contextmanager
def _place(keep: Path | None) -> Iterator[Path]:
    """The rehearsal's folder, which goes in the end; or the new one that keeps it, without what could be published."""
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="dpsynth-rehearsal-", ignore_cleanup_errors=True) as folder:
            yield Path(folder)
        return
    if keep.exists() and (not keep.is_dir() or any(keep.iterdir())):
        raise BadInput(f"--keep {keep}: something is there already; name a new folder")
    keep.mkdir(parents=True, exist_ok=True)
    try:
        yield keep.absolute()
    finally:
        home = Home.at(keep / "home")
        shutil.rmtree(home.warehouse, ignore_errors=True)
        Path(f"{home.ledger_file}.key").unlink(missing_ok=True)  # by which alone it could publish or seal


@contextmanager
def _home_of_its_own() -> Iterator[None]:
    """This process's home is another one while the block runs; base models are where they were."""
    names = ("DPSYNTH_HOME", "DAGSTER_HOME", MODELS)
    before = {name: os.environ.get(name) for name in names}
    os.environ[MODELS] = str(models_folder())
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
