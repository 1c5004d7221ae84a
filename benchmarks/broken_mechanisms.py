"""Which faults of DP-SGD code are found, and by what: exact tests, and the audit that a release has.

    OMP_NUM_THREADS=1 python -m benchmarks.broken_mechanisms

Prints a Markdown table of `benchmarks.faults`, and how often the audit accuses right code.

The audit is that of a release (`audit.canaries`); the model is a small one, so that a run takes a second.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING

import torch
from scipy.stats import binomtest

from benchmarks.faults import FAULTS, Fault, passes
from dpsynth_assets.audit.canaries import Canaries
from dpsynth_assets.audit.result import CONFIDENCE, AuditResult, audit_result
from dpsynth_assets.language.promise import TrainingPromise
from dpsynth_assets.markdown import row, table
from dpsynth_assets.privacy.plan import DpSgd, Learning, calibrated
from dpsynth_assets.privacy.shapes import Shape
from dpsynth_assets.privacy.training import train

if TYPE_CHECKING:
    from torch import Tensor, nn

EPSILON, DELTA = 1.0, 1e-5
CANARIES, RECORDS, PEOPLE, WIDTH = 1000, 4, 200, 8
ROWS = 256  # of a micro-batch, so that many units share one
MECHANISM = calibrated(DpSgd(0.5, 0.0, 1.0, 250, 4), EPSILON, DELTA)
LEARNING = Learning(0.1, schedule="constant", optimiser="sgd")


class People:
    """Units of one record each, with gradients longer than the clip."""

    def __init__(self) -> None:
        self.records_of = [[person] for person in range(PEOPLE)]
        self.lengths = [1] * PEOPLE
        self.longest = 1
        self._rows = torch.randn(PEOPLE, WIDTH)

    def losses(self, model: nn.Module, records: Sequence[int], shape: Shape) -> Tensor:
        rows = torch.zeros(shape.rows, WIDTH)
        rows[: len(records)] = self._rows[list(records)]
        losses: Tensor = model(rows).squeeze(1)
        return losses


def audited() -> AuditResult:
    """What the audit says of one run of `MECHANISM` as the code has it now."""
    model = torch.nn.Linear(WIDTH, 1, bias=False)
    with Canaries(model, CANARIES, MECHANISM.clipping, records=RECORDS) as canaries:
        train(model, canaries.beside(People()), MECHANISM, LEARNING, micro_batch_tokens=ROWS, observer=canaries)
    return audit_result(canaries, TrainingPromise([MECHANISM.event()], DELTA), MECHANISM.steps)


def cells(fault: Fault | None, runs: int) -> list[str]:
    """A row of the table: of a fault, or of the code as it is."""
    name, found = "none", "-"
    if fault is not None:
        name, test = fault.name, fault.test.rpartition("/")[2]
        found = f"`{test}`" if fault.is_found() else f"not by `{test}`"
        if not fault.in_training:
            return [name, found, "-", "no: it is before training begins"]
    with nullcontext() if fault is None else fault.put_in():
        results = [audited() for _ in range(runs)]
    caught = sum(result.refuted for result in results)
    bounds = sorted(result.lower_bound for result in results)
    measured = f"{bounds[runs // 2]:.2f} ({bounds[0]:.2f} to {bounds[-1]:.2f})"
    return [
        name,
        found,
        measured,
        f"{'yes' if caught == runs else 'no' if not caught else 'at times'}, {caught} of {runs}",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=3, help="audited runs with each fault")
    parser.add_argument("--right", type=int, default=40, help="audited runs of the code as it is")
    chosen = parser.parse_args()
    if not passes(*(fault.test for fault in FAULTS)):
        parser.exit(
            1, "an exact test fails with no fault in, so that its failing with one says nothing: mend it first\n"
        )

    claimed = TrainingPromise([MECHANISM.event()], DELTA).epsilon()
    claim = f"lower bound at {CONFIDENCE:.0%}, median of {chosen.runs} runs (from, to); promised {claimed:.2f}"
    print(table(["fault", "found by the exact test", claim, "caught by the audit"], []))
    for fault in (None, *FAULTS):
        print(row(cells(fault, chosen.runs)), flush=True)

    right = [audited() for _ in range(chosen.right)]
    wrong, bounds = sum(result.refuted for result in right), [result.lower_bound for result in right]
    p = binomtest(wrong, len(bounds), 1 - CONFIDENCE, alternative="greater").pvalue
    print(
        f"\n{wrong} of {len(bounds)} right runs were accused; the highest bound was {max(bounds):.2f}. If each were "
        f"accused with probability {1 - CONFIDENCE:.2f}, so many or more would be with probability {p:.2g}."
    )


if __name__ == "__main__":
    main()
