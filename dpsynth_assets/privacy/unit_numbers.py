"""Whose each record is: units by number, in the order in which they first appear. Sensitive throughout.

A number says nothing beside the records that it stands with. Knows names of units and nothing of what they said.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, TypeAlias, overload

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Units: TypeAlias = "Sequence[object] | NDArray[np.int64]"
"""The unit of each record: names, or numbers."""


class UnitNumbers:
    """The unit of each record, as records come: eight bytes a record, and each name once."""

    def __init__(self) -> None:
        self._number: dict[object, int] = {}
        self._numbers = array("q")

    def append(self, unit: object) -> None:
        """One more record, of this unit."""
        self._numbers.append(self._number.setdefault(unit, len(self._number)))

    def extend(self, units: Iterable[object]) -> NDArray[np.int64]:
        """More records, of these units; gives their numbers."""
        before = len(self._numbers)
        for unit in units:
            self.append(unit)
        return np.array(self._numbers[before:], dtype=np.int64)

    def numbers(self) -> NDArray[np.int64]:
        """Of all records, shape (records,); after that there can be no more."""
        return np.frombuffer(self._numbers, np.int64)


def require_bounded(units: Units, max_records: int) -> None:
    """Pass if no unit has more records than a plan bounds.

    Raises:
        ValueError: one has, so the declared sensitivity would be wrong.
    """
    counts = np.bincount(units) if isinstance(units, np.ndarray) else list(Counter(units).values())
    if max(counts, default=0) > max_records:
        raise ValueError(f"a unit has more than max_records ({max_records}) records: bound them on reading")


class Groups(Sequence[Sequence[int]]):
    """The records of each unit that has any, in the order of the units' numbers.

    Args:
        units: of each record the number of its unit, shape (records,).
    """

    def __init__(self, units: NDArray[np.int64]) -> None:
        self._indices = np.argsort(units, kind="stable")
        self._ends = np.cumsum(np.unique(units, return_counts=True)[1])

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, which: int) -> list[int]: ...

    @overload
    def __getitem__(self, which: slice) -> list[list[int]]: ...

    def __getitem__(self, which: int | slice) -> list[int] | list[list[int]]:
        if isinstance(which, slice):
            return [self[group] for group in range(*which.indices(len(self)))]
        which = range(len(self))[which]  # from the end too; and beyond it, no group
        start = int(self._ends[which - 1]) if which else 0
        found: list[int] = self._indices[start : int(self._ends[which])].tolist()
        return found
