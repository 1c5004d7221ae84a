"""Gradients as factors against the gradients themselves, also where float32 would not do."""

from __future__ import annotations

import pytest
import torch

from dpsynth_assets.privacy.clipping import outer as outer_module
from dpsynth_assets.privacy.clipping.grid import grid_of
from dpsynth_assets.privacy.clipping.outer import Outer, Products, add_scaled

SHAPES = [(3, 3), (1, 7), (2, 130), (4, 1)]


def entries(records, rows, one_hot=False, width=6, columns=5):
    first = torch.randint(0, width, (records, rows)) if one_hot else torch.randn(records, rows, width)
    return Outer(first, torch.randn(records, rows, columns), width)


def exact_of(uses, unit):
    return sum(use.sum_of(unit, torch.float64) for use in uses)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("kinds", [(False,), (True, False), (False, True, False)], ids=str)
def test_dense_norm_and_scaled_sum_agree(shape, kinds, monkeypatch):
    """A weight used twice has cross terms; units of several records too."""
    torch.manual_seed(0)
    monkeypatch.setattr(outer_module, "_BLOCK", 10)  # two rows at a time
    records = shape[0]
    uses = [entries(*shape, one_hot=one_hot) for one_hot in kinds]
    alone = [slice(record, record + 1) for record in range(records)]
    exact = torch.stack([exact_of(uses, unit) for unit in alone])
    torch.testing.assert_close(sum(use.dense().double() for use in uses), exact, rtol=1e-5, atol=1e-5)
    squares = Products().squared_norm(uses)
    torch.testing.assert_close(squares, exact.square().sum((1, 2)), rtol=1e-5, atol=1e-6)
    units = [slice(0, 2), *alone[2:]] if records > 1 else alone
    scales = (torch.rand(len(units)) * 2**16).tolist()
    wanted = [exact_of(uses, unit) * scale for unit, scale in zip(units, scales, strict=True)]
    total = torch.zeros(6, 5, dtype=torch.float64)
    add_scaled(total, uses, units, scales, [float(w.square().sum()) for w in wanted], grid_of(1.0))
    assert bool((total == total.round()).all())
    torch.testing.assert_close(total, sum(wanted), rtol=1e-4, atol=4.0)


@pytest.mark.parametrize("kinds", [(False,), (True, False)], ids=str)
@pytest.mark.parametrize("step", [10, 1000])
def test_what_turns_out_longer_than_its_norm_allows_is_not_added(kinds, step, monkeypatch):
    """Whatever computed the norm: a contribution is measured, and what others added stays to the bit."""
    torch.manual_seed(0)
    monkeypatch.setattr(outer_module, "_BLOCK", step)
    uses = [entries(3, 4, one_hot=one_hot) for one_hot in kinds]
    units, scales = [slice(record, record + 1) for record in range(3)], [1000.0] * 3
    allowed = [float((exact_of(uses, unit) * 1000.0).square().sum()) for unit in units]
    others, all_of_them = (torch.zeros(6, 5, dtype=torch.float64) for _ in range(2))
    add_scaled(others, uses, [units[0], units[2]], scales[:2], [allowed[0], allowed[2]], grid_of(1.0))
    add_scaled(all_of_them, uses, units, scales, [allowed[0], allowed[1] * 0.99, allowed[2]], grid_of(1.0))
    assert torch.equal(others, all_of_them)


def test_what_is_no_number_is_not_added():
    uses = [entries(2, 4)]
    uses[0].second[1, 2, 3] = torch.inf
    alone, both = (torch.zeros(6, 5, dtype=torch.float64) for _ in range(2))
    add_scaled(alone, uses, [slice(0, 1)], [1000.0], [1e12], grid_of(1.0))
    add_scaled(both, uses, [slice(0, 1), slice(1, 2)], [1000.0, 1000.0], [1e12, 1e12], grid_of(1.0))
    assert torch.equal(alone, both)


def test_rows_that_nearly_cancel_do_not_shrink_the_norm():
    """In float32 Gram matrices the norm of such a unit is rounding noise, often zero, and it would not be clipped."""
    torch.manual_seed(0)
    u, v = torch.randn(1, 64), torch.randn(1, 64)
    first = torch.cat([u, u]).mul(1e3)
    second = torch.cat([v, -v * (1 + 2.0**-12)])
    outer = Outer(first[None], second[None], 64)
    exact = outer.sum_of(slice(0, 1), torch.float64).square().sum()
    gram = (first @ first.T * (second @ second.T)).sum().double()
    assert abs(gram / exact - 1) > 1e-3  # the danger is real
    torch.testing.assert_close(Products().squared_norm([outer])[0], exact)
