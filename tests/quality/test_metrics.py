"""Each figure against what can be counted by hand, and against the properties that its name promises."""

from __future__ import annotations

import itertools
import math
from collections import Counter

import numpy as np
import pytest
import scipy.linalg
import scipy.stats

from dpsynth_assets.quality.metrics.distances import label_distance, length_distance, ngram_overlap
from dpsynth_assets.quality.metrics.diversity import (
    SELF_BLEU_TEXTS,
    distinct_ngrams,
    near_duplicates,
    self_bleu,
    word_count_quantile,
)
from dpsynth_assets.quality.metrics.mauve import frontier_area, mauve
from dpsynth_assets.quality.metrics.vectors import frechet_distance, nearest_neighbour_similarity
from dpsynth_assets.quality.metrics.words import MetricError, ngrams, sample, words

RNG = np.random.default_rng(7)


def made_up(count: int, length: int, vocabulary: int, seed: int = 0) -> list[str]:
    rng = np.random.default_rng(seed)
    return [" ".join(f"w{word}" for word in rng.integers(vocabulary, size=length)) for _ in range(count)]


def test_words_are_in_small_letters_and_without_punctuation():
    assert words("Don't PAY 12,50 €!") == ["don", "t", "pay", "12", "50"]
    assert ngrams(["a", "b", "c"], 2) == [("a", "b"), ("b", "c")]
    assert ngrams(["a"], 2) == []


def test_a_sample_is_the_same_every_time_and_keeps_the_order():
    texts = [f"{number:03}" for number in range(100)]
    first = sample(texts, 10)
    assert first == sample(texts, 10) == sorted(first)
    assert len(set(first)) == 10
    assert sample(texts, 100) == texts
    assert int(first[-1]) > 50  # not the beginning: a corpus is in the order of its labels


def test_distinct_ngrams_by_hand():
    texts = ["a b a b", "a b c"]  # runs of two: ab ba ab, ab bc
    assert distinct_ngrams(texts, 2) == 3 / 5
    assert distinct_ngrams(texts, 1) == 3 / 7
    assert distinct_ngrams(["The cat", "the CAT."], 2) == 1 / 2
    with pytest.raises(MetricError, match="no text has 3 words"):
        distinct_ngrams(["a b"], 3)


def bleu(text: list[str], references: list[list[str]]) -> float:
    """BLEU-4 of one text by its definition, smoothed by method 1, over the orders that the text has."""
    logs = []
    for n in range(1, 5):
        count = Counter(ngrams(text, n))
        if not count:
            continue
        most = Counter()
        for reference in references:
            most |= Counter(ngrams(reference, n))
        logs.append(math.log((sum((count & most).values()) or 0.1) / sum(count.values())))
    closest = min((len(reference) for reference in references), key=lambda r: (abs(r - len(text)), r))
    return min(1.0, math.exp(1 - closest / len(text))) * math.exp(sum(logs) / len(logs))


def test_self_bleu_is_the_mean_bleu_with_all_others_as_references():
    texts = [*made_up(12, 9, 6), *made_up(7, 5, 4, seed=1), "w1 w2", "w3", "...", "w1 w2 w1 w2 w1 w2"]
    tokens = [found for text in texts if (found := words(text))]
    one_by_one = [bleu(text, tokens[:i] + tokens[i + 1 :]) for i, text in enumerate(tokens)]
    assert self_bleu(texts) == pytest.approx(np.mean(one_by_one), rel=1e-12)


def test_self_bleu_is_one_for_copies_and_near_zero_for_strangers():
    assert self_bleu(["the same five words again"] * 4) == pytest.approx(1)
    assert self_bleu([" ".join(f"w{10 * row + column}" for column in range(9)) for row in range(9)]) < 0.05
    with pytest.raises(MetricError, match="two texts"):
        self_bleu(["one text", "?!"])


def test_self_bleu_does_not_grow_with_the_corpus():
    large = made_up(3 * SELF_BLEU_TEXTS, 8, 50)
    whole, part = self_bleu(large), self_bleu(large[:SELF_BLEU_TEXTS])
    assert abs(whole - part) < 0.02
    assert self_bleu(large[: SELF_BLEU_TEXTS // 20]) < part / 2  # fewer to compare with


def test_near_duplicates_by_hand():
    base = " ".join(f"w{number}" for number in range(12))  # ten runs of three
    assert near_duplicates([base, base.upper() + "!", "quite another text"]) == 2 / 3
    longer = base + " w12"  # ten runs of eleven in common
    assert near_duplicates([base, longer], similarity=10 / 11) == 1
    assert near_duplicates([base, longer], similarity=10 / 11 + 1e-6) == 0
    assert near_duplicates(["yes", "yes", "no"]) == 2 / 3  # too short for a run of three
    assert near_duplicates(["", "..."]) == 1


@pytest.mark.parametrize("similarity", [0.3, 0.5, 0.8, 1.0])
def test_near_duplicates_are_those_that_comparing_all_pairs_finds(similarity):
    texts = made_up(60, 7, 2, seed=3)
    sets = [frozenset(ngrams(words(text), 3)) for text in texts]
    found = set()
    for one, other in itertools.combinations(range(len(texts)), 2):
        if len(sets[one] & sets[other]) >= similarity * len(sets[one] | sets[other]):
            found |= {one, other}
    assert len(found) > 0
    assert near_duplicates(texts, similarity) == len(found) / len(texts)


def test_word_count_quantile_is_a_length_that_occurs():
    texts = ["a", "a b", "a b c", "a b c d"]
    assert [word_count_quantile(texts, q) for q in (0, 0.25, 0.5, 0.51, 1)] == [1, 1, 2, 3, 4]


def test_length_distance_is_the_wasserstein_distance():
    assert length_distance(["a b"] * 3, ["a b c d"]) == 2
    assert length_distance(["a", "a b c"], ["a b c", "a"]) == 0
    ours, theirs = [
        [" ".join("w" * int(n)) for n in np.random.default_rng(seed).poisson(mean, 200)]
        for seed, mean in ((0, 9), (1, 14))
    ]
    expected = scipy.stats.wasserstein_distance(*([len(words(text)) for text in side] for side in (ours, theirs)))
    assert length_distance(ours, theirs) == pytest.approx(expected, rel=1e-12)


def test_label_distance_is_the_share_of_labels_to_change():
    assert label_distance(["a", "a", "b", "c"], ["a", "b", "b", "b"]) == pytest.approx(0.5)
    assert label_distance(["a", "b"], ["b", "a"] * 5) == 0
    assert label_distance(["a"], ["b"]) == 1


def test_ngram_overlap_counts_texts_that_take_words_over():
    reference = ["Oil prices rose sharply on Monday, traders said."]
    texts = ["He said oil prices ROSE sharply!", "Oil prices fell", "traders said oil"]
    assert ngram_overlap(texts, reference, n=4) == 1 / 3
    assert ngram_overlap(texts, reference, n=2) == 1
    assert ngram_overlap(texts, ["oil prices", "rose sharply"], n=3) == 0  # not across two texts


@pytest.mark.parametrize("figure", [length_distance, label_distance, ngram_overlap])
def test_nothing_is_compared_with_nothing(figure):
    with pytest.raises(MetricError, match="reference"):
        figure(["a"], [])
    with pytest.raises(MetricError, match="corpus"):
        figure([], ["a"])


def test_mauve_is_near_one_for_one_source_and_near_zero_for_two():
    one, again, far = (RNG.normal(size=(300, 16)) for _ in range(3))
    far = np.abs(far) @ np.diag([*[-9] * 8, *[9] * 8]) - 5
    assert mauve(one, one) == pytest.approx(1)
    assert mauve(one, again) > 0.9
    assert mauve(one, far) < 0.05


def test_mauve_falls_with_either_kind_of_error():
    """Half of the corpus is what the reference never says; half of the reference is what the corpus never says."""
    centres = np.eye(12)[RNG.integers(6, size=400)] + RNG.normal(scale=0.02, size=(400, 12))
    strange = np.where(np.arange(400)[:, None] % 2, centres, np.roll(centres, 6, axis=1))
    whole = mauve(centres, centres[::-1])
    for one, other in ((strange, centres), (centres, strange)):
        assert 0.05 < mauve(one, other) < whole - 0.2
    assert mauve(strange, centres) == pytest.approx(mauve(centres, strange), abs=0.05)


def test_the_frontier_by_hand():
    """Disjoint histograms: R = w P + (1 - w) Q gives KL(P|R) = -log w, so the curve is ((1 - w)^c, w^c)."""
    weights = np.linspace(0, 1, 100_001)
    expected = np.trapezoid(weights**5, (1 - weights) ** 5) * -1
    assert frontier_area(np.array([1.0, 0.0]), np.array([0.0, 1.0])) == pytest.approx(expected, rel=0.01)
    assert frontier_area(np.array([0.3, 0.7]), np.array([0.3, 0.7])) == pytest.approx(1)


def test_mauve_of_texts_that_are_all_the_same():
    same = np.ones((20, 4))
    assert mauve(same, same) == 1
    few = np.eye(4)[np.arange(40) % 2]  # fewer points than clusters
    assert mauve(few, few) == pytest.approx(1)


def test_frechet_distance_of_gaussians_is_the_formula():
    size = 20_000  # enough that shrinkage is nothing
    ours = RNG.normal(size=(size, 3)) @ np.diag([1, 2, 3])
    theirs = RNG.normal(size=(size, 3)) @ np.array([[1, 0.5, 0], [0, 1, 0], [0.2, 0, 2]]) + 1
    one, other = (np.cov(side, rowvar=False) for side in (ours, theirs))
    apart = ours.mean(0) - theirs.mean(0)
    expected = apart @ apart + np.trace(one + other - 2 * scipy.linalg.sqrtm(one @ other).real)
    assert frechet_distance(ours, theirs) == pytest.approx(expected, rel=1e-2)


def test_frechet_distance_is_sound_with_fewer_texts_than_dimensions():
    ours, theirs = (RNG.normal(size=(40, 384)) / math.sqrt(384) for _ in range(2))
    assert frechet_distance(ours, ours) == pytest.approx(0, abs=1e-9)
    near, far = frechet_distance(ours, theirs), frechet_distance(ours, theirs + 0.1)
    assert 0 < near < far
    assert frechet_distance(ours, theirs) == pytest.approx(frechet_distance(theirs, ours), rel=1e-9)
    constant = np.ones((5, 384))
    assert frechet_distance(constant, constant + 1) == pytest.approx(384)


def test_nearest_neighbour_similarity_by_hand():
    theirs = np.array([[1.0, 0.0], [0.0, 2.0]])
    ours = np.array([[3.0, 0.0], [1.0, 1.0], [-1.0, 0.0]])
    assert nearest_neighbour_similarity(ours, theirs) == pytest.approx((1 + math.sqrt(0.5) + 0) / 3)
    many = RNG.normal(size=(2_500, 4))  # more than are compared at once
    assert nearest_neighbour_similarity(many, many) == pytest.approx(1)


@pytest.mark.parametrize("figure", [mauve, frechet_distance, nearest_neighbour_similarity])
def test_vectors_that_cannot_be_compared_are_refused(figure):
    good = RNG.normal(size=(5, 3))
    for bad, what in (
        (good[:1], "at least two"),
        (good[:, :2], "dimensions"),
        (np.where(good > 0, good, np.nan), "not finite"),
    ):
        with pytest.raises(MetricError, match=what):
            figure(good, bad)
