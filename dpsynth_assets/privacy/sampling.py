"""Poisson sampling of privacy units into logical batches, and their cut into micro-batches.

The declared sampler: at each step every unit enters the logical batch independently with probability `sampling_rate`
(so the batch size is Binomial, and may be zero). With several groups, every unit is put into one of them when the
sampler is made, uniformly and independently of all others, and the steps sample one group after the other ("cyclic
Poisson sampling", Choquette-Choo et al. 2023; what for is in `dpsynth_assets.privacy.correlation`).

The whole batch is drawn first and cut afterwards; how it is cut cannot matter to privacy, since each unit is clipped on
its own and the clipped sum does not depend on the order.

The draw must stay secret: amplification by sampling holds against somebody who does not know who was included. Hence
it comes from a key stream that cannot be foretold, and neither the stream's state nor the realised batch sizes are ever
stored.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from dpsynth_assets.privacy.randomness import SecretStream

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class PoissonSampler:
    """Draws logical batches of unit indices.

    Args:
        unit_count: how many units the data holds. Sensitive: used here, shown nowhere.
        sampling_rate: with which a unit of the step's group is drawn; with one group, the plan's.
        groups: into how many the units are divided.
    """

    def __init__(self, unit_count: int, sampling_rate: float, groups: int = 1) -> None:
        import numpy as np

        self._sampling_rate = sampling_rate
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
        return members[self._stream.uniform(len(members)) < self._sampling_rate]


def micro_batches(
    units: Sequence[int], records_of: Sequence[Sequence[int]], lengths: Sequence[int], max_tokens: int
) -> Iterator[list[int]]:
    """Cuts a logical batch into micro-batches of whole units.

    A unit is never divided: its records must be summed before they are clipped. Units are taken in order of their
    longest record, so that a padded micro-batch (records x longest record) wastes little of its `max_tokens`. A unit
    too large for `max_tokens` makes a micro-batch of its own, so memory is bounded by the contract's bounds and not
    by the draw.

    Args:
        units: indices of the units drawn.
        records_of: for each unit, the indices of its records.
        lengths: for each record, its length in tokens.
        max_tokens: padded tokens that one micro-batch may hold.

    Yields:
        Lists of unit indices; together exactly `units`, each once.
    """
    longest = {unit: max(lengths[record] for record in records_of[unit]) for unit in units}
    batch: list[int] = []
    records = width = 0
    for unit in sorted(units, key=longest.__getitem__, reverse=True):
        if batch and (records + len(records_of[unit])) * width > max_tokens:
            yield batch
            batch, records = [], 0
        if not batch:
            width = longest[unit]
        batch.append(unit)
        records += len(records_of[unit])
    if batch:
        yield batch
