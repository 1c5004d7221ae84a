"""Materializes a contract's assets in this process, on the persistent Dagster instance, and shows how it goes.

The UI shows these runs like its own. The gate is inside the assets: nothing here decides about budget.
"""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import dagster as dg
from dagster import DagsterEventType
from dagster._core.events import RunFailureReason
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from dpsynth_assets.assets.admission import ADMITTED
from dpsynth_assets.assets.common import partitions_of
from dpsynth_assets.assets.progress import shown_by
from dpsynth_assets.cli.instance import instance_of
from dpsynth_assets.factory import build_contract_defs, job_name
from dpsynth_assets.gate.again import AGREED_TAG
from dpsynth_assets.gate.ahead import let_go
from dpsynth_assets.releases.registry import planned_names, releases
from dpsynth_assets.variants import MAIN
from resources.heads import open_ledger
from resources.platform import platform_resources
from resources.run_process import alive

if TYPE_CHECKING:
    from dagster_shared.error import SerializableErrorInfo
    from rich.console import Console

    from dpsynth_assets.contract import Contract
    from resources.home import Home

_LABELS = {
    "source": "Snapshot of the source",
    "base_model_has_not_read_the_source": "Base model and source compared",
    "privacy_audit": "Training attacked",
    "budget": "Budget",
    "budget_is_left": "Budget compared with its cap",
    "snapshot_is_kept": "Retention of the snapshot",
    "candidates": "Synthetic candidates",
    "corpus": "Synthetic corpus",
    "quality": "Quality checks",
    "synthetic": "Published table",
    "classifier": "Classifiers",
    "evaluation": "Evaluation on public test records",
    "safety_classifier": "Safety classifier for devices",
    "safety_evaluation": "Safety classifier on public test records",
    "card": "Certificate",
}


@dataclass
class Stage:
    """How long an asset, or the checks of one, took: `seconds` in all, and what the work told of itself on the way."""

    began: float
    seconds: float = 0.0
    told: list[tuple[float, int]] = field(default_factory=list)  # when which step was done: the first one and the last

    @property
    def seconds_a_step(self) -> float | None:
        """Of the steps after the first, which is preceded by what is done once; None where no two were told."""
        if len(self.told) < 2 or self.told[1][1] <= self.told[0][1]:
            return None
        (first, done), (last, in_all) = self.told
        return (last - first) / (in_all - done)


@dataclass
class Outcome:
    """How a run ended. `failures` maps assets to what their failures and refusals say; `refusal` is the ledger's no, in
    figures; checks failed where they must hold, and warned where they need not; `published` is whether the run has
    published its table; `stopped` is for a person or the system, by an interrupt; `stages` by the names of
    assets, in their order."""

    success: bool
    run_id: str
    seconds: float
    failures: dict[str, str] = field(default_factory=dict)
    refusal: dict[str, Any] | None = None
    checks_failed: list[str] = field(default_factory=list)
    checks_warned: list[str] = field(default_factory=list)
    published: bool = False
    stopped: bool = False
    stages: dict[str, Stage] = field(default_factory=dict)


def materialize(
    contract: Contract,
    home: Home,
    *,
    source: str | None = None,
    size: float | None = None,
    only: tuple[str, ...] = (),
    partition: str = MAIN,
    agreed: Collection[str] | None = None,
    out: Console | None = None,
) -> Outcome:
    """Materialize all assets of the contract, or `only` the named ones; of a contract with release variants, the named
    one's partition. Where somebody agreed to its costs, nothing but what has these keys is charged anew."""
    home.enter()
    display = _Display(contract, out)
    defs = dg.Definitions.merge(
        build_contract_defs(contract),
        dg.Definitions(resources=platform_resources(str(home.root)), loggers={"console": display.logger()}),
    )
    config = {key: value for key, value in (("source", source), ("size", size)) if value is not None}
    ops = {f"{contract.id}__source".replace("-", "_"): {"config": config}} if config else {}
    warnings.filterwarnings("ignore", category=FutureWarning)  # libraries talking to their maintainers
    # After a refusal: that a check which was skipped stops nobody. What it would stop is skipped too.
    logging.getLogger("dagster._core.execution.plan.active").setLevel(logging.ERROR)
    started = time.monotonic()
    run = str(uuid4())
    with instance_of(home) as instance, display, shown_by(display.report), alive(home, run):
        job = defs.resolve_job_def(job_name(contract))
        result = job.execute_in_process(
            run_config={"ops": ops, "loggers": {"console": {}}},  # unnamed loggers are not used
            instance=instance,
            partition_key=partition if partitions_of(contract) else None,
            asset_selection=[dg.AssetKey([contract.id, name]) for name in only] or None,
            raise_on_error=False,
            run_id=run,
            tags={
                "dpsynth/contract": contract.id,
                "dpsynth/launched_by": "dpsynth run",
                **({} if agreed is None else {AGREED_TAG: ",".join(agreed)}),
            },
        )
        let_go(lambda: open_ledger(home), result.run_id)  # what it did not come to
    outcome = _outcome(result, contract, time.monotonic() - started)
    outcome.stages = display.stages
    return outcome


_OURS = ("ledger.", "resources.", "dpsynth_assets.")
_MOST_SAID = 500  # characters of an error that nobody foresaw
_INTERRUPT = "DagsterExecutionInterruptedError"
_KNOWN = {
    "DagsterAssetCheckFailedError": "the corpus breaks a rule of the contract that it must meet",
}


def _outcome(result: dg.ExecuteInProcessResult, contract: Contract, seconds: float) -> Outcome:
    outcome = Outcome(result.success, result.run_id, seconds)
    failed = [check for check in result.get_asset_check_evaluations() if not check.passed]
    checks = [check for check in failed if check.check_name != ADMITTED]
    for check in checks:
        only_warns = check.severity == dg.AssetCheckSeverity.WARN
        (outcome.checks_warned if only_warns else outcome.checks_failed).append(check.check_name)
    for check in failed:
        if check.check_name == ADMITTED:
            name, text = check.asset_key.path[-1], check.description or "refused"
            outcome.success, outcome.failures[name] = False, text
            figures = {key: value.value for key, value in check.metadata.items()}
            if figures.get("refused_by_privacy_ledger"):
                outcome.refusal = {"asset": name, "text": text, **figures}
    for event in result.all_events:
        if event.event_type == DagsterEventType.STEP_FAILURE:
            data = event.step_failure_data
            about = data.user_failure_data
            name = _short(event.step_key)
            if about is None:
                if data.error is not None and data.error.cls_name == _INTERRUPT:
                    outcome.stopped = True
                    continue
                reads_rows = name in ("source", *planned_names(contract))
                outcome.failures[name] = _said(data.error, reads_rows=reads_rows) if data.error else "failed"
                continue
            outcome.failures[name] = about.description or "failed"
        elif event.event_type == DagsterEventType.ASSET_MATERIALIZATION:
            outcome.published |= _short(event.step_key) == "synthetic"
        elif event.event_type == DagsterEventType.RUN_CANCELED:
            outcome.stopped = True
        elif event.event_type == DagsterEventType.RUN_FAILURE:  # between two assets
            outcome.stopped |= event.job_failure_data.failure_reason == RunFailureReason.UNEXPECTED_TERMINATION
    for check in checks:
        if (step := f"{check.asset_key.path[-1]}_{check.check_name}") in outcome.failures and check.description:
            outcome.failures[step] = check.description
    return outcome


def _said(error: SerializableErrorInfo, *, reads_rows: bool) -> str:
    """An error that nobody foresaw: what Dagster was told first, since its own error says only where. Of an asset that
    reads rows, no more than its type."""
    if known := _KNOWN.get(error.cls_name or ""):
        return known
    while error.cause is not None:
        error = error.cause
    if reads_rows:
        return f"failed with {error.cls_name}; where its text is needed, the run's page in the UI has it"
    first = (error.message.strip().splitlines() or [str(error.cls_name)])[0]
    module, _, said = first.partition(f"{error.cls_name}: ")
    if said and module.startswith(_OURS):  # written for people
        return said
    return f"failed with {first[:_MOST_SAID]}"


def _short(step_key: str | None) -> str:
    return (step_key or "").rsplit("__", 1)[-1]


class _Steps(MofNCompleteColumn):
    """Steps done of all, where the work has said how many there are."""

    def render(self, task: Task) -> Text:
        return Text() if task.total is None else super().render(task)


class _Left(TimeRemainingColumn):
    """The time that is left, where it can be reckoned."""

    def render(self, task: Task) -> Text:
        return Text() if task.time_remaining is None else Text.assemble(("left: ", "dim"), super().render(task))


class _Display:
    """Progress bars while a contract's assets run: fed by Dagster's events and by what the work reports."""

    def __init__(self, contract: Contract, out: Console | None) -> None:
        self._out = out
        self._progress: Progress | None = None
        self._tasks: dict[str, Any] = {}
        self.stages: dict[str, Stage] = {}
        self._quarters: dict[str, int] = {}
        self._refused: set[str] = set()

    def __enter__(self) -> _Display:
        if self._out is None:
            return self

        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=30),
            _Steps(),
            TimeElapsedColumn(),
            _Left(),
            console=self._out,
            transient=True,
            redirect_stdout=False,  # the gate redirects them, and must find the real ones
            redirect_stderr=False,
        )
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._progress is not None:
            self._progress.stop()

    def report(self, title: str, step: int, steps: int) -> None:
        """Called by the work: step of steps."""
        if self.stages:
            told = next(reversed(self.stages.values())).told  # one asset runs at a time
            told[1:] = [(time.monotonic(), step)]
        if self._progress is None or self._out is None:
            return
        if not self._out.is_terminal:  # no bar in a pipe, but a sign of life at every quarter
            quarter = 4 * step // steps
            if quarter > self._quarters.get(title, 0):
                self._quarters[title] = quarter
                self._out.print(f"  {title}: {step} of {steps}")
            return
        if title not in self._tasks:
            self._tasks[title] = self._progress.add_task(title, total=steps)
        self._progress.update(self._tasks[title], completed=step, total=steps)
        if step >= steps:
            self._progress.remove_task(self._tasks.pop(title))

    def logger(self) -> dg.LoggerDefinition:
        """A Dagster logger that turns step events into lines, in place of Dagster's own chatter on the terminal."""
        display = self

        class Handler(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                meta = getattr(record, "dagster_meta", None) or {}
                event = meta.get("dagster_event") if isinstance(meta, dict) else None
                if event is not None:
                    display.event(event)

        @dg.logger
        def terminal(_: dg.InitLoggerContext) -> logging.Logger:
            made = logging.Logger("dpsynth.terminal", logging.DEBUG)
            made.addHandler(Handler())
            return made

        return terminal

    def event(self, event: dg.DagsterEvent) -> None:
        """One of Dagster's events."""
        if event.step_key is None:
            return
        name = _short(event.step_key)
        if event.event_type == DagsterEventType.STEP_START:
            self.stages[name] = Stage(time.monotonic())
        elif event.event_type in _MARKS and name in self.stages:
            self.stages[name].seconds = time.monotonic() - self.stages[name].began
        if self._out is None:
            return
        label = title_of(name)
        if event.event_type == DagsterEventType.STEP_START:
            if self._progress is not None:
                self._tasks[name] = self._progress.add_task(label, total=None)
        elif event.event_type == DagsterEventType.ASSET_CHECK_EVALUATION:
            check = event.asset_check_evaluation_data
            if check.check_name == ADMITTED and not check.passed:
                self._refused.add(name)
        elif event.event_type in _MARKS:
            self._finish(name)
            if event.event_type == DagsterEventType.STEP_SKIPPED and self._refused:
                return  # nobody asks what follows from what was refused
            took = self.stages[name].seconds if name in self.stages else 0.0
            mark = _MARKS[DagsterEventType.STEP_FAILURE if name in self._refused else event.event_type]
            self._out.print(Text.assemble(mark, f" {label} ", (f"{took:.0f} s", "dim")))

    def _finish(self, name: str) -> None:
        if self._progress is not None:
            for task in [self._tasks.pop(key) for key in list(self._tasks)]:
                self._progress.remove_task(task)


_MARKS = {
    DagsterEventType.STEP_SUCCESS: ("✓", "green"),
    DagsterEventType.STEP_FAILURE: ("✗", "red"),
    DagsterEventType.STEP_SKIPPED: ("–", "dim"),
}


def title_of(name: str) -> str:
    """What the work on an asset, or on a check of one, is called. A check's step has its asset's name before its."""
    titles = _LABELS | {release.name: release.title for release in releases()}
    if name in titles:
        return titles[name]
    checks = [each for each in _LABELS if name.endswith(f"_{each}")]
    return titles[max(checks, key=len)] if checks else name
