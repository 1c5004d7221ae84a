"""Rounds of noisy votes: the noise, the sensitivity, the charge, and what a kill adds to it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import dp_accounting
import numpy as np
import pytest
from dp_accounting.rdp import RdpAccountant
from scipy import stats

from dpsynth_assets.contract import load_contract
from dpsynth_assets.privacy.checkpoint import CheckpointFolder
from dpsynth_assets.privacy.evolution import EvolutionPlan, NoisyVotes
from dpsynth_assets.releases.evolution import EVOLUTION, EvolutionTerms
from ledger import Gaussian, SelfComposed
from ledger.accounting import CANDIDATE_ORDERS, renyi_vector
from ledger.accounting import epsilon as epsilon_of

MECHANISM = NoisyVotes(rounds=5, noise_multiplier=8.0, max_records=2)
PLAN = EvolutionPlan(
    mechanism=MECHANISM,
    cells=(("card",), ("loan",)),
    texts=10,
    threshold=2.0,
    survivors=0.25,
    variation={"lookahead": 0},
    epsilon=1.0,
    delta=1e-5,
    unit="customer",
    neighbouring_relation="add_or_remove_one_unit",
    max_tokens=48,
    base_model="embedded",
    endpoint=None,
    asked=None,
    drawing={"seed": 0},
)


def test_the_charge_is_that_of_all_rounds() -> None:
    """At each order what dp_accounting counts for so many Gaussian mechanisms, but for the ledger's rounding up."""
    assert PLAN.event() == SelfComposed(Gaussian(8.0), 5)
    charged = np.array(renyi_vector(PLAN.event(), CANDIDATE_ORDERS))
    counted = np.array([5 * order / (2 * 8.0**2) for order in CANDIDATE_ORDERS])  # Mironov 2017, proposition 7
    accountant = RdpAccountant(list(CANDIDATE_ORDERS))
    accountant.compose(dp_accounting.SelfComposedDpEvent(dp_accounting.GaussianDpEvent(8.0), 5))
    assert accountant._rdp == pytest.approx(counted)
    assert (charged >= counted * (1 - 1e-12)).all()
    assert charged == pytest.approx(counted, rel=1e-6)


@pytest.mark.parametrize("size", [1.0, 0.2])
def test_a_plan_is_calibrated_to_its_releases_epsilon_and_not_below(size: float) -> None:
    contract = load_contract(Path(__file__).parents[2] / "contracts" / "ag_news_evolution.odcs.yaml")
    asked = contract.privacy.releases[EVOLUTION].epsilon
    reached = epsilon_of(EVOLUTION.plan(contract, size).event(), contract.privacy.budget.delta)
    assert 0.999 * asked < reached <= asked


def test_votes_are_noisy_as_the_charge_says() -> None:
    """Noise of the multiplier times the most records of a unit, about the true votes, for texts without a vote too."""
    votes, units = [3] * 40, [f"c{at // 2}" for at in range(40)]
    drawn = np.array([MECHANISM.release(votes, units, 50) for _ in range(200)])
    truth = np.zeros(50)
    truth[3] = 40
    noise = (drawn - truth).ravel()
    assert stats.kstest(noise, "norm", (0, 16.0)).pvalue > 1e-4
    assert abs(np.corrcoef(noise[:-1], noise[1:])[0, 1]) < 0.05


def test_one_unit_moves_the_votes_by_its_records_at_most() -> None:
    with_her = MECHANISM.exact([0, 1, 1, 1], ["a", "b", "eve", "eve"], 3)
    without = MECHANISM.exact([0, 1], ["a", "b"], 3)
    assert np.linalg.norm(with_her - without) == MECHANISM.max_records
    with pytest.raises(ValueError, match="more than max_records"):
        MECHANISM.exact([1, 1, 1], ["eve"] * 3, 3)
    with pytest.raises(ValueError, match="not in the list"):
        MECHANISM.exact([3], ["eve"], 3)


def test_the_order_of_records_does_not_matter() -> None:
    votes, units = [0, 2, 2, 1], ["a", "b", "c", "d"]
    assert (MECHANISM.exact(votes, units, 3) == MECHANISM.exact(votes[::-1], units[::-1], 3)).all()


def test_exact_votes_cannot_be_charged() -> None:
    exact = replace(MECHANISM, noise_multiplier=0.0)
    assert exact.release([1, 1], ["a", "b"], 3).tolist() == [0, 2, 0]
    with pytest.raises(ValueError, match="cannot be charged"):
        exact.event()


@pytest.mark.parametrize(
    ("saved", "begun", "charged", "owed"),
    [(0, 0, 0, None), (0, 1, 0, 1), (2, 2, 0, None), (2, 3, 0, 1), (2, 4, 1, 1), (2, 4, 2, None)],
)
def test_rounds_whose_votes_were_lost_are_charged_again(tmp_path, saved, begun, charged, owed) -> None:
    """Each once, however often the run was killed."""
    with CheckpointFolder(tmp_path, PLAN.digest()).open() as folder:
        for _ in range(begun):
            folder.begin_step()
        if saved:
            folder.save({"step": saved})
    before = [SelfComposed(Gaussian(8.0), charged)] if charged else []
    assert PLAN.replay(tmp_path, before) == (None if owed is None else SelfComposed(Gaussian(8.0), owed))


def test_a_plan_is_what_decides_the_texts_and_nothing_else(contract) -> None:
    """What only says how much is drawn at the end, how quickly, or what people know of the model, is no other plan."""
    terms = EvolutionTerms(mechanism="gaussian_votes", epsilon=1.0, rounds=3, texts=6)

    def digest(*, of: str = "", **update: object) -> str:
        privacy, stated = contract.privacy, terms
        if of:
            privacy = privacy.model_copy(update={of: getattr(privacy, of).model_copy(update=update)})
        else:
            stated = terms.model_copy(update=update)
        privacy = privacy.model_copy(update={"releases": privacy.releases.but(EVOLUTION, stated)})
        return EVOLUTION.plan(replace(contract, privacy=privacy)).digest()

    alike = [digest(of="generation", rows=7), digest(of="generation", batch_size=1), digest(precision="bfloat16")]
    assert {*alike, digest(of="base_model", corpus="letters")} == {digest()}
    others = [digest(rounds=4), digest(texts=7), digest(kept=0.5), digest(survivors=0.5), digest(threshold=0.0)]
    others += [digest(of="generation", seed=1), digest(of="base_model", name="other"), digest(epsilon=2.0)]
    assert len({digest(), *others}) == 1 + len(others)


def test_what_is_asked_of_a_writer() -> None:
    """Ten texts of two labels in five rounds, and the table's; with lookahead each round's variations too."""
    assert PLAN.written(100) == 5 * 20 + 100
    assert replace(PLAN, variation={"lookahead": 2}).written(100) == 5 * 20 * 3 + 100
