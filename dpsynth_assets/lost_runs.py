"""Runs whose process is gone without a word, killed or with the machine, are said to have failed.

Dagster would count them as running for as long as its settings let any run take. They would keep their places in the
queue, and with a few of them nothing would start, the deletion of sensitive copies included. What such a run had begun
stays as it is in the ledger: the next run of the release goes on with it.

Knows runs and their processes; nothing of what they make.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import dagster as dg
from dagster._core.execution.context.system import PlanOrchestrationContext
from dagster._core.execution.plan.plan import ExecutionPlan
from dagster._core.execution.retries import RetryMode
from dagster._core.execution.step_dependency_config import StepDependencyConfig
from dagster._core.launcher import DefaultRunLauncher

from resources.home import Home
from resources.run_process import alive, lost

if TYPE_CHECKING:
    from dagster import DagsterEvent

SECONDS = 60  # between two looks
SAID = (
    "The process of this run ended without a word: it was killed, or the machine or its container stopped. Run it "
    "again: a release that it had begun is gone on with."
)


def told_apart(kind: dg.ExecutorDefinition) -> dg.ExecutorDefinition:
    """An executor whose runs can be told from those whose process is gone."""

    def made(context: dg.InitExecutorContext) -> dg.Executor:
        assert kind.executor_creation_fn is not None
        return _ToldApart(kind.executor_creation_fn(context))

    return dg.ExecutorDefinition(
        kind.name,
        config_schema=kind.config_schema.as_field(),
        requirements=kind.get_requirements,
        executor_creation_fn=made,
    )


class _ToldApart(dg.Executor):
    """Another executor, within `alive`."""

    def __init__(self, inner: dg.Executor) -> None:
        self._inner = inner

    def execute(self, plan_context: PlanOrchestrationContext, execution_plan: ExecutionPlan) -> Iterator[DagsterEvent]:
        with alive(Home.at(), plan_context.dagster_run.run_id):
            yield from self._inner.execute(plan_context, execution_plan)

    @property
    def retries(self) -> RetryMode:
        return self._inner.retries

    @property
    def step_dependency_config(self) -> StepDependencyConfig:
        return self._inner.step_dependency_config


@dg.sensor(
    minimum_interval_seconds=SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Says of runs whose process was killed that they failed, so that others get their place in the queue.",
)
def lost_runs(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """Where runs are processes of this machine; Kubernetes tells of its own."""
    found = mark_lost(context.instance, Home.at())
    for run in found:
        context.log.warning(f"Run {run}: {SAID}")
    return dg.SkipReason(f"runs that had lost their process: {len(found)}")


def mark_lost(instance: dg.DagsterInstance, home: Home) -> list[str]:
    """Report the runs that have lost their process as failed, or as canceled where they were to be; their ids."""
    if not isinstance(instance.run_launcher, DefaultRunLauncher):
        return []
    found = []
    begun = [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]
    for run in instance.get_runs(dg.RunsFilter(statuses=begun)):
        with lost(home, run.run_id) as is_lost:
            if is_lost and run.status == dg.DagsterRunStatus.CANCELING:
                instance.report_run_canceled(run, SAID)
            elif is_lost:
                instance.report_run_failed(run, SAID)
        if is_lost:
            found.append(run.run_id)
    return found
