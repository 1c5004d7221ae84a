"""A convolutional network over words, trained from scratch (Kim 2014, section 2; the word-CNN of Kurakin et al. 2023).

Word embeddings, convolutions of widths 3, 4 and 5 side by side, the maximum of each filter over the text, dropout, a
linear layer. Two things differ from the usual:

- A word is hashed into one of a fixed number of buckets. A vocabulary read off the texts would be an output of them;
  the hash is public, so that the same network can be trained on sensitive texts (`dp_baseline`).
- A convolution is written as a linear layer over windows, which is the same function, and one for which the clipping
  engine has an exact rule.

Windows that reach beyond a text count for nothing, so a text's scores do not depend on those it is batched with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from dpsynth_assets.classify.encoder import padded
from dpsynth_assets.classify.words import buckets_of

_FIRST_WORDS = 0.1  # standard deviation of a word's vector before training


@dataclass(frozen=True)
class CnnShape:
    """The sizes of a word-CNN. Public constants.

    Attributes:
        buckets: how many numbers words are hashed to.
        dimension: of a word's vector.
        filters: per width.
        widths: of the convolutions, in words.
        max_words: a text is cut to so many.
    """

    buckets: int = 2**15
    dimension: int = 100
    filters: int = 100
    widths: tuple[int, ...] = (3, 4, 5)
    max_words: int = 256

    def __post_init__(self) -> None:
        if min(self.buckets, self.dimension, self.filters, *self.widths) < 1 or not self.widths:
            raise ValueError("every size of a word-CNN must be at least 1")
        if self.max_words < max(self.widths):
            raise ValueError(f"max_words must be at least the widest convolution, {max(self.widths)}")


class WordCnn(nn.Module):
    """The network (`dpsynth_assets.classify.neural.TextNetwork`)."""

    def __init__(self, shape: CnnShape, classes: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.shape = shape
        self.embedding = nn.Embedding(shape.buckets + 1, shape.dimension, padding_idx=0)
        with torch.no_grad():
            # Small, so that what is learned of a word soon outweighs what it began with: under DP-SGD in few steps.
            self.embedding.weight.mul_(_FIRST_WORDS)
        self.convolutions = nn.ModuleList(nn.Linear(shape.dimension * width, shape.filters) for width in shape.widths)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(len(shape.widths) * shape.filters, classes)

    def prepare(self, texts: Sequence[str]) -> list[list[int]]:
        """Each text as the buckets of its words, at most `max_words` of them."""
        return hashed(texts, self.shape)

    def logits(self, prepared: Sequence[Sequence[int]]) -> Tensor:
        """Scores, shape (texts, classes), of what `prepare` made."""
        scores: Tensor = self(padded(prepared, least=max(self.shape.widths))[0])
        return scores

    def forward(self, words: Tensor) -> Tensor:
        """Scores, shape (texts, classes), of words in shape (texts, words), each text filled up with zeros; no fewer
        words than the widest convolution has."""
        vectors = self.embedding(words)  # (texts, words, dimension)
        pooled = []
        for width, convolution in zip(self.shape.widths, self.convolutions, strict=True):
            count = words.shape[1] - width + 1
            # As `unfold` does, whose backward pass takes longer. (texts, windows, dimension * width)
            windows = torch.stack([vectors[:, place : place + count] for place in range(width)], 3).flatten(2)
            inside = words[:, width - 1 :] != 0
            inside[:, 0] = True  # of a shorter text: filled up
            pooled.append((torch.relu(convolution(windows)) * inside.unsqueeze(-1)).max(1).values)
        output: Tensor = self.output(self.dropout(torch.cat(pooled, 1)))
        return output

    def about(self) -> Mapping[str, Any]:
        return asdict(self.shape)


def hashed(texts: Sequence[str], shape: CnnShape) -> list[list[int]]:
    """Each text as the buckets of its words, numbered from 1 (0 fills up), at most `max_words` of them."""
    return buckets_of(texts, shape.buckets, shape.max_words)


def shape_of(about: Mapping[str, Any]) -> CnnShape:
    """The shape that `WordCnn.about` said."""
    return CnnShape(**{**about, "widths": tuple(about["widths"])})
