"""Attacks on who was trained on, where the truth is known."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from benchmarks import attacks
from benchmarks.attacks import auc, by_unit, caught, estimated, holdout_test, ngram_losses, ngrams, shared_ngrams


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_scores_that_separate_everybody_win_and_are_still_uncertain(rng):
    members, holdout = rng.uniform(1, 2, 200), rng.uniform(0, 1, 200)
    for figure in (auc, caught):
        found = estimated(figure, members, holdout, rng)
        assert found.value == found.high == 1
        assert 0.95 < found.low < 1


def test_the_wrong_way_round_is_no_win(rng):
    members, holdout = rng.uniform(0, 1, 200), rng.uniform(1, 2, 200)
    assert auc(members, holdout) == 0
    found = estimated(caught, members, holdout, rng)
    assert found.value == found.low == 0
    assert 0 < found.high < 0.05


def test_scores_that_know_nothing_are_a_coin(rng):
    found = estimated(auc, rng.normal(size=800), rng.normal(size=800), rng)
    assert found.low < 0.5 < found.high
    assert found.high - found.low < 0.1
    found = estimated(caught, rng.normal(size=800), rng.normal(size=800), rng)
    assert found.low < attacks.FALSE_ALARMS < found.high


def test_the_area_is_that_of_all_pairs_and_ties_count_half(rng):
    members, holdout = rng.integers(0, 5, 30), rng.integers(0, 5, 40)
    pairs = [1.0 if m > h else 0.5 if m == h else 0.0 for m in members for h in holdout]
    assert auc(members, holdout) == pytest.approx(np.mean(pairs))


def test_ties_never_raise_more_false_alarms_than_are_allowed():
    holdout = np.array([1.0] * 50 + [0.0] * 50)
    assert caught(np.ones(10), holdout) == 0
    assert caught(np.full(10, 2.0), holdout) == 1


@pytest.mark.parametrize(
    ("figure", "truth"), [(auc, norm.cdf(1 / sqrt(2))), (caught, norm.sf(norm.isf(attacks.FALSE_ALARMS) - 1))]
)
def test_intervals_hold_the_truth_about_as_often_as_they_say(figure, truth, rng, monkeypatch):
    monkeypatch.setattr(attacks, "RESAMPLES", 200)
    intervals = [estimated(figure, rng.normal(1, size=1000), rng.normal(size=1000), rng) for _ in range(100)]
    assert (
        sum(each.low <= truth <= each.high for each in intervals) >= 87
    )  # 95 is usual; fewer than 87 by chance in 0.05 %


def test_a_unit_has_the_mean_of_its_records():
    records = pd.DataFrame({"unit": list("abba"), "member": [True, False, False, True]})
    members, holdout = by_unit(records, np.array([1.0, 2.0, 4.0, 2.0]))
    assert members.tolist() == [1.5]
    assert holdout.tolist() == [3.0]


def test_a_copied_text_is_found_by_its_ngrams():
    copied, other = "My card was stolen on the bus today", "Where can I see my card and its fees?"
    table = ["Hello! my card was stolen on the bus today, help", "the fees are too high"]
    assert shared_ngrams([copied, other, "no"], table).tolist() == [1, 0, 0]
    half = shared_ngrams(["my card was lost"], ["my card was found"])
    assert half == pytest.approx([1 / 3])  # of two trigrams and one of four words
    assert len(ngrams("a b c d")) == 3


def test_a_copied_text_is_likelier_by_the_ngram_model_of_the_table(rng):
    texts = [list(rng.integers(1, 50, 12)) for _ in range(40)]
    found = ngram_losses(texts, texts[:20], bos=0, vocabulary=50)
    assert found[:20].max() < found[20:].min()


def members_and_holdout(units: int, each: int, rng) -> pd.DataFrame:
    member = rng.permutation(units) < units // 2
    return pd.DataFrame({"unit": np.repeat(np.arange(units), each), "member": np.repeat(member, each)})


def test_rows_near_members_are_told_from_rows_near_anybody(rng):
    records = members_and_holdout(100, 2, rng)
    of_members = np.flatnonzero(records["member"])
    found = holdout_test(rng.choice(of_members, 300), records, rng)
    assert (found.share, found.expected) == (1, 0.5)
    assert found.p < 0.001
    assert holdout_test(rng.choice(len(records), 300), records, rng).p > 0.01


def test_rows_that_crowd_around_a_few_people_are_no_evidence(rng, monkeypatch):
    """A test that takes rows for independent would reject nearly always."""
    monkeypatch.setattr(attacks, "PERMUTATIONS", 200)
    p = []
    for _ in range(200):
        records = members_and_holdout(40, 1, rng)
        p.append(holdout_test(rng.choice(rng.integers(0, 40, 3), 500), records, rng).p)
    assert np.mean(np.array(p) <= 0.05) <= 0.12
