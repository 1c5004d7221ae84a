"""Vectors that a pool encodes are the encoder's, each at its text's place."""

from __future__ import annotations

import numpy as np
import pytest

from dpsynth_assets.classify import pooled
from dpsynth_assets.classify.encoder import DIMENSION, MiniLM
from dpsynth_assets.classify.pooled import PooledEncoder
from tests.pools import WrittenDown

TEXTS = [f"text {number}: {'my card was lost ' * (number % 7)}" for number in range(23)]


def test_vectors_are_those_of_one_process_to_the_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pooled, "_SHARD", 5)
    told: list[tuple[int, int]] = []
    vectors = PooledEncoder(WrittenDown()).encode(TEXTS, lambda done, of: told.append((done, of)))
    np.testing.assert_array_equal(vectors, MiniLM().encode(TEXTS))
    assert len(np.unique(vectors, axis=0)) == len(TEXTS)
    assert told == [(3, 23), (8, 23), (13, 23), (18, 23), (23, 23)]  # the last shard, of three texts, ended first


def test_a_length_is_the_workers_too() -> None:
    encoder = PooledEncoder(WrittenDown())
    short = encoder.cut_to(8)
    np.testing.assert_array_equal(short.encode(TEXTS), MiniLM(max_tokens=8).encode(TEXTS))
    assert not np.array_equal(short.encode(TEXTS), encoder.encode(TEXTS))
    assert short.cut_to(8) is short
    assert encoder.encode([]).shape == (0, DIMENSION)
