"""One rank of a test, in a process of its own: `torch.distributed` needs processes.

Trains a small model with `train` and `contribute` as they are, and writes down what the test looks at.
"""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar
from unittest import mock

import numpy as np
import torch
import torch.distributed as dist
from torch import nn

from dpsynth_assets.privacy import training
from dpsynth_assets.privacy.plan import DpSgd, Learning
from dpsynth_assets.privacy.ranks import Ranks
from dpsynth_assets.privacy.sampling import PoissonSampler


class Numbers:
    """One record of a few numbers for each unit (`UnitData`)."""

    longest = 1

    def __init__(self, rows: torch.Tensor) -> None:
        self.rows = rows
        self.passes: list[int] = []  # how many records each of them had
        self.records_of = [[unit] for unit in range(len(rows))]
        self.lengths = [1] * len(rows)

    def losses(self, model: nn.Module, records: Any, shape: Any) -> torch.Tensor:
        self.passes.append(len(records))
        chosen = torch.zeros(shape.rows, self.rows.shape[1])
        chosen[: len(records)] = self.rows[list(records)]
        return model(chosen).square().sum(1)


def small_model() -> nn.Module:
    """Of a size at which a row of a product does not depend on its place (`clipping.verification` looks for that)."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 16))


def parameters_of(model: nn.Module) -> list[float]:
    return torch.cat([p.detach().flatten() for p in model.parameters()]).tolist()


class KnownNoise:
    """What is left to differ is everything else."""

    def __init__(self, *_: object) -> None:
        self._generator = torch.Generator().manual_seed(5)

    def add_(self, sums: list[torch.Tensor]) -> None:
        for total in sums:
            total += torch.randn(total.shape, generator=self._generator, dtype=total.dtype)


class Everybody(PoissonSampler):
    """All units of a step's group, in every batch: the same batch however they are shared out."""

    def draw(self) -> np.ndarray:
        self._step += 1
        return self._groups[(self._step - 1) % len(self._groups)]


class Observed(PoissonSampler):
    """The real one; remembers what it drew, for each of its steps."""

    drawn: ClassVar[list[np.ndarray]] = []

    def draw(self) -> np.ndarray:
        Observed.drawn.append(super().draw())
        return Observed.drawn[-1]


@contextmanager
def nothing_random():
    with mock.patch.multiple(training, _noise=KnownNoise, PoissonSampler=Everybody):
        yield


@contextmanager
def draws_observed():
    with mock.patch.object(training, "PoissonSampler", Observed):
        yield


HOW = {
    "nothing random": nothing_random,
    "nothing random, in step": nothing_random,
    "draws observed": draws_observed,
    "draws observed, in step": draws_observed,
}


def main(
    rank: int,
    size: int,
    folder: str,
    rows: torch.Tensor,
    shared_out: list[Any],
    mechanisms: list[DpSgd],
    how: str,
    killed_at: int,
) -> None:
    """Train with one mechanism after the other, and write down what this rank had of each."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=size)
    ranks = Ranks(in_step=how.endswith("in step"))
    with HOW[how]():
        said = [_trained(ranks, rows, shared_out, mechanism, killed_at) for mechanism in mechanisms]
    Path(folder, f"rank-{rank}.json").write_text(json.dumps(said))
    dist.destroy_process_group()


def _trained(
    ranks: Ranks, rows: torch.Tensor, shared_out: list[Any], mechanism: DpSgd, killed_at: int
) -> dict[str, Any]:
    """This rank's parameters, its share of the units, what it drew of them in each step, and the last noisy sums."""
    model = small_model()
    share = shared_out[ranks.rank]
    data = Numbers(rows[share])
    mortal = _Mortal(data, killed_at)
    noisy: list[float] = []

    def remember_last(sums: Any, parameters: Any) -> None:
        noisy[:] = torch.cat([total.flatten() for total in sums]).tolist()

    Observed.drawn = []
    if ranks.lead:
        moved(model)
        training.train(
            model, data, mechanism, Learning(0.1), micro_batch_tokens=16, ranks=ranks, observer=remember_last
        )
    else:
        training.contribute(model, mortal, mechanism, micro_batch_tokens=16, ranks=ranks)
    drawn = [share[indices].tolist() for indices in Observed.drawn]
    return {
        "parameters": parameters_of(model),
        "drawn": drawn,
        "share": share.tolist(),
        "noisy": noisy,
        "passes": (data if ranks.lead else mortal).passes,
    }


def moved(model: nn.Module) -> nn.Module:
    """An adapter begins at random: the others take over the lead's."""
    with torch.no_grad():
        next(model.parameters()).add_(0.1)
    return model


class _Mortal(Numbers):
    """Ends its process at its n-th forward pass, if n is positive."""

    def __init__(self, data: Numbers, killed_at: int) -> None:
        super().__init__(data.rows)
        self._left = killed_at

    def losses(self, model: nn.Module, records: Any, shape: Any) -> torch.Tensor:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), 9)
        return super().losses(model, records, shape)
