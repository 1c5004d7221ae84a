"""A corpus as a file: its fingerprints as a set that answers "is this one in it?", at 2.25 bytes for each.

The N fingerprints are hashed once more onto the numbers below N * 2^16 and sorted; the lower 16 bits of each are
written as they are, the rest in unary: Elias 1974, "Efficient Storage and Retrieval by Content and Address of Static
Files", and Fano 1971. Whatever is in the set is found. What is not is found with probability 2^-16 at most, by a
collision. A Bloom filter of that size would be wrong eleven times as often.

The file is one line of JSON and then the set. The same texts in any order give the same bytes. No word can be read out
of it, but whoever guesses a text can ask for it: the index of a corpus that is not public must not be published.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dpsynth_assets.atomic import replacing
from dpsynth_assets.language.contamination.fingerprints import Fingerprinter, Hashes, Shape, mixed

FORMAT = "dpsynth corpus index 1"
FALSE_POSITIVES = 2.0**-16  # at most, for one fingerprint
_BATCH = 2_000
_LONGEST_HEADER = 65_536
_REMEDY = "build it with `python -m dpsynth_assets.language.contamination`, or restore the file"


class CorpusIndexError(ValueError):
    """A file is not the index of a corpus, or no longer the one that was written; says which and what to do."""


@dataclass(frozen=True)
class About:
    """What an index says of itself. All public.

    Attributes:
        corpus: what the corpus is, for people.
        documents: how many texts it holds.
        fingerprints: how many distinct ones were kept of them.
        sha256: of the set that follows.
    """

    corpus: str
    documents: int
    fingerprints: int
    n: int
    window: int
    sha256: str


class CorpusIndex:
    """The fingerprints of a corpus, in memory as sorted numbers: 8 bytes for each."""

    def __init__(self, about: About, numbers: Hashes) -> None:
        self.about = about
        self.shape = Shape(about.n, about.window)
        self._numbers = numbers

    @classmethod
    def of(cls, texts: Iterable[str], corpus: str, shape: Shape | None = None) -> CorpusIndex:
        """The index of a corpus' texts, read once, a batch at a time.

        Raises:
            ValueError: there is no word in them.
        """
        fingerprinter = Fingerprinter(shape or Shape())
        documents, parts = 0, [np.empty(0, np.uint64)]
        for batch in batches(texts):
            documents += len(batch)
            parts.append(np.unique(fingerprinter(batch)[0]))
        values = np.unique(np.concatenate(parts))
        if not len(values):
            raise ValueError("the corpus holds no word, so there is nothing to index")
        numbers = np.sort(_reduced(values, len(values)))
        digest = hashlib.sha256(_encoded(numbers)).hexdigest()
        return cls(About(corpus, documents, len(values), **asdict(fingerprinter.shape), sha256=digest), numbers)

    def holds(self, values: Hashes) -> npt.NDArray[np.bool_]:
        """Which of these fingerprints are in the corpus; same shape as `values`."""
        wanted = _reduced(values, self.about.fingerprints)
        places = np.searchsorted(self._numbers, wanted)
        found: npt.NDArray[np.bool_] = self._numbers[np.minimum(places, len(self._numbers) - 1)] == wanted
        return found

    def save(self, path: Path) -> None:
        """Write the file in one step."""
        header = json.dumps({"format": FORMAT, **asdict(self.about)}).encode()
        with replacing(path) as file:
            file.write(header + b"\n" + _encoded(self._numbers))

    @classmethod
    def load(cls, path: Path) -> CorpusIndex:
        """The index in a file.

        Raises:
            CorpusIndexError: it is missing, something else, or damaged.
        """
        try:
            with path.open("rb") as file:
                first, payload = file.readline(_LONGEST_HEADER), file.read()
        except OSError as error:
            raise CorpusIndexError(f"{path}: no corpus index can be read there; {_REMEDY}") from error
        about = _about(first, path)
        if len(payload) != _size(about.fingerprints) or hashlib.sha256(payload).hexdigest() != about.sha256:
            raise CorpusIndexError(f"{path}: the corpus index is damaged or cut short; {_REMEDY}")
        return cls(about, _decoded(payload, about.fingerprints))


def batches(texts: Iterable[str]) -> Iterator[list[str]]:
    """The texts in lists that fit into memory whatever the size of the whole."""
    left = iter(texts)
    while batch := list(islice(left, _BATCH)):
        yield batch


def _about(line: bytes, path: Path) -> About:
    try:
        stated: dict[str, Any] = json.loads(line)
        if stated.pop("format") != FORMAT:
            raise ValueError
        about = About(**stated)
        Shape(about.n, about.window)
        if about.fingerprints < 1:
            raise ValueError
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise CorpusIndexError(f"{path}: not a corpus index of the format {FORMAT!r}; {_REMEDY}") from error
    return about


def _reduced(values: Hashes, count: int) -> Hashes:
    """Uniform on [0, count * 2^16). Fingerprints themselves are not uniform: each is the least of a window."""
    return mixed(values) % np.uint64(count << 16)


def _size(count: int) -> int:
    """Bytes of an encoded set: 2 bits in unary and 16 plain ones for each."""
    return -(-2 * count // 8) + 2 * count


def _encoded(numbers: Hashes) -> bytes:
    """Sorted numbers below len(numbers) * 2^16. In the unary part, bit `high + i` is set for the i-th."""
    unary = np.zeros(2 * len(numbers), np.uint8)
    unary[(numbers >> np.uint64(16)).astype(np.int64) + np.arange(len(numbers))] = 1
    return np.packbits(unary).tobytes() + numbers.astype("<u2").tobytes()


def _decoded(payload: bytes, count: int) -> Hashes:
    unary = np.unpackbits(np.frombuffer(payload, np.uint8, _size(count) - 2 * count), count=2 * count)
    high = (np.flatnonzero(unary) - np.arange(count)).astype(np.uint64)
    low = np.frombuffer(payload, "<u2", offset=_size(count) - 2 * count).astype(np.uint64)
    return (high << np.uint64(16)) | low
