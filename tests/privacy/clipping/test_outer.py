"""Gradients as factors against the gradients themselves, also where float32 would not do."""

from __future__ import annotations

import pytest
import torch

from dpsynth_assets.privacy.clipping.outer import Outer, Products


def entries(rows, one_hot=False, width=6, columns=5):
    torch.manual_seed(0)
    total = sum(rows)
    first = torch.randint(0, width, (total,)) if one_hot else torch.randn(total, width)
    return Outer(first, torch.randn(total, columns), tuple(rows), width)


ROWS = [(3, 3, 3), (1, 4, 2), (0, 5, 1), (7,), (130, 130), (50, 0, 97)]


@pytest.mark.parametrize("rows", ROWS, ids=str)
@pytest.mark.parametrize("one_hot", [False, True])
def test_dense_norm_and_scaled_sum_agree(rows, one_hot):
    outer = entries(rows, one_hot)
    exact = torch.stack([outer.dense_of(unit) for unit in range(len(rows))])
    torch.testing.assert_close(outer.dense().double(), exact, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(Products().squared_norm([outer]), exact.square().sum((1, 2)), rtol=1e-5, atol=1e-6)
    factors = torch.rand(len(rows))
    total = torch.zeros(6, 5)
    outer.add_scaled_(total, factors, None)
    torch.testing.assert_close(total.double(), torch.tensordot(factors.double(), exact, 1), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("rows", [ROWS[0], ROWS[1], ROWS[2]], ids=str)
@pytest.mark.parametrize("other_rows", [(3, 3, 3), (2, 1, 4)], ids=str)
def test_a_weight_used_twice_has_cross_terms(rows, other_rows):
    uses = [entries(rows, one_hot=True), entries(other_rows), entries(other_rows, one_hot=True)]
    exact = torch.stack([sum(use.dense_of(unit) for use in uses) for unit in range(len(rows))])
    torch.testing.assert_close(Products().squared_norm(uses), exact.square().sum((1, 2)), rtol=1e-5, atol=1e-6)


def test_rows_that_nearly_cancel_do_not_shrink_the_norm():
    """In float32 Gram matrices the norm of such a unit is rounding noise, often zero, and it would not be clipped."""
    torch.manual_seed(0)
    u, v = torch.randn(1, 64), torch.randn(1, 64)
    first = torch.cat([u, u]).mul(1e3)
    second = torch.cat([v, -v * (1 + 2.0**-12)])
    outer = Outer(first, second, (2,), 64)
    exact = outer.dense_of(0).square().sum()
    gram = (first @ first.T * (second @ second.T)).sum().double()
    assert abs(gram / exact - 1) > 1e-3  # the danger is real
    torch.testing.assert_close(Products().squared_norm([outer])[0], exact)
