"""Several processes ("ranks") that compute the clipped sum of each step together: who hands what to whom.

The first rank leads. It holds the noise, the optimiser and the checkpoints, and only it releases anything. At each step
it hands out the parameters; every rank draws from its own units, clips and adds up; the sums meet at the lead, which
adds noise once and steps. So the parameters are the same on every rank, whatever processors they have.

**Guarantee.** That of one process (`dpsynth_assets.privacy.training`), for these reasons:

1. Every unit is in one rank's share, by a draw of its own (`shares`), and each rank draws each of its units with the
   declared probability from a stream of its own, which no configuration seeds: the union is the declared batch.
2. A contribution is a whole number of the public grid's spacing (`clipping.grid`), so the ranks' sums add up exactly,
   in any order: the total is the sum that one process would have. `require_exact` bounds what is added up.
3. Noise is added to the total, once, by the lead, which made durable beforehand that the step begins.

**In step.** Where the model is in shards, every pass of a rank waits for one of each other rank. So ranks tell each
other at each step how many passes their units take, and all make as many as the most, with passes that are nobody's
(`ClippedSum.add_nothing`). How many there are depends on who was drawn, and stays between the ranks.

What travels between ranks is as sensitive as the rows: clean sums, numbers of passes. PyTorch's transports neither
encrypt nor know a password, so they must not leave the machine.

**Misuse that breaks it:** ranks started as copies of one process, with one stream; a sum handed in twice; a share that
depends on other units. Knows no language, no contract, and not how ranks are started.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.distributed as dist

from dpsynth_assets.privacy.clipping.grid import UNITS
from dpsynth_assets.privacy.randomness import SecretStream

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor, nn

LEAD = 0


class LostRankError(RuntimeError):
    """Another rank is gone. What this one has of the step is worth nothing without it."""


class Ranks:
    """The process group of a run, which `torch.distributed` has begun in this process.

    Args:
        in_step: every pass over the model takes all ranks.
    """

    def __init__(self, *, in_step: bool = False) -> None:
        self.rank, self.size = dist.get_rank(), dist.get_world_size()
        self._in_step = in_step

    @property
    def lead(self) -> bool:
        return self.rank == LEAD

    def hand_out(self, parameters: Sequence[nn.Parameter]) -> None:
        """By the lead, at the beginning of each step: the parameters that it is computed with."""
        self._go_on(parameters, more=True)

    def dismiss(self, parameters: Sequence[nn.Parameter]) -> None:
        """By the lead, after the last step."""
        self._go_on(parameters, more=False)

    def receive(self, parameters: Sequence[nn.Parameter]) -> bool:
        """By the others: takes the lead's parameters over; False after the last step."""
        return self._go_on(parameters, more=False)

    def add_up(self, sums: Sequence[Tensor]) -> None:
        """Adds the sums of all ranks to the lead's, in place. What they are elsewhere afterwards is nothing to use."""
        with together():
            for total in sums:
                dist.reduce(total, dst=LEAD)

    def lacking_passes(self, own: int) -> int:
        """How many passes this rank makes beyond its own so that all ranks make as many; to be asked once a step."""
        if not self._in_step:
            return 0
        most = torch.tensor(own)
        with together():
            dist.all_reduce(most, dist.ReduceOp.MAX)
        return int(most) - own

    def require_exact(self, units: int) -> None:
        """Pass if sums over so many units on each rank can be added up exactly.

        Raises:
            OverflowError: they cannot.
        """
        if units * self.size > UNITS:
            raise OverflowError(f"more than {UNITS} units in one batch: their sum would not be exact")

    def _go_on(self, parameters: Sequence[nn.Parameter], *, more: bool) -> bool:
        told = torch.tensor([more], dtype=torch.uint8, device=parameters[0].device)
        with together():
            dist.broadcast(told, src=LEAD)
            if told.item():
                for parameter in parameters:
                    dist.broadcast(parameter.detach(), src=LEAD)
        return bool(told.item())


def shares(units: int, ranks: int) -> list[NDArray[np.intp]]:
    """The units of each rank, each put there by a draw of its own: who joins or leaves moves nobody else.

    (Uniform to 2^-64 `ranks`; the guarantee holds for any law.)
    """
    rank_of = SecretStream().words(units) % np.uint64(ranks)
    return [np.flatnonzero(rank_of == rank) for rank in range(ranks)]


@contextmanager
def together() -> Iterator[None]:
    """What all ranks do at once. It fails where one of them does not.

    Raises:
        LostRankError: one of them does not.
    """
    try:
        yield
    except RuntimeError as error:
        raise LostRankError("another process of this training run is gone") from error
