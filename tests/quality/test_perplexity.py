"""Perplexity under a language model: chance, memory, and the same figure however texts are batched."""

from __future__ import annotations

import math

import pytest

from dpsynth_assets.quality.metrics import perplexity as room
from dpsynth_assets.quality.metrics.perplexity import perplexity
from dpsynth_assets.quality.metrics.words import MetricError


@pytest.fixture(scope="module")
def tokenizer():
    """One token a letter; `e` ends a text and begins it."""

    class Letters:
        eos_token_id, bos_token_id = 4, None

        def __call__(self, texts, add_special_tokens, truncation, max_length):
            return {"input_ids": [["abcd".index(letter) for letter in text][:max_length] for text in texts]}

    return Letters()


@pytest.fixture
def model():
    """A model whose next token depends on the last one only: `table[last]` holds the logits."""
    import torch

    class Bigrams(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.table = torch.nn.Parameter(torch.zeros(5, 5))

        def forward(self, input_ids, attention_mask, use_cache):
            from types import SimpleNamespace

            self.shapes.append(tuple(input_ids.shape))
            return SimpleNamespace(logits=self.table[input_ids])

    made = Bigrams()
    made.shapes = []
    return made


def test_a_model_that_knows_nothing_has_the_perplexity_of_its_vocabulary(model, tokenizer):
    assert perplexity(model, tokenizer, ["abcd", "a", ""], 10) == pytest.approx(5)


def test_perplexity_by_hand(model, tokenizer):
    """`a` after the start and the end after `a` are certain to one in two; everything else is even."""
    import torch

    with torch.no_grad():
        model.table[4] = torch.tensor([0.0, 0, -99, -99, -99])  # a or b begins
        model.table[0] = torch.tensor([0.0, -99, -99, -99, 0])  # after a: a or the end
    assert perplexity(model, tokenizer, ["aa"], 10) == pytest.approx(2)
    # a, end: two tokens at 1/2. b, c, end: 1/2 and twice 1/5.
    expected = math.exp((3 * math.log(2) + 2 * math.log(5)) / 5)
    assert perplexity(model, tokenizer, ["a", "bc"], 10) == pytest.approx(expected)


def test_a_cut_text_has_no_end(model, tokenizer):
    import torch

    with torch.no_grad():
        model.table[0] = torch.tensor([0.0, -99, -99, -99, -9])  # after a nearly always another a
        model.table[4] = torch.tensor([0.0, -99, -99, -99, -99])
    assert perplexity(model, tokenizer, ["aaaa"], 3) == pytest.approx(1, abs=1e-3)
    assert perplexity(model, tokenizer, ["aaaa"], 4) == pytest.approx(1, abs=1e-3)
    assert perplexity(model, tokenizer, ["aaaa"], 5) > 5


def test_batches_do_not_matter(model, tokenizer, monkeypatch):
    import torch

    with torch.no_grad():
        model.table.copy_(torch.randn(5, 5, generator=torch.Generator().manual_seed(0)))
    texts = ["abcd" * length for length in range(9)]
    whole = perplexity(model, tokenizer, texts, 64)
    assert model.shapes == [(9, 34)]
    monkeypatch.setattr(room, "_TOKENS", 40)
    assert perplexity(model, tokenizer, texts, 64) == pytest.approx(whole, rel=1e-6)
    assert len(model.shapes) > 4
    assert all(rows * width <= 40 or rows == 1 for rows, width in model.shapes[1:])


def test_no_text_has_no_perplexity(model, tokenizer):
    with pytest.raises(MetricError, match="no text"):
        perplexity(model, tokenizer, [], 10)
