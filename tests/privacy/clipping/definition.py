"""The definition that the engine is held against: one backward pass per record, by autograd alone, in float64 sums."""

from __future__ import annotations

import math

import torch

from dpsynth_assets.privacy.clipping.engine import ClippedSum
from dpsynth_assets.privacy.clipping.grid import fine_grid_of
from dpsynth_assets.privacy.clipping_methods import ROUNDING_MARGIN, FlatClipping


def contributions(model, losses, records_of):
    """For each unit its summed gradient, a float64 tensor per trainable parameter."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    units, start = [], 0
    for count in records_of:
        unit = [torch.zeros_like(p, dtype=torch.float64) for p in parameters]
        for record in range(start, start + count):
            gradients = torch.autograd.grad(losses([record])[0], parameters)
            for total, gradient in zip(unit, gradients, strict=True):
                total += gradient.double()
        units.append(unit)
        start += count
    return units


def norm(tensors) -> float:
    return math.sqrt(sum(float(t.double().square().sum()) for t in tensors))


def scaled_sum(units, factors):
    return [sum(t * f for t, f in zip(same, factors, strict=True)) for same in zip(*units, strict=True)]


def distance(actual, expected) -> float:
    """Relative, over all parameters together."""
    return norm(a.double() - e for a, e in zip(actual, expected, strict=True)) / norm(expected)


def engine_sum(model, losses, records_of, clipping, cuts=(0,)):
    """The engine's sum, its units cut into micro-batches where `cuts` says they begin."""
    starts = [sum(records_of[:unit]) for unit in range(len(records_of) + 1)]
    with ClippedSum(model, clipping) as clipped:
        if clipped.grid is not None:
            clipped.grid = fine_grid_of(clipping.l2_clip_norm)  # the definition has none
        for first, last in zip(cuts, [*cuts[1:], len(records_of)], strict=True):
            clipped.add(losses(range(starts[first], starts[last])), records_of[first:last])
        return clipped.take()


def assert_exact(model, losses, records_of, cuts=(0,), tolerance=1e-5):
    """Flat clipping at the median norm, so that some units are clipped and others are not; returns that norm."""
    units = contributions(model, losses, records_of)
    norms = [norm(unit) for unit in units]
    bound = sorted(norms)[len(norms) // 2]
    expected = scaled_sum(units, [min(1.0, bound / n) for n in norms])
    assert (
        distance(engine_sum(model, losses, records_of, FlatClipping(bound / ROUNDING_MARGIN), cuts), expected)
        < tolerance
    )
    return bound
