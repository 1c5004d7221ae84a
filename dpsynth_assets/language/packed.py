"""Encoded records in a few arrays, whatever their number: four bytes a token. Sensitive throughout.

They are held by training, and go as they are from one process to another. Knows texts as tokens, and whose a record
is by a number; nothing of a model or of how units are drawn.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, overload

import numpy as np

from dpsynth_assets.language.objective import Encoded
from dpsynth_assets.privacy.unit_numbers import Groups, UnitNumbers

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Packed(Sequence[Encoded]):
    """Encoded records, in order.

    Attributes:
        ids: all records' tokens, one record after the other, shape (tokens,).
        lengths: of each record in tokens, shape (records,).
        prefixes: of each record, how many of its first tokens carry no loss, shape (records,).
        units: of each record, the number of its unit, shape (records,). Who appears first has the lower number.
    """

    ids: NDArray[np.int32]
    lengths: NDArray[np.int32]
    prefixes: NDArray[np.int32]
    units: NDArray[np.int64]

    @classmethod
    def of(cls, records: Iterable[Encoded], units: Iterable[object] | None = None) -> Packed:
        """Records as they come, each with its unit; without units each record is one. The records are not kept."""
        return cls.of_pairs(enumerate(records) if units is None else zip(units, records, strict=True))

    @classmethod
    def of_pairs(cls, pairs: Iterable[tuple[object, Encoded]]) -> Packed:
        """As `of`, of units and their records."""
        units = UnitNumbers()
        ids, lengths, prefixes = array("i"), array("i"), array("i")
        for unit, record in pairs:
            ids.extend(record.ids)
            lengths.append(len(record.ids))
            prefixes.append(record.prefix)
            units.append(unit)
        tokens, sizes, before = (np.frombuffer(each, np.int32) for each in (ids, lengths, prefixes))
        return cls(tokens, sizes, before, units.numbers())

    def __len__(self) -> int:
        return len(self.lengths)

    @overload
    def __getitem__(self, which: int) -> Encoded: ...

    @overload
    def __getitem__(self, which: slice) -> list[Encoded]: ...

    def __getitem__(self, which: int | slice) -> Encoded | list[Encoded]:
        if isinstance(which, slice):
            return [self[record] for record in range(*which.indices(len(self)))]
        end = int(self._ends[which])
        return Encoded(tuple(self.ids[end - int(self.lengths[which]) : end].tolist()), int(self.prefixes[which]))

    @property
    def unit_count(self) -> int:
        return int(self.units.max(initial=-1)) + 1

    @cached_property
    def records_of(self) -> Sequence[Sequence[int]]:
        """For each unit that has any, in the order of their numbers, the indices of its records."""
        return Groups(self.units)

    def of_units(self, chosen: NDArray[np.intp]) -> Packed:
        """The records of the chosen units, in the same order, under the same numbers."""
        kept = np.isin(self.units, chosen)
        return Packed(
            self.ids[np.repeat(kept, self.lengths)], self.lengths[kept], self.prefixes[kept], self.units[kept]
        )

    @cached_property
    def _ends(self) -> NDArray[np.int64]:
        return np.cumsum(self.lengths, dtype=np.int64)
