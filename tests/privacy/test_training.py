"""The loop: equal to plain training where noise and clip are off, one noise draw a step, nothing skipped."""

from __future__ import annotations

import copy
import itertools
import math

import pytest
import torch
from scipy import stats

from dpsynth_assets.privacy import training
from dpsynth_assets.privacy.plan import DpSgd


def sgd(parameters, rate):
    return torch.optim.SGD(parameters, lr=rate)


def trainable(model):
    return torch.cat([p.detach().flatten() for p in model.parameters() if p.requires_grad])


def test_without_noise_and_clip_training_equals_plain_training(adapted, units):
    count = len(units.records_of)
    plain = copy.deepcopy(adapted)
    mechanism = DpSgd(1.0, 0.0, math.inf, expected_batch_size=count, steps=8)
    training.train(adapted, units, mechanism, learning_rate=0.1, micro_batch_tokens=60, optimizer=sgd)

    parameters = [p for p in plain.parameters() if p.requires_grad]
    optimiser = sgd(parameters, 0.1)
    for step in range(8):
        optimiser.param_groups[0]["lr"] = 0.1 * training.schedule(step, 8)
        loss = units.losses(plain, range(len(units.lengths))).sum() / count
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    torch.testing.assert_close(trainable(adapted), trainable(plain), rtol=1e-4, atol=1e-6)


def test_noise_enters_once_per_step_whatever_the_micro_batches(adapted, units):
    """With a clip that silences the data, one SGD step moves every coordinate by N(0, (rate x sigma x C / B)^2)."""
    mechanism = DpSgd(1.0, 4.0, 1e-6, expected_batch_size=2, steps=1)
    moves = []
    for tokens in (1, 10_000):  # a micro-batch for every unit, and one for all
        model = copy.deepcopy(adapted)
        before = trainable(model)
        training.train(model, units, mechanism, learning_rate=1e6, micro_batch_tokens=tokens, optimizer=sgd)
        moves.append((trainable(model) - before) / (1e6 * 4.0 * 1e-6 / 2))
    for move in moves:
        # The data moves the whole vector by at most 12 C in norm, against noise of 4 C in every coordinate.
        assert stats.kstest(move.numpy(), "norm", args=(0, 1)).pvalue > 1e-6
        assert 0.9 < float(move.std()) < 1.1


def test_an_empty_logical_batch_is_a_noise_only_step(adapted, units, monkeypatch):
    class Nobody(training.PoissonSampler):
        def draw(self):
            return super().draw()[:0]

    monkeypatch.setattr(training, "PoissonSampler", Nobody)
    before = trainable(adapted)
    done = []
    mechanism = DpSgd(0.01, 1.0, 1.0, expected_batch_size=4, steps=3)
    steps = training.train(
        adapted,
        units,
        mechanism,
        learning_rate=0.1,
        micro_batch_tokens=60,
        optimizer=sgd,
        progress=lambda step, total: done.append((step, total)),
    )
    assert steps == 3
    assert done == [(1, 3), (2, 3), (3, 3)]
    assert not torch.equal(trainable(adapted), before)


def test_the_sum_is_divided_by_the_public_batch_size_not_by_the_realised_one(adapted, units):
    """Twice the declared batch size halves one plain SGD step, on the same units."""
    moves = []
    for batch in (4, 8):
        model = copy.deepcopy(adapted)
        before = trainable(model)
        mechanism = DpSgd(1.0, 0.0, 1.0, expected_batch_size=batch, steps=1)
        training.train(model, units, mechanism, learning_rate=1.0, micro_batch_tokens=60, optimizer=sgd)
        moves.append(trainable(model) - before)
    torch.testing.assert_close(moves[0], 2 * moves[1], rtol=1e-4, atol=1e-6)


def test_an_adapter_that_never_moves_is_an_error(adapted, units):
    mechanism = DpSgd(1.0, 1.0, 1.0, expected_batch_size=4, steps=1)
    with pytest.raises(training.AdapterUnmovedError, match="attached to the model"):
        training.train(adapted, units, mechanism, learning_rate=0.0, micro_batch_tokens=60)


def test_the_model_is_an_ordinary_one_again_afterwards(adapted, units):
    mechanism = DpSgd(1.0, 1.0, 1.0, expected_batch_size=4, steps=1)
    training.train(adapted, units, mechanism, learning_rate=0.1, micro_batch_tokens=60)
    assert not any(hasattr(p, "grad_sample") for p in adapted.parameters())
    assert not adapted.training


def test_the_schedule_is_fixed_in_advance_and_ends_at_zero():
    rates = [training.schedule(step, 100) for step in range(100)]
    assert rates[0] < rates[4] == 1.0
    assert all(a > b for a, b in itertools.pairwise(rates[5:]))
    assert 0 < rates[-1] < 0.02
