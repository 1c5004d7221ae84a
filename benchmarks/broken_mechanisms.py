"""Which faults of DP-SGD code are found, and by what: exact tests, and the white-box audit of `dpsynth_assets.audit`.

    OMP_NUM_THREADS=1 python -m benchmarks.broken_mechanisms

Prints a Markdown table of `benchmarks.faults`, and how often the audit accuses right code; eight minutes on one core.

The audit is given what it is best at: a linear model, and canaries each with a direction of its own ("Dirac canaries",
Steinke, Nasr, Jagielski 2023, section 6), of several records whose gradients are far longer than the clip. Canaries
that are texts in a language model overlap with each other and with people, and show less.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.stats import binomtest

from benchmarks.faults import FAULTS, Fault, passes
from dpsynth_assets.audit.one_run import coins, lower_bound
from dpsynth_assets.audit.white_box import WhiteBox
from dpsynth_assets.markdown import row, table
from dpsynth_assets.privacy.plan import DpSgd, Learning, calibrated
from dpsynth_assets.privacy.shapes import Shape, public_shapes
from dpsynth_assets.privacy.training import train

if TYPE_CHECKING:
    from torch import Tensor, nn

EPSILON, DELTA, CONFIDENCE = 1.0, 1e-5, 0.95
CANARIES, GUESSES = 1000, 200  # chosen on other runs than those that are shown
RECORDS = 4  # of a canary
LENGTH = 10.0  # of a record's gradient, over the clip
ROWS = 256  # of a micro-batch, so that many canaries share one
MECHANISM = calibrated(DpSgd(0.5, 0.0, 1.0, CANARIES // 4, 4), EPSILON, DELTA)
LEARNING = Learning(0.1, schedule="constant", optimiser="sgd")


class Directions:
    """Units that are canaries: the gradient of number i's records is that of weight i alone."""

    def __init__(self, canaries: Sequence[int]) -> None:
        self.canaries = canaries
        self.records_of = [range(start, start + RECORDS) for start in range(0, RECORDS * len(canaries), RECORDS)]
        self.lengths = [1] * (RECORDS * len(canaries))
        self.longest = 1

    def losses(self, model: nn.Module, records: Sequence[int], shape: Shape) -> Tensor:
        inputs = torch.zeros(shape.rows, CANARIES)
        inputs[range(len(records)), [self.canaries[record // RECORDS] for record in records]] = LENGTH
        losses: Tensor = model(inputs).squeeze(1)
        return losses


def audited() -> float:
    """The lower bound on epsilon that the audit finds of one run of `MECHANISM` as the code has it now."""
    model = torch.nn.Linear(CANARIES, 1, bias=False)
    included = coins(CANARIES)
    own = public_shapes(1, RECORDS)
    with WhiteBox(model, Directions(range(CANARIES)), MECHANISM.clipping, own) as attack:
        data = Directions(np.flatnonzero(included).tolist())
        train(model, data, MECHANISM, LEARNING, micro_batch_tokens=ROWS, observer=attack)
    return lower_bound(attack.scores, included, delta=DELTA, guesses=[GUESSES], confidence=CONFIDENCE)


def cells(fault: Fault | None, runs: int) -> list[str]:
    """A row of the table: of a fault, or of the code as it is."""
    name, found = "none", "-"
    if fault is not None:
        name, test = fault.name, fault.test.rpartition("/")[2]
        found = f"`{test}`" if fault.is_found() else f"not by `{test}`"
        if not fault.in_training:
            return [name, found, "-", "no: it is before training begins"]
    with nullcontext() if fault is None else fault.put_in():
        bounds = sorted(audited() for _ in range(runs))
    caught = sum(bound > EPSILON for bound in bounds)
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

    claim = f"lower bound at {CONFIDENCE:.0%}, median of {chosen.runs} runs (from, to); claimed {EPSILON}"
    print(table(["fault", "found by the exact test", claim, "caught by the audit"], []))
    for fault in (None, *FAULTS):
        print(row(cells(fault, chosen.runs)), flush=True)

    bounds = [audited() for _ in range(chosen.right)]
    wrong = sum(bound > EPSILON for bound in bounds)
    p = binomtest(wrong, len(bounds), 1 - CONFIDENCE, alternative="greater").pvalue
    print(
        f"\n{wrong} of {len(bounds)} right runs were accused; the highest bound was {max(bounds):.2f}. If each were "
        f"accused with probability {1 - CONFIDENCE:.2f}, so many or more would be with probability {p:.2g}."
    )


if __name__ == "__main__":
    main()
