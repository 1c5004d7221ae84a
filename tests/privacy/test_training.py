"""The loop: equal to plain training where noise and clip are off, one noise draw a step, nothing skipped."""

from __future__ import annotations

import copy
import itertools
import math

import numpy as np
import pytest
import torch
from scipy import stats

from dpsynth_assets.privacy import training
from dpsynth_assets.privacy.correlation import inverse_coefficients, strategy_coefficients
from dpsynth_assets.privacy.optimisers import schedule
from dpsynth_assets.privacy.plan import DpSgd, Learning


def sgd(rate):
    return Learning(rate, optimiser="sgd")


def trainable(model):
    return torch.cat([p.detach().flatten() for p in model.parameters() if p.requires_grad])


def test_without_noise_and_clip_training_equals_plain_training(adapted, units):
    count = len(units.records_of)
    plain = copy.deepcopy(adapted)
    mechanism = DpSgd(1.0, 0.0, math.inf, expected_batch_size=count, steps=8)
    training.train(adapted, units, mechanism, sgd(0.1), micro_batch_tokens=60)

    parameters = [p for p in plain.parameters() if p.requires_grad]
    optimiser = torch.optim.SGD(parameters, 0.1)
    for step in range(8):
        optimiser.param_groups[0]["lr"] = 0.1 * schedule("linear", step, 8)
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
        training.train(model, units, mechanism, sgd(1e6), micro_batch_tokens=tokens)
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
    run = training.train(
        adapted,
        units,
        mechanism,
        sgd(0.1),
        micro_batch_tokens=60,
        progress=lambda step, total: done.append((step, total)),
    )
    assert (run.steps, run.steps_run_in_all) == (3, 3)
    assert done == [(1, 3), (2, 3), (3, 3)]
    assert not torch.equal(trainable(adapted), before)


def test_the_sum_is_divided_by_the_public_batch_size_not_by_the_realised_one(adapted, units):
    """Twice the declared batch size halves one plain SGD step, on the same units."""
    moves = []
    for batch in (4, 8):
        model = copy.deepcopy(adapted)
        before = trainable(model)
        mechanism = DpSgd(1.0, 0.0, 1.0, expected_batch_size=batch, steps=1)
        training.train(model, units, mechanism, sgd(1.0), micro_batch_tokens=60)
        moves.append(trainable(model) - before)
    torch.testing.assert_close(moves[0], 2 * moves[1], rtol=1e-4, atol=1e-6)


def test_an_adapter_that_never_moves_is_an_error(adapted, units):
    mechanism = DpSgd(1.0, 1.0, 1.0, expected_batch_size=4, steps=1)
    with pytest.raises(training.AdapterUnmovedError, match="attached to the model"):
        training.train(adapted, units, mechanism, Learning(1e-30), micro_batch_tokens=60)


def test_the_model_is_an_ordinary_one_again_afterwards(adapted, units):
    mechanism = DpSgd(1.0, 1.0, 1.0, expected_batch_size=4, steps=1)
    training.train(adapted, units, mechanism, Learning(0.1), micro_batch_tokens=60)
    assert adapted.training  # as it came
    assert not any("forward" in module.__dict__ for module in adapted.modules())
    loss = units.losses(adapted, [0]).sum()
    loss.backward()
    assert all(p.grad is not None for p in adapted.parameters() if p.requires_grad)


def test_a_step_s_memory_is_bounded_when_the_draw_is_ten_times_its_mean(adapted, units, monkeypatch):
    """The rate says one unit in ten; the draw is everybody. No forward pass holds more than was allowed."""

    class Everybody(training.PoissonSampler):
        def draw(self):
            return np.arange(len(units.records_of))

    held = []

    class Watched:
        records_of, lengths, longest = units.records_of, units.lengths, units.longest

        def losses(self, model, records, shape):
            held.append(shape.rows * shape.width)
            return units.losses(model, records, shape)

    monkeypatch.setattr(training, "PoissonSampler", Everybody)
    mechanism = DpSgd(0.1, 1.0, 1.0, expected_batch_size=2, steps=2)
    training.train(adapted, Watched(), mechanism, Learning(0.1), micro_batch_tokens=90)
    assert max(held) <= 90
    assert len(held) >= 8


@pytest.mark.parametrize("method", ["flat", "per_layer", "automatic"])
def test_the_noise_is_scaled_to_the_clipping_method_s_sensitivity(adapted, method):
    """Nobody is drawn, so one SGD step shows the noise alone."""

    class Nobody:
        records_of: tuple = ()
        lengths: tuple = ()
        longest = 20

    mechanism = DpSgd(0.5, 2.0, 0.25, expected_batch_size=4, steps=1, clipping_method=method)
    before = trainable(adapted)
    training.train(adapted, Nobody(), mechanism, sgd(1.0), micro_batch_tokens=60)
    move = (trainable(adapted) - before) / (2.0 * mechanism.clipping.sensitivity / 4)
    assert mechanism.clipping.sensitivity == 0.25
    assert stats.kstest(move.numpy(), "norm").pvalue > 1e-6


def test_a_step_with_bands_samples_one_group_and_gives_its_noise_to_the_next(adapted):
    """Nobody is there, so SGD steps show the noise alone: its covariance over steps is the strategy's."""

    class Nobody:
        records_of: tuple = ()
        lengths: tuple = ()
        longest = 20

    mechanism = DpSgd(0.25, 2.0, 0.5, expected_batch_size=4, steps=4, num_bands=3)
    places = [trainable(adapted)]
    learning = Learning(1.0, schedule="constant", optimiser="sgd")
    training.train(
        adapted,
        Nobody(),
        mechanism,
        learning,
        micro_batch_tokens=60,
        progress=lambda step, total: places.append(trainable(adapted)),
    )
    moves = -torch.stack(places).diff(dim=0).double()[1:] * 4  # after the warm-up of one step
    column = inverse_coefficients(strategy_coefficients(3), 4)
    inverse = sum(a * np.eye(4, k=-lag) for lag, a in enumerate(column))
    wanted = (inverse @ inverse.T)[1:, 1:]
    found = (moves @ moves.T / moves.shape[1]).numpy()
    error = np.sqrt((np.outer(np.diag(wanted), np.diag(wanted)) + wanted**2) / moves.shape[1])
    assert np.abs((found - wanted) / error).max() < 6


def test_units_of_one_group_meet_and_those_of_others_do_not(adapted, units):
    """At the highest rate every unit is in exactly one of any three consecutive steps."""
    steps = []

    class Watched:
        records_of, lengths, longest = units.records_of, units.lengths, units.longest

        def losses(self, model, records, shape):
            steps[-1].extend(records)
            return units.losses(model, records, shape)

    mechanism = DpSgd(1 / 3, 1.0, 1.0, expected_batch_size=4, steps=6, num_bands=3)
    steps.append([])
    training.train(
        adapted,
        Watched(),
        mechanism,
        Learning(0.1),
        micro_batch_tokens=60,
        progress=lambda step, total: steps.append([]),
    )
    seen = [sorted(records) for records in steps[:6]]
    assert seen[:3] == seen[3:]
    assert sorted(itertools.chain(*seen[:3])) == list(range(len(units.lengths)))


def test_the_released_parameters_are_the_average_of_the_iterates(adapted, units):
    iterates = []
    mechanism = DpSgd(1.0, 1.0, 1.0, expected_batch_size=4, steps=4)
    learning = Learning(0.1, optimiser="sgd", averaging=0.7)
    training.train(
        adapted,
        units,
        mechanism,
        learning,
        micro_batch_tokens=100,
        progress=lambda step, total: iterates.append(trainable(adapted).double()),
    )
    total, weight = 0.0, 0.0
    for step, iterate in enumerate(iterates):
        share = 0.3 * 0.7 ** (len(iterates) - 1 - step)
        total, weight = total + share * iterate, weight + share
    torch.testing.assert_close(trainable(adapted).double(), total / weight, rtol=1e-5, atol=1e-7)
