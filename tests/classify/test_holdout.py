"""What is decided on held-out rows: the split, the weights, the temperature."""

import numpy as np
import pytest
from scipy.special import softmax

from dpsynth_assets.classify.errors import ClassifierError
from dpsynth_assets.classify.holdout import (
    class_codes,
    class_targets,
    class_weights,
    present_classes,
    split,
    temperature,
)


def test_the_split_takes_of_every_class_and_loses_no_row():
    codes = np.array([0] * 50 + [1] * 7 + [2])
    train, held_out = split(codes, 0.1, seed=3)
    assert sorted([*train, *held_out]) == list(range(len(codes)))
    assert np.bincount(codes[held_out], minlength=3).tolist() == [5, 1, 0], "a single row is trained on"
    again = split(codes, 0.1, seed=3)
    np.testing.assert_array_equal(again[1], held_out)
    assert split(codes, 0.1, seed=4)[1].tolist() != held_out.tolist()


def test_all_classes_that_occur_weigh_alike():
    codes = np.array([0] * 6 + [2] * 2)
    weights = class_weights(class_targets(codes, 4))
    sums = np.bincount(codes, weights=weights[codes], minlength=4)
    assert sums.tolist() == pytest.approx([4, 0, 4, 0])


def test_targets_weigh_as_the_rows_that_they_stand_for():
    targets = np.array([[0.75, 0.25, 0.0]] * 4)
    assert class_weights(targets).tolist() == pytest.approx([2 / 3, 2, 0])
    np.testing.assert_array_equal(class_targets(np.array([2, 0]), 3), [[0, 0, 1], [1, 0, 0]])
    for wrong, said in (
        (targets[:3], "shape"),
        (targets * 2, "add up"),
        (np.array([[-1.0, 2.0, 0.0]] * 4), "add up"),
        (np.array([[np.nan, 1.0, 0.0]] * 4), "add up"),
    ):
        with pytest.raises(ClassifierError, match=said):
            class_targets(np.zeros(4, dtype=int), 3, wrong)


@pytest.mark.parametrize("true", [0.4, 1.0, 3.0])
def test_the_temperature_that_made_the_labels_is_found(true):
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(20_000, 3)) * 2
    chances = softmax(scores / true, axis=1)
    codes = (chances.cumsum(1) > rng.random((len(scores), 1))).argmax(1)
    assert temperature(scores, class_targets(codes, 3)) == pytest.approx(true, rel=0.05)


def test_the_temperature_of_a_teacher_is_found_as_well_as_that_of_labels():
    scores = np.random.default_rng(0).normal(size=(200, 3))
    assert temperature(scores, softmax(scores / 2.5, axis=1)) == pytest.approx(2.5, rel=1e-3)


def test_certainty_is_never_asked_for():
    assert temperature(np.array([[1.0, -1.0], [-1.0, 1.0]]), np.eye(2)) >= 0.1
    assert temperature(np.empty((0, 2)), np.empty((0, 2))) == 1.0


def test_a_class_without_rows_may_have_a_score_of_minus_infinity():
    scores = np.array([[2.0, -np.inf, 0.0], [0.0, -np.inf, 2.0], [1.0, -np.inf, 0.0]])
    assert np.isfinite(temperature(scores, class_targets(np.array([0, 2, 2]), 3)))


def test_rows_that_cannot_train_are_refused_without_quoting_them():
    with pytest.raises(ClassifierError, match="1 of 2 labels") as caught:
        class_codes(["a", "PRIVATE"], ["a", "b"])
    assert "PRIVATE" not in str(caught.value)
    with pytest.raises(ClassifierError, match="distinct"):
        class_codes(["a"], ["a", "a"])
    with pytest.raises(ClassifierError, match="only 1 occurs"):
        present_classes(np.array([1, 1]), ["a", "b"])
