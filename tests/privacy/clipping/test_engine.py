"""The clipped sum against the definition, for every method and layer type; and what must make it fail."""

from __future__ import annotations

import pytest
import torch
from definition import assert_exact, contributions, distance, engine_sum, norm, scaled_sum
from models import CASES, RECORDS_OF, classifier, made
from torch import nn

from dpsynth_assets.privacy.clipping.cost import Budget
from dpsynth_assets.privacy.clipping.engine import ClippedSum
from dpsynth_assets.privacy.clipping.errors import UnclippedGradientError
from dpsynth_assets.privacy.clipping_methods import ROUNDING_MARGIN, AutomaticClipping, FlatClipping, PerLayerClipping

CUTS = {"whole": (0,), "cut": (0, 2, 3), "unit by unit": tuple(range(len(RECORDS_OF)))}


@pytest.fixture(params=["gradients kept", "factors kept"])
def kept(request, monkeypatch):
    """Both ways of holding a contribution, whatever the clock says."""
    monkeypatch.setattr(Budget, "keep_dense", lambda self, outer: request.param == "gradients kept")


@pytest.mark.parametrize("case", CASES)
def test_the_clipped_sum_is_that_of_one_by_one_backward_passes(case, kept):
    model, losses = made(case)
    assert_exact(model, losses, RECORDS_OF, CUTS["cut"])


@pytest.mark.parametrize("cuts", CUTS.values(), ids=CUTS)
@pytest.mark.parametrize("case", ["lora on llama", "full llama, tied"])
def test_the_cut_into_micro_batches_does_not_matter(case, cuts, kept):
    model, losses = made(case)
    assert_exact(model, losses, RECORDS_OF, cuts)


@pytest.mark.parametrize("case", ["lora on llama", "full llama, tied", "prompt on gpt2"])
def test_a_pass_that_is_nobody_s_adds_nothing(case, kept):
    """To the bit, even of rows that have gradients; and the sum goes on after it."""
    model, losses = made(case)
    sums = []
    for nobody in (False, True):
        with ClippedSum(model, FlatClipping(1.0)) as clipped:
            for records in ([0], [1, 2]):
                clipped.add(losses(records), [len(records)])
                if nobody:
                    clipped.add_nothing(losses([3, 4, 5]))
            sums.append(clipped.take())
            assert all(not bool(total.any()) for total in clipped.take())
    assert all(torch.equal(*pair) for pair in zip(*sums, strict=True))
    assert any(bool(total.any()) for total in sums[0])


@pytest.mark.parametrize("kind", ["bert head", "bert full", "gpt2 head", "gpt2 full", "llama head", "llama full"])
def test_sequence_classifiers(kind, kept):
    model, losses = classifier(kind)
    if kind == "bert full":  # token types come as one row for all records
        model.bert.embeddings.token_type_embeddings.requires_grad_(False)
    assert_exact(model, losses, RECORDS_OF, CUTS["cut"])


@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.parametrize("case", ["lora on llama", "full gpt2"])
def test_gradient_checkpointing_stays_exact(case, reentrant, kept):
    model, losses = made(case)
    if reentrant:
        model.enable_input_require_grads()
    units = contributions(model, losses, RECORDS_OF)
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    base.activation_checkpointing_enable({"use_reentrant": reentrant})
    bound = sorted(norm(unit) for unit in units)[2]
    expected = scaled_sum(units, [min(1.0, bound / norm(unit)) for unit in units])
    assert distance(engine_sum(model, losses, RECORDS_OF, FlatClipping(bound / ROUNDING_MARGIN)), expected) < 1e-5


@pytest.mark.parametrize("case", ["lora on llama", "full llama, tied", "prompt on gpt2"])
def test_per_layer_clipping(case, kept):
    model, losses = made(case)
    clipping = PerLayerClipping(1.0 / ROUNDING_MARGIN)
    names = [name for name, p in model.named_parameters() if p.requires_grad]
    groups = clipping.groups(names)
    layers = max(groups) + 1
    expected = [0.0] * len(names)
    for unit in contributions(model, losses, RECORDS_OF):
        norms = [norm(t for t, g in zip(unit, groups, strict=True) if g == layer) for layer in range(layers)]
        for place, (tensor, group) in enumerate(zip(unit, groups, strict=True)):
            expected[place] = expected[place] + tensor * min(1.0, 1.0 / layers**0.5 / norms[group])
    assert distance(engine_sum(model, losses, RECORDS_OF, clipping), expected) < 1e-5


def test_automatic_clipping(kept):
    model, losses = made("lora on llama")
    units = contributions(model, losses, RECORDS_OF)
    expected = scaled_sum(units, [0.5 / (norm(unit) + 0.01) for unit in units])
    assert distance(engine_sum(model, losses, RECORDS_OF, AutomaticClipping(0.5 / ROUNDING_MARGIN)), expected) < 1e-5


@pytest.mark.parametrize("clipping", [FlatClipping(1e-3), PerLayerClipping(1e-3), AutomaticClipping(1e-3)])
@pytest.mark.parametrize("case", ["lora on llama", "full llama, tied"])
def test_no_unit_ever_contributes_more_than_the_sensitivity(case, clipping, kept):
    model, losses = made(case)
    start = 0
    for count in RECORDS_OF:
        sums = engine_sum(model, lambda chosen, s=start: losses([s + c for c in chosen]), (count,), clipping)
        assert 0 < norm(sums) <= clipping.sensitivity
        start += count


@pytest.mark.parametrize("case", ["lora on llama", "full llama, tied"])
def test_bfloat16_passes_keep_the_bound_and_come_close(case, kept):
    model, exact = made(case)

    def losses(chosen):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return exact(chosen)

    units = contributions(model, exact, RECORDS_OF)
    bound = sorted(norm(unit) for unit in units)[2] / 100  # all are clipped: the sum has the bound's scale
    expected = scaled_sum(units, [bound / norm(unit) for unit in units])
    assert distance(engine_sum(model, losses, RECORDS_OF, FlatClipping(bound)), expected) < 0.1
    with torch.autocast("cpu", dtype=torch.bfloat16):  # not even if all of `add` runs in it
        alone = engine_sum(model, exact, (1,), FlatClipping(bound))
    assert norm(alone) <= bound
    assert norm(alone) == pytest.approx(bound * ROUNDING_MARGIN, rel=1e-5)


@pytest.mark.parametrize("case", ["lora on llama", "full llama, tied", "prompt on llama"])
def test_what_is_no_number_counts_as_zero_and_harms_no_other_unit(case, kept):
    model, losses = made(case)
    for wrong in (float("nan"), float("inf")):
        poison = torch.ones(sum(RECORDS_OF))
        poison[2] = wrong  # a record of the second unit
        poisoned = engine_sum(
            model, lambda c, poison=poison: losses(c) * poison[list(c)], RECORDS_OF, FlatClipping(1.0)
        )
        chosen = [0, *range(5, sum(RECORDS_OF))]
        without = engine_sum(
            model, lambda c, kept=chosen: losses([kept[i] for i in c]), (1, *RECORDS_OF[2:]), FlatClipping(1.0)
        )
        assert distance(poisoned, without) < 1e-5


def test_an_empty_batch_sums_to_zero():
    model, losses = made("lora on llama")
    with ClippedSum(model, FlatClipping(1.0)) as clipped:
        assert all(not total.any() for total in clipped.take())
        clipped.add(losses([0]), [1])
        assert norm(clipped.take()) > 0
        assert norm(clipped.take()) == 0


def test_a_loss_reduced_over_the_batch_is_refused():
    model, losses = made("lora on llama")
    with ClippedSum(model, FlatClipping(1.0)) as clipped:
        with pytest.raises(UnclippedGradientError, match="one number per record"):
            clipped.add(losses([0, 1]).mean(), [1, 1])
        with pytest.raises(UnclippedGradientError, match="one number per record"):
            clipped.add(losses([0, 1]), [1, 1, 1])


class Folded(nn.Module):
    """Folds the batch dimension into the layer's, as some attention code does."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x):
        return self.layer(x.reshape(-1, 2, 4)).reshape(x.shape).sum((1, 2))


class Bypassed(nn.Module):
    """Uses a layer's weight outside the layer."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x):
        return (self.layer(x) + x @ self.layer.weight).sum((1, 2))


@pytest.mark.parametrize("module", [Folded, Bypassed])
def test_a_gradient_that_cannot_be_attributed_to_records_is_refused_and_leaves_no_trace(module):
    model = module()
    with ClippedSum(model, FlatClipping(1.0)) as clipped:
        with pytest.raises(UnclippedGradientError, match=r"folds or shares|unclipped gradient"):
            clipped.add(model(torch.randn(3, 4, 4)), [1, 1, 1])
        assert all(p.grad is None for p in model.parameters())
        assert norm(clipped.take()) == 0


def test_a_backward_pass_beside_the_engine_is_refused():
    model, losses = made("lora on llama")
    with ClippedSum(model, FlatClipping(1.0)), pytest.raises(UnclippedGradientError, match=r"outside ClippedSum\.add"):
        losses([0]).sum().backward()


@pytest.mark.parametrize("case", ["lora on llama", "full gpt2", "prompt on llama", "norms of llama"])
def test_a_closed_sum_leaves_an_ordinary_model_also_after_an_error(case):
    model, losses = made(case)
    instances = [dict(module.__dict__) for module in model.modules()]
    expected = contributions(model, losses, (1,))[0]
    clipped = ClippedSum(model, FlatClipping(1.0))
    with pytest.raises(UnclippedGradientError), clipped:
        clipped.add(losses([0]), [2])
    clipped.close()  # a second time
    assert [m.__dict__.keys() for m in model.modules()] == [i.keys() for i in instances]
    assert all(m.__dict__.get("forward") is i.get("forward") for m, i in zip(model.modules(), instances, strict=True))
    losses([0]).sum().backward()
    actual = [p.grad for p in model.parameters() if p.requires_grad]
    assert distance(actual, expected) < 1e-6


def test_two_sums_on_one_model_are_refused_and_the_first_goes_on():
    model, losses = made("lora on llama")
    with ClippedSum(model, FlatClipping(1.0)) as clipped:
        with pytest.raises(UnclippedGradientError, match="another clipped sum"):
            ClippedSum(model, FlatClipping(1.0))
        clipped.add(losses([0]), [1])
        assert norm(clipped.take()) > 0


def test_evaluation_while_a_sum_is_open_computes_what_the_model_computes():
    model, losses = made("lora on llama")
    with torch.no_grad():
        before = losses([0, 1])
        with ClippedSum(model, FlatClipping(1.0)):
            torch.testing.assert_close(losses([0, 1]), before)


def test_a_model_without_trainable_parameters_is_refused():
    with pytest.raises(UnclippedGradientError, match="attach an adapter"):
        ClippedSum(nn.Linear(2, 2).requires_grad_(False), FlatClipping(1.0))


def test_reduced_precision_of_products_does_not_reach_norms_and_sums():
    model, losses = made("full llama, tied")
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        sums = engine_sum(model, losses, (1,), FlatClipping(1e-3))
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)
    assert norm(sums) <= 1e-3
