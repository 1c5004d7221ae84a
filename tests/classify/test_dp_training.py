"""The DP baseline: exact clipped sums for both classifiers, a plan that keeps its promise, and nothing beside it."""

import json
from dataclasses import replace

import pandas as pd
import pytest
import torch

from dpsynth_assets.classify import dp_training
from dpsynth_assets.classify.dp_plan import DpClassifierPlan
from dpsynth_assets.classify.dp_training import LabelledUnits, check_trainable, train_with_dp
from dpsynth_assets.classify.encoder import MiniLM, Remembered
from dpsynth_assets.classify.evaluation import evaluate
from dpsynth_assets.classify.recipes import load_classifier
from dpsynth_assets.privacy.checkpoint import CheckpointFolder
from dpsynth_assets.privacy.clipping import verification
from dpsynth_assets.privacy.clipping.engine import ClippedSum
from dpsynth_assets.privacy.clipping.errors import UnclippedGradientError
from dpsynth_assets.privacy.clipping_methods import ROUNDING_MARGIN, FlatClipping
from dpsynth_assets.privacy.plan import DpSgd, Learning
from dpsynth_assets.releases.classifiers import ClassifierTerms
from dpsynth_assets.releases.dp_baseline import DP_BASELINE
from ledger import PoissonSampledGaussian, accounting

pytestmark = pytest.mark.slow

CLASSIFIERS = ("minilm", "word_cnn")
CLASSES = ("card", "loan", "other")
SAYINGS = {"card": "my card was swallowed by the machine", "loan": "please lend me some money", "other": "good day"}


def plan_of(classifier, **changes):
    mechanism = DpSgd(0.5, 0.0, float("inf"), expected_batch_size=15, steps=40)
    plan = DpClassifierPlan(
        mechanism=mechanism,
        learning=Learning(0.1 if classifier == "minilm" else 0.01),
        epsilon=1.0,
        delta=1e-5,
        unit="customer",
        neighbouring_relation="add_or_remove_one_unit",
        max_records=2,
        classifier=classifier,
        target="topic",
        classes=CLASSES,
        max_tokens=16,
        buckets=64,
        dimension=8,
        filters=4,
    )
    return replace(plan, **changes)


def frame_of(units=30, per_unit=2):
    labels = [CLASSES[i % 3] for i in range(units * per_unit)]
    return pd.DataFrame(
        {
            "unit": [f"u{i // per_unit}" for i in range(units * per_unit)],
            "text": [f"{SAYINGS[label]} {'again ' * (i % 5)}" for i, label in enumerate(labels)],
            "topic": labels,
        }
    )


@pytest.fixture
def with_baseline(contract):
    """The small contract with a baseline release."""

    def made(classifier="minilm", **terms):
        release = ClassifierTerms(
            classifier=classifier,
            **{"epsilon": 0.4, "expected_batch_size": 8, "steps": 3, "learning_rate": 0.1, **terms},
        )
        releases = contract.privacy.releases.model_copy(update={"dp_baseline": release})
        return replace(contract, privacy=contract.privacy.model_copy(update={"releases": releases}))

    return made


@pytest.mark.parametrize("classifier", CLASSIFIERS)
def test_clipped_sums_are_those_of_the_gradients_one_by_one(classifier):
    """By autograd alone, record by record, summed by unit in float64; texts shorter than a window among them."""
    method = dp_training._method(plan_of(classifier))
    torch.manual_seed(3)
    model = method.model()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    frame = frame_of(units=5)
    frame.loc[0, "text"], frame.loc[3, "text"] = "", "card"
    examples = method.examples(frame["text"].tolist())
    codes = [CLASSES.index(label) for label in frame["topic"]]
    data = LabelledUnits(method, examples, codes, [record // 2 for record in range(10)])
    assert list(data.records_of) == [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9]]
    parameters = list(model.parameters())
    units = []
    for records in data.records_of:
        gradients = [torch.autograd.grad(data.losses(model, [record])[0], parameters) for record in records]
        units.append([sum(part.double() for part in same) for same in zip(*gradients, strict=True)])
    norms = [torch.stack([part.norm() for part in unit]).norm().item() for unit in units]
    bound = sorted(norms)[2]
    expected = [
        sum(part * min(1.0, bound / norm) for part, norm in zip(same, norms, strict=True))
        for same in zip(*units, strict=True)
    ]
    with ClippedSum(model, FlatClipping(bound / ROUNDING_MARGIN)) as clipped:
        for part in ([0, 1], [2, 3, 4]):
            records = [record for unit in part for record in data.records_of[unit]]
            clipped.add(data.losses(model, records), [2] * len(part))
        sums = clipped.take()
    for total, exact in zip(sums, expected, strict=True):
        # Each of the five is cut to the grid, which is at most 2^-20 of the clip (`clipping.grid`).
        torch.testing.assert_close(total, exact, rtol=1e-4, atol=5 * 2**-20 * bound)


@pytest.mark.parametrize("classifier", CLASSIFIERS)
def test_a_network_whose_texts_touch_one_another_is_refused_on_made_up_records(classifier, monkeypatch):
    plan = plan_of(classifier)
    check_trainable(plan)
    kind = type(dp_training._method(plan))
    right = kind.logits

    def coupled(model, examples, width=0):
        scores = right(model, examples, width)
        return 2 * scores - scores.mean(0)  # of a text alone, its own scores

    monkeypatch.setattr(kind, "logits", staticmethod(coupled))
    with pytest.raises(UnclippedGradientError, match="depend on the others"):
        check_trainable(plan)
    with pytest.raises(UnclippedGradientError):
        train_with_dp(plan, [frame_of()], None)


@pytest.mark.parametrize("classifier", CLASSIFIERS)
def test_a_row_that_rounds_one_text_in_ten_otherwise_is_found(classifier, monkeypatch):
    """Kernels round most numbers alike: whether a row matters shows on few texts only."""
    plan = plan_of(classifier)
    kind = type(dp_training._method(plan))
    right = kind.logits

    def rounded(model, examples, width=0):
        scores = right(model, examples, width)
        hit = (examples.double().sum(1) * 1009).long() % 10 == 0
        hit[0] = False
        return torch.where(hit[:, None], scores * (1 + 1e-6), scores)

    monkeypatch.setattr(kind, "logits", staticmethod(rounded))
    with pytest.raises(UnclippedGradientError, match="other bits"):
        check_trainable(plan)


@pytest.mark.parametrize("max_tokens", [1, 8, 16, 56])
@pytest.mark.parametrize("classifier", CLASSIFIERS)
def test_every_shape_that_training_computes_in_was_looked_at_before(classifier, max_tokens, tmp_path, monkeypatch):
    """Of few words as well, of which half are fewer than a window has."""
    looked_at, used = set(), set()
    look, losses = verification.verify_own_bits, LabelledUnits.losses

    def verify_own_bits(model, losses, shape, records):
        look(model, losses, shape, records)
        looked_at.add(shape)
        used.clear()  # by the look itself

    def used_losses(self, model, records, shape=None):
        used.add(shape)
        return losses(self, model, records, shape)

    monkeypatch.setattr(dp_training, "verify_own_bits", verify_own_bits)
    monkeypatch.setattr(LabelledUnits, "losses", used_losses)
    plan = replace(plan_of(classifier, max_tokens=max_tokens), mechanism=DpSgd(1.0, 1.0, 1.0, 15, steps=1))
    train_with_dp(plan, [frame_of()], tmp_path)
    assert used
    assert used <= looked_at


@pytest.mark.parametrize("classifier", CLASSIFIERS)
def test_without_noise_it_learns(classifier, tmp_path):
    """The whole way but for the noise, which a handful of made-up rows could not be heard through."""
    steps = []
    train_with_dp(plan_of(classifier), [frame_of()], tmp_path, lambda step, of: steps.append((step, of)))
    assert steps == [(step, 40) for step in range(1, 41)], "nothing is told before the first step"
    made = load_classifier(tmp_path)
    frame = frame_of(units=12)
    assert evaluate(made, frame["text"].tolist(), frame["topic"].tolist())["accuracy"] > 0.9
    assert made.classes == CLASSES


def test_the_encoder_of_a_stored_baseline_cuts_texts_as_its_plan_says(tmp_path):
    train_with_dp(plan_of("minilm", max_tokens=6), [frame_of()], tmp_path)
    for encoder in (None, Remembered(MiniLM())):
        made = load_classifier(tmp_path, encoder)
        long, cut = made.predict_proba(["my card was swallowed by the machine", "my card was swallowed"])
        assert long == pytest.approx(cut, abs=1e-6)


@pytest.mark.parametrize("classifier", CLASSIFIERS)
def test_what_is_stored_says_nothing_of_the_rows(classifier, tmp_path):
    plan = plan_of(classifier)
    train_with_dp(plan, [frame_of()], tmp_path)
    about = json.loads((tmp_path / "classifier.json").read_text())
    assert set(about["facts"]) <= {"plan", "max_tokens"}
    assert about["facts"]["plan"] == plan.digest()


def test_more_records_of_a_unit_than_the_plan_bounds_are_refused(tmp_path):
    with pytest.raises(ValueError, match="max_records"):
        train_with_dp(plan_of("word_cnn"), [frame_of(per_unit=3)], tmp_path / "made")
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("classifier", CLASSIFIERS)
def test_no_rows_are_rows_too(classifier, tmp_path):
    noisy = replace(plan_of(classifier), mechanism=DpSgd(0.5, 1.0, 1.0, expected_batch_size=15, steps=2))
    train_with_dp(noisy, [frame_of().head(0)], tmp_path)
    load_classifier(tmp_path)


@pytest.mark.parametrize("size", [1.0, 0.25])
def test_a_plan_is_calibrated_to_its_release_s_epsilon_and_not_below(with_baseline, size):
    plan = DP_BASELINE.plan(with_baseline(), size)
    event = plan.event()
    mechanism = plan.mechanism
    assert event == PoissonSampledGaussian(mechanism.sampling_probability, mechanism.noise_multiplier, mechanism.steps)
    assert 0.999 * 0.4 < accounting.epsilon(event, 1e-5) <= 0.4


def test_the_plan_is_the_contract_s_and_its_digest_covers_every_constant(with_baseline):
    contract = with_baseline("word_cnn")
    plan = DP_BASELINE.plan(contract, 1.0)
    assert (plan.max_records, plan.classes, plan.target, plan.max_tokens) == (2, ("card", "loan"), "topic", 12)
    assert plan.mechanism.sampling_probability == 8 / 40
    assert plan.digest() == DP_BASELINE.plan(contract, 1.0).digest()
    assert plan.digest() != DP_BASELINE.plan(with_baseline("minilm"), 1.0).digest()
    assert replace(plan, filters=5).digest() != plan.digest()
    without = contract.privacy.releases.but(DP_BASELINE, None)
    with pytest.raises(KeyError, match="plans no release"):
        DP_BASELINE.plan(replace(contract, privacy=contract.privacy.model_copy(update={"releases": without})), 1.0)


def test_a_killed_run_goes_on_and_says_what_ran_twice(tmp_path):
    plan = replace(plan_of("word_cnn"), mechanism=DpSgd(0.5, 1.0, 1.0, expected_batch_size=15, steps=6))
    folder = CheckpointFolder(tmp_path / "checkpoints", plan.digest(), every=2)

    def kill(step, of):
        if step == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_with_dp(plan, [frame_of()], tmp_path / "made", kill, folder)
    assert not (tmp_path / "made").exists()
    again = plan.mechanism.steps_again(folder, ())
    assert again is not None
    assert again.steps == 1, "five began, four are saved"
    assert plan.mechanism.steps_again(folder, (again,)) is None
    run = train_with_dp(plan, [frame_of()], tmp_path / "made", checkpoints=folder)
    assert (run.steps, run.steps_run_in_all) == (6, 7)
    assert plan.mechanism.event_of_replay(run.attempts) == again
