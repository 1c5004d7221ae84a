"""The histogram mechanism: the exact sampler against its law, the sensitivity, and the refusals."""

from __future__ import annotations

import math
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from scipy import signal, stats

from dpsynth_assets.contract.budget import Budget
from dpsynth_assets.privacy.histogram import HistogramPlan, discrete_laplace
from dpsynth_assets.releases.terms import ReleaseTerms

CELLS = (("card", "safe"), ("card", "unsafe"), ("loan", "safe"))


def plan(max_records: int = 2, scale: float = 4.0) -> HistogramPlan:
    return HistogramPlan(CELLS, max_records, scale, max_records / scale, "customer", "add_or_remove_one_unit")


@pytest.mark.parametrize("scale", [Fraction(1, 2), Fraction(4), Fraction(524_288, 65_536) + Fraction(1, 65_536)])
def test_discrete_laplace_follows_its_law(scale):
    draws = 20_000
    sample = Counter(discrete_laplace(scale) for _ in range(draws))
    law = stats.dlaplace(float(1 / scale))
    reach = int(law.ppf(1 - 20 / draws))  # cells that expect at least some twenty draws
    support = range(-reach, reach + 1)
    observed = [sample[x] for x in support]
    expected = [float(law.pmf(x)) * draws for x in support]
    observed.append(draws - sum(observed))
    expected.append(draws - sum(expected))
    assert stats.chisquare(observed, expected).pvalue > 1e-6


def test_the_scale_is_never_below_sensitivity_over_epsilon():
    class Contract:
        class privacy:  # noqa: N801 - stands for an attribute
            class unit:  # noqa: N801
                name = "customer"
                max_records = 3
                neighbouring_relation = "add_or_remove_one_unit"

            budget = Budget(epsilon=7.0, delta=1e-6)

    made = HistogramPlan.of(Contract, ReleaseTerms(share=0.1), CELLS)
    assert Fraction(made.scale) * Fraction(0.7000000000000001) >= 3
    assert made.scale == pytest.approx(3 / 0.7, rel=1e-4)
    assert made.event().scale == made.scale
    assert made.event().sensitivity == 3


def test_a_large_histogram_is_near_the_truth_and_never_negative():
    labels = [CELLS[0]] * 1000
    units = [str(i // 2) for i in range(1000)]
    released = plan().release(labels, units)
    assert set(released) == set(CELLS)
    assert min(released.values()) >= 0
    # P(|noise| > 4 x 40) < exp(-40)
    assert abs(released[CELLS[0]] - 1000) < 160


def test_labels_outside_the_public_cells_are_not_counted():
    released = [plan(scale=0.05).release([("other", "safe")] * 50, [str(i) for i in range(50)]) for _ in range(20)]
    assert sum(sum(counts.values()) for counts in released) < 50


def test_a_unit_over_its_bound_is_refused():
    with pytest.raises(ValueError, match="max_records"):
        plan(max_records=2).release([CELLS[0]] * 3, ["a", "a", "a"])


def test_the_released_distribution_bounds_the_likelihood_ratio_of_neighbours():
    """Empirical epsilon of one cell, on neighbours that differ by a unit of two records, is the declared one."""
    draws, scale = 40_000, Fraction(4)
    with_unit = Counter(2 + discrete_laplace(scale) for _ in range(draws))
    without = Counter(discrete_laplace(scale) for _ in range(draws))
    threshold = 3
    p = sum(n for x, n in with_unit.items() if x >= threshold) / draws
    q = sum(n for x, n in without.items() if x >= threshold) / draws
    slack = 5 * math.sqrt(1 / (p * draws) + 1 / (q * draws))
    assert math.log(p / q) < 2 / 4 + slack
    assert math.log(p / q) > 2 / 4 - slack  # and the mechanism spends what it says: it is not over-noised either


@pytest.mark.parametrize("cells", [1, 2, 7, 50])
@pytest.mark.parametrize("scale", [0.5, 4.0, 20.0])
@pytest.mark.parametrize("probability", [1e-2, 1e-6])
def test_the_noise_of_all_counts_stays_within_its_margin(cells, scale, probability):
    """By the exact law of the sum, and of the sum of what is released of empty cells: their laws convolved."""
    made, reach = plan(scale=scale), round(40 * scale) + 1
    law = stats.dlaplace(1 / scale).pmf(np.arange(-reach, reach + 1))
    released = np.concatenate([[law[: reach + 1].sum()], law[reach + 1 :]])  # zero in place of a negative count
    for one, least, bound in (
        (law, -reach, made.margin(cells, probability)),
        (released, 0, made.of_nobody(cells, probability)),
    ):
        total = np.ones(1)
        for _ in range(cells):
            total = signal.fftconvolve(total, one)
        values = cells * least + np.arange(len(total))
        assert total[values > bound].sum() <= probability + 1e-9  # the transform's rounding
