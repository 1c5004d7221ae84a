"""Vectors whose bits depend on their own text alone: not on what else is encoded, on how much of it, or on the order.

A mechanism's sensitivity says what one unit can move. If the rounding of a text's vector had to do with its neighbours,
one more unit would move all others' too. In padded batches it has: a product adds up in an order that it chooses by the
shape of the batch, and an attention mask that no row needs is left out for all.

So texts stand one after the other, and nothing is padded. What a transformer does with each token (embeddings, linear
layers, normalisation) is done for `ROWS` tokens at a time, whoever's they are, the last ones filled up with made-up
tokens: one public shape, at which a token's result does not depend on its place. What it does with a text's tokens
together (attention, the mean) is done for each text by itself.

That a row of a product does not depend on its place is what the libraries do on the processors that were tried, and is
not promised. `apart` therefore looks, on made-up texts, and asks for one text at a time where it is not so. The bits
are those of one machine and one number of threads: a guarantee compares two data sets under the same deployment.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

from dpsynth_assets.progress import Progress

if TYPE_CHECKING:
    from dpsynth_assets.classify.encoder import Encoder

ROWS = 256  # tokens: as fast as more, and little is made up
_GROUP = 16 * ROWS  # tokens of the texts that are in memory at once
_WORDS = ("card", "loan", "river", "seven", "under", "bright", "paper", "music", "doctor", "window", "garden", "letter")


def groups(tokens: Sequence[Sequence[int]]) -> Iterator[Sequence[Sequence[int]]]:
    """The texts in order, cut where `_GROUP` tokens are full. Memory only: no vector depends on it."""
    start = size = 0
    for place, text in enumerate(tokens):
        if size + len(text) > _GROUP and place > start:
            yield tokens[start:place]
            start, size = place, 0
        size += len(text)
    if start < len(tokens):
        yield tokens[start:]


def sentence_vectors_apart(model: Any, tokens: Sequence[Sequence[int]]) -> Tensor:
    """What `dpsynth_assets.classify.encoder.sentence_vectors` computes, but for rounding; shape (texts, width).

    Args:
        model: a transformers BertModel in evaluation mode.
        tokens: of each text, at least one.
    """
    lengths = [len(text) for text in tokens]
    made_up = -sum(lengths) % ROWS
    ids = torch.tensor([token for text in tokens for token in text] + [0] * made_up)
    places = torch.tensor([place for length in lengths for place in range(length)] + [0] * made_up)
    x = _by_rows(lambda ids, places: model.embeddings(input_ids=ids[None], position_ids=places[None])[0], ids, places)
    heads = model.config.num_attention_heads
    for layer in model.encoder.layer:
        own = layer.attention.self
        query, key, value = (_by_rows(part, x) for part in (own.query, own.key, own.value))
        mixed = [
            F.scaled_dot_product_attention(*(part.view(1, len(part), heads, -1).transpose(1, 2) for part in text))
            .transpose(1, 2)
            .reshape(-1, x.shape[1])
            for text in zip(*(part.split([*lengths, made_up])[:-1] for part in (query, key, value)), strict=True)
        ]
        attended = torch.cat([*mixed, torch.zeros_like(x[len(x) - made_up :])])

        def rest(attended: Tensor, x: Tensor, layer: Any = layer) -> Tensor:
            x = layer.attention.output(attended, x)
            result: Tensor = layer.output(layer.intermediate(x), x)
            return result

        x = _by_rows(rest, attended, x)
    return torch.stack([F.normalize(text.mean(0), dim=0) for text in x.split([*lengths, made_up])[:-1]])


def apart(encoder: Encoder) -> Encoder:
    """The encoder, if its vectors of made-up texts have the same bits in all company; else one text at a time.

    For *sensitive* texts, and before one of them is read. An encoder that remembers texts does not belong here.
    """
    return encoder if _company_is_no_matter(encoder) else _OneAtATime(encoder)


def _company_is_no_matter(encoder: Encoder) -> bool:
    """Whether made-up texts keep their vectors when others come before, between and after them, and go."""
    # One word is three tokens, so that these fill every place of two sheets of ROWS tokens; moved by no, one and two
    # words, by whole texts and by long ones, each word stands at places of every kind.
    short = [_WORDS[i % 12] + (f" {_WORDS[i // 12 % 12]}" if i % 5 == 0 else "") for i in range(ROWS // 2)]
    long = [" ".join(_WORDS[(i + place) % 12] for place in range(length)) for i, length in enumerate((3, 14, 47, 260))]
    whole = dict(zip(texts := [*short, "", *long], encoder.encode(texts), strict=True))
    companies = (
        texts[::-1],
        ["", *short[1::2], long[1], *short[::2]],
        [long[3], short[7], long[3], *short[60:90]],
        [long[0], *short[40:], long[2], ""],
        *([text] for text in (short[1], long[2])),
    )
    return all(
        np.array_equal(vector, whole[text])
        for company in companies
        for text, vector in zip(company, encoder.encode(company), strict=True)
    )


class _OneAtATime:
    """An encoder that sees one text at a time, where company is a matter to it."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder

    def encode(self, texts: Sequence[str], progress: Progress | None = None) -> np.ndarray:
        vectors = []
        for done, text in enumerate(texts, start=1):
            vectors.append(self._encoder.encode([text]))
            if progress is not None:
                progress(done, len(texts))
        return np.concatenate(vectors) if vectors else self._encoder.encode([])

    def cut_to(self, max_tokens: int) -> Encoder:
        """As `Encoder.cut_to`; of another length it is looked at anew."""
        other = self._encoder.cut_to(max_tokens)
        return self if other is self._encoder else apart(other)


def _by_rows(function: Any, *rows: Tensor) -> Tensor:
    """`function` of ROWS rows at a time; it sees no other shape."""
    return torch.cat([function(*part) for part in zip(*(tensor.split(ROWS) for tensor in rows), strict=True)])
