"""The secret stream: uniform, never the same twice, out of reach of any seed."""

from __future__ import annotations

import random

import numpy as np
from scipy import stats

from dpsynth_assets.privacy.randomness import SecretStream

CHANCE = 1e-6


def test_numbers_are_uniform_and_independent():
    sample = SecretStream().uniform(200_000)
    assert ((sample >= 0) & (sample < 1)).all()
    assert stats.kstest(sample, "uniform").pvalue > CHANCE
    assert stats.pearsonr(sample[:-1], sample[1:]).pvalue > CHANCE


def test_every_bit_of_a_word_is_fair():
    words = SecretStream().words(20_000)
    ones = [int((words >> np.uint64(bit) & np.uint64(1)).sum()) for bit in range(64)]
    assert all(stats.binomtest(count, len(words), 0.5).pvalue > CHANCE / 64 for count in ones)


def test_a_stream_goes_on_and_no_two_are_alike():
    np.random.seed(0)
    random.seed(0)
    stream, other = SecretStream(), SecretStream()
    draws = [stream.words(64).tobytes(), stream.words(64).tobytes(), other.words(64).tobytes()]
    assert len(set(draws)) == 3


def test_a_draw_of_nothing_is_empty():
    assert len(SecretStream().uniform(0)) == 0
