"""What a safety classifier is trained on and judged by; calibration; spelling tricks; functional tests; figures."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest
from scipy.special import expit

from dpsynth_assets.classify import functional, safety_figures
from dpsynth_assets.classify.calibration import fit
from dpsynth_assets.classify.errors import ClassifierError
from dpsynth_assets.classify.spelling import TRICKS, disguised
from dpsynth_assets.classify.threshold import Bound, Rows, Targets, Thresholds
from dpsynth_assets.classify.training_rows import Additions, halves, labelled, prepare


def rows(n: int, word: str = "text", share: int = 3):
    return labelled(
        [f"{word} {i} is here" for i in range(n)], ["bad" if i % share == 0 else "fine" for i in range(n)], "bad"
    )


def test_a_text_stands_once_and_contradictions_are_left_out():
    found = labelled(["a", "b", "a", "c", "b"], ["bad", "fine", "bad", "fine", "bad"], "bad")
    assert (found.texts, found.unsafe.tolist(), found.labels) == (["a", "c"], [True, False], ["unsafe", "safe"])


def test_no_text_is_on_two_sides():
    made = prepare(rows(300), seed=1)
    parts = [set(part.texts) for part in (made.train, made.calibration, made.certification)]
    assert sum(map(len, parts)) == len(set.union(*parts)) == 300
    assert len(made.certification) == pytest.approx(2 * len(made.calibration), abs=2)
    for part in (made.train, made.calibration, made.certification):
        assert part.unsafe.mean() == pytest.approx(1 / 3, abs=0.03)


def test_public_rows_to_validate_on_take_none_of_the_synthetic_ones():
    synthetic = rows(100)
    public = labelled([*synthetic.texts[:10], *rows(80, "public").texts], ["bad", "fine"] * 45, "bad")
    made = prepare(synthetic, seed=0, validation=public)
    assert set(made.validation.texts) == set(public.texts)
    assert set(made.train.texts) == set(synthetic.texts[10:])


def test_mixed_rows_are_trained_on_and_never_judged_by():
    synthetic, mix = rows(100), rows(50, "mixed")
    made = prepare(synthetic, seed=0, mix=mix)
    assert set(mix.texts) <= set(made.train.texts)
    assert not set(mix.texts) & set(made.validation.texts)
    again = prepare(synthetic, seed=0, mix=synthetic)
    assert not set(again.train.texts) & set(again.validation.texts), "nor do they bring a validation text back"


def test_filtering_leaves_out_what_the_other_rows_contradict():
    class Words:
        def encode(self, texts, progress=None):
            return np.array([[float("idiot" in text), float("thanks" in text)] for text in texts])

    texts = [f"you idiot {i}" for i in range(60)] + [f"many thanks {i}" for i in range(60)]
    truth = ["bad"] * 60 + ["fine"] * 60
    truth[3], truth[80] = "fine", "bad"
    synthetic, public = labelled(texts, truth, "bad"), rows(60, "public")
    kept = prepare(synthetic, seed=0, validation=public, filtering=True, encoder=Words()).train
    assert set(synthetic.texts) - set(kept.texts) == {texts[3], texts[80]}


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


def test_augmentation_adds_each_text_once_more_under_its_label():
    made = prepare(rows(100), seed=0, augmentation=True)
    plain = prepare(rows(100), seed=0)
    assert made.train.texts[: len(plain.train)] == plain.train.texts
    added = made.train.at(range(len(plain.train), len(made.train)))
    assert len(added) > 0.9 * len(plain.train)
    by_text = dict(zip((disguised(text, 0) for text in plain.train.texts), plain.train.unsafe, strict=True))
    assert all(by_text[text] == unsafe for text, unsafe in zip(added.texts, added.unsafe, strict=True))
    assert set(made.validation.texts) == set(plain.validation.texts)


def test_a_teacher_reads_training_rows_only_and_its_word_holds_of_their_copies():
    synthetic, mix, read = rows(100), rows(50, "mixed"), []

    def teacher(given):
        read.extend(given.texts)
        return np.where(given.unsafe, 0.8, 0.3)

    made = prepare(synthetic, seed=0, mix=mix, augmentation=True, teacher=teacher)
    assert set(read) == set(synthetic.texts) - set(made.validation.texts)
    targets = made.targets
    assert targets.shape == (len(made.train), 2)
    np.testing.assert_allclose(targets.sum(axis=1), 1)
    for text, unsafe, (_, chance) in zip(made.train.texts, made.train.unsafe, targets, strict=True):
        taught = set(read) | {disguised(each, 0) for each in read}
        assert chance == pytest.approx((0.8 if unsafe else 0.3) if text in taught else float(unsafe))
    assert prepare(synthetic, seed=0).targets is None


def test_too_few_rows_say_so_without_quoting_one():
    with pytest.raises(ClassifierError, match="2 distinct texts in the synthetic table") as caught:
        prepare(labelled(["PRIVATE one", "PRIVATE two"], ["bad", "fine"], "bad"), seed=0)
    assert "PRIVATE" not in str(caught.value)
    with pytest.raises(ClassifierError):
        prepare(labelled([f"t {i}" for i in range(50)], ["fine"] * 50, "bad"), seed=0)


def test_halves_are_halves_and_stay_so():
    texts = [f"text {i}" for i in range(2_000)]
    first = halves(texts)
    assert 0.45 < first.mean() < 0.55
    assert (halves(texts[::-1])[::-1] == first).all()


# Calibration


def test_platt_recovers_what_was_bent():
    rng = np.random.default_rng(0)
    scores = rng.normal(size=20_000) * 3
    unsafe = rng.random(20_000) < expit(0.5 * scores - 1)
    found = fit(scores, unsafe)
    assert (found.slope, found.intercept) == (pytest.approx(0.5, abs=0.02), pytest.approx(-1, abs=0.05))


def test_separable_rows_do_not_ask_for_certainty():
    scores = np.array([-4.0] * 10 + [4.0] * 10)
    found = fit(scores, scores > 0)
    np.testing.assert_allclose(found(np.array([-4.0, 4.0])), [1 / 12, 11 / 12], atol=1e-3)


def test_the_fit_is_the_most_likely_one_however_many_rows_lie_apart():
    rng = np.random.default_rng(0)
    unsafe = rng.random(20_000) < 0.5
    scores = 50 * unsafe + rng.normal(size=20_000)
    gap = fit(scores, unsafe)(scores) - np.where(unsafe, 1 - 1 / (unsafe.sum() + 2), 1 / ((~unsafe).sum() + 2))
    assert abs(gap.mean()) < 1e-7
    assert abs((gap * scores).mean()) / scores.std() < 1e-7, "flat in the slope too"


def test_scores_that_know_nothing_or_less_are_refused():
    with pytest.raises(ClassifierError, match="no higher than safe"):
        fit(np.full(4, 2.0), np.array([False, False, True, True]))
    with pytest.raises(ClassifierError, match="no higher than safe"):
        fit(np.array([3.0, 2.0, 1.0, 0.5]), np.array([False, False, True, True]))
    with pytest.raises(ClassifierError, match="all of one kind"):
        fit(np.zeros(3), np.ones(3, dtype=bool))
    with pytest.raises(ClassifierError, match="not finite"):
        fit(np.array([np.inf, 0.0]), np.array([True, False]))


# Spelling and functional tests


@pytest.mark.parametrize("trick", TRICKS, ids=lambda trick: trick.__name__)
def test_every_trick_changes_a_word(trick):
    for word in ("stupid", "hurt", "pathetic"):
        assert trick(word, random.Random(0)) != word


def test_disguises_are_the_same_every_time():
    text = "You are a worthless idiot."
    assert disguised(text, 1) == disguised(text, 1) != text
    assert disguised("a b c", 1) == "a b c", "no word is long enough"


def thresholds(block: float | None = 0.7, review: float = 0.3) -> Thresholds:
    return Thresholds(Targets(), block, review, Bound(1, 1, 0.5), Bound(1, 1, 0.5), 1, 1, 0.5)


def test_suites_catch_classifiers_that_do_not_look():
    assert len(functional.SUITES) == 4
    names = list(functional.SUITES)
    for chance, passed, caught in ((0.0, 1.0, 0.0), (1.0, 0.0, 1.0)):
        for result in functional.run(names, lambda texts, chance=chance: np.full(len(texts), chance), thresholds()):
            assert (result["harmless_passed"], result["harmful_caught"]) == (passed, caught)
            assert 0 < result["right"] < 1
    right = {case.text: case.unsafe for suite in functional.SUITES.values() for case in suite.cases}
    for result in functional.run(names, lambda texts: np.array([float(right[t]) for t in texts]), thresholds()):
        assert result["right"] == 1


def test_a_word_list_fails_the_suites_that_are_about_context():
    def listed(texts):
        return np.array([float(any(w in t.lower() for w in ("idiot", "liar", "hurt", "disgust"))) for t in texts])

    negation, spelling = functional.run(["negation", "spelling"], listed, thresholds())
    assert negation["harmless_passed"] < 0.5
    assert spelling["harmful_caught"] < 1


# Figures


def test_figures_by_hand():
    found = Rows(np.array([0.9, 0.8, 0.75, 0.5, 0.4, 0.1, 0.05, 0.0]), np.array([1, 1, 0, 1, 0, 0, 1, 0], dtype=bool))
    figures = safety_figures.figures(found, thresholds())
    assert (figures["n"], figures["unsafe"]) == (8, 4)
    assert figures["precision"] == pytest.approx(2 / 3)
    assert figures["recall"] == 0.5
    assert (figures["blocked"], figures["reviewed"], figures["allowed"]) == (3 / 8, 2 / 8, 3 / 8)
    assert figures["missed"] == 0.25
    assert figures["precision_low"] == pytest.approx(0.0943, abs=1e-3)
    json.dumps(figures, allow_nan=False)
    nothing = safety_figures.figures(found, thresholds(block=None))
    assert nothing["precision"] is None
    assert nothing["recall"] == 0
    assert "nothing blocked" in safety_figures.table([{"classifier": "x", "trained_on": "synthetic rows", **nothing}])


def test_slices_are_of_the_rows_that_they_name():
    found = Rows(np.tile([0.9, 0.1], 20), np.tile([True, False], 20))
    topics = ["card", "loan"] * 18 + ["rare"] * 4
    slices = {each["slice"]: each for each in safety_figures.figures(found, thresholds(), {"topic": topics})["slices"]}
    assert set(slices) == {"topic: card", "topic: loan"}
    assert (slices["topic: card"]["recall"], slices["topic: card"]["n"]) == (1.0, 18)
    assert slices["topic: loan"]["precision"] is None
    assert slices["topic: loan"]["recall"] is None


def test_plots_are_drawn(tmp_path):
    found = Rows(np.array([0.9, 0.8, 0.1, 0.2]), np.array([True, False, False, True]))
    safety_figures.plot_precision_recall({"x": (found, thresholds())}, 0.95, tmp_path / "curve.png")
    safety_figures.plot_calibration({"x": found}, tmp_path / "calibration.png")
    for name in ("curve.png", "calibration.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


def test_calibration_bins_cover_every_row():
    rng = np.random.default_rng(0)
    chances = rng.random(1_000)
    bins = safety_figures.calibration_bins(Rows(chances, rng.random(1_000) < chances))
    assert sum(each["n"] for each in bins) == 1_000
    assert all(abs(each["probability"] - each["unsafe"]) < 0.15 for each in bins)
