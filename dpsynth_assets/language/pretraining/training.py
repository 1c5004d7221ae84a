"""The model and its training, in one process or several, with checkpoints from which a killed run continues."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dpsynth_assets.language.pretraining.recipe import Recipe

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast


def new_model(tokenizer: PreTrainedTokenizerFast, recipe: Recipe) -> LlamaForCausalLM:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    if recipe.start is not None:
        continued: LlamaForCausalLM = LlamaForCausalLM.from_pretrained(recipe.start, dtype="float32")
        return continued
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


def learning_rate(step: int, progress: float, recipe: Recipe) -> float:
    """Warmup, stable, linear decay to zero. `progress` is the share of the run that is done."""
    warmup = (step + 1) / recipe.warmup_steps
    return recipe.peak_lr * min(1.0, warmup, max(0.0, 1 - progress) / recipe.decay_share)


def batch_rows(step: int, total: int, recipe: Recipe) -> list[int]:
    """Indices of a step's rows: a function of seed and step alone. Each pass over the rows has its own order."""
    wanted = range(step * recipe.batch, (step + 1) * recipe.batch)
    passes = {i // total for i in wanted}
    orders = {e: np.random.default_rng([recipe.seed, e]).permutation(total) for e in passes}
    return [int(orders[i // total][i % total]) for i in wanted]


def export(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """A folder for `from_pretrained`: stored in bfloat16 for size, declared float32 so that it loads as such."""
    import torch
    from transformers import LlamaForCausalLM

    half: Any = LlamaForCausalLM(model.config)
    half.load_state_dict(model.state_dict())
    half.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    config["dtype"] = "float32"
    (folder / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    (folder / "model.safetensors").chmod(0o644)  # safetensors writes for the owner's eyes only


def average(model: LlamaForCausalLM, loss: Any, passed: float, world: int) -> tuple[Any, float]:
    """Gradients, loss and clock averaged over the processes, in one reduction: they stay in agreement."""
    import torch
    from torch.nn.utils import parameters_to_vector, vector_to_parameters

    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    flat = torch.cat([parameters_to_vector(gradients), loss.view(1), torch.tensor([passed])])
    torch.distributed.all_reduce(flat)
    flat /= world
    vector_to_parameters(flat[:-2], gradients)
    return flat[-2], flat[-1].item()


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
    import torch
    from rich.progress import MofNCompleteColumn, Progress, TextColumn

    rank, world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    rows = np.load(out / "rows.npy", mmap_mode="r")
    model = new_model(tokenizer, recipe)
    matrices = [p for p in model.parameters() if p.ndim > 1]
    vectors = [p for p in model.parameters() if p.ndim <= 1]
    groups = [
        {"params": matrices, "weight_decay": recipe.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=recipe.peak_lr, betas=(0.9, 0.95), fused=True)
    state: dict[str, Any] = {"step": 0, "seconds": 0.0, "cpu_seconds": 0.0, "losses": [], "log": []}
    state["done"] = False
    if (out / "checkpoint.pt").exists():
        state = torch.load(out / "checkpoint.pt", weights_only=True)
        model.load_state_dict(state.pop("model"))
        optimizer.load_state_dict(state.pop("optimizer"))
    began = time.monotonic() - state["seconds"]
    cpu_began = time.process_time() - state["cpu_seconds"]

    def save() -> None:
        state["cpu_seconds"] = time.process_time() - cpu_began
        parts = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), **state}
        torch.save(parts, out / "partial.pt")
        (out / "partial.pt").replace(out / "checkpoint.pt")
        export(model, tokenizer, out / "model")

    forward: Any = torch.compile(model) if compiled else model
    last_save = time.monotonic()
    columns = (*Progress.get_default_columns(), MofNCompleteColumn(), TextColumn("{task.fields[loss]}"))
    with Progress(*columns, disable=rank > 0) as progress:
        bar = progress.add_task("steps", total=recipe.steps, completed=state["step"], loss="")
        while not state["done"] and state["step"] != stop_after:
            step = state["step"]
            passed = step / recipe.steps
            if recipe.minutes is not None:
                passed = max(passed, (time.monotonic() - began) / (60 * recipe.minutes))
            own = batch_rows(step, len(rows), recipe)[rank::world]
            batch = torch.from_numpy(rows[own].astype(np.int64))
            loss = forward(input_ids=batch, labels=batch, use_cache=False).loss
            loss.backward()
            loss = loss.detach()
            if world > 1:
                loss, passed = average(model, loss, passed, world)
            rate = learning_rate(step, passed, recipe)
            for group in optimizer.param_groups:
                group["lr"] = rate
            torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
            optimizer.step()
            optimizer.zero_grad()
            state["losses"].append(loss.item())
            state["step"] = step = step + 1
            state["seconds"] = time.monotonic() - began
            state["done"] = step >= recipe.steps or passed >= 1
            if step % log_every == 0 or state["done"]:
                mean = sum(state["losses"]) / len(state["losses"])
                state["losses"] = []
                entry = {"step": step, "tokens": step * recipe.batch * recipe.length, "loss": round(mean, 4)}
                state["log"].append({**entry, "lr": rate, "seconds": round(state["seconds"])})
                if rank == 0:
                    (out / "loss.jsonl").write_text("".join(json.dumps(line) + "\n" for line in state["log"]))
                progress.update(bar, completed=step, loss=f"loss {mean:.3f}")
            if rank == 0 and (state["done"] or time.monotonic() - last_save > save_seconds):
                save()
                last_save = time.monotonic()
