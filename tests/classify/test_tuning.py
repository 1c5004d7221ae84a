"""Ranking settings on synthetic rows and on real ones, with recipes whose accuracy is known beforehand."""

from dataclasses import dataclass

import numpy as np
import pytest

from dpsynth_assets.classify.errors import ClassifierError
from dpsynth_assets.classify.recipes import RECIPES, CnnRecipe
from dpsynth_assets.classify.tuning import SWEEPS, Judged, Ranking, rank

CLASSES = ("a", "b")
SYNTHETIC = [f"synthetic {i}" for i in range(50)], [CLASSES[i % 2] for i in range(50)]
PUBLIC = [f"real {i}" for i in range(40)], [CLASSES[i % 2] for i in range(40)]


@dataclass(frozen=True)
class Told:
    """Right for a given share of synthetic and of real texts."""

    synthetic: float
    real: float
    seen: list

    def train(self, training_set, seed, *, encoder=None, progress=None, provenance=None):
        self.seen.append((tuple(training_set.texts), seed))
        return self

    classes = CLASSES

    def predict_proba(self, texts):
        share = self.real if texts[0].startswith("real") else self.synthetic
        truth = np.array([int(text.split()[-1]) % 2 for text in texts])
        said = np.where(np.arange(len(texts)) < share * len(texts), truth, 1 - truth)
        return np.eye(2)[said]


def told(*pairs):
    return {f"c{i}": Told(synthetic, real, []) for i, (synthetic, real) in enumerate(pairs)}


def test_the_order_is_compared_and_the_choice_is_made_on_synthetic_rows():
    ranking = rank(told((0.9, 0.7), (0.6, 0.6), (1.0, 0.65), (0.3, 0.2)), SYNTHETIC, PUBLIC, CLASSES, [0])
    assert [each.name for each in ranking.candidates] == ["c2", "c0", "c1", "c3"]
    assert ranking.correlation == pytest.approx(0.8)  # two of four have changed places
    assert ranking.chosen.name == "c2"
    assert ranking.regret == pytest.approx(0.05)
    assert "0.80" in ranking.markdown()
    assert "5.0 points below" in ranking.markdown()


@pytest.mark.parametrize(("pairs", "correlation"), [([(0.2, 0.9), (0.9, 0.2)], -1), ([(0.2, 0.1), (0.9, 0.7)], 1)])
def test_opposite_and_equal_orders(pairs, correlation):
    assert rank(told(*pairs), SYNTHETIC, PUBLIC, CLASSES, [0]).correlation == pytest.approx(correlation)


def test_candidates_that_are_not_told_apart_have_no_order():
    ranking = rank(told((0.5, 0.1), (0.5, 0.9)), SYNTHETIC, PUBLIC, CLASSES, [0])
    assert ranking.correlation is None
    assert "all do alike" in ranking.markdown()


def test_no_candidate_sees_the_rows_it_is_judged_by_and_all_see_the_same():
    candidates = told((0.5, 0.5), (0.7, 0.7))
    steps = []
    rank(candidates, SYNTHETIC, PUBLIC, CLASSES, [0, 1], progress=lambda *step: steps.append(step))
    first, second = (candidate.seen for candidate in candidates.values())
    assert first == second
    assert [seed for _, seed in first] == [0, 1]
    assert all(len(texts) == 40 and set(texts) < set(SYNTHETIC[0]) for texts, _ in first)
    assert first[0][0] != first[1][0], "another seed, another cut"
    assert steps == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_one_candidate_is_no_ranking():
    with pytest.raises(ClassifierError, match="two candidates"):
        rank(told((1, 1)), SYNTHETIC, PUBLIC, CLASSES, [0])


def test_every_kind_has_a_sweep_of_distinct_settings():
    assert SWEEPS.keys() == RECIPES.keys()
    for sweep in SWEEPS.values():
        assert len(set(sweep.values())) == len(sweep) >= 5


def test_real_recipes_are_ranked_too():
    """A learning rate at which nothing is learned comes last on both kinds of rows."""
    words = {"a": "good fine bright", "b": "bad poor dark"}
    rows = [f"{words[CLASSES[i % 2]].split()[i % 3]} thing number {i}" for i in range(120)], PUBLIC[1] * 3
    quick = {"dimension": 16, "filters": 8, "epochs": 15}
    sweep = {"none": CnnRecipe(1e-9, 0.0, **quick), "some": CnnRecipe(1e-2, 0.0, **quick)}
    ranking = rank(sweep, rows, (rows[0][:40], rows[1][:40]), CLASSES, [0])
    assert ranking.chosen == Judged("some", ranking.chosen.on_synthetic, ranking.chosen.on_real)
    assert ranking.correlation == pytest.approx(1)
    assert isinstance(ranking, Ranking)
