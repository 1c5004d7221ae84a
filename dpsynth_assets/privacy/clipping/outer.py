"""Gradients kept as two factors: a unit's gradient is `first.T @ second` over the unit's rows, and is seldom computed.

Rows are tokens. All rows of one unit stand together, whatever records they come from, so that a product over a unit's
rows has every cross term between its records. Norms are float32 products summed in float64. Where a unit's rows cancel
one another nearly, the squared norm is a small difference of large numbers and float32 would not do: such a unit's
gradient is computed after all, in float64 (`squared_norm`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

# Below this share of the largest norm that a unit's rows could have together, they count as cancelling. Incoherent
# rows of a unit have 1 / rows; float32 errs by about 1e-7 of that largest norm, so the rest is good to 1e-4 at worst.
_CANCELLING = 2.0**-11
# Rows whose inner products with themselves and all later rows are taken at once. The product of two symmetric matrices
# needs only one half of each; fewer rows would save more of it and make products that are too narrow to be fast.
_STRIPE = 48


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """float32 products are float32 products in here: no autocast, no TF32, no bfloat16 passes.

    A norm that is computed with ten bits and a sum with twenty-four would overshoot the clip.
    """
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
    """The gradients of one matrix for the units of a micro-batch, as factors.

    Attributes:
        first: shape (rows, a), or integers of shape (rows,) that stand for one-hot rows of width `width`.
        second: shape (rows, b).
        rows: for each unit, how many rows it has; they add up to `len(second)`.
        width: a.
    """

    first: Tensor
    second: Tensor
    rows: tuple[int, ...]
    width: int

    @property
    def one_hot(self) -> bool:
        return not self.first.is_floating_point()

    @property
    def regular(self) -> bool:
        """Whether all units have equally many rows, so that one batched product does."""
        return self.rows[0] > 0 and len(set(self.rows)) == 1

    def dense(self) -> Tensor:
        """The gradients themselves, float32, shape (units, a, b); may be a transposed view."""
        units = len(self.rows)
        if self.one_hot:
            unit = torch.repeat_interleave(
                torch.arange(units, device=self.first.device), torch.tensor(self.rows, device=self.first.device)
            )
            flat = self.second.new_zeros(units * self.width, self.second.shape[1], dtype=torch.float32)
            flat.index_add_(0, unit * self.width + self.first, self.second.float())
            return flat.view(units, self.width, -1)
        if self.regular:
            first, second = self._blocks(self.first), self._blocks(self.second)
            # The wide side last: on CPUs a (wide x narrow) product is several times slower than a (narrow x wide) one.
            if first.shape[-1] <= second.shape[-1]:
                return torch.bmm(first.mT, second)
            return torch.bmm(second.mT, first).mT
        pairs = zip(self.first.float().split(self.rows), self.second.float().split(self.rows), strict=True)
        if self.width <= self.second.shape[1]:
            return torch.stack([first.mT @ second for first, second in pairs])
        return torch.stack([second.mT @ first for first, second in pairs]).mT

    def dense_of(self, unit: int) -> Tensor:
        """One unit's gradient in float64, shape (a, b)."""
        start = sum(self.rows[:unit])
        first, second = (t[start : start + self.rows[unit]] for t in (self.first, self.second))
        if self.one_hot:
            return second.new_zeros(self.width, second.shape[1], dtype=torch.float64).index_add_(
                0, first, second.double()
            )
        return first.double().mT @ second.double()

    def add_scaled_(self, total: Tensor, factors: Tensor, kept: Tensor | None) -> None:
        """Adds the gradients, each unit's scaled by its factor, to `total`, shape (a, b), float32.

        Args:
            factors: shape (units,), float32.
            kept: shape (units,); where false the unit adds nothing, even if it holds what is no number. None: all.
        """
        # float32 also where the factors are bfloat16: rounding the scaled rows would overshoot the clip.
        first, second = self.first, self.second.float() * self._per_row(factors)
        if kept is not None:  # zero times a number that is none is none
            second = torch.where(self._per_row(kept), second, 0.0)
            first = first if self.one_hot else torch.where(self._per_row(kept), first.float(), 0.0)
        if self.one_hot:
            total.index_add_(0, first, second)
        else:
            total.addmm_(first.float().mT, second)

    def _per_row(self, values: Tensor) -> Tensor:
        """(units,) to (rows, 1)."""
        if self.regular:
            return values[:, None].expand(-1, self.rows[0]).reshape(-1, 1)
        return torch.repeat_interleave(values, torch.tensor(self.rows, device=values.device))[:, None]

    def _blocks(self, rows: Tensor) -> Tensor:
        """(units, rows of a unit, width), float32; regular only."""
        return rows.view(len(self.rows), self.rows[0], -1).float()


class Products:
    """Inner products of rows, with the last one kept: the layers of an attention block share their input."""

    def __init__(self) -> None:
        self._key: object = None
        self._kept: list[list[Tensor]] = []

    def squared_norm(self, entries: list[Outer]) -> Tensor:
        """Squared Frobenius norms of the units' summed gradients of one matrix, shape (units,), float64.

        `entries` has one item for each use of the matrix; |G + H|^2 = |G|^2 + 2<G, H> + |H|^2, where <G, H> is the sum
        over pairs of rows of the product of the first factors' and the second factors' inner products.
        """
        total: Tensor | float = 0.0
        largest: Tensor | float = 0.0
        for index, entry in enumerate(entries):
            for other in entries[:index]:
                total = total + 2 * self._inner(entry, other)
            own, bound = self._square(entry)
            total, largest = total + own, largest + bound
        assert isinstance(total, Tensor)
        assert isinstance(largest, Tensor)
        cancelling = total < _CANCELLING * largest.square()
        if bool(cancelling.any()):
            total = total.clone()
            for unit in cancelling.nonzero()[:, 0].tolist():
                gradient = entries[0].dense_of(unit)
                for entry in entries[1:]:
                    gradient += entry.dense_of(unit)
                total[unit] = gradient.square().sum()
        return total

    def _square(self, entry: Outer) -> tuple[Tensor, Tensor]:
        """<G, G>, and the norm that G would have if no two rows cancelled; both (units,), float64."""
        second = entry.second
        key = (second.data_ptr(), second.shape, second.stride(), second.dtype, entry.rows)
        if key != self._key:
            self._key, self._kept = key, _stripes(second, entry)
        pairs = zip(_stripes(entry.first, entry), self._kept, strict=True)
        squares, bounds = zip(*(_sum_of_stripes(firsts, seconds) for firsts, seconds in pairs), strict=True)
        return torch.cat(squares), torch.cat(bounds)

    def _inner(self, one: Outer, other: Outer) -> Tensor:
        """<G, H>, shape (units,), float64."""
        firsts = _pairs(one.first, one, other.first, other)
        seconds = _pairs(one.second, one, other.second, other)
        sums = [
            (_dot(a, b) * _dot(c, d)).sum(-1).double().sum(-1) for (a, b), (c, d) in zip(firsts, seconds, strict=True)
        ]
        return torch.cat(sums)


def _stripes(a: Tensor, entry: Outer) -> list[list[Tensor]]:
    """Inner products of a unit's rows with each other, those above the diagonal once: unit by unit, or all at once
    where they are regular. Each stripe has shape (units, n, m): n <= _STRIPE rows, with themselves and all m - n later.
    """
    return [
        [_dot(rows[:, start : start + _STRIPE], rows[:, start:]) for start in range(0, max(1, rows.shape[1]), _STRIPE)]
        for rows, _ in _pairs(a, entry, a, entry)
    ]


def _sum_of_stripes(firsts: list[Tensor], seconds: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Sum of the products of all elements of two symmetric matrices, and of the roots of those on the diagonal."""
    square = bound = torch.zeros((), dtype=torch.float64, device=firsts[0].device)
    for first, second in zip(firsts, seconds, strict=True):
        product = first * second
        rows = product.shape[1]
        square = square + product[..., :rows].sum(-1).double().sum(-1)
        square = square + 2 * product[..., rows:].sum(-1).double().sum(-1)
        bound = bound + product.diagonal(dim1=-2, dim2=-1).sqrt().double().sum(-1)
    return square, bound


def _pairs(a: Tensor, one: Outer, b: Tensor, other: Outer) -> list[tuple[Tensor, Tensor]]:
    """A unit's rows in `a` beside those in `b`, shapes (units, rows, ...): one pair where all units are regular."""
    if one.regular and other.regular:
        left = a.view(len(one.rows), one.rows[0], *a.shape[1:])
        right = left if b is a else b.view(len(other.rows), other.rows[0], *b.shape[1:])
        return [(left, right)]
    return [(left[None], right[None]) for left, right in zip(a.split(one.rows), b.split(other.rows), strict=True)]


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """(units, n, m) inner products of (units, n, width) and (units, m, width); integers stand for one-hot rows."""
    if a.is_floating_point() and b.is_floating_point():
        return a.float() @ b.float().mT
    if a.is_floating_point():
        return a.float().gather(2, b[:, None, :].expand(-1, a.shape[1], -1))
    if b.is_floating_point():
        return _dot(b, a).mT
    return (a[:, :, None] == b[:, None, :]).float()
