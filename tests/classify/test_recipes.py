"""Every kind of classifier: learns, is the same every time, survives storage, and is read back as what it was."""

import numpy as np
import pytest
import torch

from dpsynth_assets.classify import storage
from dpsynth_assets.classify.encoder import MiniLM, Remembered
from dpsynth_assets.classify.errors import ClassifierError
from dpsynth_assets.classify.evaluation import evaluate
from dpsynth_assets.classify.neural import Schedule, train_network
from dpsynth_assets.classify.recipes import RECIPES, CnnRecipe, FrozenRecipe, TunedRecipe, load_classifier
from dpsynth_assets.classify.spelling import disguised
from dpsynth_assets.classify.training_rows import Additions, TrainingSet, labelled
from dpsynth_assets.classify.word_cnn import CnnShape, WordCnn

pytestmark = pytest.mark.slow

CLASSES = ("card", "loan", "weather")
SAYINGS = {
    "card": ["my card was swallowed by the machine", "please block my credit card", "the card reader refuses me"],
    "loan": ["I would like to borrow money", "what is the interest on a loan", "can I repay my mortgage early"],
}
QUICK = {
    "minilm": FrozenRecipe(),
    "minilm_tuned": TunedRecipe(epochs=1),
    "word_cnn": CnnRecipe(learning_rate=0.01, dimension=16, filters=8, epochs=40),
}


def rows(n, seed=0):
    rng = np.random.default_rng(seed)
    labels = [("card", "loan")[i % 2] for i in range(n)]
    return [f"{SAYINGS[label][rng.integers(3)]}, case {rng.integers(1000)}" for label in labels], labels


@pytest.fixture(scope="module")
def encoder():
    return Remembered(MiniLM())


@pytest.fixture(scope="module", params=QUICK)
def trained(request, encoder):
    return request.param, QUICK[request.param].train(
        TrainingSet(*rows(80), CLASSES), 1, encoder=encoder, provenance={"r": "1"}
    )


def test_every_kind_has_a_recipe_here():
    assert QUICK.keys() == RECIPES.keys()


def test_it_learns_and_never_says_a_class_that_it_has_not_seen(trained):
    _, classifier = trained
    texts, labels = rows(60, seed=5)
    assert evaluate(classifier, texts, labels)["accuracy"] > 0.9
    chances = classifier.predict_proba(texts)
    np.testing.assert_allclose(chances.sum(1), 1)
    assert (chances[:, 2] == 0).all()
    assert classifier.facts["classes_without_rows"] == ["weather"]
    assert classifier.facts["provenance"] == {"r": "1"}


def test_probabilities_are_learned_in_place_of_labels(trained, encoder):
    """Texts of one kind, called now this and now that: a classifier that was told how often says so."""
    kind, _ = trained
    texts, labels = rows(80)
    sure = np.array([[0.9, 0.1, 0.0] if label == "card" else [0.4, 0.6, 0.0] for label in labels])
    taught = QUICK[kind].train(TrainingSet(texts, labels, CLASSES, targets=sure), 1, encoder=encoder)
    by_labels = QUICK[kind].train(TrainingSet(texts, labels, CLASSES), 1, encoder=encoder)
    loans = [text for text, label in zip(texts, labels, strict=True) if label == "loan"]
    assert taught.predict_proba(loans)[:, 1].mean() < by_labels.predict_proba(loans)[:, 1].mean() - 0.05


def test_it_survives_storage(trained, tmp_path, encoder):
    kind, classifier = trained
    classifier.save(tmp_path)
    loaded = load_classifier(tmp_path, encoder)
    assert (loaded.classes, loaded.facts) == (classifier.classes, classifier.facts)
    texts, _ = rows(10, seed=9)
    np.testing.assert_allclose(loaded.predict_proba([*texts, ""]), classifier.predict_proba([*texts, ""]), atol=1e-6)
    weights, about = storage.load(tmp_path)
    assert about["kind"] == kind
    storage.save(tmp_path, weights, {**about, "kind": "oracle"})
    with pytest.raises(ClassifierError, match="unknown kind"):
        load_classifier(tmp_path)


@pytest.mark.parametrize("kind", ["minilm", "word_cnn"])
def test_the_same_rows_and_seed_give_the_same_classifier(kind, encoder):
    texts, labels = rows(60)
    before = torch.random.get_rng_state()
    one, two, other = (
        QUICK[kind].train(TrainingSet(texts, labels, CLASSES), seed, encoder=encoder) for seed in (1, 1, 2)
    )
    assert torch.equal(torch.random.get_rng_state(), before), "nobody else's random numbers are touched"
    np.testing.assert_array_equal(one.predict_proba(texts), two.predict_proba(texts))
    assert one.facts != other.facts


def test_rows_that_cannot_train_are_refused(encoder):
    texts, labels = rows(4)
    for recipe in QUICK.values():
        with pytest.raises(ClassifierError, match="at least two"):
            recipe.train(TrainingSet(texts, ["card"] * 4, CLASSES), 0, encoder=encoder)
    with pytest.raises(ClassifierError, match="none to validate on"):
        CnnRecipe().train(TrainingSet(texts[:2], labels[:2], CLASSES), 0)


class Noted(Additions):
    """Additions that note for which splits they were asked, and what they gave."""

    def beside(self, train, judged, seed):
        given = super().beside(train, judged, seed)
        self.asked.append((set(train.texts), set(judged), given))
        return given


@pytest.mark.parametrize("kind", ["minilm", "word_cnn"])
def test_what_is_added_is_trained_on_and_nothing_is_judged_by_it(kind, encoder):
    """Public rows teach a class that no synthetic row has; whatever is held out is synthetic, and its copies too."""
    texts, labels = rows(80)
    texts = [f"{text} {place}" for place, text in enumerate(texts)]
    public = labelled([f"it will rain tomorrow, says forecast {i}" for i in range(40)], ["weather"] * 40)
    additions = Noted(public, augmentation=True)
    object.__setattr__(additions, "asked", [])
    trained = QUICK[kind].train(TrainingSet(texts, labels, CLASSES, additions), 1, encoder=encoder)
    assert len(additions.asked) == {"minilm": 4, "word_cnn": 1}[kind], "for each fold, and for all rows"
    assert any(judged for _, judged, _ in additions.asked)
    for train, judged, given in additions.asked:
        assert train | judged <= set(texts)
        assert not train & judged
        assert set(public.texts) <= set(given.texts)
        assert not judged & set(given.texts)
        assert not {disguised(text, 1) for text in judged} & set(given.texts)
        assert {disguised(text, 1) for text in train} <= set(given.texts) | train
    forecast = trained.predict_proba(["it will rain tomorrow, says forecast 99"])
    assert CLASSES[forecast.argmax()] == "weather"
    assert trained.facts["classes_without_rows"] == []
    assert trained.facts["rows"] == 80
    assert trained.facts["rows_beside"] == len(additions.asked[-1][2])


def test_fine_tuning_starts_as_the_head_and_is_never_worse_on_held_out_rows(encoder):
    texts, labels = rows(60)
    hasty = TunedRecipe(learning_rate=10.0, epochs=1).train(TrainingSet(texts, labels, CLASSES), 0, encoder=encoder)
    assert hasty.facts["steps"] == 0, "the first step made it worse, so the start was kept"
    head = FrozenRecipe().train(TrainingSet(texts, labels, CLASSES), 0, encoder=encoder)
    other, _ = rows(30, seed=7)
    same = [a == b for a, b in zip(*(c.predict_proba(other).argmax(1) for c in (hasty, head)), strict=True)]
    assert np.mean(same) > 0.9


def train_cnn(texts, labels, schedule, progress=None):
    shape = CnnShape(buckets=500, dimension=16, filters=8)
    return train_network(
        "word_cnn", lambda _: WordCnn(shape, 3), TrainingSet(texts, labels, CLASSES), 0, schedule, progress=progress
    )


def test_training_stops_where_held_out_rows_no_longer_gain():
    """Labels at random: whatever is learned of them is wrong for the rows held out."""
    texts, labels = rows(200)
    shuffled = list(np.random.default_rng(1).permutation(labels))
    steps = []
    schedule = Schedule(0.01, batch_size=16, epochs=200, max_steps=2_000, patience=2)
    classifier = train_cnn(texts, shuffled, schedule, lambda step, _: steps.append(step))
    assert len(steps) < 1_000
    assert classifier.facts["steps"] <= steps[-1]
    assert classifier.facts["held_out_loss"] < 0.8, "the best look is kept, not the last"


def test_the_bound_on_steps_holds_however_many_rows_there_are():
    texts, labels = rows(400)
    steps = []
    train_cnn(
        texts, labels, Schedule(0.01, 8, epochs=10, max_steps=30, patience=99), lambda step, _: steps.append(step)
    )
    assert steps[-1] == 30


def test_a_text_is_encoded_once(encoder):
    class Counting:
        def __init__(self):
            self.calls = []

        def encode(self, texts, progress=None):
            self.calls.append(list(texts))
            return np.array([[float(len(text))] * 384 for text in texts], dtype=np.float32)

    counting = Counting()
    remembered = Remembered(counting)
    assert remembered.encode(["a", "bb", "a"])[:, 0].tolist() == [1, 2, 1]
    assert remembered.encode(["ccc", "bb"])[:, 0].tolist() == [3, 2]
    assert remembered.encode([]).shape == (0, 384)
    assert counting.calls == [["a", "bb"], ["ccc"]]
