"""Gradients of a table that is looked up, kept as rows: against the gradients themselves, and each unit's own."""

from __future__ import annotations

import pytest
import torch

from dpsynth_assets.privacy.clipping.grid import grid_of
from dpsynth_assets.privacy.clipping.outer import Outer
from dpsynth_assets.privacy.clipping.rows import TableRows

WIDTH, COLUMNS = 9, 5
RECORDS = [1, 3, 1, 2]  # of each unit


def uses_of(rows, seed=0, uses=2):
    """Of a micro-batch with two made-up rows at its end. Some rows of the table are named often."""
    generator = torch.Generator().manual_seed(seed)
    size = (sum(RECORDS) + 2, rows)
    return [
        Outer(
            torch.randint(0, WIDTH, size, generator=generator),
            torch.randn(*size, COLUMNS, generator=generator),
            WIDTH,
        )
        for _ in range(uses)
    ]


def units_of(counts):
    ends = torch.tensor(counts).cumsum(0).tolist()
    return [slice(end - count, end) for end, count in zip(ends, counts, strict=True)]


@pytest.mark.parametrize("uses", [1, 2])
@pytest.mark.parametrize("rows", [1, 7, 40])
def test_norms_and_sums_are_those_of_the_gradients_themselves(rows, uses):
    entries, units = uses_of(rows, uses=uses), units_of(RECORDS)
    exact = [sum(entry.sum_of(unit, torch.float64) for entry in entries) for unit in units]
    made = TableRows.of(entries, units)
    torch.testing.assert_close(made.squares(4), torch.stack([g.square().sum() for g in exact]), rtol=1e-5, atol=1e-6)
    scales = torch.tensor([3e4, 1e3, 0.0, 5e4])
    total = torch.zeros(WIDTH, COLUMNS, dtype=torch.float64)
    made.add_scaled(total, scales, grid_of(1.0))
    assert torch.equal(total, total.round())
    wanted = sum(g * scale for g, scale in zip(exact, scales.tolist(), strict=True))
    torch.testing.assert_close(total, wanted, rtol=1e-5, atol=4.0)


def test_a_unit_adds_the_same_bits_whoever_is_there():
    """Before it, after it, and nobody: without a grid, so that the last bits show."""
    entries, units = uses_of(40), units_of(RECORDS)
    together = TableRows.of(entries, units)
    for number, unit in enumerate(units):
        own_entries = [Outer(entry.first[unit], entry.second[unit], WIDTH) for entry in entries]
        alone = TableRows.of(own_entries, units_of([RECORDS[number]]))
        own = together.units == number
        assert torch.equal(together.places[own], alone.places)
        assert torch.equal(together.gradients[own], alone.gradients)
        assert torch.equal(together.squares(4)[number], alone.squares(1)[0])


def test_no_row_is_longer_than_the_norm_that_was_taken_however_rows_cancel():
    """The norm is of the rows that are added, rounding and all: there is no second product that could differ."""
    second = torch.randn(1, 1, COLUMNS) * torch.tensor([1e3, -1e3 * (1 + 2.0**-12), 1e-3]).view(1, 3, 1)
    made = TableRows.of([Outer(torch.zeros(1, 3, dtype=torch.long), second, WIDTH)], [slice(0, 1)])
    scale = (2.0**20 / made.squares(1).sqrt()).float()
    total = torch.zeros(WIDTH, COLUMNS, dtype=torch.float64)
    made.add_scaled(total, scale, grid_of(1.0))
    assert 0.999 * 2**20 < float(total.norm()) <= 2**20 * (1 + 2.0**-20)


@pytest.mark.parametrize("worst", [float("nan"), float("inf")])
def test_what_is_no_number_is_left_out_with_its_unit(worst):
    entries, units = uses_of(7, uses=1), units_of(RECORDS)
    scales = torch.tensor([3e4, 0.0, 1e4, 5e4])
    sums = []
    for value in (0.5, worst):
        entries[0].second[2, 3, 1] = value
        total = torch.zeros(WIDTH, COLUMNS, dtype=torch.float64)
        made = TableRows.of(entries, units)
        made.add_scaled(total, scales, grid_of(1.0))
        sums.append(total)
    assert not bool(made.squares(4).isfinite()[1])
    assert bool(made.squares(4).isfinite()[[0, 2, 3]].all())
    assert torch.equal(*sums)
