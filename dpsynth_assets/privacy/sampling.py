"""Poisson sampling of privacy units into logical batches.

The declared sampler: at each step every unit enters the logical batch independently with `sampling_probability` (so
the batch size is Binomial, and may be zero). With several groups, every unit is put into one of them when the sampler
is made, uniformly and independently of all others, and the steps sample one group after the other ("cyclic Poisson
sampling", Choquette-Choo et al. 2023; what for is in `dpsynth_assets.privacy.correlation`).

The whole batch is drawn first and cut afterwards into micro-batches (`dpsynth_assets.privacy.shapes`).

The draw must stay secret: amplification by sampling holds against somebody who does not know who was included. Hence
it comes from a key stream that cannot be foretold, and neither the stream's state nor the realised batch sizes are ever
stored.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dpsynth_assets.privacy.randomness import SecretStream

if TYPE_CHECKING:
    from numpy.typing import NDArray


class PoissonSampler:
    """Draws logical batches of unit indices.

    Args:
        unit_count: how many units the data holds. Sensitive: used here, shown nowhere.
        sampling_probability: with which a unit of the step's group is drawn; with one group, the plan's.
        groups: into how many the units are divided.
    """

    def __init__(self, unit_count: int, sampling_probability: float, groups: int = 1) -> None:
        self._sampling_probability = sampling_probability
        self._stream = SecretStream()
        # A unit's group is a draw of its own: had it to do with the unit's place in the list, somebody who joins would
        # move others to other groups. (Uniform to 2^-64 groups; the guarantee holds for any law.)
        group_of = self._stream.words(unit_count) % np.uint64(groups) if groups > 1 else np.zeros(unit_count, np.uint64)
        self._groups = [np.flatnonzero(group_of == group) for group in range(groups)]
        self._step = 0

    def draw(self) -> NDArray[np.intp]:
        """The indices of the next step's logical batch, ascending, shape (b,) with b ~ Binomial(group's size, rate)."""
        members = self._groups[self._step % len(self._groups)]
        self._step += 1
        return members[self._stream.uniform(len(members)) < self._sampling_probability]
