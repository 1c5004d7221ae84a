"""Winnowed word n-grams: a few hashes of a text by which shared runs of words are found.

Schleimer, Wilkerson and Aiken 2003, "Winnowing: Local Algorithms for Document Fingerprinting", section 3. The hash of
every n-gram is computed, and of every `window` consecutive ones the least is kept. Two texts that share a run of
`window + n - 1` words share a whole window and so what was kept of it, wherever the run stands: it is always found.
No run of fewer than n words is. About 2 / (window + 1) of the n-grams are kept (their theorem 1).

A text of fewer than n words has one fingerprint, the hash of the whole, and one whose n-grams do not fill a window has
the least of them: such texts are found as a whole, and within a longer one by luck only.

Words are runs of letters and digits after NFKC and case folding, so neither layout, nor punctuation, nor case counts.
A script that writes no spaces makes words of whole clauses, and is compared by those.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint64]
Owners = npt.NDArray[np.int64]

_WORD = re.compile(r"[^\W_]+")
_BASE = np.uint64(0x9E3779B97F4A7C15)  # odd, so that multiplying by it loses nothing modulo 2^64
_NOTHING = np.uint64(2**64 - 1)
_MOST_WORDS = 1_000_000  # hashes of words that are remembered


@dataclass(frozen=True)
class Shape:
    """What two sets of fingerprints must agree in to be comparable.

    Attributes:
        n: words of an n-gram.
        window: of so many consecutive n-grams, at least one is kept.
    """

    n: int = 8
    window: int = 12

    def __post_init__(self) -> None:
        if self.n < 1 or self.window < 1:
            raise ValueError(f"n and window must be at least 1, not {self.n} and {self.window}")

    @property
    def found_for_certain(self) -> int:
        """A shared run of so many words is always found."""
        return self.n + self.window - 1


class Fingerprinter:
    """Fingerprints of batches of texts. Remembers the hashes of words between batches, and nothing else of them."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self._words = _WordHashes()

    def __call__(self, texts: Sequence[str]) -> tuple[Hashes, Owners]:
        """All fingerprints of the texts, and for each the index of its text; both of shape (fingerprints,).

        Texts come in order. Neighbouring windows often keep the same n-gram, which then stands here once. A text
        without a word has no fingerprint.
        """
        if len(self._words) > _MOST_WORDS:
            self._words.clear()
        found = [words(text) for text in texts]
        lengths = np.array([len(text) for text in found], np.int64)
        codes = np.array([self._words[word] for text in found for word in text], np.uint64)
        long = self._winnowed(codes, lengths)
        short = self._whole(codes, lengths)
        values, owners = (np.concatenate(parts) for parts in zip(long, short, strict=True))
        order = np.argsort(owners, kind="stable")
        return values[order], owners[order]

    def _winnowed(self, codes: Hashes, lengths: Owners) -> tuple[Hashes, Owners]:
        """Of the texts of n words and more. All windows at once: an n-gram across two texts counts as infinite."""
        n, window, total = self.shape.n, self.shape.window, len(codes)
        owners = np.repeat(np.arange(len(lengths)), lengths)
        ends = np.cumsum(lengths)
        place, first, last = np.arange(total), (ends - lengths)[owners], (ends - n)[owners]
        grams = np.full(total + window, _NOTHING)
        grams[:total] = np.where(place <= last, _polynomial(codes, n), _NOTHING)
        least = grams[:total].copy()
        for ahead in range(1, window):
            same_text = place + ahead <= last
            least[same_text] = np.minimum(least[same_text], grams[ahead : total + ahead][same_text])
        full = place + window - 1 <= last
        kept = full | ((place == first) & (place <= last))
        return _without_repeats(least[kept], owners[kept])

    def _whole(self, codes: Hashes, lengths: Owners) -> tuple[Hashes, Owners]:
        """Of the texts of fewer than n words."""
        starts = np.cumsum(lengths) - lengths
        values, owners = [np.empty(0, np.uint64)], [np.empty(0, np.int64)]
        for length in range(1, self.shape.n):
            those = np.flatnonzero(lengths == length)
            values.append(_polynomial(codes, length)[starts[those]])
            owners.append(those)
        return np.concatenate(values), np.concatenate(owners)


def words(text: str) -> list[str]:
    """The text's words as they are compared."""
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold())


def mixed(values: Hashes) -> Hashes:
    """Every bit of the result depends on every bit of the value, one to one: the last steps of SplitMix64 (Steele, Lea
    and Flood 2014, figure 16)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


class _WordHashes(dict[str, int]):
    """64 bits for each word, the same on every machine."""

    def __missing__(self, word: str) -> int:
        digest = hashlib.blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        self[word] = code = int.from_bytes(digest, "little")
        return code


def _polynomial(codes: Hashes, length: int) -> Hashes:
    """A hash of the `length` words from each place on; at the last places, of those there are."""
    padded = np.concatenate([codes, np.zeros(length, np.uint64)])
    hashed = np.full(len(codes), np.uint64(length))
    for ahead in range(length):
        hashed = hashed * _BASE + padded[ahead : len(codes) + ahead]
    return mixed(hashed)


def _without_repeats(values: Hashes, owners: Owners) -> tuple[Hashes, Owners]:
    new = np.ones(len(values), bool)
    new[1:] = (values[1:] != values[:-1]) | (owners[1:] != owners[:-1])
    return values[new], owners[new]
