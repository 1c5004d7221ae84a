"""Texts as words and runs of words: what every figure here that counts words means by one."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

_WORD = re.compile(r"\w+")
_SEED = 0  # of samples: the same corpus has the same figures


class MetricError(ValueError):
    """A figure that does not exist for what it was given, such as a distance to no text at all."""


def words(text: str) -> list[str]:
    """Runs of letters, digits and underscores, in small letters."""
    return _WORD.findall(text.lower())


def ngrams(tokens: Sequence[str], n: int) -> list[tuple[str, ...]]:
    """All runs of `n` words, in order, with repeats."""
    return [tuple(tokens[start : start + n]) for start in range(len(tokens) - n + 1)]


def sample(texts: Sequence[str], size: int) -> list[str]:
    """At most `size` of the texts, without replacement and in their order; the same ones every time."""
    if len(texts) <= size:
        return list(texts)
    chosen = random.Random(_SEED).sample(range(len(texts)), size)
    return [texts[index] for index in sorted(chosen)]
