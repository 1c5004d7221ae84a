"""|S(D + u) - S(D)| / C of the clipped sum as training computes it: how far one unit moves it, over the clip.

    python -m benchmarks.sensitivity --source ../shared/data/ag_news.parquet --kinds same,short,mixed,real

Prints a Markdown table: 1 is what the noise is made for. D is a batch of public rows on the embedded model, a little
way into training; u is one long record more. "Others moved" is what is left of the difference without what u adds.
"""

from __future__ import annotations

import argparse
import random
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import torch

from dpsynth_assets.language.base_model import load_base_model
from dpsynth_assets.language.objective import encode, encode_prefix
from dpsynth_assets.language.packed import Packed
from dpsynth_assets.language.trainable import attach_adapter
from dpsynth_assets.language.units import TextUnits
from dpsynth_assets.markdown import row, table
from dpsynth_assets.privacy.clipping.engine import ClippedSum
from dpsynth_assets.privacy.clipping_methods import CLIPPING_METHODS
from dpsynth_assets.privacy.shapes import groups, public_shapes
from dpsynth_assets.privacy.training import add

KINDS = ("same", "short", "mixed", "real")


def bodies(kind: str, texts: list[str], batch: int) -> list[str]:
    """Texts of the batch: all alike and long, all alike and short, of 3 to 11 words, or as they are."""
    if kind == "same":
        return [texts[0]] * batch
    if kind == "short":
        return ["Stocks fall again."] * batch
    chosen = [texts[place % len(texts)] for place in range(batch)]
    return [" ".join(text.split()[: 3 + place % 9]) for place, text in enumerate(chosen)] if kind == "mixed" else chosen


def measured(
    method: str, clipping: str, texts: list[str], tokens: int, batch: int | None, max_tokens: int, *, bfloat16: bool
) -> tuple[float, float, int]:
    """|S(D + u) - S(D)| / C, what the others moved by, over C, and the rows of the widest micro-batch.

    Args:
        texts: the last of them is u's.
        batch: units that are expected, on which micro-batches depend; None makes them as tall as `tokens` allows.
    """
    base, tokenizer = load_base_model("embedded")
    torch.manual_seed(0)
    plan: Any = SimpleNamespace(method=method, rank=4, alpha=16.0, prompt_tokens=20)
    model: Any = attach_adapter(base, plan).train()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad and method != "full":
                parameter.add_(torch.randn(parameter.shape), alpha=0.02)
    prefix = encode_prefix(tokenizer, "label: world")
    records = Packed.of(encode(tokenizer, [prefix] * len(texts), texts, max_tokens))
    pad, virtual = tokenizer.pad_token_id, 20 if method == "prompt" else 0
    longest = len(prefix) + max_tokens
    data = TextUnits(records, pad, virtual, longest=longest, prefix=len(prefix), bfloat16=bfloat16)
    shapes = public_shapes(data.longest, tokens, batch)

    def clipped_sum(units: list[int]) -> torch.Tensor:
        with ClippedSum(model, CLIPPING_METHODS[clipping](1.0)) as clipped:
            for group in groups(units, data.records_of, data.lengths, shapes):
                add(clipped, model, data, group)
            return torch.cat([total.flatten() for total in clipped.take()])

    everybody = list(range(len(texts)))
    difference = clipped_sum(everybody) - clipped_sum(everybody[:-1])
    others = difference - clipped_sum(everybody[-1:])
    return float(difference.norm()), float(others.norm()), shapes[-1].rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", type=Path, required=True, help="a Parquet file with a column text; public")
    parser.add_argument("--methods", default="lora,prompt,full")
    parser.add_argument("--clipping", default="flat,per_layer,automatic")
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--tokens", default="2048,8192", help="of a micro-batch")
    parser.add_argument("--batches", default="512,1024", help="units in a batch")
    parser.add_argument("--max-tokens", type=int, default=56)
    parser.add_argument("--tall", action="store_true", help="micro-batches as tall as --tokens allows, for any batch")
    chosen = parser.parse_args()
    texts = pd.read_parquet(chosen.source, columns=["text"])["text"].tolist()
    random.Random(0).shuffle(texts)
    settings = ["method", "clipping", "texts", "tokens", "units", "rows", "precision"]
    print(table([*settings, "moved by / C", "others moved / C"], []))
    for method, clipping, kind, tokens, batch, precision in product(
        chosen.methods.split(","),
        chosen.clipping.split(","),
        chosen.kinds.split(","),
        [int(tokens) for tokens in chosen.tokens.split(",")],
        [int(batch) for batch in chosen.batches.split(",")],
        ("float32", "bfloat16"),
    ):
        joins = max(texts[-2000:], key=len)
        moved, others, rows = measured(
            method,
            clipping,
            [*bodies(kind, texts[:-2000], batch), joins],
            tokens,
            None if chosen.tall else batch,
            chosen.max_tokens,
            bfloat16=precision == "bfloat16",
        )
        cells = [method, clipping, kind, tokens, batch, rows, precision, f"{moved:.6f}", f"{others:.1e}"]
        print(row(cells), flush=True)


if __name__ == "__main__":
    main()
