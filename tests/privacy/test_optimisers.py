"""Post-processing devices against hand-computed steps."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import nn

from dpsynth_assets.privacy.optimisers import IterateAverage, NoiseCorrectedAdam, schedule


def test_two_steps_of_noise_corrected_adam_by_hand():
    parameter = nn.Parameter(torch.tensor([1.0, -2.0]))
    optimiser = NoiseCorrectedAdam([parameter], lr=0.1, noise=0.5, betas=(0.8, 0.9), floor=1e-4)
    value, first, second = [1.0, -2.0], [0.0, 0.0], [0.0, 0.0]
    for step, gradient in enumerate([(2.0, 0.1), (-1.0, 0.3)], start=1):
        parameter.grad = torch.tensor(gradient)
        optimiser.step()
        for i, g in enumerate(gradient):
            first[i] = 0.8 * first[i] + 0.2 * g
            second[i] = 0.9 * second[i] + 0.1 * g * g
            corrected = max(second[i] / (1 - 0.9**step) - 0.25, 1e-4)  # the second coordinate meets the floor
            value[i] -= 0.1 * first[i] / (1 - 0.8**step) / math.sqrt(corrected)
        torch.testing.assert_close(parameter.detach(), torch.tensor(value), rtol=1e-5, atol=1e-6)


def test_the_correction_removes_the_noise_from_the_second_moment():
    """Pure noise of the declared deviation: the corrected moment is near zero, Adam's own is near its variance."""
    torch.manual_seed(0)
    parameter = nn.Parameter(torch.zeros(20_000))
    optimiser = NoiseCorrectedAdam([parameter], lr=0.0, noise=3.0)
    for _ in range(50):
        parameter.grad = 3.0 * torch.randn(20_000)
        optimiser.step()
    second = optimiser.state[parameter]["second"] / (1 - 0.999**50)
    assert float(second.mean()) == pytest.approx(9.0, rel=0.02)
    assert abs(float((second - 9.0).mean())) < 0.1


def test_the_average_by_hand():
    parameter = nn.Parameter(torch.tensor([0.0]))
    average = IterateAverage([parameter], decay=0.5)
    for value in (1.0, 2.0, 4.0):
        parameter.data.fill_(value)
        average.update()
    average.apply()
    assert float(parameter.detach()) == pytest.approx((0.125 * 1 + 0.25 * 2 + 0.5 * 4) / 0.875)


@pytest.mark.parametrize("name", ["linear", "cosine", "constant"])
def test_schedules_are_fixed_in_advance(name):
    rates = [schedule(name, step, 100) for step in range(100)]
    assert rates[0] < rates[4] == 1.0
    assert all(0 < rate <= 1 for rate in rates)
    if name == "constant":
        assert set(rates[5:]) == {1.0}
    else:
        assert all(a >= b for a, b in itertools.pairwise(rates[5:]))
        assert rates[-1] < 0.02
