"""Gradients kept as two factors: a record's gradient is `first.T @ second` over its tokens, and is seldom computed.

Every record of a micro-batch has equally many rows (tokens, padding included), so that its products have one public
shape. A unit with several records is the one exception: its rows stand together and are one product, whose shape is
that unit's own. No product here runs over the rows of two units.

Norms are float32 products summed in float64. Where a record's rows cancel one another nearly, the squared norm is a
small difference of large numbers and float32 would not do: such a gradient is computed after all, in float64.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from dpsynth_assets.privacy.clipping.grid import ROW, SLACK, Grid, cut_, squares

# Below this share of the largest norm that a unit's rows could have together, they count as cancelling. Incoherent
# rows of a unit have 1 / rows; float32 errs by about 1e-7 of that largest norm, so the rest is good to 1e-4 at worst.
_CANCELLING = 2.0**-11
# Rows whose inner products with themselves and all later rows are taken at once. The product of two symmetric matrices
# needs only one half of each; fewer rows would save more of it and make products that are too narrow to be fast.
_STRIPE = 48
_BLOCK = 1 << 18  # numbers of a gradient that are made, measured and added at once: they stay in the cache


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """float32 products are float32 products in here: no autocast, no TF32, no bfloat16 passes."""
    precision = torch.get_float32_matmul_precision()
    if precision != "highest":
        torch.set_float32_matmul_precision("highest")
    try:
        with torch.autocast(device.type, enabled=False):
            yield
    finally:
        if precision != "highest":
            torch.set_float32_matmul_precision(precision)


@dataclass(frozen=True)
class Outer:
    """The gradients of one matrix for the records of a micro-batch, as factors.

    Attributes:
        first: shape (records, rows, a), or integers of shape (records, rows) for one-hot rows of width `width`.
        second: shape (records, rows, b).
        width: a.
    """

    first: Tensor
    second: Tensor
    width: int

    @property
    def one_hot(self) -> bool:
        return not self.first.is_floating_point()

    def dense(self) -> Tensor:
        """The records' gradients, float32, shape (records, a, b); may be a transposed view."""
        if self.one_hot:
            records, rows = self.first.shape
            record = torch.arange(records, device=self.first.device).repeat_interleave(rows)
            flat = self.second.new_zeros(records * self.width, self.second.shape[2], dtype=torch.float32)
            flat.index_add_(0, record * self.width + self.first.reshape(-1), self.second.float().flatten(0, 1))
            return flat.view(records, self.width, -1)
        first, second = self.first.float(), self.second.float()
        # The wide side last: on CPUs a (wide x narrow) product is several times slower than a (narrow x wide) one.
        if first.shape[-1] <= second.shape[-1]:
            return torch.bmm(first.mT, second)
        return torch.bmm(second.mT, first).mT

    def sum_of(self, records: slice, dtype: torch.dtype = torch.float32) -> Tensor:
        """The sum of some records' gradients, as one product, shape (a, b)."""
        first, second = self.first[records].flatten(0, 1), self.second[records].flatten(0, 1).to(dtype)
        if self.one_hot:
            return second.new_zeros(self.width, second.shape[1]).index_add_(0, first, second)
        return first.to(dtype).mT @ second


def add_scaled(
    total: Tensor,
    entries: Sequence[Outer],
    units: Sequence[slice],
    scales: Sequence[float],
    allowed: Sequence[float],
    grid: Grid | None,
) -> None:
    """Adds each unit's gradient of one matrix, scaled and on the grid, to `total`, exactly; see `grid`.

    Args:
        total: shape (a, b), float64, in grid steps.
        entries: one for each use of the matrix; not all of them one-hot, for which see `rows`.
        units: which records are whose.
        scales: for each unit; one with scale 0 contributes nothing at all.
        allowed: for each unit the largest square, in grid steps, that its contribution may have. What turns out longer
            is not added, or taken back.
        grid: None adds in floating point whatever there is, for sums that nothing has to bound.
    """
    drawn = [
        (_Scaled(entries, unit, scale, grid is not None), math.inf if grid is None else bound * SLACK)
        for unit, scale, bound in zip(units, scales, allowed, strict=True)
        if scale
    ]
    step = max(1, _BLOCK // total.shape[1])
    blocks = [slice(start, min(start + step, len(total))) for start in range(0, len(total), step)]
    space = torch.empty(min(step, len(total)), total.shape[1], device=total.device)  # asking for it anew takes a sixth
    together = len(drawn) if grid is None else grid.together
    for start in range(0, len(drawn), together):
        group = drawn[start : start + together]
        measured = [0.0] * len(group)
        for block in blocks:
            partial = torch.empty(block.stop - block.start, total.shape[1], device=total.device)
            for place, (gradient, bound) in enumerate(group):
                contribution = gradient.block(block, space if place else partial)
                square = _square(contribution)
                # One block alone may show that all is too long, or no number. (NaN compares as false.)
                within = square <= bound
                measured[place] += square if within else math.inf
                if place and within:
                    partial += contribution
                elif not place and not within:
                    partial.zero_()
            total[block].add_(partial)
        for (gradient, bound), square in zip(group, measured, strict=True):
            if not square <= bound:
                for block in blocks:
                    if _square(contribution := gradient.block(block, space)) <= bound:
                        total[block] -= contribution


def _square(contribution: Tensor) -> float:
    """Of contiguous numbers, which are measured in rows as long as `squares` takes them: that is fastest."""
    flat = contribution.view(1, -1)
    whole = flat.shape[1] - flat.shape[1] % ROW
    square = squares(flat[:, :whole].view(1, -1, ROW)) if whole else flat.new_zeros(1)
    return float(square + squares(flat[:, whole:]) if whole < flat.shape[1] else square)


class _Scaled:
    """One unit's gradient of one matrix in grid steps, made in parts."""

    def __init__(self, entries: Sequence[Outer], records: slice, scale: float, exact: bool) -> None:
        self._exact = exact
        self._factors = []
        sparse = []
        for entry in entries:
            first, second = entry.first[records].flatten(0, 1), entry.second[records].flatten(0, 1).float() * scale
            if entry.one_hot:
                sparse.append((first, second))
            else:
                self._factors.append((first.float().mT, second))
        self._tokens: Tensor | None = None
        if sparse:
            ids = torch.cat([first for first, _ in sparse])
            self._tokens, place = ids.unique(return_inverse=True)  # sorted
            self._numbers = self._tokens.tolist()
            rows = torch.cat([second for _, second in sparse])
            self._rows = rows.new_zeros(len(self._tokens), rows.shape[1]).index_add_(0, place, rows)

    def block(self, block: slice, space: Tensor) -> Tensor:
        """Rows of the contribution, shape (rows, b), whole numbers. They lie in `space`, until the next ones do."""
        (first, second), *others = self._factors
        made = torch.mm(first[block], second, out=space[: block.stop - block.start])
        for first, second in others:
            made += first[block] @ second
        if self._tokens is not None:
            inside = slice(bisect_left(self._numbers, block.start), bisect_left(self._numbers, block.stop))
            if inside.start < inside.stop:
                made.index_add_(0, self._tokens[inside] - block.start, self._rows[inside])
        return cut_(made) if self._exact else made


class Products:
    """Inner products of rows, with the last one kept: the layers of an attention block share their input."""

    def __init__(self) -> None:
        self._key: object = None
        self._kept: list[Tensor] = []

    def squared_norm(self, entries: list[Outer]) -> Tensor:
        """Squared Frobenius norms of the records' gradients of one matrix, shape (records,), float64.

        `entries` has one item for each use of the matrix; |G + H|^2 = |G|^2 + 2<G, H> + |H|^2, where <G, H> is the sum
        over pairs of rows of the product of the first factors' and the second factors' inner products.
        """
        total: Tensor | float = 0.0
        largest: Tensor | float = 0.0
        for index, entry in enumerate(entries):
            for other in entries[:index]:
                inner = _dot(entry.first, other.first) * _dot(entry.second, other.second)
                total = total + 2 * inner.sum(-1).double().sum(-1)
            own, bound = self._square(entry)
            total, largest = total + own, largest + bound
        assert isinstance(total, Tensor)
        assert isinstance(largest, Tensor)
        cancelling = total < _CANCELLING * largest.square()
        if bool(cancelling.any()):
            total = total.clone()
            for record in cancelling.nonzero()[:, 0].tolist():
                own_gradient = slice(record, record + 1)
                uses = torch.stack([entry.sum_of(own_gradient, torch.float64) for entry in entries])
                total[record] = uses.sum(0).square().sum()
        return total

    def _square(self, entry: Outer) -> tuple[Tensor, Tensor]:
        """<G, G>, and the norm that G would have if no two rows cancelled; both (records,), float64."""
        second = entry.second
        key = (second.data_ptr(), second.shape, second.stride(), second.dtype)
        if key != self._key:
            self._key, self._kept = key, _stripes(second)
        square = bound = torch.zeros((), dtype=torch.float64, device=second.device)
        for one, other in zip(_stripes(entry.first), self._kept, strict=True):
            product = one * other
            rows = product.shape[1]
            square = square + product[..., :rows].sum(-1).double().sum(-1)
            square = square + 2 * product[..., rows:].sum(-1).double().sum(-1)
            bound = bound + product.diagonal(dim1=-2, dim2=-1).sqrt().double().sum(-1)
        return square, bound


def _stripes(rows: Tensor) -> list[Tensor]:
    """Inner products of a record's rows with each other, those above the diagonal once.

    Each stripe has shape (records, n, m): n <= _STRIPE rows, with themselves and all m - n later.
    """
    return [_dot(rows[:, start : start + _STRIPE], rows[:, start:]) for start in range(0, rows.shape[1], _STRIPE)]


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """(records, n, m) inner products of (records, n, width) and (records, m, width); integers stand for one-hot."""
    if a.is_floating_point() and b.is_floating_point():
        return a.float() @ b.float().mT
    if a.is_floating_point():
        return a.float().gather(2, b[:, None, :].expand(-1, a.shape[1], -1))
    if b.is_floating_point():
        return _dot(b, a).mT
    return (a[:, :, None] == b[:, None, :]).float()
