"""What a corpus says about itself: how varied its texts are, how many are nearly the same, how long they are.

Knows texts only. A corpus that scores well here may still be about something else than the source.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence

from dpsynth_assets.quality.metrics.words import MetricError, ngrams, sample, words

SELF_BLEU_TEXTS = 1_000
"""Self-BLEU grows with the number of texts that each one is compared with, so that number is fixed."""

_ORDERS = (1, 2, 3, 4)
_NO_MATCH = 0.1  # Chen and Cherry 2014, smoothing 1: what stands for the number of matches where there is none
_SHINGLE = 3


def distinct_ngrams(texts: Sequence[str], n: int = 2) -> float:
    """Distinct-n: how many of the corpus' runs of `n` words are different ones, in (0, 1]. Higher is more varied.

    It falls as a corpus grows, so compare corpora of the same number of rows. Source: Li et al. 2016, A
    diversity-promoting objective function for neural conversation models, section 5.

    Raises:
        MetricError: no text has `n` words.
    """
    runs = [run for text in texts for run in ngrams(words(text), n)]
    if not runs:
        raise MetricError(f"no text has {n} words")
    return len(set(runs)) / len(runs)


def self_bleu(texts: Sequence[str]) -> float:
    """The mean BLEU-4 of each text with all others as its references, in [0, 1]. Lower is more varied.

    Over a sample of at most `SELF_BLEU_TEXTS` texts, the same one every time. Texts without a word are left out, and a
    text of fewer than four words has the orders that it has. Source: Zhu et al. 2018, Texygen, section 3; BLEU as in
    Papineni et al. 2002, smoothed by method 1 of Chen and Cherry 2014.

    Raises:
        MetricError: fewer than two texts have words.
    """
    tokens = [found for text in sample(texts, SELF_BLEU_TEXTS) if (found := words(text))]
    if len(tokens) < 2:
        raise MetricError("self-BLEU needs two texts with words")
    logs = [0.0] * len(tokens)
    orders = [0] * len(tokens)
    for n in _ORDERS:
        counts = [Counter(ngrams(text, n)) for text in tokens]
        highest = _two_highest(counts)
        for index, count in enumerate(counts):
            if total := count.total():
                matches = 0
                for run, times in count.items():
                    most, owner, second = highest[run]
                    matches += min(times, second if owner == index else most)
                logs[index] += math.log((matches or _NO_MATCH) / total)
                orders[index] += 1
    closest = _closest_lengths([len(text) for text in tokens])
    scores = [
        math.exp(min(0.0, 1 - closest[len(text)] / len(text)) + log / order)
        for text, log, order in zip(tokens, logs, orders, strict=True)
    ]
    return math.fsum(scores) / len(scores)


def _two_highest(counts: Sequence[Counter[tuple[str, ...]]]) -> dict[tuple[str, ...], tuple[int, int, int]]:
    """For each run of words: how often it is in one text at most, in which, and how often in one of the others.

    With these the references of every text are known without comparing all pairs.
    """
    highest: dict[tuple[str, ...], tuple[int, int, int]] = {}
    for index, count in enumerate(counts):
        for run, times in count.items():
            most, owner, second = highest.get(run, (0, -1, 0))
            highest[run] = (times, index, most) if times > most else (most, owner, max(second, times))
    return highest


def _closest_lengths(lengths: Sequence[int]) -> dict[int, int]:
    """For each length, the closest one of another text; of two equally close ones the shorter."""
    counts = Counter(lengths)
    kinds = sorted(counts)
    closest = {}
    for length, count in counts.items():
        place = bisect_left(kinds, length)
        near = [length] if count > 1 else [*kinds[max(0, place - 1) : place], *kinds[place + 1 : place + 2]]
        closest[length] = min(near, key=lambda other: (abs(other - length), other))
    return closest


def near_duplicates(texts: Sequence[str], similarity: float = 0.8) -> float:
    """The share of texts that have a near copy in the corpus, in [0, 1].

    Two texts are near copies where the Jaccard similarity of their sets of three-word runs is at least `similarity`.
    Exact: candidates are found by prefix filtering, then compared. Sources: Broder 1997, On the resemblance and
    containment of documents; Chaudhuri et al. 2006, A primitive operator for similarity joins, section 4.

    Args:
        similarity: in (0, 1]; 1 counts texts that differ at most in case, punctuation and repeated runs.

    Raises:
        MetricError: there is no text.
    """
    if not texts:
        raise MetricError("there is no text")
    shingled = [_shingles(text) for text in texts]
    groups = Counter(shingled)
    copied = {shingles for shingles, count in groups.items() if count > 1}
    spread = Counter(run for shingles in groups for run in shingles)
    index: dict[Hashable, list[frozenset[tuple[str, ...]]]] = defaultdict(list)
    for shingles in groups:
        # If two sets are this similar, then their rarest runs, this many of each, have one in common.
        rarest = sorted(shingles, key=lambda run: (spread[run], run))
        prefix = rarest[: len(shingles) - math.ceil(similarity * len(shingles) - 1e-9) + 1]
        for other in {candidate for run in prefix for candidate in index[run]}:
            common = len(shingles & other)
            if common >= similarity * (len(shingles) + len(other) - common) - 1e-9:
                copied.update((shingles, other))
        for run in prefix:
            index[run].append(shingles)
    return sum(groups[shingles] for shingles in copied) / len(texts)


def _shingles(text: str) -> frozenset[tuple[str, ...]]:
    tokens = words(text)
    return frozenset(ngrams(tokens, _SHINGLE) or [tuple(tokens)])


def word_count_quantile(texts: Sequence[str], quantile: float = 0.5) -> float:
    """The length in words that this share of the texts does not exceed; one that occurs, no mean of two.

    Raises:
        MetricError: there is no text.
    """
    if not texts:
        raise MetricError("there is no text")
    lengths = sorted(len(words(text)) for text in texts)
    return float(lengths[max(0, math.ceil(quantile * len(lengths) - 1e-9) - 1)])
