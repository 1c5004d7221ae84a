"""Canaries are units like any other, touch nobody else, and give away a mechanism that breaks its promise."""

import numpy as np
import pytest
import torch

from benchmarks.faults import FAULTS
from dpsynth_assets.audit.canaries import FILE, Canaries
from dpsynth_assets.audit.result import AuditResult, audit_result
from dpsynth_assets.language.promise import TrainingPromise
from dpsynth_assets.privacy.clipping.engine import ClippedSum
from dpsynth_assets.privacy.plan import DpSgd, Learning, calibrated
from dpsynth_assets.privacy.shapes import Shape
from dpsynth_assets.privacy.training import train

DELTA, CLAIM, M = 1e-5, 4.0, 200
LEARNING = Learning(0.1, schedule="constant", optimiser="sgd")
WIDTH = 6


def mechanism(clipping="per_layer", noise=None, bands=1, steps=12, rate=0.25):
    shape = DpSgd(rate, 0.0, 1.0, 50, steps, clipping, bands)
    return calibrated(shape, CLAIM, DELTA) if noise is None else DpSgd(rate, noise, 1.0, 50, steps, clipping, bands)


class People:
    """Units whose records have gradients in both layers; a unit in three has two records."""

    def __init__(self, count=60):
        rng = np.random.default_rng(3)
        self.records_of, self.lengths = [], []
        for unit in range(count):
            own = 1 + (unit % 3 == 0)
            self.records_of.append(list(range(len(self.lengths), len(self.lengths) + own)))
            self.lengths += [1] * own
        self.longest = 1
        self.rows = torch.tensor(rng.standard_normal((len(self.lengths), WIDTH)), dtype=torch.float32)

    def losses(self, model, records, shape):
        rows = torch.zeros(shape.rows, WIDTH)
        rows[: len(records)] = self.rows[list(records)]
        counted = torch.arange(shape.rows) < len(records)
        return torch.where(counted, model(rows).squeeze(1), 0.0)


def two_layers():
    torch.manual_seed(1)
    return torch.nn.Sequential(torch.nn.Linear(WIDTH, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1))


def trained(mechanism, *, people=None):
    model = two_layers()
    with Canaries(model, M, mechanism.clipping, records=2) as canaries:
        data = canaries.beside(people or People())
        train(model, data, mechanism, LEARNING, micro_batch_tokens=16, observer=canaries)
    return model, canaries


def audited(mechanism, claim=None):
    _, canaries = trained(mechanism)
    return audit_result(canaries, TrainingPromise([(claim or mechanism).event()], DELTA), mechanism.steps)


@pytest.mark.parametrize("clipping", ["flat", "per_layer", "automatic"])
def test_a_right_run_stands_and_its_canaries_are_told_as_well_as_its_noise_allows(clipping):
    found = audited(mechanism(clipping))
    assert not found.refuted
    assert found.lower_bound < found.epsilon
    assert found.steps == 12
    assert 0.5 < found.area_under_curve.estimate < 0.95
    assert found.canaries == M


@pytest.mark.parametrize("clipping", ["flat", "per_layer", "automatic"])
@pytest.mark.parametrize("share", [0.0, 0.1])
def test_without_noise_and_with_a_tenth_of_it_the_promise_is_refuted(clipping, share):
    claim = mechanism(clipping)
    found = audited(mechanism(clipping, noise=share * claim.noise_multiplier), claim)
    assert found.refuted
    assert found.lower_bound >= found.epsilon


@pytest.mark.parametrize("name", ["no noise", "a tenth of the noise", "no clipping"])
def test_faults_of_the_code_that_runs_are_found(name):
    fault = next(fault for fault in FAULTS if fault.name == name)
    with fault.put_in():
        assert audited(mechanism("flat")).refuted


def test_a_canary_in_a_batch_contributes_as_much_as_the_clip_allows_and_no_more():
    """Without noise and sampled for certain, each canary that takes part has the whole sensitivity, once a step."""
    for clipping in ("flat", "per_layer", "automatic"):
        right = mechanism(clipping, noise=0.0, steps=1, rate=1.0)
        _, canaries = trained(right)
        np.testing.assert_allclose(canaries.scores[canaries.included], 1.0, rtol=2e-3)
        assert (canaries.scores[~canaries.included] == 0).all()


def test_nobody_elses_contribution_is_another_for_canaries_beside_it():
    """One step without noise, everybody sampled: the model's own parameters move as they do without canaries."""
    right = mechanism(noise=0.0, steps=1, rate=1.0)
    alone = two_layers()
    train(alone, People(), right, LEARNING, micro_batch_tokens=16)
    beside, _ = trained(right)
    for one, other in zip(alone.parameters(), beside.parameters(), strict=True):
        assert torch.equal(one, other)


def test_the_scores_say_nothing_of_the_other_units():
    """Without noise, everybody sampled: whoever else is there, the canaries' coordinates hold the canaries' alone."""
    right = mechanism(noise=0.0, steps=1, rate=1.0)
    some, more = (trained(right, people=People(count))[1] for count in (9, 60))
    assert set(some.scores.tolist()) == set(more.scores.tolist())


def test_the_model_is_afterwards_what_it_was_but_for_what_was_trained():
    names = [name for name, _ in two_layers().named_parameters()]
    model, _ = trained(mechanism())
    assert [name for name, _ in model.named_parameters()] == names
    assert set(model.state_dict()) == set(names)


def test_a_run_that_goes_on_has_the_coins_and_the_scores_that_it_had(tmp_path):
    model = two_layers()
    first = Canaries(model, M, mechanism().clipping, folder=tmp_path)
    assert (tmp_path / FILE).exists()  # before a step is taken
    with first:
        train(model, first.beside(People()), mechanism(), LEARNING, micro_batch_tokens=16, observer=first)
    later = Canaries(two_layers(), M, mechanism().clipping, folder=tmp_path)
    assert (later.included == first.included).all()
    assert (later.scores == first.scores).all()
    assert (later.peaks == first.peaks).all()
    assert later.steps == first.steps == 12


def damaged(file, how):
    kept = dict(np.load(file))
    if how == "no number":
        kept["scores"] *= np.nan
    if how == "without scores":
        del kept["scores"]
    if how == "of others":
        kept = {name: numbers[:9] if name != "steps" else numbers for name, numbers in kept.items()}
    np.savez(file, **kept)
    file.write_bytes({"empty": b"", "torn": file.read_bytes()[:100]}.get(how, file.read_bytes()))


@pytest.mark.parametrize("how", ["empty", "torn", "no number", "without scores", "of others"])
def test_a_file_that_cannot_be_read_loses_no_run_that_was_paid_for(tmp_path, how):
    first = Canaries(two_layers(), M, mechanism().clipping, folder=tmp_path)
    first.scores += 1.0
    first.steps = 3
    first._keep()
    damaged(tmp_path / FILE, how)
    later = Canaries(two_layers(), M, mechanism().clipping, folder=tmp_path)
    assert (later.scores == 0).all()
    assert later.steps == 0
    again = Canaries(two_layers(), M, mechanism().clipping, folder=tmp_path)
    assert (again.included == later.included).all()


def test_what_the_engine_keeps_of_a_unit_is_decided_as_without_a_canary_beside_it():
    """A matrix whose gradients take by a tenth of a number too much to be kept; what is kept rounds otherwise."""
    tokens, wide, high = 79, 165, 272
    clipping = mechanism("flat").clipping
    torch.manual_seed(0)
    text = torch.randn(tokens, wide)
    model = torch.nn.Sequential(torch.nn.Linear(wide, high, bias=False))

    class One:
        records_of, lengths, longest = ([0],), (1,), 1

        def losses(self, model, records, shape):
            rows = torch.zeros(shape.rows, tokens, wide)
            rows[: len(records)] = text
            return torch.where(torch.arange(shape.rows) < len(records), model(rows).tanh().sum((1, 2)), 0.0)

    with Canaries(model, M, clipping) as canaries, ClippedSum(model, clipping) as clipped:
        canaries.included[:] = True
        data, sums = canaries.beside(One()), []
        for records in ([0], [0, 1]):
            clipped.add(data.losses(model, records, Shape(1, 4)), [1] * len(records))
            sums.append(clipped.take()[0])
    assert torch.equal(*sums)


def test_the_observer_sees_what_moves_the_parameters_and_no_more():
    model, seen = two_layers(), []
    before = [p.detach().clone().double() for p in model.parameters()]
    right = mechanism()
    train(
        model,
        People(),
        right,
        LEARNING,
        micro_batch_tokens=16,
        observer=lambda sums, parameters: seen.append([s.clone() for s in sums]),
    )
    assert len(seen) == right.steps
    for place, parameter in enumerate(model.parameters()):
        moved = sum(sums[place] for sums in seen) * LEARNING.learning_rate / right.expected_batch_size
        torch.testing.assert_close(parameter.detach().double(), before[place] - moved, rtol=1e-4, atol=1e-5)


def test_coins_are_fair_and_differ_from_run_to_run():
    made = [Canaries(two_layers(), 1000, mechanism().clipping).included for _ in range(2)]
    assert (made[0] != made[1]).any()
    assert all(400 < included.sum() < 600 for included in made)


def test_canaries_that_do_not_stand_last_are_refused():
    model = two_layers()
    with Canaries(model, M, mechanism().clipping) as canaries:
        data = canaries.beside(People())
        canary = len(People().lengths)
        with pytest.raises(ValueError, match="stand after the other units"):
            data.losses(model, [canary, 0], None)


def test_a_finding_is_read_as_it_was_saved(tmp_path):
    found = audited(mechanism())
    assert AuditResult.of(tmp_path) is None
    found.save(tmp_path)
    assert AuditResult.of(tmp_path) == found
