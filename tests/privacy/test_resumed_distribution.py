"""A run that was killed and resumed has the distribution of one that was not: two-sample tests on final parameters."""

from __future__ import annotations

import pytest
import torch
from scipy import stats
from torch import nn

from dpsynth_assets.privacy import training
from dpsynth_assets.privacy.checkpoint import CheckpointFolder
from dpsynth_assets.privacy.plan import DpSgd, Learning

pytestmark = pytest.mark.slow

RUNS, WIDTH, UNITS = 200, 96, 24
STEPS, EVERY, KILLED_AFTER = 4, 2, 3  # the third step is lost, and run again
FALSE_ALARM = 1e-6  # of one comparison
MECHANISM = DpSgd(0.5, 1.0, 1.0, expected_batch_size=12, steps=STEPS)
LEARNING = Learning(0.5, optimiser="sgd", schedule="constant")


class Points:
    """Linear regression: every unit has one point, and all points pull the same way."""

    def __init__(self):
        generator = torch.Generator().manual_seed(0)
        self.inputs = torch.randn(UNITS, WIDTH, generator=generator) + 1
        self.records_of = [[unit] for unit in range(UNITS)]
        self.lengths = [1] * UNITS
        self.longest = 1

    def losses(self, model, records, shape):
        made_up = [0] * (shape.rows - len(records))
        return (model(self.inputs[[*records, *made_up]])[:, 0] - 5).square()


class Killed(BaseException):
    pass


def start():
    model = nn.Linear(WIDTH, 1, bias=False)
    nn.init.zeros_(model.weight)
    return model


def kill(step, steps):
    if step == KILLED_AFTER:
        raise Killed


def unbroken(folder, data):
    model = start()
    training.train(model, data, MECHANISM, LEARNING, micro_batch_tokens=8)
    return model


def resumed(folder, data):
    with pytest.raises(Killed):
        training.train(start(), data, MECHANISM, LEARNING, micro_batch_tokens=8, progress=kill, checkpoints=folder)
    model = start()
    run = training.train(model, data, MECHANISM, LEARNING, micro_batch_tokens=8, checkpoints=folder)
    assert sum(run.attempts) - run.steps == KILLED_AFTER - EVERY
    return model


def louder(folder, data):
    """Broken: the noise of the second attempt is 1.3 times that of the first."""
    with pytest.raises(Killed):
        training.train(start(), data, MECHANISM, LEARNING, micro_batch_tokens=8, progress=kill, checkpoints=folder)
    model = start()

    class Louder(training.GaussianNoise):
        def __init__(self, standard_deviation):
            super().__init__(1.3 * standard_deviation)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "GaussianNoise", Louder)
        training.train(model, data, MECHANISM, LEARNING, micro_batch_tokens=8, checkpoints=folder)
    return model


def applied_twice(folder, data):
    """Broken: the second attempt takes the step's number from the checkpoint and leaves the lost update in place."""
    model = start()
    with pytest.raises(Killed):
        training.train(model, data, MECHANISM, LEARNING, micro_batch_tokens=8, progress=kill, checkpoints=folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training._Run, "load", lambda self, state: setattr(self, "step", int(state["step"])))
        training.train(model, data, MECHANISM, LEARNING, micro_batch_tokens=8, checkpoints=folder)
    return model


def sample(way, data, path):
    """Final parameters of RUNS runs, shape (RUNS, WIDTH)."""
    ends = []
    for number in range(RUNS):
        model = way(CheckpointFolder(path / f"{way.__name__}-{number}", "digest", every=EVERY), data)
        ends.append(model.weight.detach().flatten().double())
    return torch.stack(ends)


def smallest_p(one, other):
    """Over projections on the direction that the data pulls to, on two others, and of the noise's size."""
    generator = torch.Generator().manual_seed(1)
    directions = torch.cat([torch.ones(1, WIDTH), torch.randn(2, WIDTH, generator=generator)]).double()
    centre = one.mean(0)
    pairs = [*((one @ d, other @ d) for d in directions), ((one - centre).norm(dim=1), (other - centre).norm(dim=1))]
    return len(pairs) * min(stats.ks_2samp(a.numpy(), b.numpy()).pvalue for a, b in pairs)


@pytest.fixture(scope="module")
def data():
    return Points()


@pytest.fixture(scope="module")
def reference(data, tmp_path_factory):
    return sample(unbroken, data, tmp_path_factory.mktemp("reference"))


def test_a_resumed_run_is_distributed_like_an_unbroken_one(reference, data, tmp_path):
    assert smallest_p(reference, sample(resumed, data, tmp_path)) > FALSE_ALARM


@pytest.mark.parametrize("broken", [louder, applied_twice])
def test_a_broken_resumption_would_be_noticed(reference, data, broken, tmp_path):
    assert smallest_p(reference, sample(broken, data, tmp_path)) < FALSE_ALARM
