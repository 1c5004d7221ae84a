"""What classifiers are trained on: distinct rows, what is added to them, spelling tricks."""

from __future__ import annotations

import random

import pytest

from dpsynth_assets.classify.spelling import TRICKS, disguised
from dpsynth_assets.classify.training_rows import Additions, labelled


def rows(n: int, word: str = "text"):
    return labelled([f"{word} {i} is here" for i in range(n)], ["fine", "bad"] * (n // 2) + ["fine"] * (n % 2), "bad")


def test_a_text_stands_once_and_contradictions_are_left_out():
    found = labelled(["a", "b", "a", "c", "b"], ["bad", "fine", "bad", "fine", "bad"], "bad")
    assert (found.texts, found.unsafe.tolist(), found.labels) == (["a", "c"], [True, False], ["unsafe", "safe"])


def test_additions_come_after_the_split_and_never_bring_a_judged_text_back():
    train, judged = rows(30), rows(10, "judged")
    mix = labelled([*rows(5, "mixed").texts, *judged.texts, *train.texts[:3]], ["other"] * 18)
    made = Additions(mix, augmentation=True).to(train, judged.texts, seed=0)
    assert made.texts[:35] == [*train.texts, *mix.texts[:5]]
    assert made.labels[30:35] == ["other"] * 5, "labels are any, not only safe and unsafe"
    assert made.labels[:30] == train.labels, "a text that is there keeps its label"
    assert set(made.texts[35:]) <= {disguised(text, 0) for text in made.texts[:35]}
    assert len(made) > 60
    assert not set(made.texts) & {*judged.texts, *(disguised(text, 0) for text in judged.texts)}
    beside = Additions(mix, augmentation=True).beside(train, judged.texts, seed=0)
    assert (beside.texts, beside.labels) == (made.texts[30:], made.labels[30:])
    assert len(Additions().beside(train, [], 0)) == 0


@pytest.mark.parametrize("trick", TRICKS, ids=lambda trick: trick.__name__)
def test_every_trick_changes_a_word(trick):
    for word in ("stupid", "hurt", "pathetic"):
        assert trick(word, random.Random(0)) != word


def test_disguises_are_the_same_every_time():
    text = "You are a worthless idiot."
    assert disguised(text, 1) == disguised(text, 1) != text
    assert disguised("a b c", 1) == "a b c", "no word is long enough"
