"""What came of a run: the loss on held-out documents and in training, and texts that the model writes by itself.

What is judged is the exported model, read back from its folder.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from transformers import LlamaForCausalLM

from dpsynth_assets.language.pretraining.corpus import SPECIAL, Tokens

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


def held_out_loss(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, rows: Tokens) -> dict[str, float]:
    """Nats per token and bits per byte of text. <bos> is not scored: that a new document begins is no news."""
    names = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    widths = torch.tensor([0 if name in SPECIAL else len(name) for name in names])  # one character is one byte
    nats, count, size = 0.0, 0, 0
    for start in range(0, len(rows), 8):
        batch = torch.from_numpy(rows[start : start + 8].astype(np.int64))
        with torch.no_grad():
            logits = model(input_ids=batch).logits[:, :-1]
        targets = batch[:, 1:]
        scored = targets != tokenizer.bos_token_id
        losses = torch.nn.functional.cross_entropy(logits.transpose(1, 2), targets, reduction="none")
        nats += losses[scored].sum().item()
        count += int(scored.sum())
        size += int(widths[targets].sum())
    loss = nats / count
    return {
        "nats_per_token": loss,
        "perplexity": math.exp(loss),
        "bits_per_byte": nats / math.log(2) / size,
        "tokens": count,
    }


def samples(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, count: int, seed: int) -> list[str]:
    """Texts from <bos> alone, as they come."""
    torch.manual_seed(seed)
    start = torch.full((count, 1), tokenizer.bos_token_id)
    writer: Any = model
    how = {"do_sample": True, "temperature": 0.8, "top_p": 0.95, "top_k": 0, "max_new_tokens": 120}
    written = writer.generate(start, attention_mask=torch.ones_like(start), **how)
    texts: list[str] = tokenizer.batch_decode(written, skip_special_tokens=True)
    return texts


def plot_losses(out: Path) -> None:
    """`loss.png`: the training loss against tokens, each logged interval and their running median."""
    log = pd.read_json(out / "loss.jsonl", lines=True)
    figure, axes = plt.subplots(figsize=(7, 4), dpi=120, layout="constrained")
    axes.plot(log["tokens"] / 1e6, log["loss"], color="0.75", linewidth=0.8)
    axes.plot(log["tokens"] / 1e6, log["loss"].rolling(9, center=True, min_periods=1).median(), linewidth=1.6)
    axes.set(xlabel="tokens trained on, millions", ylabel="training loss, nats per token")
    axes.set_ylim(top=min(7.0, float(log["loss"].max())))
    axes.grid(alpha=0.3)
    figure.savefig(out / "loss.png")
    plt.close(figure)


def write_report(out: Path, tokenizer: PreTrainedTokenizerFast, seed: int) -> None:
    """`summary.json`, `loss.png` and `samples.txt` (twenty, unselected) in the run's folder."""
    model = LlamaForCausalLM.from_pretrained(out / "model")
    with np.load(out / "held_out.npz") as held_out:
        losses = {source: held_out_loss(model, tokenizer, rows) for source, rows in held_out.items() if len(rows)}
    summary = {"parameters": model.num_parameters(), "held_out": losses}
    (out / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
    plot_losses(out)
    (out / "samples.txt").write_text("\n\n".join(samples(model, tokenizer, 20, seed)) + "\n")
