"""What the embedded model writes after fine-tuning without privacy on public AG News: the upper end for its samples.

    python -m benchmarks.without_privacy --source ../shared/data/ag_news.parquet

The product's objective, engine and sampler, with no noise and no clip: plain training, for rows whose owner has made
them public. Only the train split is read. Prints unselected samples, a few for each label, and the loss on rows of the
train split that were set aside.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import torch
from rich.progress import Progress

from dpsynth_assets.contract.synthesis import EMBEDDED
from dpsynth_assets.language.base_model import load_base_model
from dpsynth_assets.language.objective import encode, encode_prefix, losses
from dpsynth_assets.language.packed import Packed
from dpsynth_assets.language.sampling import Decoding, Sampler
from dpsynth_assets.language.trainable import attach_adapter
from dpsynth_assets.language.units import TextUnits
from dpsynth_assets.privacy.plan import DpSgd, Learning
from dpsynth_assets.privacy.training import train

SET_ASIDE = 512
MAX_TOKENS = 72


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", type=Path, required=True, help="AG News with columns text, label, split")
    parser.add_argument("--passes", type=float, default=2.0, help="over the rows")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--bfloat16", action="store_true", help="passes under autocast")
    parser.add_argument("--samples", type=int, default=5, help="of each label")
    chosen = parser.parse_args()
    base, tokenizer = load_base_model(EMBEDDED)
    end: Any = tokenizer.eos_token_id
    pad: Any = tokenizer.pad_token_id
    frame = pd.read_parquet(chosen.source)
    frame = frame[frame["split"] == "train"].sample(frac=1.0, random_state=0)
    prefixes = {str(label): encode_prefix(tokenizer, f"label: {label}") for label in sorted(frame["label"].unique())}
    asked = (prefixes[str(label)] for label in frame["label"])
    records = list(encode(tokenizer, asked, frame["text"], MAX_TOKENS))
    aside, rows = records[:SET_ASIDE], records[SET_ASIDE:]
    plan: Any = SimpleNamespace(method="full")
    model: Any = attach_adapter(base, plan)

    def loss() -> float:
        model.eval()
        with torch.no_grad():
            return float(torch.cat([losses(model, aside[i : i + 64], pad) for i in range(0, SET_ASIDE, 64)]).mean())

    before = loss()
    steps = math.ceil(chosen.passes * len(rows) / chosen.batch)
    mechanism = DpSgd(chosen.batch / len(rows), 0.0, math.inf, chosen.batch, steps)
    with Progress() as progress:
        bar = progress.add_task("steps", total=steps)
        train(
            model,
            TextUnits(Packed.of(rows), pad, bfloat16=chosen.bfloat16),
            mechanism,
            Learning(chosen.rate, schedule="cosine"),
            micro_batch_tokens=4096,
            progress=lambda done, _: progress.update(bar, completed=done),
        )
    print(f"loss on rows set aside, nats per token: {before:.3f} before, {loss():.3f} after {steps} steps")
    begun = [prefix for prefix in prefixes.values() for _ in range(chosen.samples)]
    drawn = Sampler(model, end, Decoding(MAX_TOKENS, temperature=0.8, top_p=0.95), 64).sample(begun, seed=0)
    for place, text in enumerate(tokenizer.batch_decode(drawn)):
        label = list(prefixes)[place // chosen.samples]
        print(f"{label}: {' '.join(text.split())}")


if __name__ == "__main__":
    main()
