"""The command that pre-trains the embedded base model; repeated after a kill, it continues the run.

    python -m dpsynth_assets.language.pretraining --data 'public_mix-*.jsonl.xz' --out runs/base --tokens 16000000

`--data` names JSON Lines files (plain or .xz) whose lines have `source` and `text`.

On a CPU, one process a core beats one process with threads, most of all on a shared machine (they wait for each
other once a step and not at every operation): `torchrun --nproc-per-node 2 -m dpsynth_assets.language.pretraining`.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
from pathlib import Path

import torch

from dpsynth_assets.language.pretraining.recipe import Recipe
from dpsynth_assets.language.pretraining.run import run


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m dpsynth_assets.language.pretraining",
        description="Pre-train the embedded base model on public text.",
    )
    parser.add_argument("--data", required=True, help="glob of JSON Lines files with `source` and `text`")
    parser.add_argument("--out", required=True, type=Path, help="folder of the run; resumed if it has begun")
    parser.add_argument("--tokens", required=True, type=int, help="tokens to train on")
    parser.add_argument("--pool-tokens", type=int, help="draw rows for more tokens than are trained on")
    parser.add_argument("--seed", type=int, default=Recipe.seed)
    parser.add_argument("--width", type=int, default=Recipe.hidden_size, help="of the model, in multiples of 64")
    parser.add_argument("--layers", type=int, default=Recipe.layers)
    parser.add_argument("--bfloat16", action="store_true", help="on a GPU, or a CPU with AVX512-BF16 or AMX: faster")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--no-compile", action="store_true", help="where there is no C++ compiler; slower")
    given = parser.parse_args(argv)
    torch.set_num_threads(given.threads)
    torch.set_flush_denormal(True)  # vanishing Adam moments would otherwise slow the CPU down
    chosen = Recipe(given.tokens, given.seed, layers=given.layers, pool_tokens=given.pool_tokens)
    recipe = dataclasses.replace(chosen, bfloat16=given.bfloat16).of(given.width)
    run(given.data, given.out, recipe, compiled=not given.no_compile)


if __name__ == "__main__":
    main()
