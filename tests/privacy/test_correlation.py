"""The strategy matrix against brute force, and correlated noise against the matrix."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from scipy import stats

from dpsynth_assets.privacy.correlation import inverse_coefficients, noise_growth, strategy_coefficients
from dpsynth_assets.privacy.noise import BandedNoise, GaussianNoise
from dpsynth_assets.privacy.randomness import SecretStream

CHANCE = 1e-6


def matrix(bands: int, steps: int) -> np.ndarray:
    whole = np.zeros((steps, steps))
    for lag, coefficient in enumerate(strategy_coefficients(bands)[:steps]):
        whole += coefficient * np.eye(steps, k=-lag)
    return whole


class Replayed:
    """The same secret words for every noise that takes them."""

    def __init__(self, words):
        self._words, self._at = words, 0

    def words(self, count):
        self._at += count
        return self._words[self._at - count : self._at].copy()


def released(noise_of_steps: list[torch.Tensor], bands: int) -> torch.Tensor:
    """y = C x, shape (steps, coordinates)."""
    stacked = torch.stack(noise_of_steps).double()
    return torch.from_numpy(matrix(bands, len(stacked))) @ stacked


def run(noise, sums: torch.Tensor) -> list[torch.Tensor]:
    out = []
    for total in sums:
        step = total.clone()
        noise.add_([step])
        out.append(step)
    return out


# --- the strategy


@pytest.mark.parametrize("bands", [1, 2, 3, 4, 8, 64])
def test_no_column_is_longer_than_one_exactly(bands):
    coefficients = strategy_coefficients(bands)
    length = sum(Fraction(c) ** 2 for c in coefficients)  # no rounding
    assert 1 - Fraction(1, 10**9) < length <= 1
    assert all(a > b > 0 for a, b in itertools.pairwise(coefficients))


def test_with_all_bands_the_strategy_is_the_square_root_of_prefix_sums():
    root = matrix(12, 12)
    square = root @ root
    np.testing.assert_allclose(square, square[0, 0] * np.tril(np.ones((12, 12))), rtol=1e-9)


@pytest.mark.parametrize(("bands", "steps"), [(1, 5), (2, 6), (2, 7), (3, 7), (4, 6), (4, 9)])
def test_every_pattern_of_participation_costs_one_sensitivity_a_time(bands, steps):
    """All groups, all subsets of the group's steps, clipped vectors of any direction: the stream moves by pieces that
    share no row, each by at most the sensitivity."""
    rng = np.random.default_rng()
    strategy = matrix(bands, steps)
    for group in range(bands):
        own = range(group, steps, bands)
        assert len(own) <= math.ceil(steps / bands)
        for taken in itertools.product([0, 1], repeat=len(own)):
            sums = np.zeros((steps, 3))
            rows: set[int] = set()
            for step in itertools.compress(own, taken):
                vector = rng.normal(size=3)
                vector /= np.linalg.norm(vector)
                piece = np.zeros((steps, 3))
                piece[step] = vector
                moved = strategy @ piece
                assert np.linalg.norm(moved) <= 1 + 1e-12  # the vector's own length is one but for a rounding
                touched = set(np.flatnonzero(np.abs(moved).sum(1)))
                assert touched <= set(range(step, step + bands))
                assert not touched & rows
                rows |= touched
                sums[step] = vector
            assert np.linalg.norm(strategy @ sums) ** 2 <= sum(taken) + 1e-9


def test_participations_that_are_closer_than_the_bands_would_cost_more():
    """What the groups are there for."""
    sums = np.zeros((6, 1))
    sums[[0, 1]] = 1
    assert np.linalg.norm(matrix(2, 6) @ sums) ** 2 > 2.5


@pytest.mark.parametrize("bands", [1, 2, 5, 8])
def test_the_inverse_and_its_growth_are_those_of_the_matrix(bands):
    inverse = np.linalg.inv(matrix(bands, 200))
    np.testing.assert_allclose(inverse_coefficients(strategy_coefficients(bands), 200), inverse[:, 0], atol=1e-12)
    assert noise_growth(bands) == pytest.approx(np.linalg.norm(inverse[-1]), rel=1e-6)


def test_more_bands_leave_less_noise_in_prefix_sums():
    prefix = np.tril(np.ones((80, 80)))
    errors = [np.linalg.norm(prefix @ np.linalg.inv(matrix(bands, 80))) for bands in (1, 2, 4, 8)]
    assert all(a > 1.15 * b for a, b in itertools.pairwise(errors))


# --- the noise


@pytest.mark.parametrize("bands", [2, 3, 4])
def test_noise_has_the_covariance_of_the_inverse(bands):
    steps, width, deviation = 6, 40_000, 1.7
    rows = torch.stack(run(BandedNoise(deviation, strategy_coefficients(bands)), torch.zeros(steps, width)))
    inverse = np.linalg.inv(matrix(bands, steps))
    wanted = deviation**2 * inverse @ inverse.T
    found = (rows.double() @ rows.double().T / width).numpy()
    # Of a product of two normal numbers with that covariance, the standard error over `width` draws.
    error = np.sqrt((np.outer(np.diag(wanted), np.diag(wanted)) + wanted**2) / width)
    assert np.abs((found - wanted) / error).max() < stats.norm.isf(CHANCE)


@pytest.mark.parametrize("bands", [2, 4])
def test_what_is_released_is_on_the_grid_and_is_the_strategy_of_the_sums_with_independent_noise(bands):
    sums = torch.randn(7, 20_000) * 3
    stream = released(run(BandedNoise(1.0, strategy_coefficients(bands)), sums), bands)
    multiples = stream / GaussianNoise(1.0).spacing
    assert float((multiples - multiples.round()).abs().max()) < 0.05  # x is kept in float32
    noise = (stream - torch.from_numpy(matrix(bands, 7)) @ sums.double()).numpy()
    assert stats.kstest(noise.flatten(), "norm").pvalue > CHANCE
    for first, second in itertools.combinations(noise, 2):
        assert stats.pearsonr(first, second).pvalue > CHANCE / 21


def test_a_unit_s_part_in_one_step_moves_the_rows_of_its_piece_and_no_others():
    bands, steps, width = 3, 9, 600
    sums, part = torch.randn(steps, width), torch.randn(width) / 20
    moved = sums.clone()
    moved[4] += part
    words = SecretStream().words(steps * width)
    streams = []
    for data in (sums, moved):
        noise = BandedNoise(1.0, strategy_coefficients(bands))
        noise._gaussian._stream = Replayed(words)
        streams.append(released(run(noise, data), bands))
    difference = streams[1] - streams[0]
    wanted = torch.zeros(steps, width, dtype=torch.float64)
    for lag, coefficient in enumerate(strategy_coefficients(bands)):
        wanted[4 + lag] = coefficient * part
    assert float((difference - wanted).abs().max()) < 1.5 * noise._gaussian.spacing
    assert float(difference[[0, 1, 2, 3, 7, 8]].abs().max()) < 1e-5  # float32, where the rows are read back


def test_sums_of_several_parameters_keep_to_themselves():
    noise = BandedNoise(1e-6, strategy_coefficients(3))
    for step in range(5):
        sums = [torch.full((4, 2), 10.0 + step), torch.full((7,), -3.0 * step), torch.full((), 5.0)]
        wanted = [total.clone() for total in sums]
        noise.add_(sums)
        assert any(not torch.equal(found, clean) for found, clean in zip(sums, wanted, strict=True))
        for found, clean in zip(sums, wanted, strict=True):
            torch.testing.assert_close(found, clean, rtol=1e-5, atol=1e-4)


def test_without_noise_the_sums_are_left_alone():
    sums = [torch.randn(5)]
    before = sums[0].clone()
    BandedNoise(0.0, strategy_coefficients(2)).add_(sums)
    assert torch.equal(sums[0], before)
