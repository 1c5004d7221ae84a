"""Which learning rate suits which way of tuning, under the noise of DP-SGD: loss on rows set aside from training.

    python -m benchmarks.methods --source ../shared/data/ag_news.parquet \
        --try lora:0.01 full:0.001 full:0.003 full:0.01 prompt:0.1 prompt:0.3

A short run stands for a whole release: `--batch` and `--steps` smaller than those that the noise is calibrated for,
with as much noise for each row of a batch as the whole release would have. The test split is never read. Rows that are
trained on and rows that judge are those of `benchmarks.learning`, whose table compares devices for one method.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from benchmarks.learning import DELTA, Experiment
from dpsynth_assets.language.base_model import has_bfloat16, load_base_model
from dpsynth_assets.language.packed import Packed
from dpsynth_assets.language.trainable import attach_adapter
from dpsynth_assets.language.units import TextUnits
from dpsynth_assets.markdown import row, table
from dpsynth_assets.privacy.plan import DpSgd, Learning, calibrated
from dpsynth_assets.privacy.training import train

PROMPT_TOKENS = 20
WHOLE = DpSgd(
    512 / 22_000, 0.0, 1.0, 512, 80, clipping_method="per_layer"
)  # what the shipped contract of AG News plans


def mechanism(epsilon: float, batch: int, steps: int, rows: int) -> DpSgd:
    """A short run with as much noise for each row of a batch as the whole release has at epsilon."""
    whole = calibrated(WHOLE, epsilon, DELTA)
    share = batch / whole.expected_batch_size
    return replace(
        whole,
        noise_multiplier=whole.noise_multiplier * share,
        expected_batch_size=batch,
        sampling_probability=batch / rows,
        steps=steps,
    )


def loss(experiment: Experiment, method: str, rate: float, short: DpSgd) -> float:
    """Mean token loss, in nats, on rows set aside."""
    plan: Any = SimpleNamespace(method=method, rank=4, alpha=16.0, prompt_tokens=PROMPT_TOKENS)
    torch.manual_seed(0)
    base, tokenizer = load_base_model("embedded")
    model: Any = attach_adapter(base, plan)
    virtual = PROMPT_TOKENS if method == "prompt" else 0
    data = TextUnits(Packed.of(experiment.private), tokenizer.pad_token_id, virtual, bfloat16=has_bfloat16())
    train(model, data, short, Learning(rate), micro_batch_tokens=4096)
    return experiment.loss(model, experiment.search_judge)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", type=Path, required=True, help="AG News with columns text, label, split")
    parser.add_argument("--try", dest="tried", nargs="+", required=True, metavar="METHOD:RATE")
    parser.add_argument("--epsilon", type=float, default=2.1, help="of the whole adapter release")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--rows", type=int, default=20_000)
    chosen = parser.parse_args()
    experiment = Experiment(chosen.source, chosen.rows, "cpu")
    short = mechanism(chosen.epsilon, chosen.batch, chosen.steps, experiment.rows)
    print(table(["method", "learning rate", "loss on rows set aside"], []), flush=True)
    for each in chosen.tried:
        method, _, rate = each.partition(":")
        print(row([method, rate, f"{loss(experiment, method, float(rate), short):.3f}"]), flush=True)


if __name__ == "__main__":
    main()
