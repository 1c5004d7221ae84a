"""Poisson sampling of privacy units into logical batches, and their cut into micro-batches.

The declared sampler: at each step every unit enters the logical batch independently with probability `sampling_rate`
(so the batch size is Binomial, and may be zero). The whole batch is drawn first and cut afterwards; how it is cut
cannot matter to privacy, since each unit is clipped on its own and the clipped sum does not depend on the order.

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
        sampling_rate: the plan's.
    """

    def __init__(self, unit_count: int, sampling_rate: float) -> None:
        self._unit_count = unit_count
        self._sampling_rate = sampling_rate
        self._stream = SecretStream()

    def draw(self) -> NDArray[np.intp]:
        """The indices of one step's logical batch, ascending, shape (b,) with b ~ Binomial(unit_count, rate)."""
        import numpy as np

        return np.flatnonzero(self._stream.uniform(self._unit_count) < self._sampling_rate)


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
