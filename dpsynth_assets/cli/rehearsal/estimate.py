"""What a full run would take, reckoned from a rehearsal: how much more of each stage's work there is in the contract.

Knows contracts and measured seconds. What is done once, such as loading a model, is told from what grows only where the
work reports its steps; elsewhere all of a stage counts as growing, so that the estimate is rather too long.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from dpsynth_assets.cli.rehearsal.rows import records_of_a_unit
from dpsynth_assets.cli.rehearsal.terms import TRAINED
from dpsynth_assets.privacy.evolution import evolution_plan
from dpsynth_assets.privacy.plan import TrainingPlan
from dpsynth_assets.releases.adapter import ADAPTER
from dpsynth_assets.releases.dp_baseline import DP_BASELINE
from dpsynth_assets.releases.evolution import EVOLUTION
from dpsynth_assets.releases.key_phrases import KEY_PHRASES
from dpsynth_assets.releases.labeller import LABELLER
from dpsynth_assets.releases.votes import CANDIDATES, VOTES
from dpsynth_assets.synthesis.candidates import rows_drawn, rows_wanted

if TYPE_CHECKING:
    from dpsynth_assets.cli.running import Stage
    from dpsynth_assets.contract import Contract
    from dpsynth_assets.privacy.plan import DpSgdPlan
    from dpsynth_assets.releases.release import Release

# Stages whose reports count one kind of work, which grows; of what is not reported of them, `Growth.rest` says it.
_REPORTS_ALL = (ADAPTER.name, LABELLER.name, DP_BASELINE.name, CANDIDATES)


@dataclass(frozen=True)
class Growth:
    """How many times the work of a stage there is in a full run, and of what; and of the `rest`, which it does not
    report: loading a model is done once, encoding the rows grows with them."""

    times: float
    why: str
    rest: float = 1.0


@dataclass(frozen=True)
class Estimate:
    """One stage: what was measured, what a full run would take, in seconds, and how that was reckoned."""

    name: str
    measured: float
    full: float
    why: str


def estimates(full: Contract, small: Contract, stages: Mapping[str, Stage]) -> list[Estimate]:
    """What each stage that was measured would take in a full run."""
    growths, found = growth(full, small), []
    for name, stage in stages.items():
        grown = growths.get(name)
        if grown is None:
            found.append(Estimate(name, stage.seconds, stage.seconds, "as long"))
            continue
        rest, pace = 0.0, stage.seconds_a_step
        if name in _REPORTS_ALL and pace is not None:
            rest = max(0.0, stage.seconds - pace * stage.told[-1][1])
        full_run = rest * grown.rest + (stage.seconds - rest) * grown.times
        found.append(Estimate(name, stage.seconds, full_run, grown.why))
    return found


def growth(full: Contract, small: Contract) -> dict[str, Growth]:
    """By the names of stages, how much more of their work a full run has. Stages that are not named do not grow."""
    units = full.privacy.unit.public_count / small.privacy.unit.public_count
    of_units = Growth(units, f"{_times(units)} the units")
    wanted = rows_wanted(full, 1.0) / rows_wanted(small, 1.0)
    drawn = Growth(rows_drawn(full, 1.0) / rows_drawn(small, 1.0), f"{_times(wanted)} the texts")
    found = {"source": of_units, CANDIDATES: drawn, "corpus": drawn}
    of_rows = Growth(wanted, drawn.why)
    found |= dict.fromkeys(("quality", "classifier", "safety_classifier"), of_rows)
    terms = full.privacy.releases
    for release in TRAINED:
        if terms.get(release) is not None:
            found[release.name] = _of_training(full, small, release, 1.0 if release is ADAPTER else units)
    if terms.get(KEY_PHRASES) is not None:
        found[KEY_PHRASES.name] = of_units
    if terms.get(EVOLUTION) is not None:
        plans = [evolution_plan(each, EVOLUTION, 1.0) for each in (full, small)]
        texts, fewer = (
            plan.written(rows)
            for plan, rows in zip(plans, (rows_drawn(full, 1.0), rows_drawn(small, 1.0)), strict=True)
        )
        found[EVOLUTION.name] = max(
            of_units, Growth(texts / fewer, f"{_times(texts / fewer)} the texts"), key=_by_times
        )
    if terms.get(VOTES) is not None:
        found[VOTES.name] = max(of_units, drawn, key=_by_times)
    return found


def _of_training(full: Contract, small: Contract, release: Release[Any], rest: float) -> Growth:
    """By steps, and by the records that a step takes on average: those of units, and canaries of one each."""
    plans = [cast("DpSgdPlan", release.plan(each)) for each in (full, small)]
    records = [_records_a_step(plan, records_of_a_unit(full)) for plan in plans]
    steps = plans[0].mechanism.steps / plans[1].mechanism.steps
    larger = records[0] / records[1]
    return Growth(steps * larger, f"{_times(steps)} the steps, {_times(larger)} the records in each", rest)


def _records_a_step(plan: DpSgdPlan, each: int) -> float:
    canaries = plan.canaries if isinstance(plan, TrainingPlan) else 0
    return plan.mechanism.expected_batch_size * each + canaries * plan.mechanism.sampling_probability


def _by_times(grown: Growth) -> float:
    return grown.times


def _times(factor: float) -> str:
    return f"{factor:,.0f} times" if factor >= 10 else f"{factor:.1f} times"
