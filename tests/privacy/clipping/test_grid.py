"""Contributions on the grid: never longer than they were, and added up exactly however many there are."""

from __future__ import annotations

import pytest
import torch

from dpsynth_assets.privacy.clipping import engine
from dpsynth_assets.privacy.clipping.engine import ClippedSum
from dpsynth_assets.privacy.clipping.grid import add, grid_of
from dpsynth_assets.privacy.clipping.outer import Outer, add_scaled
from dpsynth_assets.privacy.clipping.rows import TableRows
from dpsynth_assets.privacy.clipping_methods import CLIPPING_METHODS, ROUNDING_MARGIN

LARGEST = 2.0**21 - 1  # a contribution's size in grid steps


def as_gradients(numbers):
    """Each number is a unit's gradient of a weight of one number."""
    total = torch.zeros(1, 1, dtype=torch.float64)
    add(total, torch.tensor(numbers).view(-1, 1, 1), torch.ones(len(numbers)), grid_of(1.0))
    return total.item()


def as_factors(numbers):
    total, units = torch.zeros(1, 1, dtype=torch.float64), each_a_unit(numbers)
    uses = [Outer(torch.ones(len(numbers), 1, 1), torch.tensor(numbers).view(-1, 1, 1), width=1)]
    add_scaled(total, uses, units, [1.0] * len(units), [number**2 for number in numbers], grid_of(1.0))
    return total.item()


def as_table_rows(numbers):
    total = torch.zeros(1, 1, dtype=torch.float64)
    uses = [Outer(torch.zeros(len(numbers), 1, dtype=torch.long), torch.tensor(numbers).view(-1, 1, 1), width=1)]
    TableRows.of(uses, each_a_unit(numbers)).add_scaled(total, torch.ones(len(numbers)), grid_of(1.0))
    return total.item()


def each_a_unit(numbers):
    return [slice(unit, unit + 1) for unit in range(len(numbers))]


ways = pytest.mark.parametrize("summed", [as_gradients, as_factors, as_table_rows])


@ways
def test_a_contribution_is_cut_towards_zero(summed):
    """To the nearest one it would be lengthened, in each of millions of coordinates."""
    assert [summed([number]) for number in (0.9, 1.5, 2.99, -0.9, -1.5, -2.99)] == [0, 1, 2, 0, -1, -2]


@ways
@pytest.mark.parametrize("count", [8, 9, 1001])
def test_the_largest_contributions_add_up_exactly(summed, count):
    """Of nine the sum is beyond 2^24, where float32 has no odd numbers."""
    assert summed([LARGEST] * count) == LARGEST * count
    assert summed([*[LARGEST] * count, *[-LARGEST] * (count - 1)]) == LARGEST


def test_the_grid_holds_every_clip_in_few_enough_steps():
    for clip in (1e-6, 0.5, 1.0, 1.0 + 2.0**-52, 3.0, 1e6):
        assert 2**20 <= clip / grid_of(clip).spacing < 2**21


@pytest.mark.parametrize("name", CLIPPING_METHODS)
def test_a_clipped_contribution_leaves_room_for_what_is_rounded_on_the_way(name):
    clipping = CLIPPING_METHODS[name](2.0)
    norms = torch.full((1, 1), 1e9, dtype=torch.float64)
    assert float(clipping.factors(norms) * norms) <= 2.0 * ROUNDING_MARGIN * (1 + 1e-12)
    assert ROUNDING_MARGIN <= 1 - 2.0**-12


def test_more_units_than_add_up_exactly_are_refused(monkeypatch):
    monkeypatch.setattr(engine, "UNITS", 3)
    layer = torch.nn.Linear(2, 1)
    with ClippedSum(layer, CLIPPING_METHODS["flat"](1.0)) as clipped:
        for _ in range(2):
            clipped.add(layer(torch.ones(3, 2)).sum(1), [1, 1, 1])
            clipped.take()
        clipped.add(layer(torch.ones(3, 2)).sum(1), [1, 1, 1])
        with pytest.raises(OverflowError, match="would not be exact"):
            clipped.add(layer(torch.ones(1, 2)).sum(1), [1])
