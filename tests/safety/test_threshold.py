"""Thresholds: what they promise holds as often as they say, on made-up worlds where the truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom, norm

from dpsynth_assets.classify.errors import ClassifierError
from dpsynth_assets.safety.threshold import Bound, Rows, Targets, choose

pytestmark = pytest.mark.slow

SHIFT = 2.5  # between safe and unsafe scores, in standard deviations


def world(n: int, rng: np.random.Generator, share: float = 0.3, shift: float = SHIFT) -> Rows:
    """Normal scores, brought into [0, 1] by an increasing function."""
    unsafe = rng.random(n) < share
    return Rows(norm.cdf(rng.normal(size=n) + shift * unsafe - shift / 2), unsafe)


def truth(threshold: float, share: float = 0.3, shift: float = SHIFT) -> tuple[float, float]:
    """The world's precision and recall at a threshold."""
    score = norm.ppf(threshold)
    recall, false = norm.sf(score, shift / 2), norm.sf(score, -shift / 2)
    return share * recall / (share * recall + (1 - share) * false), recall


def failures(targets: Targets, worlds: int, n: int, **world_options: float) -> tuple[int, int]:
    """In how many worlds one of the two promises is broken, and in how many something is blocked."""
    broken = blocking = 0
    for seed in range(worlds):
        rng = np.random.default_rng(seed)
        found = choose(world(n, rng, **world_options), world(2 * n, rng, **world_options), targets)
        precise = found.block is None or truth(found.block, **world_options)[0] >= targets.precision
        complete = truth(found.review, **world_options)[1] >= targets.recall
        broken += not (precise and complete)
        blocking += found.block is not None
    return broken, blocking


@pytest.mark.parametrize(
    ("targets", "options"),
    [
        (Targets(precision=0.9, recall=0.9, confidence=0.8), {}),
        (Targets(precision=0.8, recall=0.95, confidence=0.6), {}),
        (Targets(precision=0.9, recall=0.8, confidence=0.8), {"share": 0.15, "shift": 3.0}),
    ],
)
def test_both_promises_together_are_broken_no_more_often_than_stated(targets, options):
    """Low confidences, so that a bound that does not hold shows in few worlds."""
    worlds = 100
    broken, blocking = failures(targets, worlds, 400, **options)
    assert blocking > worlds / 2, "a rule that never blocks promises nothing worth testing"
    assert broken <= binom.ppf(0.999, worlds, 1 - targets.confidence)


def test_a_world_in_which_every_candidate_is_a_little_wrong():
    """Scores that mean nothing, and a target a hair above what any threshold has. Whoever takes a candidate because its
    own bound holds is wrong far too often, among so many; the fixed order is not."""
    target, level, worlds = 0.31, 0.1, 100
    ours = naive = 0
    for seed in range(worlds):
        rng = np.random.default_rng(seed)
        calibration, certification = (Rows(rng.random(n), rng.random(n) < 0.3) for n in (150, 300))
        ours += choose(calibration, certification, Targets(target, 0.5, 1 - 2 * level)).block is not None
        naive += any(certification.precision(t, level).low >= target for t in np.unique(certification.probabilities))
    allowed = binom.ppf(0.999, worlds, level)
    assert ours <= allowed
    assert naive > allowed


def test_more_rows_find_more():
    targets = Targets()
    few, many = (
        [choose(world(n, rng), world(2 * n, rng), targets) for rng in map(np.random.default_rng, range(10))]
        for n in (150, 5_000)
    )
    optimum = max(truth(t)[1] for t in np.linspace(0.5, 0.999, 500) if truth(t)[0] >= targets.precision)

    def found(all_: list) -> float:
        return float(np.mean([truth(each.block)[1] if each.block is not None else 0.0 for each in all_]))

    assert found(few) < found(many)
    assert found(many) > 0.85 * optimum


def test_a_classifier_that_knows_nothing_never_blocks_and_lets_little_pass():
    for seed in range(20):
        rng = np.random.default_rng(seed)
        parts = [Rows(rng.random(400), rng.random(400) < 0.3) for _ in range(2)]
        found = choose(*parts, Targets(confidence=0.999))
        assert found.block is None
        assert found.review <= 0.1, "nine in ten unsafe texts are at or above it, wherever they lie"


def test_few_rows_certify_nothing_even_if_all_are_right():
    rows = Rows(np.array([0.1] * 30 + [0.9] * 30), np.array([False] * 30 + [True] * 30))
    found = choose(rows, rows, Targets(precision=0.95, recall=0.95, confidence=0.95))
    assert found.block is None, "30 right of 30 are compatible with 88 % precision"
    assert found.review == 0.0
    assert found.precision == Bound(30, 30, pytest.approx(0.025 ** (1 / 30)))


def test_a_perfect_classifier_with_many_rows_leaves_nothing_to_review():
    rows = Rows(np.array([0.1] * 200 + [0.9] * 200), np.array([False] * 200 + [True] * 200))
    found = choose(rows, rows, Targets())
    assert found.block == found.review == pytest.approx(0.5)
    assert found.recall.right == found.recall.n == 200


def test_a_bound_is_clopper_and_pearsons():
    rows = Rows(np.linspace(0.5, 1, 100), np.arange(100) >= 7)
    bound = rows.precision(0.5, 0.05)
    assert (bound.right, bound.n) == (93, 100)
    assert binom.sf(92, 100, bound.low) == pytest.approx(0.05)


def test_unusable_rows_are_refused():
    fine = Rows(np.array([0.1, 0.9]), np.array([False, True]))
    with pytest.raises(ClassifierError, match="1 certification rows are all of one kind"):
        choose(fine, Rows(np.array([0.5]), np.array([True])), Targets())
    for probabilities in ([0.1, float("nan")], [0.1, 1.1], [0.1]):
        with pytest.raises(ClassifierError):
            Rows(np.array(probabilities), np.array([False, True]))
    for wrong in ({"precision": 1.0}, {"recall": 0.0}, {"confidence": float("nan")}):
        with pytest.raises(ValueError, match="strictly between"):
            Targets(**wrong)
