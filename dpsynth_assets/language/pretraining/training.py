"""The model and its training, in one process or several, with checkpoints from which a killed run continues."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from rich.progress import MofNCompleteColumn, Progress, TextColumn
from torch.nn.utils import parameters_to_vector, vector_to_parameters
from transformers import LlamaConfig, LlamaForCausalLM

from dpsynth_assets.language.pretraining.recipe import Recipe

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


def new_model(tokenizer: PreTrainedTokenizerFast, recipe: Recipe) -> LlamaForCausalLM:
    torch.manual_seed(recipe.seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=recipe.hidden_size,
            num_hidden_layers=recipe.layers,
            num_attention_heads=recipe.heads,
            intermediate_size=recipe.mlp_size,
            max_position_embeddings=2 * recipe.length,
            tie_word_embeddings=True,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def schedule(step: int, recipe: Recipe) -> float:
    """The share of the peak learning rates at a step: warmup, stable, linear decay to zero."""
    return min(1.0, (step + 1) / recipe.warmup_steps, (1 - step / recipe.steps) / recipe.decay_share)


def optimisers(model: LlamaForCausalLM, recipe: Recipe) -> list[torch.optim.Optimizer]:
    """Muon (Jordan et al. 2024) for the layers' matrices, AdamW for the embeddings and norms.

    Muon's steps are as long as AdamW's (Liu et al. 2025, section 2.2), so one weight decay serves both.
    """
    within = [p for name, p in model.named_parameters() if p.ndim == 2 and "embed" not in name]
    rest = [p for name, p in model.named_parameters() if p.ndim != 2 or "embed" in name]
    return [
        torch.optim.Muon(within, lr=recipe.peak_lr, weight_decay=recipe.weight_decay, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(rest, lr=recipe.peak_lr_rest, betas=(0.9, 0.95), weight_decay=0.0, fused=True),
    ]


def batch_rows(step: int, total: int, recipe: Recipe) -> list[int]:
    """Indices of a step's rows: a function of seed and step alone. Each pass over the rows has its own order."""
    wanted = range(step * recipe.batch, (step + 1) * recipe.batch)
    passes = {i // total for i in wanted}
    orders = {e: np.random.default_rng([recipe.seed, e]).permutation(total) for e in passes}
    return [int(orders[i // total][i % total]) for i in wanted]


def export(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """A folder for `from_pretrained`: stored in bfloat16 for size, declared float32 so that it loads as such."""
    half: Any = LlamaForCausalLM(model.config)
    half.load_state_dict(model.state_dict())
    half.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    config["dtype"] = "float32"
    (folder / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    (folder / "model.safetensors").chmod(0o644)  # safetensors writes for the owner's eyes only


def average(model: LlamaForCausalLM, loss: Any, world: int) -> Any:
    """Gradients and loss averaged over the processes, in one reduction: they stay in agreement. Returns the loss."""
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    flat = torch.cat([parameters_to_vector(gradients), loss.view(1)])
    torch.distributed.all_reduce(flat)
    flat /= world
    vector_to_parameters(flat[:-1], gradients)
    return flat[-1]


def train(
    out: Path,
    tokenizer: PreTrainedTokenizerFast,
    recipe: Recipe,
    *,
    compiled: bool = True,
    log_every: int = 25,
    save_seconds: float = 90.0,
    stop_after: int | None = None,
) -> None:
    """Train to the recipe's end from the last checkpoint, or from nothing. `stop_after` plays a kill, for tests."""
    rank, world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    rows = np.load(out / "rows.npy", mmap_mode="r")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model: Any = new_model(tokenizer, recipe)
    model.to(device)
    steppers = optimisers(model, recipe)
    peaks = [recipe.peak_lr, recipe.peak_lr_rest]
    state: dict[str, Any] = {"step": 0, "cpu_seconds": 0.0, "losses": [], "log": []}
    if (out / "checkpoint.pt").exists():
        state = torch.load(out / "checkpoint.pt", weights_only=True, map_location=device)
        model.load_state_dict(state.pop("model"))
        for stepper, stored in zip(steppers, state.pop("optimisers"), strict=True):
            stepper.load_state_dict(stored)
    cpu_began = time.process_time() - state["cpu_seconds"]

    def save() -> None:
        state["cpu_seconds"] = time.process_time() - cpu_began
        parts = {"model": model.state_dict(), "optimisers": [s.state_dict() for s in steppers], **state}
        torch.save(parts, out / "partial.pt")
        (out / "partial.pt").replace(out / "checkpoint.pt")
        export(model, tokenizer, out / "model")

    forward: Any = torch.compile(model) if compiled else model
    last_save = time.monotonic()
    columns = (*Progress.get_default_columns(), MofNCompleteColumn(), TextColumn("{task.fields[loss]}"))
    with Progress(*columns, disable=rank > 0) as progress:
        bar = progress.add_task("steps", total=recipe.steps, completed=state["step"], loss="")
        while state["step"] < (recipe.steps if stop_after is None else stop_after):
            step = state["step"]
            own = batch_rows(step, len(rows), recipe)[rank::world]
            batch = torch.from_numpy(rows[own].astype(np.int64)).to(device)
            with torch.autocast(device.type, torch.bfloat16, enabled=recipe.bfloat16):
                loss = forward(input_ids=batch, labels=batch, use_cache=False).loss
            loss.backward()
            loss = loss.detach() if world == 1 else average(model, loss.detach(), world)
            torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
            for stepper, peak in zip(steppers, peaks, strict=True):
                for group in stepper.param_groups:
                    group["lr"] = peak * schedule(step, recipe)
                stepper.step()
                stepper.zero_grad()
            state["losses"].append(loss.item())
            state["step"] = step = step + 1
            done = step == recipe.steps
            if step % log_every == 0 or done:
                mean = sum(state["losses"]) / len(state["losses"])
                state["losses"] = []
                entry = {"step": step, "tokens": step * recipe.batch * recipe.length, "loss": round(mean, 4)}
                state["log"].append({**entry, "cpu_seconds": round(time.process_time() - cpu_began)})
                if rank == 0:
                    (out / "loss.jsonl").write_text("".join(json.dumps(line) + "\n" for line in state["log"]))
                progress.update(bar, completed=step, loss=f"loss {mean:.3f}")
            if rank == 0 and (done or time.monotonic() - last_save > save_seconds):
                save()
                last_save = time.monotonic()
