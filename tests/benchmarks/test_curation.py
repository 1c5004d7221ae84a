"""The ablation of curation: everything composes to the epsilon, also where two releases write the texts."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from benchmarks.curation import ARMS, composed, evolved, within
from benchmarks.public_source import public_contract
from dpsynth_assets.releases.adapter import ADAPTER
from dpsynth_assets.releases.evolution import EVOLUTION
from dpsynth_assets.releases.key_phrases import KEY_PHRASES
from dpsynth_assets.releases.labeller import LABELLER

CONTRACTS = Path(__file__).parents[2] / "contracts"
CHOSEN = argparse.Namespace(epsilon=3.0, labeller=2.0, votes=0.3, clusters=25, drawn=2.0, rows=None)


@pytest.mark.parametrize(
    ("name", "writer"),
    [("ag_news", ADAPTER), ("ag_news_evolution", EVOLUTION), ("ag_news_phrases", KEY_PHRASES)],
)
def test_one_release_of_the_texts_gets_what_the_others_leave(name, writer):
    contract = public_contract(CONTRACTS / f"{name}.odcs.yaml")
    planned = within(contract, CHOSEN)
    assert 2.98 < composed(planned) <= 3.0
    prices = planned.privacy.releases
    assert prices[LABELLER].epsilon == 2.0
    assert 1.5 < prices[writer].epsilon < 3.0
    assert composed(planned, ARMS["as drawn"]) < composed(planned, ARMS["relabelled"]) < composed(planned)


def test_an_adapter_and_an_evolution_share_it_by_their_prices():
    adapters = public_contract(CONTRACTS / "ag_news_smollm2.odcs.yaml")
    contract = evolved(adapters, CONTRACTS / "ag_news_evolution.odcs.yaml")
    planned = within(contract, CHOSEN)
    assert 2.98 < composed(planned) <= 3.0
    before, after = contract.privacy.releases, planned.privacy.releases
    ratio = after[ADAPTER].epsilon / after[EVOLUTION].epsilon
    assert ratio == pytest.approx(before[ADAPTER].epsilon / before[EVOLUTION].epsilon)
    assert after[ADAPTER].epsilon < within(adapters, CHOSEN).privacy.releases[ADAPTER].epsilon


def test_an_evolution_that_does_not_go_with_the_contract_is_refused(tmp_path):
    (tmp_path / "contracts").mkdir()
    text = (CONTRACTS / "ag_news_evolution.odcs.yaml").read_text(encoding="utf-8")
    other = tmp_path / "contracts" / "other.odcs.yaml"
    other.write_text(text.replace("texts: 200", "texts: 200\n              topics: [tea, coffee]"), encoding="utf-8")
    phrases = public_contract(CONTRACTS / "ag_news_phrases.odcs.yaml")
    with pytest.raises(SystemExit, match="does not go with ag_news_phrases: what the first texts are about"):
        evolved(phrases, other)


def test_a_contract_without_an_evolution_lends_none():
    contract = public_contract(CONTRACTS / "ag_news_smollm2.odcs.yaml")
    with pytest.raises(SystemExit, match="ag_news plans no evolution: name another contract with --evolution"):
        evolved(contract, CONTRACTS / "ag_news.odcs.yaml")
