"""Public micro-batch shapes: what a record is computed beside must not show in its own numbers.

In floating point, a product of matrices rounds by its shape. Were a micro-batch as wide as its longest record and as
tall as what is left of the batch, one person more would change the rounding of everybody in it. So there are a few
shapes, made from public constants, and

    the shape that a unit's records are computed in is a function of that unit's own records and of nothing else.

What a micro-batch lacks is filled with made-up rows, which count nothing. Together with kernels that give a row the
same bits in every place of one shape, whatever stands in the others (`clipping.verification` checks that of the very
shapes, types and threads that are used), a unit's numbers are its own to the bit. Which units share a micro-batch
depends on all that were drawn, and does not matter.

Knows lengths and counts; no text, no model, no torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

# For language models, whose time goes with the tokens: widths, in eighths of the longest. With these, and rows for a
# 32nd of the expected batch, a step has 4 to 14 % more tokens than in micro-batches cut by length (AG News, IMDB, Yelp,
# toxic comments, banking77 as in their contracts).
_EIGHTHS = (1, 2, 3, 4, 6, 8)
_SHARE = 32
# Widths and rows are multiples: records begin where vector instructions like it, and chunks come out even.
_MULTIPLE = 4
# Smaller micro-batches would spend their time on overhead. On two threads a step of 200 units with 17,000 tokens takes
# 6.9 s where 256 tokens is the least, 5.7 with 512, 5.3 with 768, 5.5 with 1,024.
_FEW_TOKENS = 768


@dataclass(frozen=True, order=True)
class Shape:
    """Of a micro-batch: `rows` records of `width` tokens each, padding and made-up rows included."""

    width: int
    rows: int


@dataclass(frozen=True)
class Group:
    """Units that are computed together, their records in this order in the first rows of the shape.

    Attributes:
        passes: how many micro-batches of the shape they take: 1, or more for a single unit with more records than rows.
    """

    shape: Shape
    units: tuple[int, ...]
    passes: int = 1


def public_shapes(
    longest: int, tokens: int, units: int | None = None, *, eighths: Sequence[int] = _EIGHTHS, share: int = _SHARE
) -> tuple[Shape, ...]:
    """The shapes for records of up to `longest` tokens, narrowest first. Every argument is a public constant.

    Args:
        longest: a bound on the length of any record, in tokens.
        tokens: that one micro-batch may hold, where a row fits into them at all.
        units: the expected number of units in a batch, if there is one. Each width wastes half a micro-batch of made-up
            rows on average, so micro-batches should be small beside the batch.
        eighths: of `longest` that widths have, the last of them 8. Small models want few: a width costs micro-batches.
        share: a micro-batch may have rows for one unit in so many that are expected.

    >>> public_shapes(64, 2048)
    (Shape(width=8, rows=256), Shape(width=16, rows=128), Shape(width=24, rows=84), Shape(width=32, rows=64), \
Shape(width=48, rows=40), Shape(width=64, rows=32))
    """
    if longest < 1 or tokens < 1:
        raise ValueError(f"records of {longest} tokens, {tokens} at once: both must be at least 1")
    multiple = _MULTIPLE if longest >= 2 * _MULTIPLE else longest
    widths = sorted({multiple * -(-longest * part // (8 * multiple)) for part in eighths})
    return tuple(Shape(width, _rows(width, tokens, units, share)) for width in widths)


def _rows(width: int, tokens: int, units: int | None, share: int) -> int:
    most = max(1, tokens // width)
    rows = most if units is None else min(most, max(1, units // share, _FEW_TOKENS // width))
    return rows if rows < _MULTIPLE else rows - rows % _MULTIPLE


def shape_for(length: int, shapes: Sequence[Shape]) -> Shape:
    """The narrowest shape that holds a record of this length.

    Raises:
        ValueError: none does; the record breaks the public bound.
    """
    for shape in shapes:
        if length <= shape.width:
            return shape
    raise ValueError(f"a record is longer than the public bound of {shapes[-1].width} tokens: cut it on reading")


def groups(
    units: Sequence[int], records_of: Sequence[Sequence[int]], lengths: Sequence[int], shapes: Sequence[Shape]
) -> Iterator[Group]:
    """Cuts a batch of units into groups for micro-batches of the public shapes. No unit is divided between groups.

    A unit's shape is the narrowest that holds its longest record. A unit with more records than the shape has rows is a
    group of its own, of several passes. Which one it is depends on the unit alone.

    Args:
        units: indices of the units; a unit without records is in no group.
        records_of: for each unit, the indices of its records.
        lengths: for each record, its length in tokens.
        shapes: narrowest first.

    Yields:
        Groups, widest first, so that the first shows how much memory is needed.
    """
    by_width: dict[int, list[int]] = {}
    for unit in units:
        if records := records_of[unit]:
            longest = max([lengths[record] for record in records])
            by_width.setdefault(shape_for(longest, shapes).width, []).append(unit)
    for shape in reversed(shapes):
        together: list[int] = []
        free = shape.rows
        for unit in by_width.get(shape.width, ()):
            count = len(records_of[unit])
            if count > shape.rows:
                yield Group(shape, (unit,), -(-count // shape.rows))
                continue
            if count > free:
                yield Group(shape, tuple(together))
                together, free = [], shape.rows
            together.append(unit)
            free -= count
        if together:
            yield Group(shape, tuple(together))
