"""The head learns what can be learnt, is the same every time, and survives storage; its figures are right."""

import json

import numpy as np
import pytest

from dpsynth_assets.classify.errors import ClassifierError
from dpsynth_assets.classify.evaluation import evaluate, markdown, over_seeds, table
from dpsynth_assets.classify.head import Head, train_head

CLASSES = ("card", "loan", "app", "other")


def toy(n, *, classes=CLASSES[:3], seed=0, spread=0.35, dimension=16):
    """Vectors of length one around one direction per class."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(len(CLASSES), dimension))
    places = rng.integers(len(classes), size=n)
    vectors = centres[places] + rng.normal(size=(n, dimension)) * spread * np.sqrt(dimension) / 4
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float32), [classes[place] for place in places]


@pytest.fixture(scope="module")
def head():
    return train_head(*toy(300), CLASSES, seed=1, provenance={"release": "r1"})


def test_separable_classes_are_learnt_and_an_unseen_class_is_never_said(head):
    vectors, labels = toy(400, seed=7)
    figures = evaluate(head, vectors, labels)
    assert figures["accuracy"] > 0.95
    assert set(head.predict(vectors)) == set(CLASSES[:3])
    chances = head.predict_proba(vectors)
    np.testing.assert_allclose(chances.sum(axis=1), 1)
    assert (chances[:, 3] == 0).all()
    assert head.facts["classes_without_rows"] == ["other"]


def test_the_same_rows_and_seed_give_the_same_head(head):
    again = train_head(*toy(300), CLASSES, seed=1)
    np.testing.assert_array_equal(again.weights, head.weights)
    assert again.facts["strength"] == head.facts["strength"]


def test_probabilities_are_fitted_as_rows_of_both_labels_would_be():
    """Three rows of one label and one of the other, at the same place, are one row of 3/4 and 1/4, four times."""
    vectors, labels = toy(60, classes=("card", "loan"))
    other = {"card": "loan", "loan": "card"}
    repeated = np.repeat(vectors, 4, axis=0)
    spread = [name for label in labels for name in (label, label, label, other[label])]
    chances = np.array([[0.75 if name == label else 0.25 for name in ("card", "loan")] for label in labels])
    by_rows = train_head(repeated, spread, ("card", "loan"), seed=0, strengths=(1.0,))
    targets = np.repeat(chances, 4, axis=0)
    by_targets = train_head(
        repeated, np.repeat(labels, 4).tolist(), ("card", "loan"), 0, strengths=(1.0,), targets=targets
    )
    heats = [head.facts["temperature"] for head in (by_rows, by_targets)]
    np.testing.assert_allclose(by_rows.weights * heats[0], by_targets.weights * heats[1], atol=1e-3)


def test_of_many_classes_a_row_counts_for_the_likeliest_only(monkeypatch):
    """Seventy-seven copies of every row would be too many; what is left of a row still counts as one."""
    from sklearn.linear_model import LogisticRegression

    from dpsynth_assets.classify.head import _LIKELIEST

    fitted, fit = [], LogisticRegression.fit

    def noted(self, matrix, codes, sample_weight):
        fitted.append(codes)
        return fit(self, matrix, codes, sample_weight)

    monkeypatch.setattr(LogisticRegression, "fit", noted)
    names = [f"class {number}" for number in range(20)]
    vectors, _ = toy(200)
    targets = np.random.default_rng(0).dirichlet(np.ones(20), size=200)
    labels = [names[place] for place in targets.argmax(axis=1)]
    head = train_head(vectors, labels, names, seed=0, strengths=(1.0,), targets=targets)
    assert len(fitted[-1]) == 200 * _LIKELIEST
    certain = train_head(vectors, labels, names, seed=0, strengths=(1.0,))
    assert len(fitted[-1]) == 200, "a label is one class"
    assert head.predict_proba(vectors).shape == certain.predict_proba(vectors).shape == (200, 20)


def test_two_classes_in_either_order():
    vectors, labels = toy(200, classes=("card", "loan"))
    for classes in (("card", "loan"), ("loan", "card"), ("app", "loan", "card")):
        head = train_head(vectors, labels, classes, seed=0)
        assert np.mean([a == b for a, b in zip(head.predict(vectors), labels, strict=True)]) > 0.95


def test_noise_is_regularised_more_than_signal():
    vectors, labels = toy(300, dimension=64)
    shuffled = list(np.random.default_rng(3).permutation(labels))
    learnt, noise = (train_head(vectors, each, CLASSES, seed=0) for each in (labels, shuffled))
    assert max(noise.facts["cross_validated_macro_f1"].values()) < 0.5
    assert max(learnt.facts["cross_validated_macro_f1"].values()) > 0.9


def test_a_rare_class_counts_as_much_as_a_common_one():
    vectors, labels = toy(600, classes=("card", "loan"), spread=0.8)
    rare = [i for i, label in enumerate(labels) if label == "loan"][:15]
    kept = [i for i, label in enumerate(labels) if label == "card"] + rare
    head = train_head(vectors[kept], [labels[i] for i in kept], CLASSES, seed=0)
    recall = {row["label"]: row["recall"] for row in evaluate(head, vectors, labels)["per_class"]}
    assert recall["loan"] > 0.8


def test_a_class_with_a_single_row_does_not_break_training():
    vectors, labels = toy(60, classes=("card", "loan"))
    head = train_head(np.vstack([vectors, -vectors[:1]]), [*labels, "app"], CLASSES, seed=0)
    assert head.facts["rows"] == 61
    tiny = train_head(vectors[:2] * [[1], [-1]], ["card", "loan"], CLASSES, seed=0)
    assert tiny.facts["cross_validated_macro_f1"] == {}


def test_save_and_load(head, tmp_path):
    head.save(tmp_path / "head")
    loaded = Head.load(tmp_path / "head")
    vectors, _ = toy(50, seed=3)
    np.testing.assert_array_equal(loaded.predict_proba(vectors), head.predict_proba(vectors))
    assert loaded.classes == head.classes
    assert loaded.facts == head.facts
    assert loaded.facts["provenance"] == {"release": "r1"}
    assert sorted(path.name for path in (tmp_path / "head").iterdir()) == ["classifier.json", "classifier.safetensors"]


def test_a_stored_head_that_was_tampered_with_is_refused(head, tmp_path):
    with pytest.raises(ClassifierError, match=r"classifier\.json is missing"):
        Head.load(tmp_path)
    head.save(tmp_path)
    about = json.loads((tmp_path / "classifier.json").read_text())
    (tmp_path / "classifier.json").write_text(json.dumps({**about, "sha256": "0" * 64}))
    with pytest.raises(ClassifierError, match=r"other than classifier\.json says"):
        Head.load(tmp_path)
    (tmp_path / "classifier.json").write_text("{")
    with pytest.raises(ClassifierError, match="cannot be read"):
        Head.load(tmp_path)
    (tmp_path / "classifier.json").write_text(json.dumps(about))
    (tmp_path / "classifier.safetensors").unlink()
    with pytest.raises(ClassifierError, match=r"classifier\.safetensors is missing"):
        Head.load(tmp_path)


def test_unusable_rows_are_refused_without_quoting_labels():
    vectors, labels = toy(20)
    with pytest.raises(ClassifierError, match="at least two"):
        train_head(vectors, ["card"] * 20, CLASSES, seed=0)
    with pytest.raises(ClassifierError, match="1 of 20 labels") as caught:
        train_head(vectors, [*labels[:-1], "PRIVATE"], CLASSES, seed=0)
    assert "PRIVATE" not in str(caught.value)
    with pytest.raises(ClassifierError, match="as many vectors"):
        train_head(vectors[:-1], labels, CLASSES, seed=0)
    with pytest.raises(ClassifierError, match="not finite"):
        train_head(np.where(np.arange(16) == 3, np.nan, vectors), labels, CLASSES, seed=0)


# Figures


class Fixed:
    """A classifier that says what it is told."""

    classes = ("a", "b", "c")

    def predict_proba(self, embeddings):
        return np.asarray(embeddings, dtype=float)


def test_figures_by_hand():
    # truth a a a b; said a a b b, always with confidence 0.8
    said = [[0.8, 0.2, 0], [0.8, 0.2, 0], [0.2, 0.8, 0], [0.2, 0.8, 0]]
    figures = evaluate(Fixed(), np.array(said), ["a", "a", "a", "b"])
    assert figures["n"] == 4
    assert figures["accuracy"] == 0.75
    assert figures["majority_baseline"] == 0.75
    assert figures["chance_baseline"] == pytest.approx(1 / 3)
    assert figures["macro_f1"] == pytest.approx((4 / 5 + 2 / 3) / 2)
    assert figures["calibration_error"] == pytest.approx(0.05)
    assert figures["confusion"] == {"labels": ["a", "b", "c"], "counts": [[2, 1, 0], [0, 1, 0], [0, 0, 0]]}
    assert [row["recall"] for row in figures["per_class"]] == [pytest.approx(2 / 3), 1.0, 0.0]
    assert figures["accuracy_low"] == pytest.approx(0.3006, abs=1e-3)
    assert figures["accuracy_high"] == pytest.approx(0.9544, abs=1e-3)
    json.dumps(figures, allow_nan=False)
    assert "| a | 2 | 1 | 0 |" in markdown(figures)


def test_figures_agree_with_scikit_learn(head):
    from sklearn.metrics import accuracy_score, confusion_matrix, f1_score

    vectors, labels = toy(200, seed=5, spread=1.2)
    said = head.predict(vectors)
    figures = evaluate(head, vectors, labels)
    assert figures["accuracy"] == pytest.approx(accuracy_score(labels, said))
    assert figures["macro_f1"] == pytest.approx(f1_score(labels, said, average="macro"))
    np.testing.assert_array_equal(figures["confusion"]["counts"], confusion_matrix(labels, said, labels=list(CLASSES)))


def test_a_head_says_how_sure_it_may_be():
    """Few rows, many dimensions, hardly any regularisation: as fitted, the head is far surer than it is right."""
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(48, 3)) * 6

    def drawn(n):
        vectors = rng.normal(size=(n, 48))
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        chances = np.exp(vectors @ truth)
        said = (chances.cumsum(1) > rng.random((n, 1)) * chances.sum(1, keepdims=True)).argmax(1)
        return vectors, [CLASSES[place] for place in said]

    head = train_head(*drawn(200), CLASSES[:3], seed=0, strengths=(100.0,))
    heat = head.facts["temperature"]
    as_fitted = Head(head.classes, head.weights * heat, head.bias * heat)
    vectors, labels = drawn(4000)
    calibrated, before = (evaluate(each, vectors, labels)["calibration_error"] for each in (head, as_fitted))
    assert calibrated < before / 2
    assert head.predict(vectors) == as_fitted.predict(vectors), "no decision changes"


def test_figures_over_seeds_by_hand():
    right, wrong = [0.9, 0.1, 0], [0.1, 0.9, 0]
    labels = ["a"] * 10
    runs = [evaluate(Fixed(), np.array([right] * good + [wrong] * (10 - good)), labels) for good in (8, 9, 10)]
    together = over_seeds(runs)
    assert together["accuracy"] == pytest.approx(0.9)
    assert together["accuracy_by_seed"] == [0.8, 0.9, 1.0]
    reach = 4.302653 * 0.1 / np.sqrt(3)  # Student's t with two degrees of freedom
    assert together["seeds_low"] == pytest.approx(0.9 - reach, abs=1e-5)
    assert together["seeds_high"] == pytest.approx(0.9 + reach, abs=1e-5)
    assert together["accuracy_low"] < 0.9 < together["accuracy_high"]
    assert together["macro_f1"] == pytest.approx(np.mean([run["macro_f1"] for run in runs]))
    alone = over_seeds(runs[:1])
    assert alone["seeds_low"] == alone["seeds_high"] == alone["accuracy"] == 0.8
    shown = table([{"classifier": "x", "trained_on": "synthetic rows", **each} for each in (together, alone)])
    assert "| x | synthetic rows | 90.0% |" in shown
    assert "one seed" in shown.splitlines()[3]


def test_labels_that_do_not_fit_are_refused(head):
    vectors, labels = toy(5)
    with pytest.raises(ValueError, match="1 of 5 test labels") as caught:
        evaluate(head, vectors, [*labels[:-1], "PRIVATE"])
    assert "PRIVATE" not in str(caught.value)
    with pytest.raises(ValueError, match="at least one"):
        evaluate(head, vectors[:0], [])
