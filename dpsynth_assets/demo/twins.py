"""Which messages are too alike: the same words once names, digits and case are taken away."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Mapping

from dpsynth_assets.demo.phrases.people import FIRST_NAMES, LAST_NAMES

Tokens = frozenset[str]

_NAMES = frozenset(name.lower() for name in (*FIRST_NAMES, *LAST_NAMES))
_TOKEN = re.compile(r"\S+@\S+|[\w$']+")


def tokens(text: str) -> Tokens:
    """The set of words of a message, with e-mail addresses, numbers and people's names masked."""
    return frozenset(_mask(token) for token in _TOKEN.findall(text.lower()))


def similarity(one: Tokens, other: Tokens) -> float:
    """Jaccard similarity: shared words over all words."""
    return len(one & other) / len(one | other)


def _mask(token: str) -> str:
    if "@" in token:
        return "<email>"
    if any(character.isdigit() for character in token):
        return "<number>"
    return "<name>" if token in _NAMES else token


class Crowd:
    """Messages so far, searchable for one that is at least `limit` similar to a new one.

    Two sets that similar must share one of their first few tokens in any fixed order (prefix filtering); with the
    rarest words first, few messages have to be compared. `frequency` sets that order and otherwise changes nothing.
    """

    def __init__(self, limit: float, frequency: Mapping[str, int]) -> None:
        self._limit = limit
        self._frequency = frequency
        self._bits: dict[str, int] = {}  # a set as one integer: the intersection is a single machine-level operation
        self._by_token: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)

    def nearest(self, message: Tokens) -> float:
        """Similarity of the nearest message so far, or 0 where none reaches the limit."""
        own, size = self._as_bits(message), len(message)
        fewest, most = self._limit * size, size / self._limit
        nearest = 0.0
        for token in self._prefix(message):
            for other, other_size in self._by_token[token]:
                if fewest <= other_size <= most:
                    shared = (own & other).bit_count()
                    nearest = max(nearest, shared / (size + other_size - shared))
        return nearest if nearest >= self._limit else 0.0

    def add(self, message: Tokens) -> None:
        bits = self._as_bits(message)
        for token in self._prefix(message):
            self._by_token[token].append((bits, len(message)))

    def _prefix(self, message: Tokens) -> list[str]:
        in_order = sorted(message, key=lambda token: (self._frequency.get(token, 0), token))
        return in_order[: len(message) - math.ceil(self._limit * len(message)) + 1]

    def _as_bits(self, message: Tokens) -> int:
        return sum(1 << self._bits.setdefault(token, len(self._bits)) for token in message)
