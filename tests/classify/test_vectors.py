"""Vectors that are kept: the encoder's own, computed once, by whatever process."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import numpy as np
import pytest

from dpsynth_assets.classify import vectors
from dpsynth_assets.classify.encoder import MiniLM, Remembered
from dpsynth_assets.classify.vectors import FILE, KeptVectors, kept_in, public_encoder

pytestmark = pytest.mark.slow

TEXTS = ["a card", "a loan that is to be paid back over many years", "", "a card", "\ud800 unreadable"]


class Counting(MiniLM):
    def __init__(self, max_tokens: int = 256) -> None:
        super().__init__(max_tokens=max_tokens)
        self.encoded: list[str] = []

    def encode(self, texts, progress=None):
        self.encoded += texts
        return super().encode(texts, progress)


def count(folder):
    with closing(sqlite3.connect(folder / FILE)) as held:
        return held.execute("SELECT count(*) FROM vectors").fetchone()[0]


def test_they_are_the_encoder_s_and_a_text_is_encoded_once(tmp_path):
    first, plain = Counting(), MiniLM()
    found = KeptVectors(first, tmp_path).encode(TEXTS)
    np.testing.assert_allclose(found, plain.encode(TEXTS), atol=1e-6)
    assert (found.dtype, found.flags.writeable) == (np.float32, True)
    assert len(first.encoded) == count(tmp_path) == 4
    second = Counting()
    again = KeptVectors(second, tmp_path).encode([*TEXTS[::-1], "another"])
    np.testing.assert_array_equal(again[:-1], found[::-1])
    assert second.encoded == ["another"]
    assert KeptVectors(second, tmp_path).encode([]).shape == (0, 384)


def test_a_text_that_is_cut_is_another_text(tmp_path):
    long, short = Counting(256), Counting(6)
    KeptVectors(long, tmp_path).encode(TEXTS)
    found = KeptVectors(short, tmp_path).encode(TEXTS)
    np.testing.assert_allclose(found, MiniLM(max_tokens=6).encode(TEXTS), atol=1e-6)
    assert TEXTS[1] in short.encoded
    assert not {"", "a card"} & set(short.encoded), "which have at most six tokens"


def test_an_encoder_that_is_cut_is_one_of_that_length(tmp_path):
    whole, cut = MiniLM(), MiniLM(max_tokens=6)
    for encoder in (whole, Remembered(whole), KeptVectors(whole, tmp_path), Remembered(KeptVectors(whole, tmp_path))):
        np.testing.assert_allclose(encoder.cut_to(6).encode(TEXTS), cut.encode(TEXTS), atol=1e-6)
        np.testing.assert_allclose(encoder.encode(TEXTS), whole.encode(TEXTS), atol=1e-6)
        assert encoder.cut_to(256) is encoder
    remembered = Remembered(whole)
    assert remembered.cut_to(6) is remembered.cut_to(6), "or it would forget"


def test_a_kill_loses_the_shard_that_was_being_encoded(tmp_path, monkeypatch):
    monkeypatch.setattr(vectors, "_SHARD", 2)
    texts = [f"text {number}" for number in range(6)]

    def stop(done, of):
        assert of == 6
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        KeptVectors(Counting(), tmp_path).encode(texts, progress=stop)
    after = Counting()
    KeptVectors(after, tmp_path).encode(texts)
    assert after.encoded == texts[4:]


def test_what_another_process_has_encoded_meanwhile_is_taken(tmp_path, monkeypatch):
    monkeypatch.setattr(vectors, "_SHARD", 2)
    texts = [f"text {number}" for number in range(4)]
    mine, other = Counting(), KeptVectors(Counting(), tmp_path)
    KeptVectors(mine, tmp_path).encode(texts, progress=lambda done, of: done == 2 and other.encode(texts))
    assert mine.encoded == texts[:2]


def test_nothing_is_kept_unless_a_folder_is_named(tmp_path):
    assert isinstance(public_encoder(), MiniLM)
    with kept_in(tmp_path / "new"):
        kept = public_encoder(64)
    assert isinstance(kept, KeptVectors)
    assert isinstance(public_encoder(), MiniLM), "no longer"
    kept.encode(["a card"])
    assert count(tmp_path / "new") == 1
