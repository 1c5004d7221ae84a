"""Distances to the table: how often chance alone is taken for drift, and that what differs is found."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse
from scipy.stats import ks_2samp

from dpsynth_assets.contract.monitoring import LABELS, LENGTHS, VECTORS, WORDS
from dpsynth_assets.monitoring.comparison import TOO_FAR, Texts, compare, judge
from dpsynth_assets.monitoring.distances import Deals, word_counts
from dpsynth_assets.monitoring.page import CANNOT_BE_TOLD, outcome, sentence

WORDS_OF = ("card", "loan", "bank", "please", "help", "lost", "fee", "pay", "today", "where", "my", "the")
TRIALS, LEVEL = 100, 0.1


def side(rng: np.random.Generator, size: int, *, labels=(0.5, 0.3, 0.2), longer: int = 0, moved: float = 0.0) -> Texts:
    """Texts of words drawn one by one, with labels and vectors that say nothing of them."""
    texts = [" ".join(rng.choice(WORDS_OF, rng.integers(4, 12) + longer)) for _ in range(size)]
    vectors = rng.normal(size=(size, 6)) + np.array([moved, 0, 0, 0, 0, 0])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    values = list(rng.choice(["a", "b", "c"], size, p=labels))
    return Texts(texts, {"kind": values}, vectors)


ALLOWED = {(LABELS, "kind"): 0.0, (LENGTHS, "text"): 0.0, (WORDS, "text"): 0.0, (VECTORS, "text"): 0.0}


@pytest.fixture(scope="module")
def alike():
    """Of many batches of 50 that are like a table of 300: what is called drift where nothing at all is allowed."""
    rng = np.random.default_rng(7)
    found = []
    for _ in range(TRIALS):
        distances = compare(side(rng, 50), side(rng, 300), "text", LEVEL).distances
        found.append((judge(distances, ALLOWED, ALLOWED), distances))
    return found


@pytest.mark.slow
def test_a_batch_that_is_like_the_table_is_called_drifted_no_more_often_than_is_said(alike) -> None:
    alarms = sum(any(each["drifted"] for each in statistics) for statistics, _ in alike)
    deviation = (TRIALS * LEVEL * (1 - LEVEL)) ** 0.5
    assert alarms <= TRIALS * LEVEL + 3 * deviation


@pytest.mark.slow
@pytest.mark.parametrize("key", [(LENGTHS, "text"), (WORDS, "text"), (VECTORS, "text")])
def test_p_values_of_such_batches_are_spread_evenly(alike, key) -> None:
    """A test that never rejects keeps its level too: of p-values that are spread evenly half are below a half."""
    p_values = np.array([distances[key].p_value for _, distances in alike])
    assert abs((p_values <= 0.5).mean() - 0.5) <= 3 * (0.25 / TRIALS) ** 0.5 + 0.05  # lengths have ties
    assert p_values.min() < 0.1


@pytest.mark.parametrize(
    ("changed", "key"),
    [
        ({"labels": (0.1, 0.2, 0.7)}, (LABELS, "kind")),
        ({"longer": 6}, (LENGTHS, "text")),
        ({"moved": 2.0}, (VECTORS, "text")),
    ],
)
def test_what_differs_is_found_and_nothing_else(changed, key) -> None:
    rng = np.random.default_rng(1)
    table, batch = side(rng, 300), side(rng, 200, **changed)
    statistics = judge(compare(batch, table, "text", 0.01).distances, dict.fromkeys(ALLOWED, 0.1), ALLOWED)
    assert [(each["expectation"], each["column"]) for each in statistics if each["drifted"]] == [key]


def test_other_words_are_found_and_named() -> None:
    rng = np.random.default_rng(1)
    table, batch = side(rng, 300), side(rng, 200)
    batch = Texts([text.replace("loan", "mortgage") for text in batch.texts], batch.labels, batch.vectors)
    found = compare(batch, table, "text", 0.01)
    assert not found.distances[WORDS, "text"].is_chance
    assert found.shown["words"][0]["word"] == "mortgage"
    assert "loan" in [each["word"] for each in found.shown["words"] if each["batch"] < each["table"]]


def test_what_is_within_the_tables_own_error_is_no_drift() -> None:
    rng = np.random.default_rng(1)
    table, batch = side(rng, 300), side(rng, 200, longer=6)
    distances = compare(batch, table, "text", 0.01).distances
    key, usual = (LENGTHS, "text"), dict.fromkeys(ALLOWED, 0.05)
    own = {key: distances[key].size - 0.04}
    assert not any(each["drifted"] for each in judge(distances, usual, own))
    assert any(each["drifted"] for each in judge(distances, usual, {key: distances[key].size - 0.06}))
    assert not any(each["drifted"] for each in judge(distances, usual, {})), "nothing is known of its own error yet"


def test_distances_are_those_of_the_literature() -> None:
    rng = np.random.default_rng(3)
    deals = Deals(40, 60, 0.05)
    lengths = rng.integers(1, 30, 100)
    assert deals.of_lengths(lengths).observed == pytest.approx(ks_2samp(lengths[:40], lengths[40:]).statistic)
    assert deals.of_labels(["a"] * 40 + ["b"] * 60).observed == pytest.approx(1)
    assert deals.of_labels(["a"] * 20 + ["b"] * 20 + ["b"] * 60).observed == pytest.approx(0.5)
    vectors = np.repeat(np.eye(2), [40, 60], axis=0)
    assert deals.of_vectors(vectors).observed == pytest.approx(1), "each side is one point, and they are apart"
    assert deals.of_vectors(np.ones((100, 2))).observed == 0
    own = scipy.sparse.csr_matrix(np.repeat(np.eye(2), [40, 60], axis=0))
    assert deals.of_words(own).observed == pytest.approx(1)


def test_the_size_does_not_grow_as_a_batch_gets_smaller() -> None:
    """What is observed does, since small samples are far apart by chance."""
    rng = np.random.default_rng(5)
    table = side(rng, 300)
    small, large = (
        [compare(side(rng, size, moved=1.0), table, "text", 0.05).distances[VECTORS, "text"] for _ in range(4)]
        for size in (25, 300)
    )
    assert np.mean([each.observed for each in small]) > np.mean([each.observed for each in large])
    assert np.mean([each.size for each in small]) == pytest.approx(np.mean([each.size for each in large]), abs=0.05)


def test_words_of_a_single_text_are_not_named_and_no_text_is_empty() -> None:
    counts, names = word_counts(["lost card", "lost loan", "...", "Miller"])
    assert names == ["lost", ""]
    assert counts.toarray().tolist() == [[1, 1], [1, 1], [0, 1], [0, 1]]


def test_where_the_table_is_far_from_texts_without_drift_it_is_not_said_that_nothing_differs() -> None:
    rng = np.random.default_rng(1)
    table, batch = side(rng, 300), side(rng, 200)
    own = {(LABELS, "kind"): 0.0, (LENGTHS, "text"): 0.559, (WORDS, "text"): 0.731, (VECTORS, "text"): TOO_FAR}
    statistics = judge(compare(batch, table, "text", 0.01).distances, dict.fromkeys(ALLOWED, 0.1), own)
    assert [each["told"] for each in statistics] == [True, False, False, True]
    assert [outcome(each) for each in statistics] == ["no drift", CANNOT_BE_TOLD, CANNOT_BE_TOLD, "no drift"]
    said = sentence({"statistics": statistics, "verdict": "cannot be told"})
    assert said == f"No drift in labels (kind), meaning. Whether texts differ in lengths, words {CANNOT_BE_TOLD}."


def test_what_allows_all_distances_tells_nothing_and_drift_is_said_of_a_far_table_too() -> None:
    rng = np.random.default_rng(1)
    distances = compare(side(rng, 200, labels=(0, 0, 1)), side(rng, 300), "text", 0.01).distances
    key = (LABELS, "kind")
    [drifted] = judge({key: distances[key]}, {key: 0.1}, {key: 0.4})
    assert (outcome(drifted), sentence({"statistics": [drifted]})) == ("drift", "Drift in labels (kind).")
    [all_allowed] = judge({key: distances[key]}, {key: 1.0}, {key: 0.0})
    assert sentence({"statistics": [all_allowed]}) == f"Whether texts differ in labels (kind) {CANNOT_BE_TOLD}."
