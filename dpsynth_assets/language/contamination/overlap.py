"""Which of a source's records share a run of words with a corpus, and how many would seem to by chance.

What is computed here is a fact about the rows. It belongs to the caller, who alone knows whether they are sensitive.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dpsynth_assets.language.contamination.fingerprints import Fingerprinter
from dpsynth_assets.language.contamination.index import FALSE_POSITIVES, CorpusIndex, batches


@dataclass(frozen=True)
class Overlap:
    """What came of a comparison. Sensitive where the records are.

    Attributes:
        records: how many were compared.
        overlapping: how many of them have a fingerprint that is in the corpus.
        by_chance: how many of them at most would be expected to if none did: collisions of hashes.
    """

    records: int
    overlapping: int
    by_chance: float

    def __add__(self, other: Overlap) -> Overlap:
        """Of the records of both."""
        return Overlap(
            self.records + other.records, self.overlapping + other.overlapping, self.by_chance + other.by_chance
        )

    @property
    def share(self) -> float:
        """Of the records, those that overlap; 0 where there are none."""
        return self.overlapping / self.records if self.records else 0.0

    @property
    def share_by_chance(self) -> float:
        """Of the records, those that would seem to."""
        return self.by_chance / self.records if self.records else 0.0


def overlapping(texts: Sequence[str], index: CorpusIndex) -> npt.NDArray[np.bool_]:
    """For each text, whether a fingerprint of it is in the corpus; shape (texts,). Each is looked at by itself."""
    return _compared(texts, index)[0]


def measure(texts: Sequence[str], index: CorpusIndex) -> Overlap:
    """Compare texts with a corpus, a batch at a time: memory does not grow with their number."""
    found, fingerprints = _compared(texts, index)
    by_chance = float(np.sum(1 - (1 - FALSE_POSITIVES) ** fingerprints))
    return Overlap(len(texts), int(found.sum()), by_chance)


def _compared(texts: Sequence[str], index: CorpusIndex) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.int64]]:
    """Whether each text overlaps, and its number of fingerprints."""
    fingerprinter = Fingerprinter(index.shape)
    found, counts = [np.empty(0, np.bool_)], [np.empty(0, np.int64)]
    for batch in batches(texts):
        values, owners = fingerprinter(batch)
        found.append(np.bincount(owners[index.holds(values)], minlength=len(batch)) > 0)
        counts.append(np.bincount(owners, minlength=len(batch)))
    return np.concatenate(found), np.concatenate(counts)
