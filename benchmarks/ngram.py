"""The n-gram baseline of the embedded base model: bits per byte of the same held-out documents, source by source.

    python -m benchmarks.ngram --data '../shared/data/public_mix-*.jsonl.xz' --run runs/base

`--run` is the folder of a run of the recipe. Its tokenizer and held-out rows are used, and two models are made: one of
the very rows that the run draws from, headers and all, and one of every document of the training side of `--data`,
several times as much. Bits per byte are computed as in the base model's report: <bos> is not scored, <eos> is.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.progress import track
from transformers import AutoTokenizer

from benchmarks.kneser_ney import KneserNey, count
from dpsynth_assets.language.documents import read_documents
from dpsynth_assets.language.pretraining.corpus import SPECIAL, gather
from dpsynth_assets.language.pretraining.recipe import Recipe
from dpsynth_assets.markdown import row, table

Tokens = npt.NDArray[np.uint16]


def whole_training_side(data: str, tokenizer: Any, piece_chars: int) -> Tokens:
    """<bos> text <eos> of every text that may be trained on, end to end."""
    trained, _ = gather(read_documents(data), piece_chars)
    texts = [text for source in sorted(trained) for text in trained[source]]
    parts = []
    for start in track(range(0, len(texts), 2_000), description="Tokenizing"):
        coded = tokenizer.backend_tokenizer.encode_batch(texts[start : start + 2_000])
        parts += [np.array([*code.ids, tokenizer.eos_token_id], np.uint16) for code in coded]
    return np.concatenate(parts)


def bits_per_byte(model: KneserNey, rows: Tokens, widths: npt.NDArray[np.int64]) -> float:
    """Of held-out rows, each beginning with <bos>. `widths` are the bytes of each entry of the vocabulary."""
    tokens = rows.reshape(-1)
    bits = -np.log2(model.probabilities(tokens)).sum()
    return float(bits / widths[tokens].sum())


def evaluated(
    tokens: Tokens, held_out: dict[str, Tokens], tokenizer: Any, order: int
) -> Iterator[tuple[int, dict[str, float]]]:
    """For each order from 2 on, bits per byte by source."""
    names = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    widths = np.array([0 if name in SPECIAL else len(name) for name in names])  # one character is one byte
    bos, vocabulary = tokenizer.bos_token_id, len(tokenizer)
    levels = list(count(tokens, bos, vocabulary, order))
    for n in range(2, order + 1):
        model = KneserNey(levels[:n], bos, vocabulary)
        yield n, {source: bits_per_byte(model, rows, widths) for source, rows in held_out.items()}


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="glob of JSON Lines files with `source` and `text`; without it, the rows only")
    parser.add_argument("--run", required=True, type=Path, help="folder of a run: tokenizer/, rows.npy, held_out.npz")
    parser.add_argument("--tokenizer", type=Path, help="another folder that holds the run's tokenizer")
    parser.add_argument("--order", type=int, default=5)
    parser.add_argument("--json", type=Path, help="where the figures go as well")
    chosen = parser.parse_args(argv)
    tokenizer: Any = AutoTokenizer.from_pretrained(chosen.tokenizer or chosen.run / "tokenizer")
    with np.load(chosen.run / "held_out.npz") as stored:
        held_out = {source: rows for source, rows in stored.items() if len(rows)}
    results: dict[str, dict[str, float]] = {}
    print(table(["bits per byte", *held_out, "mean"], []))
    for name in ("rows of the run", "whole training side"):
        if name == "rows of the run":
            tokens = np.load(chosen.run / "rows.npy").reshape(-1)
        elif chosen.data is not None:
            tokens = whole_training_side(chosen.data, tokenizer, Recipe.piece_chars)
        else:
            break
        for n, figures in evaluated(tokens, held_out, tokenizer, chosen.order):
            title = f"{name}, {len(tokens) / 1e6:.1f} M tokens, order {n}"
            results[title] = figures
            values = [*figures.values(), math.fsum(figures.values()) / len(figures)]
            print(row([title, *(f"{value:.3f}" for value in values)]), flush=True)
    if chosen.json is not None:
        chosen.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
