"""Plans: one object, public constants only, and a noise multiplier that keeps its promise."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpsynth_assets.contract import load_contract
from dpsynth_assets.privacy.correlation import noise_growth
from dpsynth_assets.privacy.plan import DpSgd, TrainingPlan
from dpsynth_assets.releases.adapter import ADAPTER
from ledger import PoissonSampledGaussian, accounting

SHIPPED = sorted((Path(__file__).parents[2] / "contracts").glob("*.odcs.yaml"))
CONTRACTS = [path for path in SHIPPED if load_contract(path).privacy.releases.get(ADAPTER) is not None]


@pytest.mark.slow
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
        q=mechanism.sampling_probability,
        noise_multiplier=mechanism.noise_multiplier,
        steps=mechanism.steps,
        orders=orders,
    )
    epsilon, _ = rdp.get_privacy_spent(orders=orders, rdp=theirs, delta=plan.delta)
    ours = accounting.epsilon(plan.event(), plan.delta)
    assert epsilon <= ours < epsilon * 1.05


@pytest.mark.slow
@pytest.mark.parametrize("path", CONTRACTS, ids=lambda path: path.stem)
def test_parity_with_dp_accounting_s_tighter_accountant(path):
    """Privacy loss distributions are tighter than Renyi DP: at most ours, and not far below."""
    import dp_accounting
    from dp_accounting.pld import PLDAccountant

    plan = TrainingPlan.from_contract(load_contract(path))
    mechanism = plan.mechanism
    step = dp_accounting.GaussianDpEvent(mechanism.noise_multiplier)
    event = dp_accounting.SelfComposedDpEvent(
        dp_accounting.PoissonSampledDpEvent(mechanism.sampling_probability, step), mechanism.steps
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


def test_the_event_does_not_depend_on_the_clipping_method_but_the_plan_s_digest_does():
    flat, layered = (DpSgd(0.1, 1.0, 2.0, 10, 5, method) for method in ("flat", "per_layer"))
    assert flat.event() == layered.event()
    assert flat.noise_standard_deviation == layered.noise_standard_deviation == 2.0
    assert flat != layered


def test_bands_charge_fewer_steps_at_a_higher_rate():
    mechanism = DpSgd(0.05, 1.3, 2.0, 10, 21, num_bands=4)
    assert mechanism.event() == PoissonSampledGaussian(0.2, 1.3, 6)
    assert mechanism.event(8) == PoissonSampledGaussian(0.2, 1.3, 2)
    assert mechanism.noise_standard_deviation == 2.6
    assert mechanism.noise_in_mean == pytest.approx(0.26 * noise_growth(4))


def test_one_band_is_ordinary_dp_sgd():
    mechanism = DpSgd(0.05, 1.3, 2.0, 10, 21, num_bands=1)
    assert mechanism == DpSgd(0.05, 1.3, 2.0, 10, 21)
    assert mechanism.event() == PoissonSampledGaussian(0.05, 1.3, 21)
    assert mechanism.noise_in_mean == pytest.approx(0.26)


@given(st.integers(1, 6), st.lists(st.integers(0, 12), min_size=1, max_size=5))
def test_attempts_are_charged_what_the_unluckiest_unit_takes_part_in(bands, attempts):
    """Each attempt draws its groups anew: count, for the worst groups, the steps that sample them."""
    steps = max(bands, sum(attempts) - 3)
    mechanism = DpSgd(0.1, 1.0, 1.0, 10, steps, num_bands=bands)
    if sum(attempts) < steps:
        return
    worst = sum(max(len(range(group, attempt, bands)) for group in range(bands)) for attempt in attempts)
    again = mechanism.event_of_replay(attempts)
    assert mechanism.event().steps + (again.steps if again else 0) == max(worst, mechanism.event().steps)


@pytest.mark.slow
@given(st.integers(1, 5), st.integers(1, 4), st.lists(st.integers(0, 9), max_size=6))
def test_a_killed_run_never_owes_more_than_was_charged_before_it_went_on(bands, every, kills):
    """Any history of kills: at every resumption what is charged covers all attempts if this one runs to the end."""
    steps = 11
    mechanism = DpSgd(0.1, 1.0, 1.0, 10, steps, num_bands=bands)
    plan = replace(TrainingPlan.from_contract(load_contract(CONTRACTS[0])), mechanism=mechanism)

    class Folder:
        attempts: tuple[int, ...] = ()
        saved = 0

        def steps_of_attempts(self):
            return self.attempts

        def steps_saved(self):
            return self.saved

    folder, charged = Folder(), []
    for killed_after in [*kills, steps]:
        if (again := plan.mechanism.steps_again(folder, charged)) is not None:
            charged.append(again)
        assert plan.mechanism.steps_again(folder, charged) is None
        ran = min(killed_after, steps - folder.saved)
        if ran:
            folder.attempts += (ran,)
        reached = folder.saved + ran
        folder.saved = steps if reached == steps else reached // every * every if reached // every else folder.saved
        owed = mechanism.event_of_replay([*folder.attempts, steps - folder.saved])
        if folder.saved == steps:
            assert (owed.steps if owed else 0) == sum(event.steps for event in charged)
            break


def test_a_contract_s_bands_reach_mechanism_event_and_digest():
    contract = load_contract(CONTRACTS[0])
    terms = contract.privacy
    adapter = terms.releases.adapter.model_copy(update={"noise_bands": 3})
    releases = terms.releases.model_copy(update={"adapter": adapter})
    banded = replace(contract, privacy=terms.model_copy(update={"releases": releases}))
    plain, plan = TrainingPlan.from_contract(contract), TrainingPlan.from_contract(banded)
    assert plan.mechanism.num_bands == plan.describe()["mechanism"]["noise_bands"] == 3
    assert plan.digest() != plain.digest()
    assert plan.event().sampling_rate == pytest.approx(3 * plain.event().sampling_rate)
    assert plan.event().steps == math.ceil(plain.event().steps / 3)
    assert 0.999 * plan.epsilon < accounting.epsilon(plan.event(), plan.delta) <= plan.epsilon
    quick = TrainingPlan.from_contract(banded, 0.01)  # too few units and steps for the whole batch and all bands
    assert quick.mechanism.group_sampling_probability <= 1
    assert quick.mechanism.num_bands <= quick.mechanism.steps


def test_a_quick_pass_samples_the_smaller_population_at_a_higher_rate():
    contract = load_contract(CONTRACTS[0])
    whole, quick = TrainingPlan.from_contract(contract), TrainingPlan.from_contract(contract, 0.25)
    assert quick.mechanism.sampling_probability == pytest.approx(4 * whole.mechanism.sampling_probability, rel=0.01)
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
        {"sampling_probability": 0.0},
        {"sampling_probability": 1.1},
        {"sampling_probability": math.nan},
        {"noise_multiplier": -1.0},
        {"noise_multiplier": math.nan},
        {"noise_multiplier": math.inf},
        {"l2_clip_norm": 0.0},
        {"l2_clip_norm": math.nan},
        {"l2_clip_norm": math.inf},
        {"steps": 0},
        {"expected_batch_size": 0},
        {"clipping_method": "none"},
        {"num_bands": 0},
        {"num_bands": 6},
        {"num_bands": 4, "sampling_probability": 0.3},
    ],
)
def test_constants_that_make_no_mechanism_are_refused(wrong):
    right = {
        "sampling_probability": 0.1,
        "noise_multiplier": 1.0,
        "l2_clip_norm": 1.0,
        "expected_batch_size": 10,
        "steps": 5,
    }
    with pytest.raises(ValueError):  # noqa: PT011 - each constant has its own sentence
        DpSgd(**{**right, **wrong})
