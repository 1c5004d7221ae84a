"""The n-gram baseline against a definition in dictionaries, and as a probability."""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.kneser_ney import KneserNey, count, discounts

BOS, VOCABULARY = 0, 6
documents_ = st.lists(st.lists(st.integers(1, VOCABULARY - 1), min_size=0, max_size=12), min_size=1, max_size=12)


def laid_out(documents: list[list[int]]) -> np.ndarray:
    return np.array([token for document in documents for token in (BOS, *document)], np.uint16)


def model_of(documents: list[list[int]], order: int) -> KneserNey:
    return KneserNey(list(count(laid_out(documents), BOS, VOCABULARY, order)), BOS, VOCABULARY)


class ByDefinition:
    """Chen and Goodman's formulas one n-gram at a time."""

    def __init__(self, documents: list[list[int]], order: int) -> None:
        raw: dict[int, Counter] = {n: Counter() for n in range(1, order + 1)}
        for document in documents:
            tokens = (BOS, *document)
            for end in range(len(tokens)):
                for n in range(1, min(order, end + 1) + 1):
                    raw[n][tokens[end - n + 1 : end + 1]] += 1
        del raw[1][(BOS,)]  # begins documents, and is not predicted
        self.counts: dict[int, dict[tuple[int, ...], int]] = {order: dict(raw[order])}
        for n in range(1, order):
            before = defaultdict(set)
            for gram in raw[n + 1]:
                before[gram[1:]].add(gram[0])
            self.counts[n] = {gram: times if gram[0] == BOS else len(before[gram]) for gram, times in raw[n].items()}
        self.discounts = {n: discounts(np.array(list(counts.values()) or [0])) for n, counts in self.counts.items()}

    def probability(self, context: tuple[int, ...], token: int) -> float:
        n = len(context) + 1
        lower = self.probability(context[1:], token) if context else 1 / (VOCABULARY - 1)
        seen = {gram: times for gram, times in self.counts[n].items() if gram[:-1] == context and times > 0}
        total = sum(seen.values())
        if not total:
            return lower
        d = self.discounts[n]
        times = seen.get((*context, token), 0)
        left = sum(d[min(times, 3)] for times in seen.values())
        return (times - d[min(times, 3)]) / total + left / total * lower


@pytest.mark.parametrize("order", [1, 2, 3, 4])
@settings(max_examples=40)
@given(documents=documents_, test=st.lists(st.integers(1, VOCABULARY - 1), min_size=1, max_size=8))
def test_each_probability_is_that_of_the_definition(documents, test, order) -> None:
    reference = ByDefinition(documents, order)
    found = model_of(documents, order).probabilities(laid_out([test]))[1:]
    tokens = (BOS, *test)
    for place, probability in enumerate(found, start=1):
        context = tokens[max(0, place - order + 1) : place]
        assert probability == pytest.approx(reference.probability(context, tokens[place]), rel=1e-5)


@pytest.mark.parametrize("order", [1, 2, 3, 5])
@settings(max_examples=40)
@given(documents=documents_, context=st.lists(st.integers(1, VOCABULARY - 1), max_size=5))
def test_probabilities_of_the_vocabulary_sum_to_one(documents, context, order) -> None:
    model = model_of(documents, order)
    ends = [model.probabilities(laid_out([[*context, token]]))[-1] for token in range(1, VOCABULARY)]
    assert sum(ends) == pytest.approx(1, abs=1e-5)
    assert min(ends) > 0


def test_discounts_are_estimated_where_the_corpus_is_large_enough() -> None:
    rng = np.random.default_rng(0)
    counts = rng.zipf(1.8, 5_000)
    found = discounts(counts)
    ones, twos, threes, fours = ((counts == i).sum() for i in (1, 2, 3, 4))
    share = ones / (ones + 2 * twos)
    assert found == pytest.approx(
        [0, 1 - 2 * share * twos / ones, 2 - 3 * share * threes / twos, 3 - 4 * share * fours / threes]
    )
    assert 0 < found[1] < found[2] < found[3] < 3


def test_documents_do_not_lend_each_other_context() -> None:
    documents = [[1, 2, 3], [4, 5, 1], [2, 2, 4]] * 3
    together = model_of(documents, 3).probabilities(laid_out([[1, 2], [4, 5]]))
    apart = [model_of(documents, 3).probabilities(laid_out([text]))[1:] for text in ([1, 2], [4, 5])]
    assert np.concatenate([together[1:3], together[4:6]]) == pytest.approx(np.concatenate(apart))


def test_a_corpus_that_starts_in_mid_document_is_refused() -> None:
    with pytest.raises(ValueError, match="begin with a document"):
        list(count(np.array([1, 2], np.uint16), BOS, VOCABULARY, 2))
