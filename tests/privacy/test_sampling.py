"""The sampler against its declared distribution, and the cut into micro-batches."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from dpsynth_assets.privacy.randomness import SecretStream
from dpsynth_assets.privacy.sampling import PoissonSampler

# How often a test on random draws fails by chance.
CHANCE = 1e-6


@pytest.mark.parametrize("rate", [0.01, 0.3, 1.0])
def test_batch_sizes_follow_the_declared_binomial_law(rate):
    units, draws = 200, 4000
    sampler = PoissonSampler(units, rate)
    sizes = np.array([len(sampler.draw()) for _ in range(draws)])
    law = stats.binom(units, rate)
    if rate == 1.0:
        assert (sizes == units).all()
        return
    # Cells of the chi-square test: the law's deciles, so that every cell expects about a tenth of the draws.
    edges = np.unique(law.ppf(np.linspace(0.1, 0.9, 9)))
    observed = np.bincount(np.searchsorted(edges, sizes), minlength=len(edges) + 1)
    expected = np.diff([0.0, *law.cdf(edges), 1.0]) * draws
    assert stats.chisquare(observed, expected).pvalue > CHANCE


def test_each_unit_is_included_at_the_declared_rate_and_independently_of_the_others():
    units, draws, rate = 40, 5000, 0.2
    sampler = PoissonSampler(units, rate)
    included = np.zeros((draws, units))
    for row in included:
        row[sampler.draw()] = 1
    per_unit = included.sum(0)
    assert stats.binomtest(int(per_unit.max()), draws, rate).pvalue > CHANCE
    assert stats.binomtest(int(per_unit.min()), draws, rate).pvalue > CHANCE
    # Under independence the z-scores of all pairwise and all lag-one correlations are standard normal.
    correlations = np.corrcoef(included.T)[np.triu_indices(units, 1)]
    lag = [np.corrcoef(included[:-1, u], included[1:, u])[0, 1] for u in range(units)]
    for sample in (correlations, np.array(lag)):
        assert stats.kstest(sample * np.sqrt(draws), "norm").pvalue > CHANCE


def test_two_samplers_never_share_their_draws():
    first, second = PoissonSampler(1000, 0.5), PoissonSampler(1000, 0.5)
    assert first.draw().tolist() != second.draw().tolist()


# --- cyclic: one group of units a step


@pytest.mark.parametrize(("groups", "rate"), [(2, 0.3), (3, 1.0), (4, 0.1)])
def test_a_unit_is_drawn_in_its_group_s_steps_only_and_there_at_the_declared_rate(groups, rate):
    units, rounds = 60, 1500
    sampler = PoissonSampler(units, rate, groups)
    included = np.zeros((rounds, groups, units))
    for cycle in included:
        for row in cycle:
            row[sampler.draw()] = 1
    per_unit = included.sum(0)  # (groups, units)
    assert ((per_unit > 0).sum(0) == 1).all()
    counts = per_unit.sum(0)
    assert stats.binomtest(int(counts.max()), rounds, rate).pvalue > CHANCE
    assert stats.binomtest(int(counts.min()), rounds, rate).pvalue > CHANCE
    if rate < 1:
        together = np.corrcoef(included.sum(1).T)[np.triu_indices(units, 1)]
        assert stats.kstest(together * np.sqrt(rounds), "norm").pvalue > CHANCE


def test_groups_are_uniform_and_independent():
    groups, units = 4, 100_000
    sampler = PoissonSampler(units, 1.0, groups)
    group_of = np.zeros(units, dtype=int)
    for group in range(groups):
        group_of[sampler.draw()] = group
    assert stats.chisquare(np.bincount(group_of, minlength=groups)).pvalue > CHANCE
    pairs = np.bincount(group_of[:-1:2] * groups + group_of[1::2], minlength=groups**2)
    assert stats.chisquare(pairs).pvalue > CHANCE


def test_who_joins_moves_nobody_to_another_group(monkeypatch):
    """The same secret words for both: all units but the new one are in the same groups."""
    words = SecretStream().words(50)
    monkeypatch.setattr(SecretStream, "words", lambda self, count: words[:count].copy())
    without, with_ = PoissonSampler(49, 1.0, 5), PoissonSampler(50, 1.0, 5)
    for _ in range(5):
        assert set(with_.draw()) - set(without.draw()) <= {49}


def test_a_run_s_groups_are_its_own():
    assert PoissonSampler(100, 1.0, 2).draw().tolist() != PoissonSampler(100, 1.0, 2).draw().tolist()
