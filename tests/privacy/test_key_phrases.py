"""Noisy counts of phrases: the law of those that somebody has and of those that nobody has, sensitivity, and charge."""

from __future__ import annotations

import secrets
from collections import Counter
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from dpsynth_assets.contract import load_contract
from dpsynth_assets.privacy import key_phrases
from dpsynth_assets.privacy.key_phrases import BY_CHANCE, NoisyPhrases, key_phrases_plan
from dpsynth_assets.privacy.noise import GaussianNoise
from dpsynth_assets.releases.key_phrases import KEY_PHRASES, LONGEST, KeyPhrasesTerms
from ledger import Gaussian
from ledger.accounting import epsilon as epsilon_of

MECHANISM = NoisyPhrases(
    cells=2, each=4, max_records=3, noise_multiplier=2.0, by_chance=1e-9
)  # of nobody none comes out
TINY = NoisyPhrases(cells=2, each=4, max_records=1, noise_multiplier=1.5, longest=1, plain="abcdefghij", by_chance=12.0)
"""A set of 512 phrases, small enough for noise to be drawn for each, of which noise alone brings in some twelve: six of
those 20 that are plain, and as many of the others."""
PLAIN, OTHERS = (1, True), (1, False)


def test_the_charge_is_a_gaussian_mechanisms() -> None:
    assert MECHANISM.event() == Gaussian(2.0)
    with pytest.raises(ValueError, match="cannot be charged"):
        replace(MECHANISM, noise_multiplier=0.0).event()


def planned(contract: Any, **terms: Any) -> Any:
    stated = KeyPhrasesTerms(**{"mechanism": "gaussian_phrases", "epsilon": 0.7, **terms})
    releases = contract.privacy.releases.but(KEY_PHRASES, stated)
    contract = replace(contract, privacy=contract.privacy.model_copy(update={"releases": releases}))
    return key_phrases_plan(contract, KEY_PHRASES, 1.0)


def test_a_plan_is_calibrated_to_its_releases_epsilon_and_not_below() -> None:
    contract = load_contract(Path(__file__).parents[2] / "contracts" / "ag_news_evolution.odcs.yaml")
    reached = epsilon_of(planned(contract).event(), contract.privacy.budget.delta)
    assert 0.999 * 0.7 < reached <= 0.7


def test_a_plan_is_what_decides_the_phrases_and_nothing_else(contract: Any) -> None:
    digest = planned(contract).digest()
    assert planned(contract, precision="bfloat16").digest() == digest
    others = [planned(contract, words=2), planned(contract, each=3), planned(contract, without=("bank",))]
    others += [planned(contract, epsilon=0.8)]
    assert len({digest, *(each.digest() for each in others)}) == 5


def test_the_sensitivity_is_never_rounded_down():
    for records in range(1, 20):
        for each in range(1, 257):
            stated = NoisyPhrases(1, each, records, 1.0).sensitivity
            assert Fraction(stated) ** 2 >= records**2 * each


@pytest.mark.parametrize("own", ["alike", "apart"])
def test_one_unit_moves_the_counts_by_its_records_at_most(own: str) -> None:
    """As far as the bound goes where all of her records have the same phrases."""
    others = [("a", [(0, b"bank"), (1, b"card")]), ("b", [(0, b"bank")])]
    hers = [
        ("eve", [(0, bytes([97 + at if own == "alike" else 97 + 4 * record + at])) for at in range(4)])
        for record in range(3)
    ]
    counted = MECHANISM.exact([*others, *hers])
    counted.subtract(MECHANISM.exact(others))
    moved = np.linalg.norm(list(counted.values()))
    assert moved <= MECHANISM.sensitivity
    if own == "alike":
        assert moved == pytest.approx(3 * 2.0)
        assert MECHANISM.sensitivity == pytest.approx(3 * 2.0)


def test_what_would_move_them_further_is_refused() -> None:
    with pytest.raises(ValueError, match="more than 4 phrases"):
        MECHANISM.exact([("eve", [(0, bytes([at + 97])) for at in range(5)])])
    with pytest.raises(ValueError, match="more than max_records"):
        MECHANISM.exact([("eve", [(0, b"bank")])] * 4)
    for key in ((2, b"bank"), (0, b""), (0, b"x" * 49), (-1, b"bank")):
        with pytest.raises(ValueError, match="not of the closed set"):
            MECHANISM.exact([("eve", [key])])
    assert MECHANISM.exact([("eve", [(0, b"bank"), (0, b"bank")])]) == {(0, b"bank"): 1}


def test_counts_have_the_noise_that_is_charged() -> None:
    """Noise of the multiplier times the sensitivity, about the true count."""
    said = [(f"c{at}", [(0, b"bank")]) for at in range(2_000)]
    noise = np.array([MECHANISM.release(said)[0, b"bank"] - 2_000 for _ in range(500)])
    assert stats.kstest(noise, "norm", (0, 2.0 * 3 * 2.0)).pvalue > 1e-6


def test_the_order_of_records_does_not_matter_and_what_comes_out_is_in_order() -> None:
    said = [(f"c{at}", [(at % 2, b"bank"), (0, b"card")]) for at in range(3_000)]
    assert MECHANISM.exact(said) == MECHANISM.exact(said[::-1])
    assert list(MECHANISM.release(said)) == sorted([(0, b"bank"), (0, b"card"), (1, b"bank")])


def test_phrases_that_nobody_has_come_out_as_if_each_had_its_noise() -> None:
    """The number of them, which they are and what they show, against the law of noise for every one of 512."""
    runs, deviation = 1_500, TINY.standard_deviation
    released = [TINY.release([]) for _ in range(runs)]
    spacing = GaussianNoise(deviation).spacing
    for kind, number in ((PLAIN, 20), (OTHERS, 492)):
        assert TINY.number_of(kind) == number
        found = [{key: shown for key, shown in each.items() if TINY.kind_of(key[1]) == kind} for each in released]
        least = TINY.least(kind)
        chance = float(stats.norm.sf((least - spacing / 2) / deviation))
        assert 4.0 < number * chance <= 6.0
        numbers = np.bincount([len(each) for each in found], minlength=20)[:20]
        law = stats.binom(number, chance).pmf(np.arange(20)) * runs
        told = law > 5
        observed = [*numbers[told], runs - numbers[told].sum()]
        assert stats.chisquare(observed, [*law[told], runs - law[told].sum()]).pvalue > 1e-6
        which = Counter(key for each in found for key in each)
        assert len(which) == number
        assert stats.chisquare(list(which.values())).pvalue > 1e-6
        shown = np.array([count for each in found for count in each.values()])
        assert (shown >= least).all()
        assert (shown / spacing == np.round(shown / spacing)).all()
        tail = stats.truncnorm((least - spacing / 2) / deviation, np.inf, scale=deviation)
        assert stats.kstest(shown, tail.cdf).pvalue > 1e-6


def test_a_phrase_that_only_one_unit_has_comes_out_as_its_count_says() -> None:
    """With her and without: no outcome has a probability of nothing on one side only, which a bound alone gives."""
    runs, least, deviation = 1_500, TINY.least(OTHERS), TINY.standard_deviation
    edge = least - GaussianNoise(deviation).spacing / 2
    with_her = sum((0, b"Q") in TINY.release([("eve", [(0, b"Q")])]) for _ in range(runs))
    without = sum((0, b"Q") in TINY.release([]) for _ in range(runs))
    assert stats.binomtest(with_her, runs, float(stats.norm.sf((edge - 1) / deviation))).pvalue > 1e-6
    assert stats.binomtest(without, runs, float(stats.norm.sf(edge / deviation))).pvalue > 1e-6


def test_phrases_that_somebody_has_are_not_drawn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """All but one of 512: the noise of others can bring in that one only."""
    everybody = [("a", [(cell, bytes([at]))]) for cell in range(2) for at in range(256)]
    last = everybody.pop()[1][0]
    drawn = [key for _ in range(600) for key in TINY._of_nobody(Counter(own[0] for _, own in everybody))]
    assert drawn
    assert set(drawn) == {last}


def test_phrases_of_nobody_come_out_beside_those_of_somebody_and_in_order() -> None:
    said = [(f"c{at}", [(1, b"a"), (0, b"Z")]) for at in range(60)]
    released = [TINY.release(said) for _ in range(100)]
    assert all(list(each) == sorted(each) for each in released)
    others = sum(len(each.keys() - {(1, b"a"), (0, b"Z")}) for each in released)
    assert stats.binomtest(others, 100 * 510, TINY.by_chance / 512).pvalue > 1e-6


def test_each_count_has_noise_of_its_own() -> None:
    said = [(f"c{at}", [(0, b"bank"), (0, b"card"), (1, b"bank")]) for at in range(2_000)]
    noise = np.array([list(MECHANISM.release(said).values()) for _ in range(400)]) - 2_000
    assert np.abs(np.corrcoef(noise.T)[np.triu_indices(3, 1)]).max() < 0.25
    apart = (noise[:, 0] - noise[:, 1]) / MECHANISM.standard_deviation
    assert stats.kstest(apart, "norm", (0, 2**0.5)).pvalue > 1e-6


def test_a_count_at_its_bound_comes_out_and_one_below_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    least, spacing = MECHANISM.least((4, True)), GaussianNoise(MECHANISM.standard_deviation).spacing
    for count, comes in ((least, True), (least - spacing, False)):
        monkeypatch.setattr(GaussianNoise, "add_", lambda self, sums, count=count: sums[0].fill_(count))
        assert ((0, b"bank") in MECHANISM.release([("a", [(0, b"bank")])])) is comes


@pytest.mark.parametrize(("others", "chance"), [(512, 0.01), (40, 0.3), (1, 0.25), (10**6, 1e-7)])
def test_how_many_pass_is_binomial(monkeypatch: pytest.MonkeyPatch, others: int, chance: float) -> None:
    """Inverted from the top: a fate below the probability of more than k passing makes more than k of it."""
    exact = key_phrases._exact()
    monkeypatch.setattr(key_phrases, "_chance", lambda *_: exact.mpf(chance))
    for passing in range(4):
        more = float(stats.binom.sf(passing, others, chance))
        for factor, least in ((1 - 1e-9, True), (1 + 1e-9, False)):
            if not 0 < more * factor < 1:
                continue
            monkeypatch.setattr(secrets, "randbits", lambda bits, at=more * factor: int(at * 2.0**60) << (bits - 60))
            assert (key_phrases._passing(others, 1.0, 1.0) > passing) is least


def test_what_reaches_a_bound_is_what_is_rounded_to_it_or_above(monkeypatch: pytest.MonkeyPatch) -> None:
    """And noise beyond it, inverted: with all that is left the bound itself, the next multiple from its chance on."""
    exact, least, deviation = key_phrases._exact(), MECHANISM.least((4, True)), MECHANISM.standard_deviation
    spacing = GaussianNoise(deviation).spacing
    chances = [
        exact.erfc((exact.mpf(round(least / spacing) + more) - 0.5) * spacing / (deviation * exact.sqrt(2))) / 2
        for more in range(2)
    ]
    for more, chance in enumerate(chances):
        assert abs(key_phrases._chance(least + more * spacing, deviation) / chance - 1) < 1e-30
    edge = int(exact.ldexp(chances[1] / chances[0], key_phrases._BITS))
    for fate, shown in ((2**key_phrases._BITS - 1, least), (edge + 2, least), (edge - 2, least + spacing)):
        monkeypatch.setattr(secrets, "randbits", lambda bits, fate=fate: fate)
        assert key_phrases._beyond(least, deviation) == shown


@pytest.mark.parametrize("mechanism", [MECHANISM, TINY, replace(MECHANISM, cells=4, noise_multiplier=9.3)])
def test_bounds_let_through_as_many_of_nobody_as_is_said(mechanism: NoisyPhrases) -> None:
    expected: Any = 0
    kinds = [(length, plain) for length in range(1, mechanism.longest + 1) for plain in (True, False)]
    assert sum(map(mechanism.number_of, kinds)) == mechanism.cells * sum(
        256**n for n in range(1, mechanism.longest + 1)
    )
    for kind in kinds:
        least = mechanism.least(kind)
        spacing = GaussianNoise(mechanism.standard_deviation).spacing
        assert least == spacing * round(least / spacing)
        expected += mechanism.number_of(kind) * key_phrases._chance(least, mechanism.standard_deviation)
    assert 0.5 * mechanism.by_chance < float(expected) <= mechanism.by_chance
    assert mechanism.least((1, True)) < mechanism.least((1, False))


def test_what_is_plain() -> None:
    said = ["iraq", "new york", "o'neill-smith", "Iraq", "café", "iraq2", ""]
    kinds = [MECHANISM.kind_of(each.encode()) for each in said]
    assert kinds == [(4, True), (8, True), (13, True), (4, False), (5, False), (5, False), (0, True)]
    assert MECHANISM.kind_of(b"aXb") == (3, False)


def test_in_a_hundred_releases_one_of_nobody_is_to_be_expected(contract: Any) -> None:
    mechanism = planned(contract).mechanism
    assert (mechanism.longest, mechanism.by_chance) == (LONGEST, BY_CHANCE) == (48, 0.01)


def test_without_privacy_the_counts_are_exact() -> None:
    exact = replace(MECHANISM, noise_multiplier=0.0)
    assert exact.release([("a", [(0, b"bank")]), ("b", [(0, b"bank"), (1, b"card")])]) == {
        (0, b"bank"): 2.0,
        (1, b"card"): 1.0,
    }
