"""How far a corpus is from public texts in what can be counted: lengths, labels, and words taken over in a row.

Knows texts and labels, no vectors. The reference must be public.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from scipy.stats import wasserstein_distance

from dpsynth_assets.quality.metrics.words import MetricError, ngrams, words


def length_distance(texts: Sequence[str], reference: Sequence[str]) -> float:
    """The Wasserstein-1 distance between the two distributions of text lengths, in words.

    By how many words the texts would have to be made longer or shorter, on average, to be as long as the reference's.
    Source: Ramdas et al. 2017, On Wasserstein two-sample testing, section 4 (the area between the two distribution
    functions).

    Raises:
        MetricError: one of the two has no text.
    """
    _both(texts, reference)
    return float(wasserstein_distance(*([len(words(text)) for text in side] for side in (texts, reference))))


def label_distance(labels: Sequence[str], reference: Sequence[str]) -> float:
    """The total variation distance between the two distributions of labels, in [0, 1].

    The share of rows whose label would have to change. Source: Levin and Peres 2017, Markov chains and mixing times,
    section 4.1.

    Raises:
        MetricError: one of the two has no label.
    """
    _both(labels, reference)
    ours, theirs = Counter(labels), Counter(reference)
    return 0.5 * sum(abs(ours[label] / len(labels) - theirs[label] / len(reference)) for label in ours | theirs)


def ngram_overlap(texts: Sequence[str], reference: Sequence[str], n: int = 8) -> float:
    """The share of texts that have `n` words in a row in common with a text of the reference, in [0, 1].

    Of a phrase that everybody writes it says nothing; of long runs it says that texts were taken over. Source: Brown et
    al. 2020, Language models are few-shot learners, appendix C (thirteen words, for contamination).

    Raises:
        MetricError: one of the two has no text.
    """
    _both(texts, reference)
    known = {run for text in reference for run in ngrams(words(text), n)}
    return sum(not known.isdisjoint(ngrams(words(text), n)) for text in texts) / len(texts)


def _both(texts: Sequence[str], reference: Sequence[str]) -> None:
    if not texts or not reference:
        raise MetricError(f"the {'corpus' if not texts else 'reference'} has no value to compare")
