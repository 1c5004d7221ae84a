"""The noise against its declared distribution."""

from __future__ import annotations

import torch
from scipy import stats

from dpsynth_assets.privacy.noise import GaussianNoise

CHANCE = 1e-6


def draw(standard_deviation: float, *shape: int) -> torch.Tensor:
    total = torch.zeros(shape)
    GaussianNoise(standard_deviation).add_([total])
    return total


def test_noise_is_gaussian_with_the_declared_deviation():
    assert stats.kstest(draw(2.5, 300, 100).flatten().numpy() / 2.5, "norm").pvalue > CHANCE


def test_coordinates_parameters_and_steps_get_fresh_noise():
    noise = GaussianNoise(1.0)
    step = []
    for _ in range(2):
        sums = [torch.zeros(20_000), torch.zeros(20_000)]
        noise.add_(sums)
        step.append(sums)
    for a, b in [(step[0][0], step[0][1]), (step[0][0], step[1][0]), (step[0][0][:-1], step[0][0][1:])]:
        assert stats.pearsonr(a.numpy(), b.numpy()).pvalue > CHANCE


def test_no_two_runs_share_their_noise():
    assert not torch.equal(draw(1.0, 100), draw(1.0, 100))


def test_a_seed_set_by_anybody_does_not_reach_the_noise():
    torch.manual_seed(0)
    first = draw(1.0, 100)
    torch.manual_seed(0)
    assert not torch.equal(first, draw(1.0, 100))


def test_noise_is_added_to_the_sum_not_put_in_its_place():
    total = torch.full((50_000,), 7.0)
    GaussianNoise(1.0).add_([total])
    assert stats.ttest_1samp(total.numpy(), 7.0).pvalue > CHANCE


def test_zero_deviation_leaves_the_sum_alone():
    assert torch.equal(draw(0.0, 5), torch.zeros(5))
