"""Interpolated modified Kneser-Ney n-grams over token ids: the language model that a neural one has to beat.

Chen and Goodman 1999, "An empirical study of smoothing techniques for language modeling", section 3 (the model) and
appendix (the discounts); n-grams that begin a document keep their counts, as in KenLM (Heafield et al. 2013). Written
here since no package that pip installs can estimate one: `kenlm` needs Boost and builds for reading only.

An n-gram is known by its place among the sorted n-grams of its order, and has the key
`place of its first n - 1 tokens * vocabulary + last token`. So every step is a sort or a search of whole arrays, and
memory is about 40 bytes a token while one order is counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Level:
    """The n-grams of one order, sorted.

    Attributes:
        keys: of each n-gram, shape (n-grams,), ascending.
        raw: how often each occurs.
        adjusted: before how many different tokens it stands in; how often, where it begins a document.
    """

    keys: Ints
    raw: Ints
    adjusted: Ints


def depths(tokens: npt.NDArray[Any], bos: int) -> Ints:
    """For each token, how many tokens of its document stand before it, the document's `bos` among them."""
    places = np.arange(len(tokens))
    return places - np.maximum.accumulate(np.where(tokens == bos, places, 0))


def count(tokens: npt.NDArray[Any], bos: int, vocabulary: int, order: int) -> Iterator[Level]:
    """The n-grams of documents laid end to end, each begun by `bos`, from single tokens to `order`.

    Raises:
        ValueError: the first token is not `bos`.
    """
    if not len(tokens) or tokens[0] != bos:
        raise ValueError("the tokens do not begin with a document")
    depth = depths(tokens, bos)
    ids = tokens.astype(np.int32)  # of the n-gram that ends at each place; for single tokens, the token
    keys = np.arange(vocabulary)
    raw = np.bincount(tokens, minlength=vocabulary)
    first = keys == bos
    for n in range(2, order + 1):
        ends = np.flatnonzero(depth >= n - 1)
        wanted = ids[ends - 1].astype(np.int64) * vocabulary + tokens[ends]
        by_key = np.argsort(wanted)
        ordered = wanted[by_key]
        new = np.ones(len(ordered), bool)
        new[1:] = ordered[1:] != ordered[:-1]
        starts = np.flatnonzero(new)
        # Each n-gram once, by the place where some occurrence ends: what it extends to the left also ends there.
        suffixes = ids[ends[by_key[starts]]]
        preceded = np.bincount(suffixes, minlength=len(keys))
        yield Level(keys, raw, np.where(first, raw, preceded))
        longer = ordered[starts]
        raw = np.diff(starts, append=len(ordered))
        first = first[longer // vocabulary]
        keys = longer
        ids = np.full(len(tokens), -1, np.int32)
        ids[ends[by_key]] = np.cumsum(new, dtype=np.int32) - 1
    yield Level(keys, raw, raw)


class KneserNey:
    """The model of the highest order among `levels`. `bos` is context only, and never predicted."""

    def __init__(self, levels: list[Level], bos: int, vocabulary: int) -> None:
        self.bos, self.vocabulary = bos, vocabulary
        self._keys = [level.keys for level in levels]
        self._kept: list[npt.NDArray[np.float32]] = []  # discounted count over the sum of the context's
        self._backoff: list[Floats] = []  # by context: what was taken away, for the next lower order
        contexts = 1
        for n, level in enumerate(levels, start=1):
            counts = level.raw if n == len(levels) else level.adjusted
            if n == 1:
                counts = np.where(level.keys == bos, 0, counts)
            context = level.keys // vocabulary if n > 1 else np.zeros(vocabulary, np.int64)
            taken = np.minimum(discounts(counts)[np.minimum(counts, 3)], counts)
            total = np.bincount(context, counts, contexts).astype(float)
            total[total == 0] = np.inf  # nothing was seen after it: all is left to the lower order
            self._kept.append(((counts - taken) / total[context]).astype(np.float32))
            backoff = np.bincount(context, taken, contexts) / total
            self._backoff.append(np.where(np.isinf(total), 1.0, backoff))
            contexts = len(level.keys)

    def probabilities(self, tokens: npt.NDArray[Any]) -> Floats:
        """Of each token given those before it in its document, shape (tokens,); 1 for `bos`, which is not predicted."""
        depth = depths(tokens, self.bos)
        found = np.full(len(tokens), 1 / (self.vocabulary - 1))
        ids = np.zeros(len(tokens), np.int64)  # of the context of the next order, by the place where it ends
        for n, (keys, kept, backoff) in enumerate(zip(self._keys, self._kept, self._backoff, strict=True), start=1):
            if not len(keys):
                break  # no document is so long
            ends = np.flatnonzero(depth >= max(1, n - 1))
            contexts = ids[ends - 1] if n > 1 else np.zeros(len(ends), np.int64)
            ends, contexts = ends[contexts >= 0], contexts[contexts >= 0]
            wanted = contexts * self.vocabulary + tokens[ends]
            places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
            seen = keys[places] == wanted
            found[ends] = backoff[contexts] * found[ends] + np.where(seen, kept[places], 0)
            ids = np.full(len(tokens), -1)
            ids[ends] = np.where(seen, places, -1)
            if n == 1:
                ids = tokens.astype(np.int64)
        return np.where(tokens == self.bos, 1.0, found)


def discounts(counts: Ints) -> Floats:
    """What is taken from counts of 0, 1, 2 and more: Chen and Goodman's estimates, or, where a small corpus gives none,
    half of what could be taken."""
    seen = np.bincount(np.minimum(counts, 5), minlength=6)[1:5].astype(float)
    if (seen > 0).all():
        share = seen[0] / (seen[0] + 2 * seen[1])
        estimated = np.array([0.0, *(i - (i + 1) * share * seen[i] / seen[i - 1] for i in (1, 2, 3))])
        if (estimated >= 0).all():
            return estimated
    return np.array([0.0, 0.5, 1.0, 1.5])
