"""The word-CNN: a convolution by another name, hashed words, and scores that depend on one text only."""

import subprocess
import sys

import pytest
import torch

from dpsynth_assets.classify.word_cnn import CnnShape, WordCnn, hashed, shape_of

SHAPE = CnnShape(buckets=50, dimension=6, filters=4, widths=(2, 3), max_words=12)
TEXTS = ["my card is lost", "a", "", "where is the loan I asked for, and when will it come to my account at last", "?!"]


@pytest.fixture
def network():
    torch.manual_seed(0)
    return WordCnn(SHAPE, classes=3).eval()


def test_it_is_a_convolution(network):
    """torch's own convolution with the same weights, on texts at least as long as the widest filter."""
    words = [[3, 9, 27, 31, 2, 50, 8], [1, 2, 3, 4, 5, 6, 7]]
    vectors = network.embedding(torch.tensor(words)).transpose(1, 2)
    pooled = []
    for width, layer in zip(SHAPE.widths, network.convolutions, strict=True):
        kernel = layer.weight.view(SHAPE.filters, SHAPE.dimension, width)
        pooled.append(torch.relu(torch.nn.functional.conv1d(vectors, kernel, layer.bias)).amax(2))
    torch.testing.assert_close(network.logits(words), network.output(torch.cat(pooled, 1)))


def test_a_text_is_scored_alike_alone_and_among_others(network):
    with torch.no_grad():
        for layer in network.convolutions:
            layer.bias.fill_(1.0)  # a window of nothing but padding would win the maximum
    prepared = network.prepare(TEXTS)
    together = network.logits(prepared)
    for row, words in enumerate(prepared):
        torch.testing.assert_close(network.logits([words])[0], together[row])


def test_words_are_hashed_and_texts_are_cut(network):
    first, again, other = hashed(["Card, card", "CARD", "loan"], SHAPE)
    assert first[0] == first[2] == again[0] != other[0]
    assert all(1 <= word <= 50 for word in [*first, *other])
    assert len(hashed(["word " * 100], SHAPE)[0]) == 12
    assert hashed(["", "a lone \ud83d surrogate"], SHAPE)[0] == []


@pytest.mark.slow
def test_the_hash_is_the_same_in_every_process():
    code = (
        "from dpsynth_assets.classify.word_cnn import CnnShape, hashed; "
        "print(hashed(['card loan'], CnnShape(buckets=1000)))"
    )
    said = {subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout for _ in range(2)}
    assert said == {f"{hashed(['card loan'], CnnShape(buckets=1000))}\n"}


def test_its_shape_can_be_told_and_is_checked(network):
    assert shape_of(network.about()) == SHAPE
    with pytest.raises(ValueError, match="at least 1"):
        CnnShape(filters=0)
    with pytest.raises(ValueError, match="max_words"):
        CnnShape(max_words=4)
