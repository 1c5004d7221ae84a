"""How long assets of a contract took when they were last made in this home, by Dagster's own record of its runs."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

import dagster as dg
from dagster._core.execution.stats import StepEventStatus  # no public name

from dpsynth_assets.assets.common import partitions_of
from dpsynth_assets.variants import name_of

if TYPE_CHECKING:
    from dpsynth_assets.contract import Contract
    from resources.home import Home

_RUNS = 20  # the newest that are looked through
PARTITION = "dagster/partition"


def last_seconds(contract: Contract, home: Home, names: Collection[str]) -> float | None:
    """How long these assets took together, each the last time that it was made; None where one never was."""
    tags = {"dpsynth/contract": contract.declared.id}
    if partitions_of(contract.declared) is not None:
        tags[PARTITION] = name_of(contract)
    steps = {f"{contract.declared.id}__{name}".replace("-", "_"): name for name in names}
    found: dict[str, float] = {}
    home.enter()
    with dg.DagsterInstance.get() as instance:
        for run in instance.get_runs(dg.RunsFilter(tags=tags), limit=_RUNS):  # the newest first
            for step in instance.get_run_step_stats(run.run_id, list(steps)):
                name, took = steps[step.step_key], (step.end_time or 0.0) - (step.start_time or 0.0)
                if step.status == StepEventStatus.SUCCESS and took > 0:
                    found.setdefault(name, took)
    return sum(found.values()) if set(found) == set(names) else None


def roughly(seconds: float) -> str:
    """A duration as people say it."""
    minutes = seconds / 60
    if minutes < 1:
        return "less than a minute"
    return f"{minutes:,.0f} minutes" if minutes < 120 else f"{minutes / 60:,.0f} hours"
