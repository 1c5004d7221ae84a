"""One rank of a test that holds a base model in shards, in a process of its own: `torch.distributed` needs processes.

Works with `load_in_shards`, `train` and `contribute` as they are, and writes down what the test looks at.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn
from torch.distributed.tensor import DTensor

from dpsynth_assets.audit.canaries import Canaries
from dpsynth_assets.language.model_places import BaseModelError
from dpsynth_assets.language.objective import Encoded
from dpsynth_assets.language.packed import Packed
from dpsynth_assets.language.sharding import load_in_shards
from dpsynth_assets.language.trainable import attach_adapter, trainable_in_shards
from dpsynth_assets.language.units import TextUnits
from dpsynth_assets.privacy import training
from dpsynth_assets.privacy.plan import Learning, TrainingPlan
from dpsynth_assets.privacy.ranks import LostRankError, Ranks
from tests.privacy.rank_worker import nothing_random

LONGEST, PREFIX, VOCABULARY = 24, 2, 8000
# Records of each unit: one has more of them than a micro-batch has rows.
RECORDS = (1, 2, 1, 14, 1, 1, 3, 1, 1)


def records_of(units: Sequence[int]) -> Packed:
    """The units' made-up records, in this order."""
    encoded, owners = [], []
    for unit in units:
        for record in range(RECORDS[unit]):
            length = 4 + (5 * unit + 3 * record) % (LONGEST - 4)
            ids = tuple((11 * place + 101 * unit + 7 * record + 1) % VOCABULARY for place in range(length))
            encoded.append(Encoded(ids, PREFIX))
            owners.append(unit)
    return Packed.of(encoded, owners)


class Counted(TextUnits):
    """Counts the passes; ends its process at its n-th, if n is positive."""

    def __init__(self, units: Sequence[int], plan: TrainingPlan, killed_at: int = 0) -> None:
        super().__init__(records_of(units), 2, plan.prompt_tokens or 0, longest=LONGEST, prefix=PREFIX)
        self.passes: list[int] = []
        self._killed_at = killed_at

    def losses(self, model: nn.Module, records: Sequence[int], shape: Any = None) -> torch.Tensor:
        self.passes.append(len(records))
        if len(self.passes) == self._killed_at:
            os.kill(os.getpid(), 9)
        return super().losses(model, records, shape)


def adapted(base: Any, plan: TrainingPlan) -> Any:
    """The same adapter everywhere, and one that has moved: at its start half of it has no gradient."""
    torch.manual_seed(0)
    model: Any = attach_adapter(base, plan)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(parameter, std=0.02)
    return model


def trained_of(model: nn.Module) -> list[float]:
    return torch.cat([p.detach().flatten() for p in model.parameters() if p.requires_grad]).tolist()


def spawned(folder: Path, size: int, work: Any, *arguments: Any) -> list[int]:
    """Run the work on so many ranks; gives their exit codes. None waits for ever."""
    folder.mkdir()
    context = mp.get_context("spawn")
    ranks = [context.Process(target=_main, args=(rank, size, folder, work, arguments)) for rank in range(size)]
    for rank in ranks:
        rank.start()
    for rank in ranks:
        rank.join(240)
    alive = [rank for rank in ranks if rank.is_alive()]
    for rank in alive:
        rank.kill()
    assert not alive, "ranks wait for each other"
    return [rank.exitcode or 0 for rank in ranks]


def written(folder: Path, rank: int) -> Any:
    return json.loads((folder / f"{rank}.json").read_text(encoding="utf-8"))


def _main(rank: int, size: int, folder: Path, work: Any, arguments: tuple[Any, ...]) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=size)
    try:
        said = work(Ranks(in_step=True), *arguments)
    except LostRankError:
        said = "lost"
    (folder / f"{rank}.json").write_text(json.dumps(said), encoding="utf-8")
    dist.destroy_process_group()


def loaded(ranks: Ranks, models: list[tuple[str, bool, Path]]) -> list[dict[str, Any]]:
    """Of each model, whether all parameters are those that were saved whole, and how much of them this rank has."""
    return [_loaded(*each) for each in models]


def _loaded(name: str, bfloat16: bool, whole: Path) -> dict[str, Any]:
    model, _ = load_in_shards(name, bfloat16=bfloat16)
    expected = torch.load(whole)
    sharded: dict[str, Any] = dict(model.named_parameters())
    differing = [
        key
        for key, each in sharded.items()
        if each.dtype != expected[key].dtype or not torch.equal(each.full_tensor(), expected[key])
    ]
    own = sum(each.to_local().numel() for each in sharded.values())
    return {"names": sorted(sharded), "differing": differing, "own": own}


def learned(
    ranks: Ranks, name: str, plan: TrainingPlan, shares: list[list[int]], canaries: int, killed: tuple[int, int]
) -> dict[str, Any]:
    """Train with everybody in each batch and noise that is known."""
    model = adapted(load_in_shards(name, bfloat16=False)[0], plan)
    whole = _WholeBlocks(model)
    data = Counted(shares[ranks.rank], plan, killed[1] if ranks.rank == killed[0] else 0)
    about: dict[str, Any] = {"micro_batch_tokens": plan.micro_batch_tokens, "ranks": ranks}
    with nothing_random(), Canaries(model, canaries, plan.mechanism.clipping, length=PREFIX + 1) as made_up:
        if ranks.lead:
            both = made_up.beside(data) if canaries else data
            observer = made_up if canaries else None
            training.train(model, both, plan.mechanism, Learning(0.1), observer=observer, **about)
        else:
            training.contribute(model, data, plan.mechanism, **about)
    return {
        "parameters": trained_of(model),
        "passes": data.passes,
        "most blocks whole": whole.most,
        "whole afterwards": whole.count(),
        "canaries": float(abs(made_up.scores).max()) if canaries else 0.0,
    }


def verified(ranks: Ranks, name: str, plans: list[tuple[TrainingPlan, bool]]) -> list[str]:
    """The output layer's precision, of each plan and precision that verification lets pass."""
    made = [trainable_in_shards(name, plan, LONGEST, PREFIX, bfloat16=bfloat16)[0] for plan, bfloat16 in plans]
    return [str(each.get_base_model().lm_head.weight.dtype) for each in made]


def unadapted(ranks: Ranks, name: str, plan: TrainingPlan) -> str:
    """What is said of a model in shards that peft cannot adapt."""
    try:
        adapted(load_in_shards(name, bfloat16=False)[0], plan)
    except BaseModelError as error:
        return str(error)
    return "adapted"


class _WholeBlocks:
    """Looks, in the forward pass of each block, how many are whole just then."""

    def __init__(self, model: Any) -> None:
        self.most = 0
        self._blocks = model.get_base_model().model.layers
        for block in self._blocks:
            block.self_attn.register_forward_hook(self._look)

    def count(self) -> int:
        return sum(
            any(not isinstance(each, DTensor) and not each.requires_grad for each in block.parameters())
            for block in self._blocks
        )

    def _look(self, *_: Any) -> None:
        self.most = max(self.most, self.count())
