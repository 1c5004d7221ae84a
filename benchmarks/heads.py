"""One DP-SGD step of a classifier over one step without privacy: the same network, texts and optimiser.

    python -m benchmarks heads
    python -m benchmarks.heads --units 2048 --pairs 15 --processor-time

The step without privacy takes all texts at once. The private one is that of `dpsynth_assets.classify.dp_training`: the
expected number of units in public shapes, clipped sum, noise. Random texts of 24 to 64 words, cut to 56, as AG News has
them, with words as unevenly frequent as in texts; random vectors in place of the frozen encoder's.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch

from benchmarks.pairs import PAIRS, paired_ratios
from dpsynth_assets.classify import dp_training
from dpsynth_assets.classify.dp_plan import DpClassifierPlan
from dpsynth_assets.classify.encoder import DIMENSION
from dpsynth_assets.privacy.clipping.engine import ClippedSum
from dpsynth_assets.privacy.clipping_methods import FlatClipping
from dpsynth_assets.privacy.noise import GaussianNoise
from dpsynth_assets.privacy.plan import DpSgd, Learning
from dpsynth_assets.privacy.shapes import groups
from dpsynth_assets.privacy.training import add

CLASSES, WORDS = 4, 56


def steps(classifier: str, units: int) -> tuple[Callable[[], None], Callable[[], None]]:
    """A private step and one without privacy, each with a model and an optimiser of its own."""
    plan = DpClassifierPlan(
        mechanism=DpSgd(0.1, 1.0, 1.0, expected_batch_size=units, steps=1),
        learning=Learning(0.01),
        epsilon=1.0,
        delta=1e-5,
        unit="row",
        neighbouring_relation="add_or_remove_one_unit",
        max_records=1,
        classifier=classifier,
        target="label",
        classes=tuple(str(number) for number in range(CLASSES)),
        max_tokens=WORDS,
    )
    encoder: Any = object()  # nothing is encoded
    method: Any = dp_training._method(plan, encoder)
    rng = random.Random(0)
    examples: Any = torch.randn(units, DIMENSION, generator=torch.Generator().manual_seed(0))
    if classifier == "word_cnn":
        lengths = [min(WORDS, rng.randint(24, 64)) for _ in range(units)]
        words = [[int(plan.buckets ** rng.random()) for _ in range(length)] for length in lengths]
        examples = method.filled_up(words)
    data = dp_training.LabelledUnits(method, examples, [rng.randrange(CLASSES) for _ in range(units)], range(units))
    model, plain = method.model().train(), method.model().train()
    clipped, noise = ClippedSum(model, FlatClipping(1.0)), GaussianNoise(1.0)
    optimiser, plain_optimiser = (torch.optim.AdamW(m.parameters(), lr=1e-3, weight_decay=0.0) for m in (model, plain))

    def private() -> None:
        for group in groups(range(units), data.records_of, data.lengths, method.shapes):
            add(clipped, model, data, group)
        sums = clipped.take()
        noise.add_(sums)
        for parameter, total in zip(clipped.parameters, sums, strict=True):
            parameter.grad = total.div_(units).to(parameter.dtype)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)

    def ordinary() -> None:
        data.losses(plain, range(units)).mean().backward()
        plain_optimiser.step()
        plain_optimiser.zero_grad(set_to_none=True)

    return private, ordinary


def rows(
    units: Sequence[int] = (512, 2048), pairs: int = PAIRS, clock: Callable[[], float] = time.perf_counter
) -> Iterator[tuple[str, str, list[float]]]:
    """Ratios of times, for each classifier and expected batch size."""
    for classifier in ("minilm", "word_cnn"):
        for count in units:
            yield f"{classifier}, {count} units", "no privacy", paired_ratios(*steps(classifier, count), pairs, clock)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--units", type=int, nargs="+", default=[512, 2048])
    parser.add_argument("--pairs", type=int, default=PAIRS)
    parser.add_argument("--processor-time", action="store_true", help="for a machine that other work shares")
    chosen = parser.parse_args()
    clock = time.process_time if chosen.processor_time else time.perf_counter
    for measured, reference, ratios in rows(chosen.units, chosen.pairs, clock):
        ordered = sorted(ratios)
        median = ordered[len(ordered) // 2]
        print(f"{measured} | {reference} | {median:.2f} | {ordered[0]:.2f} to {ordered[-1]:.2f}", flush=True)


if __name__ == "__main__":
    main()
