"""Bits per byte of base models on the held-out documents of their pre-training mix, by register, side by side.

    python -m benchmarks.base_model --data '../shared/data/public_mix-*.jsonl.xz' dpsynth_assets/language/embedded OTHER

The documents are those that the recipe holds out; each piece of one is read on its own, from the start token on. Bits
are of text and end token, over the bytes of the text: models with different tokenizers compare.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from transformers import AutoModelForCausalLM, AutoTokenizer

from dpsynth_assets.language.documents import read_documents
from dpsynth_assets.language.pretraining.corpus import gather
from dpsynth_assets.language.pretraining.recipe import Recipe
from dpsynth_assets.markdown import row, table

TEXTS = 200  # of each source


def bits_per_byte(folder: str, texts: Sequence[str]) -> float:
    """Of a causal language model in a folder."""
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    nats = 0.0
    for start in range(0, len(texts), 16):
        rows = [[*tokenizer(text)["input_ids"], tokenizer.eos_token_id] for text in texts[start : start + 16]]
        width = max(map(len, rows))
        ids = torch.tensor([row + [tokenizer.pad_token_id] * (width - len(row)) for row in rows])
        real = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
        with torch.no_grad():
            logits = model(input_ids=ids, attention_mask=real).logits[:, :-1]
        losses = F.cross_entropy(logits.transpose(1, 2), ids[:, 1:], reduction="none")
        nats += float(losses[real[:, 1:] == 1].double().sum())
    return nats / math.log(2) / sum(len(text.encode()) for text in texts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", help="model folders")
    parser.add_argument("--data", required=True, help="the mix: a glob of JSON Lines files")
    chosen = parser.parse_args()
    _, held_out = gather(read_documents(chosen.data), Recipe.piece_chars)
    print(table(["source", *chosen.folders], []))
    for source, texts in sorted(held_out.items()):
        figures = [f"{bits_per_byte(folder, texts[:TEXTS]):.3f}" for folder in chosen.folders]
        print(row([source, *figures]), flush=True)


if __name__ == "__main__":
    main()
