"""What each learning device is worth at equal epsilon: validation loss on public rows of AG News, embedded model.

    python -m benchmarks.learning --source ../shared/data/ag_news.parquet --table docs/training-ablation.md

The rows to train on and the public rows to judge by are both cut from the train split; the test split is never read.
Every line of the table has its own mechanism, calibrated to the same epsilon and delta, and several runs, since noise
and batches are fresh in each and cannot be fixed. The loss is the mean token loss, in nats, of the public rows' texts.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from dpsynth_assets.privacy.plan import DpSgd, Learning, calibrated

EPSILON, DELTA = 3.0, 1e-5
PUBLIC_ROWS = 512
MAX_TOKENS = 56


def variants(shape: DpSgd, rate: float) -> Iterator[tuple[str, DpSgd, Learning]]:
    """Name, mechanism before calibration, learning set-up. Each line differs from the first in one device."""
    plain = Learning(rate)
    yield "plain: flat clipping, Adam, linear schedule", shape, plain
    yield "averaged iterates (decay 0.9)", shape, replace(plain, averaging=0.9)
    yield "Adam corrected for the noise", shape, replace(plain, optimiser="adam_noise_corrected")
    yield "cosine schedule", shape, replace(plain, schedule="cosine")
    yield "constant rate", shape, replace(plain, schedule="constant")
    yield "constant rate, averaged iterates", shape, replace(plain, schedule="constant", averaging=0.9)
    yield "automatic clipping", replace(shape, strategy="automatic"), plain
    yield "per-layer clipping", replace(shape, strategy="per_layer"), plain
    double, half = 2 * shape.expected_batch_size, max(1, shape.steps // 2)
    yield (
        "twice the batch, half the steps",
        replace(shape, sampling_rate=2 * shape.sampling_rate, expected_batch_size=double, steps=half),
        plain,
    )


def one_run(train_rows: Any, public_rows: Any, mechanism: DpSgd, learning: Learning, device: str) -> float:
    """Validation loss after one private run."""
    import torch

    from dpsynth_assets.language.base_model import load_base_model
    from dpsynth_assets.language.finetuning import TextUnits, attach_adapter
    from dpsynth_assets.language.objective import encode, encode_prefix, losses
    from dpsynth_assets.privacy.training import train

    base, tokenizer = load_base_model("embedded")
    plan: Any = SimpleNamespace(method="lora", rank=4, alpha=16.0)
    model: Any = attach_adapter(base, plan)
    model.to(device)

    def encoded(rows: Any) -> Any:
        prefixes = [encode_prefix(tokenizer, f"label: {label}") for label in rows["label"]]
        return encode(tokenizer, prefixes, rows["text"].tolist(), MAX_TOKENS)

    records = encoded(train_rows)
    data = TextUnits(records, list(range(len(records))), tokenizer.pad_token_id)
    train(model, data, mechanism, learning, micro_batch_tokens=2048)
    public = encoded(public_rows)
    model.eval()
    with torch.no_grad():
        parts = [losses(model, public[i : i + 64], tokenizer.pad_token_id) for i in range(0, len(public), 64)]
    return float(torch.cat(parts).mean())


def main() -> None:
    import pandas as pd

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", type=Path, required=True, help="AG News with columns text, label, split")
    parser.add_argument("--rows", type=int, default=22_000, help="rows to train on")
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--steps", type=int, default=80)
    parser.add_argument("--rate", type=float, default=0.01)
    parser.add_argument("--runs", type=int, default=3, help="runs of each line")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--table", type=Path, help="where the table goes, beside the screen")
    chosen = parser.parse_args()
    frame = pd.read_parquet(chosen.source)
    frame = frame[frame["split"] == "train"].sample(frac=1.0, random_state=0)  # the cut is public
    public, private = frame.head(PUBLIC_ROWS), frame.iloc[PUBLIC_ROWS : PUBLIC_ROWS + chosen.rows]
    shape = DpSgd(chosen.batch / len(private), 0.0, 1.0, chosen.batch, chosen.steps)
    lines = ["| device | noise multiplier | loss on public rows, mean | from | to |", "|---|---|---|---|---|"]
    for name, before, learning in variants(shape, chosen.rate):
        mechanism = calibrated(before, EPSILON, DELTA)
        results = [one_run(private, public, mechanism, learning, chosen.device) for _ in range(chosen.runs)]
        low, mean, high = min(results), statistics.mean(results), max(results)
        lines.append(f"| {name} | {mechanism.noise_multiplier:.2f} | {mean:.4f} | {low:.4f} | {high:.4f} |")
        print(lines[-1], flush=True)
    if chosen.table is not None:
        command = "python -m benchmarks.learning " + " ".join(sys.argv[1:])
        title = f"epsilon {EPSILON:g}, delta {DELTA:g}, {len(private)} rows, {chosen.runs} runs each: `{command}`"
        chosen.table.write_text("\n".join([title, "", *lines, ""]))


if __name__ == "__main__":
    main()
