"""Factors of the strategies: the bound holds for any norms, and nothing but the unit's own norms decides."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dpsynth_assets.privacy.clipping_methods import CLIPPING_METHODS, FlatClipping, PerLayerClipping

NORMS = st.lists(st.floats(0, 1e30), min_size=3, max_size=3)


@given(norms=NORMS, l2_clip_norm=st.floats(1e-6, 1e6), name=st.sampled_from(sorted(CLIPPING_METHODS)))
def test_the_scaled_contribution_never_exceeds_the_sensitivity(norms, l2_clip_norm, name):
    clipping = CLIPPING_METHODS[name](l2_clip_norm)
    groups = clipping.groups(["a.weight", "b.weight", "c.weight"])
    table = torch.zeros(max(groups) + 1, 1, dtype=torch.float64)
    for group, norm in zip(groups, norms, strict=True):
        table[group] = torch.hypot(table[group], torch.tensor([norm], dtype=torch.float64))
    scaled = clipping.factors(table).float().double() * table
    assert float(scaled.norm()) <= clipping.sensitivity


@pytest.mark.parametrize("name", CLIPPING_METHODS)
@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_a_norm_that_is_no_number_silences_its_unit_only(name, wrong):
    factors = CLIPPING_METHODS[name](1.0).factors(
        torch.tensor([[2.0, wrong, 3.0], [2.0, 1.0, 3.0]], dtype=torch.float64)
    )
    assert factors[:, 1].tolist() == [0, 0]
    assert (factors[:, [0, 2]] > 0).all()


def test_a_short_gradient_is_kept_as_it_is():
    assert float(FlatClipping(1.0).factors(torch.tensor([[0.5]], dtype=torch.float64))) == 1
    assert float(FlatClipping(math.inf).factors(torch.tensor([[1e9]], dtype=torch.float64))) == 1


def test_the_two_matrices_of_an_adapter_are_one_layer():
    adapter = ["m.q.lora_A.default.weight", "m.q.lora_B.default.weight", "m.k.lora_A.default.weight"]
    assert PerLayerClipping(1.0).groups([*adapter, "n.weight", "n.bias"]) == [0, 0, 1, 2, 2]


@pytest.mark.parametrize("name", CLIPPING_METHODS)
def test_constants_that_bound_nothing_are_refused(name):
    for wrong in (0.0, -1.0, math.nan):
        with pytest.raises(ValueError, match="positive"):
            CLIPPING_METHODS[name](wrong)
