"""A layer without a rule of ours, by Opacus: what each record gives is what autograd gives for it alone."""

import pytest
import torch
from torch import nn

from dpsynth_assets.privacy.clipping.engine import ClippedSum
from dpsynth_assets.privacy.clipping.errors import UnclippedGradientError
from dpsynth_assets.privacy.clipping.verification import verify_exactness, verify_own_bits
from dpsynth_assets.privacy.clipping_methods import CLIPPING_METHODS, FlatClipping
from dpsynth_assets.privacy.plan import DpSgd, Learning
from dpsynth_assets.privacy.shapes import Shape
from dpsynth_assets.privacy.training import train


class Convolved(nn.Module):
    """Tokens, a convolution that is used twice, groups of channels, a head; the loss of a record is its own."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(3)
        self.tokens = nn.Embedding(11, 6)
        self.mixed = nn.Conv1d(6, 6, 3, padding=1, groups=2)
        self.levelled = nn.GroupNorm(2, 6)
        self.head = nn.Linear(6, 11)

    def forward(self, ids):
        x = self.tokens(ids).mT
        x = self.levelled(torch.tanh(self.mixed(torch.tanh(self.mixed(x)))))
        return self.head(x.mT)


IDS = torch.tensor([[1, 2, 3, 4], [5, 6, 7, 0], [8, 9, 10, 1], [2, 2, 0, 3]])


def losses(model, records, shape=None):
    rows = torch.zeros((len(records) if shape is None else shape.rows, IDS.shape[1]), dtype=torch.long)
    rows[: len(records)] = IDS[list(records)]
    logits = model(rows)
    each = nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), rows[:, 1:].flatten(), reduction="none")
    return each.view(len(rows), -1).mean(1)


def alone(model, records):
    """The gradient of one unit of these records, by autograd."""
    total = sum(losses(model, [record])[0] for record in records)
    return torch.autograd.grad(total, [p for p in model.parameters() if p.requires_grad])


@pytest.mark.parametrize("method", list(CLIPPING_METHODS))
def test_the_clipped_sum_is_that_of_units_one_by_one(method):
    model, units = Convolved(), [[0], [1, 2], [3]]
    clipping = CLIPPING_METHODS[method](0.5)
    names = [name for name, p in model.named_parameters() if p.requires_grad]
    groups = torch.tensor(clipping.groups(names))
    expected = [torch.zeros_like(p, dtype=torch.float64) for p in model.parameters()]
    for unit in units:
        gradients = alone(model, unit)
        squares = torch.stack([g.double().square().sum() for g in gradients])
        norms = torch.zeros(int(groups.max()) + 1, dtype=torch.float64).index_add_(0, groups, squares).sqrt()
        factors = clipping.factors(norms[:, None])[:, 0][groups]
        for total, gradient, factor in zip(expected, gradients, factors, strict=True):
            total += gradient.double() * factor
    with ClippedSum(model, clipping, by_opacus=True) as clipped:
        clipped.add(losses(model, [0, 1, 2, 3]), [1, 2, 1])
        for found, right in zip(clipped.take(), expected, strict=True):
            torch.testing.assert_close(found, right, rtol=1e-4, atol=1e-5)


def test_made_up_records_are_compared_as_for_rules_of_our_own():
    model = Convolved()
    verify_exactness(model, lambda records: losses(model, records), [1, 2, 1], by_opacus=True)
    verify_own_bits(model, lambda records, shape: losses(model, records, shape), Shape(4, 4), [0, 1, 2], by_opacus=True)


def test_without_being_asked_for_it_is_refused_and_the_message_says_how_to_ask():
    with pytest.raises(UnclippedGradientError, match=r"mixed\.weight.*engine: opacus"):
        ClippedSum(Convolved(), FlatClipping(1.0))


def test_the_model_is_what_it_was_afterwards():
    model = Convolved()
    before, keys = model(IDS), set(model.state_dict())
    with ClippedSum(model, FlatClipping(1.0), by_opacus=True) as clipped:
        clipped.add(losses(model, [0]), [1])
    assert torch.equal(model(IDS), before)
    assert set(model.state_dict()) == keys
    assert not hasattr(model.mixed, "ft_compute_sample_grad")
    assert "forward" not in model.mixed.__dict__
    losses(model, [0]).sum().backward()
    assert model.mixed.weight.grad is not None


def test_part_of_a_layer_may_be_frozen():
    model = Convolved()
    model.mixed.bias.requires_grad_(False)
    with ClippedSum(model, FlatClipping(10.0), by_opacus=True) as clipped:
        clipped.add(losses(model, [1]), [1])
        found = clipped.take()
    for each, right in zip(found, alone(model, [1]), strict=True):
        torch.testing.assert_close(each.float(), right, rtol=1e-3, atol=1e-4)


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.recurrent = nn.LSTM(4, 4, batch_first=True)

    def forward(self, x):
        return self.recurrent(x)[0]


@pytest.mark.parametrize("layer", [Recurrent(), nn.BatchNorm1d(6)], ids=["LSTM", "BatchNorm1d"])
def test_what_opacus_cannot_do_either_is_refused_before_a_record(layer):
    model = Convolved()
    model.mixed = layer
    with pytest.raises(UnclippedGradientError):
        verify_exactness(model, lambda records: losses(model, records), [1, 2, 1], by_opacus=True)


def test_rounder_passes_change_the_sum_by_rounding_only():
    model, sums = Convolved(), []
    for rounded in (False, True):
        with ClippedSum(model, FlatClipping(0.5), by_opacus=True) as clipped:
            with torch.autocast("cpu", torch.bfloat16, enabled=rounded):
                each = losses(model, [0, 1, 2])
            clipped.add(each.float(), [1, 2])
            sums.append(torch.cat([part.flatten() for part in clipped.take()]))
    exact, rough = sums
    assert 0 < (exact - rough).norm() < 0.05 * exact.norm()


class Data:
    def __init__(self):
        self.records_of, self.lengths, self.longest = [[0], [1, 2], [3]], [4] * 4, 4

    def losses(self, model, records, shape):
        each = losses(model, records, shape)
        return torch.where(torch.arange(len(each)) < len(records), each, 0.0)


def test_a_whole_training_runs_by_it():
    model = Convolved()
    before = [p.detach().clone() for p in model.parameters()]
    run = train(model, Data(), DpSgd(1.0, 0.5, 1.0, 2, 3), Learning(0.01), micro_batch_tokens=16, by_opacus=True)
    assert run.steps == 3
    assert all(not torch.equal(old, new) for old, new in zip(before, model.parameters(), strict=True))
