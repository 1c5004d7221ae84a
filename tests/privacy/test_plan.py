"""Plans: one object, public constants only, and a noise multiplier that keeps its promise."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from dpsynth_assets.contract import load_contract
from dpsynth_assets.privacy.plan import DpSgd, TrainingPlan
from ledger import accounting

CONTRACTS = sorted((Path(__file__).parents[2] / "contracts").glob("*.odcs.yaml"))


@pytest.mark.parametrize("path", CONTRACTS, ids=lambda path: path.stem)
@pytest.mark.parametrize("size", [1.0, 0.2])
def test_a_plan_is_calibrated_to_its_release_s_epsilon_and_not_below(path, size):
    contract = load_contract(path)
    plan = TrainingPlan.from_contract(contract, size)
    target = contract.privacy.releases.adapter.epsilon_of(contract.privacy.budget)
    reached = accounting.epsilon(plan.event(), contract.privacy.budget.delta)
    assert 0.999 * target < reached <= target


@pytest.mark.parametrize("path", CONTRACTS, ids=lambda path: path.stem)
def test_parity_with_opacus_accountant(path):
    """Another implementation's epsilon for the same event. It takes the best order after the fact: at most ours."""
    from opacus.accountants.analysis import rdp

    plan = TrainingPlan.from_contract(load_contract(path))
    mechanism = plan.mechanism
    orders = accounting.CANDIDATE_ORDERS
    theirs = rdp.compute_rdp(
        q=mechanism.sampling_rate, noise_multiplier=mechanism.noise_multiplier, steps=mechanism.steps, orders=orders
    )
    epsilon, _ = rdp.get_privacy_spent(orders=orders, rdp=theirs, delta=plan.delta)
    ours = accounting.epsilon(plan.event(), plan.delta)
    assert epsilon <= ours < epsilon * 1.05


@pytest.mark.parametrize("path", CONTRACTS, ids=lambda path: path.stem)
def test_parity_with_dp_accounting_s_tighter_accountant(path):
    """Privacy loss distributions are tighter than Renyi DP: at most ours, and not far below."""
    import dp_accounting
    from dp_accounting.pld import PLDAccountant

    plan = TrainingPlan.from_contract(load_contract(path))
    mechanism = plan.mechanism
    step = dp_accounting.GaussianDpEvent(mechanism.noise_multiplier)
    event = dp_accounting.SelfComposedDpEvent(
        dp_accounting.PoissonSampledDpEvent(mechanism.sampling_rate, step), mechanism.steps
    )
    tight = PLDAccountant().compose(event).get_epsilon(plan.delta)
    ours = accounting.epsilon(plan.event(), plan.delta)
    assert 0.5 * ours < tight <= ours


def test_replayed_steps_are_charged_beside_the_plan_s():
    mechanism = DpSgd(0.1, 1.0, 1.0, expected_batch_size=10, steps=5)
    assert mechanism.event_of_replay([5]) is None
    assert mechanism.event_of_replay([2, 0, 3]) is None
    replay = mechanism.event_of_replay([4, 4])
    assert replay is not None
    assert replay.steps == 3
    with pytest.raises(ValueError, match="cannot have completed"):
        mechanism.event_of_replay([3, 1])


def test_the_event_does_not_depend_on_the_clipping_strategy_but_the_plan_s_digest_does():
    flat, layered = (DpSgd(0.1, 1.0, 2.0, 10, 5, strategy) for strategy in ("flat", "per_layer"))
    assert flat.event() == layered.event()
    assert flat.noise_standard_deviation == layered.noise_standard_deviation == 2.0
    assert flat != layered


def test_a_quick_pass_samples_the_smaller_population_at_a_higher_rate():
    contract = load_contract(CONTRACTS[0])
    whole, quick = TrainingPlan.from_contract(contract), TrainingPlan.from_contract(contract, 0.25)
    assert quick.mechanism.sampling_rate == pytest.approx(4 * whole.mechanism.sampling_rate, rel=0.01)
    assert quick.mechanism.noise_multiplier > whole.mechanism.noise_multiplier
    assert quick.epsilon == whole.epsilon
    assert quick.digest() != whole.digest()


def test_the_digest_covers_every_constant_and_survives_json():
    plan = TrainingPlan.from_contract(load_contract(CONTRACTS[0]))
    assert json.loads(json.dumps(plan.describe())) == plan.describe()
    assert plan.digest() == TrainingPlan.from_contract(load_contract(CONTRACTS[0])).digest()


def test_training_without_noise_has_no_event_to_charge():
    mechanism = DpSgd(0.1, 0.0, math.inf, expected_batch_size=10, steps=5)
    with pytest.raises(ValueError, match="no privacy guarantee"):
        mechanism.event()


def test_an_event_never_claims_more_steps_than_were_planned():
    mechanism = DpSgd(0.1, 1.0, 1.0, expected_batch_size=10, steps=5)
    assert mechanism.event(3).steps == 3
    for steps in (0, 6):
        with pytest.raises(ValueError, match="planned"):
            mechanism.event(steps)


@pytest.mark.parametrize(
    "wrong",
    [
        {"sampling_rate": 0.0},
        {"sampling_rate": 1.1},
        {"sampling_rate": math.nan},
        {"noise_multiplier": -1.0},
        {"noise_multiplier": math.nan},
        {"noise_multiplier": math.inf},
        {"clipping_norm": 0.0},
        {"clipping_norm": math.nan},
        {"clipping_norm": math.inf},
        {"steps": 0},
        {"expected_batch_size": 0},
        {"strategy": "none"},
    ],
)
def test_constants_that_make_no_mechanism_are_refused(wrong):
    right = {
        "sampling_rate": 0.1,
        "noise_multiplier": 1.0,
        "clipping_norm": 1.0,
        "expected_batch_size": 10,
        "steps": 5,
    }
    with pytest.raises(ValueError):  # noqa: PT011 - each constant has its own sentence
        DpSgd(**{**right, **wrong})
