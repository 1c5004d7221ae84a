"""Vectors that depend on their own text alone, and what becomes of an encoder whose vectors do not."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dpsynth_assets.classify import dp_training
from dpsynth_assets.classify import encoder as encoders
from dpsynth_assets.classify.apart import ROWS, apart, groups
from dpsynth_assets.classify.encoder import MiniLM, padded, sentence_vectors
from dpsynth_assets.synthesis import votes

pytestmark = pytest.mark.slow


class Padded(MiniLM):
    """Texts of a batch share a rectangle as wide as the longest: products and attention are of another shape for all
    when somebody writes more."""

    def encode(self, texts, progress=None):
        if not texts:
            return super().encode(texts)
        with torch.inference_mode():
            return sentence_vectors(self.model, *padded(self.tokenize(texts))).numpy()


class Nudging(MiniLM):
    """The last bit of the first number says how many others there are."""

    def encode(self, texts, progress=None):
        vectors = super().encode(texts)
        if len(texts) % 2:
            vectors[:, 0] = np.nextafter(vectors[:, 0], np.float32(1))
        return vectors


class Placed(MiniLM):
    """The vector of whoever stands tenth is another one, in its last bit."""

    def encode(self, texts, progress=None):
        vectors = super().encode(texts)
        vectors[9:10, 5] = np.nextafter(vectors[9:10, 5], np.float32(1))
        return vectors


@pytest.fixture(scope="module")
def encoder():
    return MiniLM(max_tokens=48)


def test_the_packaged_encoder_is_used_as_it_is(encoder):
    assert apart(encoder) is encoder


@pytest.mark.parametrize("kind", [Padded, Nudging, Placed])
def test_an_encoder_to_which_company_matters_is_asked_for_one_text_at_a_time(encoder, kind):
    texts = ["a loan", "my card was stolen by somebody on the train to town", "a loan", *["no"] * 9]
    coupled = kind(max_tokens=48)
    alone = apart(coupled)
    assert alone is not coupled
    np.testing.assert_array_equal(alone.encode(texts), np.concatenate([coupled.encode([text]) for text in texts]))
    assert alone.encode([]).shape == (0, 384)
    assert alone.cut_to(48) is alone
    assert alone.cut_to(4).encode(texts).shape == (12, 384)
    heard = []
    alone.encode(texts[:2], lambda done, of: heard.append((done, of)))
    assert heard == [(1, 2), (2, 2)]


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_it_holds_for_every_number_of_threads(encoder, threads):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        assert apart(encoder) is encoder
    finally:
        torch.set_num_threads(before)


def test_vectors_are_those_of_a_padded_batch_but_for_rounding(encoder):
    texts = ["", "a", "card " * 100, *(f"{'word ' * length}end" for length in range(40))]
    np.testing.assert_allclose(encoder.encode(texts), Padded(max_tokens=48).encode(texts), atol=1e-6)


def test_what_is_computed_token_by_token_is_computed_in_one_public_shape(encoder):
    """However many there are: on some machines a product of fewer rows rounds in another way."""
    heights = set()
    parts = [part for part in encoder.model.modules() if isinstance(part, torch.nn.Linear | torch.nn.LayerNorm)]
    hooks = [part.register_forward_hook(lambda _, given, __: heights.add(given[0].shape[-2])) for part in parts]
    for texts in (["a"], ["card loan"] * 7, ["", *(f"{'word ' * length}end" for length in range(40))]):
        encoder.encode(texts)
    for hook in hooks:
        hook.remove()
    assert heights == {ROWS}


def test_groups_are_the_texts_in_order_and_none_is_larger_than_memory_allows():
    tokens = [[place] * (1 + place * 7 % 500) for place in range(100)]
    found = list(groups(tokens))
    assert [text for group in found for text in group] == tokens
    assert len(found) > 1
    assert all(sum(map(len, group)) <= 16 * ROWS for group in found)
    assert list(groups([])) == []


def test_sensitive_texts_are_encoded_by_an_encoder_that_was_looked_at(monkeypatch, contract):
    """In both releases that encode them."""
    seen = []
    monkeypatch.setattr(encoders, "MiniLM", Padded)
    for release in (votes, dp_training):
        monkeypatch.setattr(release, "apart", lambda found: seen.append(type(found)) or found)
    votes.encoder_for(contract)
    plan = type("Plan", (), {"classifier": "minilm", "max_tokens": 12})()
    dp_training._method(plan)
    assert seen == [Padded, Padded]
