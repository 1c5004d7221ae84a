"""The clipped sum against the definition: one backward pass per record, summed by unit, clipped, added up."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from dpsynth_assets.privacy.clipping import ClippedSum, UnclippedGradientError
from dpsynth_assets.privacy.sampling import micro_batches


def one_by_one(model, data, chosen, clipping_norm):
    """The reference: no hooks, no batching."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    total = [torch.zeros_like(p, dtype=torch.float64) for p in parameters]
    norms = []
    for unit in chosen:
        contribution = [torch.zeros_like(p, dtype=torch.float64) for p in parameters]
        for record in data.records_of[unit]:
            gradients = torch.autograd.grad(data.losses(model, [record])[0], parameters)
            for part, gradient in zip(contribution, gradients, strict=True):
                part += gradient.double()
        norm = math.sqrt(sum(float(part.square().sum()) for part in contribution))
        norms.append(norm)
        for whole, part in zip(total, contribution, strict=True):
            whole += part * min(1.0, clipping_norm / norm)
    return total, norms


def clipped_sum(model, data, chosen, clipping_norm, max_tokens):
    clipped = ClippedSum(model, clipping_norm)
    try:
        for batch in micro_batches(chosen, data.records_of, data.lengths, max_tokens):
            records = [r for u in batch for r in data.records_of[u]]
            unit_of = torch.tensor([i for i, u in enumerate(batch) for _ in data.records_of[u]])
            clipped.add(data.losses(model, records), unit_of, len(batch))
        return clipped.take()
    finally:
        clipped.close()


@pytest.mark.parametrize("max_tokens", [1, 100, 100_000], ids=["a unit at a time", "cut", "whole"])
def test_clipped_sum_equals_one_by_one_backward_passes(adapted, units, max_tokens):
    chosen = [0, 1, 3, 4, 7, 8, 11]
    _, norms = one_by_one(adapted, units, chosen, 1.0)
    clipping_norm = sorted(norms)[len(norms) // 2]  # some units are clipped, others are not
    expected, _ = one_by_one(adapted, units, chosen, clipping_norm)
    actual = clipped_sum(adapted, units, chosen, clipping_norm, max_tokens)
    difference = math.sqrt(sum(float((a.double() - e).square().sum()) for a, e in zip(actual, expected, strict=True)))
    scale = math.sqrt(sum(float(e.square().sum()) for e in expected))
    assert difference < 1e-5 * scale


def test_no_unit_contributes_more_than_the_clipping_norm(adapted, units):
    for unit in range(len(units.records_of)):
        sums = clipped_sum(adapted, units, [unit], 1e-3, 10_000)
        assert math.sqrt(sum(float(s.double().square().sum()) for s in sums)) <= 1e-3


def test_an_empty_batch_sums_to_zero(adapted, units):
    assert all(not total.any() for total in clipped_sum(adapted, units, [], 1.0, 100))


def test_padding_does_not_change_a_record(adapted, units):
    order = sorted(range(len(units.lengths)), key=units.lengths.__getitem__)
    short, long = order[0], order[-1]
    with torch.no_grad():
        alone = units.losses(adapted, [short])[0]
        padded = units.losses(adapted, [short, long])[0]
    assert torch.isclose(alone, padded, rtol=1e-5)


def test_a_gradient_that_is_not_a_number_counts_as_zero_and_harms_no_other(adapted, units):
    clipped = ClippedSum(adapted, 1.0)
    losses = units.losses(adapted, [0, 1])
    clipped.add(losses * torch.tensor([float("nan"), 1.0]), torch.tensor([0, 1]), 2)
    poisoned = clipped.take()
    clipped.close()
    clipped = ClippedSum(adapted, 1.0)
    clipped.add(units.losses(adapted, [1]), torch.tensor([0]), 1)
    for actual, expected in zip(poisoned, clipped.take(), strict=True):
        torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-6)


def test_a_loss_reduced_over_the_batch_is_refused(adapted, units):
    clipped = ClippedSum(adapted, 1.0)
    with pytest.raises(UnclippedGradientError, match="one number per record"):
        clipped.add(units.losses(adapted, [0, 1]).mean(), torch.tensor([0, 1]), 2)


class Folded(nn.Module):
    """Folds the batch dimension into the layer's, as some attention code does."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x):
        return self.layer(x.reshape(-1, 2, 4)).reshape(x.shape).sum((1, 2))


class Bypassed(nn.Module):
    """Uses a layer's weight outside the layer: the hooks see only part of its gradient."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x):
        return (self.layer(x) + x @ self.layer.weight).sum((1, 2))


@pytest.mark.parametrize("module", [Folded, Bypassed])
def test_a_gradient_that_hooks_cannot_attribute_to_records_is_refused(module):
    model = module()
    clipped = ClippedSum(model, 1.0)
    losses = model(torch.randn(3, 4, 4))
    with pytest.raises(UnclippedGradientError):
        clipped.add(losses, torch.arange(3), 3)


def test_a_model_without_trainable_parameters_is_refused():
    model = nn.Linear(2, 2).requires_grad_(False)
    with pytest.raises(UnclippedGradientError, match="attach an adapter"):
        ClippedSum(model, 1.0)
