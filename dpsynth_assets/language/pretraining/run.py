"""A whole run in its folder, begun or continued."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import torch.distributed

from dpsynth_assets.language.pretraining.corpus import prepare
from dpsynth_assets.language.pretraining.recipe import Recipe
from dpsynth_assets.language.pretraining.report import write_report
from dpsynth_assets.language.pretraining.training import train


def run(data: str, out: Path, recipe: Recipe, *, compiled: bool = True) -> None:
    """Prepare, train, report; alone, or as one of the processes that torchrun has started."""
    rank = int(os.environ.get("RANK", "0"))
    if "RANK" in os.environ:
        torch.distributed.init_process_group("gloo")
    if rank == 0:
        out.mkdir(parents=True, exist_ok=True)
        written = json.dumps(dataclasses.asdict(recipe), indent=2) + "\n"
        if (out / "recipe.json").exists() and (out / "recipe.json").read_text() != written:
            raise SystemExit(f"{out} holds a run of another recipe: repeat its arguments, or give another --out")
        (out / "recipe.json").write_text(written)
        prepare(data, out, recipe)
    if "RANK" in os.environ:
        torch.distributed.barrier()
    tokenizer = prepare(data, out, recipe)
    train(out, tokenizer, recipe, compiled=compiled)
    if rank == 0:
        write_report(out, tokenizer, recipe.seed)
