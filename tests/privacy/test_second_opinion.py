"""Opacus' accountants beside the ledger's: agreement wherever both are right, and a refusal where one is not."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dpsynth_assets.privacy import second_opinion as module
from dpsynth_assets.privacy.second_opinion import DisagreementError, SecondOpinion, require_agreement, second_opinion
from ledger import accounting
from ledger.events import (
    Composed,
    DiscreteLaplace,
    Gaussian,
    Laplace,
    MixtureOfGaussians,
    PoissonSampledGaussian,
    RepeatAndSelect,
    SelfComposed,
)

DELTA = 1e-6
TRAINING = PoissonSampledGaussian(0.01, 1.0, 2000)


def power(low: float, high: float) -> st.SearchStrategy[float]:
    return st.floats(low, high).map(lambda exponent: 10.0**exponent)


gaussians = st.builds(Gaussian, power(-1, 3))
trainings = st.builds(PoissonSampledGaussian, power(-6, 0), power(-0.5, 2), power(0, 5).map(int))
single = st.one_of(gaussians, trainings)
composed = st.one_of(
    single,
    st.builds(SelfComposed, single, st.integers(1, 5)),
    st.builds(Composed, st.lists(single, min_size=1, max_size=3).map(tuple)),
)


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(composed, power(-9, -3))
def test_random_mechanisms_are_agreed_on(event, delta):
    """What is refused here would be a false alarm: the ledger's figures are held against two others elsewhere."""
    require_agreement(event, delta)
    opinion = second_opinion(event, delta)
    charged = accounting.epsilon(event, delta)
    assert opinion.rdp <= charged * (1 + module.ROUNDING)
    if opinion.prv is not None:
        assert 0 <= opinion.prv[0] <= charged


def test_the_bounds_hold_the_figure_of_a_third_accountant():
    low, high = second_opinion(TRAINING, DELTA).prv
    assert low <= accounting.pld_epsilon([TRAINING], DELTA) <= high
    assert high - low < 0.05


def test_the_same_run_twice_is_twice_as_many_steps():
    twice = PoissonSampledGaussian(0.01, 1.0, 4000)
    for event in (SelfComposed(TRAINING, 2), Composed((TRAINING, TRAINING))):
        assert second_opinion(event, DELTA) == second_opinion(twice, DELTA)


@pytest.mark.parametrize("factor", [0.5, 1 - 1e-5, 1 + 1e-5, 2.0])
@pytest.mark.parametrize("event", [Gaussian(2.0), TRAINING, Composed((TRAINING, Gaussian(2.0)))])
def test_a_cost_that_rounding_does_not_explain_is_refused(monkeypatch, factor, event):
    require_agreement(event, DELTA)
    true = accounting.renyi_vector
    monkeypatch.setattr(module, "renyi_vector", lambda *asked: tuple(factor * cost for cost in true(*asked)))
    with pytest.raises(DisagreementError, match=r"two accountants disagree .* by Opacus 1\.\d.*Nothing was charged"):
        require_agreement(event, DELTA)


@pytest.mark.parametrize("by", ["RDP", "PRV"])
def test_a_conversion_that_gives_too_little_is_refused(monkeypatch, by):
    """Costs at every order are right, and what is made of them is not."""
    opinion = second_opinion(TRAINING, DELTA)
    least = {"RDP": opinion.rdp, "PRV": opinion.prv[0]}[by]
    monkeypatch.setattr(module, "charged_alone", lambda *_: least * 0.999)
    if by == "PRV":
        monkeypatch.setattr(module, "_asked", lambda *_: SecondOpinion(0.0, opinion.prv))
    with pytest.raises(DisagreementError, match=rf"costs epsilon .* and at least [\d.]+ \({by}\)"):
        require_agreement(TRAINING, DELTA)


@pytest.mark.parametrize(
    ("event", "what"),
    [
        (DiscreteLaplace(2.0, 1), "discrete Laplace noise"),
        (Composed((Laplace(2.0, 1.0), DiscreteLaplace(2.0, 1))), "Laplace noise and discrete Laplace noise"),
        (MixtureOfGaussians(0.01, 3, 1.0, 10), "sampling record by record"),
        (RepeatAndSelect(TRAINING, 5.0, 1.0), "the best of several runs"),
    ],
)
def test_what_opacus_does_not_know_gets_none_and_says_so(monkeypatch, event, what):
    monkeypatch.setattr(module, "_renyi", None)  # nobody is asked
    assert second_opinion(event, DELTA) == f"no second opinion: Opacus does not know {what}"
    require_agreement(event, DELTA)


def test_beside_noise_that_opacus_does_not_know_the_gaussian_part_is_still_asked_for(monkeypatch):
    both = Composed((TRAINING, DiscreteLaplace(2.0, 1)))
    require_agreement(both, DELTA)
    alone = accounting.renyi_vector(DiscreteLaplace(2.0, 1), accounting.CANDIDATE_ORDERS)
    monkeypatch.setattr(module, "renyi_vector", lambda *_: alone)  # as if training were free
    with pytest.raises(DisagreementError):
        require_agreement(both, DELTA)


def test_bounds_that_double_precision_does_not_bear_are_not_asked_for(monkeypatch):
    """There the PRV accountant's lower bound is 7.5, for what costs at most 6.9: a right release would be refused."""
    event, delta = PoissonSampledGaussian(0.004379469660903247, 0.8785635356848565, 11859), 3e-13
    assert second_opinion(event, delta).prv is None
    require_agreement(event, delta)
    module._asked.cache_clear()
    monkeypatch.setattr(module, "_ABOVE_ROUNDING", 0)
    with pytest.raises(DisagreementError, match="PRV"):
        require_agreement(event, delta)
    module._asked.cache_clear()
