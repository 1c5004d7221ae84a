"""Rows split over cells in proportion to released counts: post-processing, which costs nothing."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TypeVar

Key = TypeVar("Key", bound=Hashable)


def apportion(counts: Mapping[Key, int], rows: int) -> dict[Key, int]:
    """Splits `rows` over the cells in proportion to noisy counts, by largest remainder; evenly if all are zero."""
    total = sum(counts.values())
    shares = {cell: rows * (count / total if total else 1 / len(counts)) for cell, count in counts.items()}
    split = {cell: int(share) for cell, share in shares.items()}
    by_remainder = sorted(shares, key=lambda cell: shares[cell] - split[cell], reverse=True)
    for cell in by_remainder[: rows - sum(split.values())]:
        split[cell] += 1
    return split


def apportion_within(counts: Mapping[Key, int], there: Mapping[Key, int], rows: int) -> dict[Key, int]:
    """As `apportion`, but no cell gets more than is `there`: what one lacks is spread over the others in proportion.

    Cells without a count get rows only when all others are used up, in proportion to what is there of them. The split
    sums to `rows`, or to all that is there if that is less.
    """
    given = dict.fromkeys(there, 0)
    left = min(rows, sum(there.values()))
    for weights in (counts, there):
        while left:
            open_ = {cell: weights[cell] for cell in there if weights.get(cell, 0) > 0 and given[cell] < there[cell]}
            if not open_:
                break
            for cell, share in apportion(open_, left).items():  # either all is given, or one more cell is full
                taken = min(share, there[cell] - given[cell])
                given[cell] += taken
                left -= taken
    return given
