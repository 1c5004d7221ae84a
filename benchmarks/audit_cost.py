"""What the audit of a release costs: the demo's training with its canaries and without, in turn.

python -m benchmarks audit_cost
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pandas as pd

from dpsynth_assets.audit.canaries import Canaries
from dpsynth_assets.audit.result import audit_result
from dpsynth_assets.contract import load_contract
from dpsynth_assets.demo.inbox import write_inbox
from dpsynth_assets.language import finetuning
from dpsynth_assets.language.promise import TrainingPromise
from dpsynth_assets.privacy.plan import TrainingPlan

CONTRACT = Path(__file__).parents[1] / "contracts" / "inbox.odcs.yaml"
STEPS, PAIRS = 3, 5


def rows() -> Iterator[tuple[str, str, list[float]]]:
    contract = load_contract(CONTRACT)
    plan = TrainingPlan.from_contract(contract)
    terms = contract.privacy
    with tempfile.TemporaryDirectory() as home:
        write_inbox(Path(home))
        inbox = pd.read_parquet(Path(home) / "train.parquet")
    inbox = inbox.rename(columns={terms.unit.column: "unit", terms.text.column: "text"})
    inbox = inbox.groupby("unit", sort=False).head(plan.max_records)

    def seconds(canaries: int) -> float:
        """Of a few steps; what is judged after them is not in it."""
        asked = replace(plan, canaries=canaries, mechanism=replace(plan.mechanism, steps=STEPS))
        ready = finetuning.prepare(contract, asked)
        ended: list[float] = []
        with tempfile.TemporaryDirectory() as folder:
            started = time.perf_counter()
            finetuning.fine_tune(
                contract,
                asked,
                inbox,
                Path(folder) / "adapter",
                progress=lambda step, steps: ended.append(time.perf_counter()),
                prepared=ready,
            )
        return ended[-1] - started

    pairs = [(seconds(plan.canaries), seconds(0)) for _ in range(PAIRS)]
    yield f"step with {plan.canaries} canaries", "the same without", [audited / alone for audited, alone in pairs]

    whole = sum(alone for _, alone in pairs) / (PAIRS * STEPS) * plan.mechanism.steps
    yield (
        "judging the attack",
        f"training of {plan.mechanism.steps} steps",
        [_judging(plan) / whole for _ in range(PAIRS)],
    )


def _judging(plan: TrainingPlan) -> float:
    """Seconds. How long it takes depends on the plan and hardly on the scores."""
    import torch

    canaries = Canaries(torch.nn.Linear(1, 1), plan.canaries, plan.mechanism.clipping)
    canaries.scores[canaries.included] = 1.0
    started = time.perf_counter()
    audit_result(canaries, TrainingPromise([plan.event()], plan.delta), plan.mechanism.steps)
    return time.perf_counter() - started
