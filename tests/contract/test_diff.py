"""What a change of the terms is called."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest

from dpsynth_assets.contract import load_contract
from dpsynth_assets.contract.diff import changes, terms_for_approval, weakened

MINIMAL = Path(__file__).parent / "right" / "minimal.odcs.yaml"


def test_correlated_noise_shows_and_does_not_weaken():
    """The ledger charges the mechanism as it is: like steps or noise, its bands give nobody less protection."""
    before = terms_for_approval(load_contract(MINIMAL))
    after = copy.deepcopy(before)
    after["releases"]["adapter"]["noise_bands"] = 4
    [change] = changes(before, after)
    assert str(change) == "releases.adapter.noise_bands: 1 -> 4"
    assert change.weakens is None
    # Terms that were approved before there were bands.
    del before["releases"]["adapter"]["noise_bands"]
    assert [str(change) for change in changes(before, after)] == ["releases.adapter.noise_bands: nothing -> 4"]


@pytest.mark.parametrize("classifier", ["classifier", "safety_classifier"])
def test_public_rows_to_train_on_need_two_signatures(classifier):
    before = terms_for_approval(load_contract(MINIMAL))
    assert classifier not in before
    after = {**before, classifier: {"mix": {"path": "public.jsonl", "declared_public_by": "owner@example.com"}}}
    assert {change.term for change in changes(before, after) if change.weakens} == {
        f"{classifier}.mix.path",
        f"{classifier}.mix.declared_public_by",
    }
    assert not [change for change in changes(after, before) if change.weakens]


@pytest.mark.parametrize("classifier", ["classifier", "safety_classifier"])
def test_every_other_choice_among_public_rows_needs_two_signatures(classifier):
    """One part of a filter less lets more rows in."""

    def with_(*mix):
        return {**terms_for_approval(load_contract(MINIMAL)), **({classifier: {"mix": mix[0]}} if mix else {})}

    signed = {"path": "rows.csv", "declared_public_by": "owner@example.com", "where": {"fold": "public", "year": 2024}}
    for where in ({}, {"year": 2024}, {"fold": "other", "year": 2024}, {"fold": "public"}):
        [change] = changes(with_(signed), with_({**signed, "where": where}))
        assert change.weakens == "other rows are declared public"
    unfiltered = {**signed, "where": {}}
    assert {change.term for change in changes(with_(), with_(unfiltered))} == {
        f"{classifier}.mix.path",
        f"{classifier}.mix.declared_public_by",
    }
    assert [change.weakens for change in changes(with_(unfiltered), with_(signed))] == [
        "other rows are declared public"
    ]
    for fewer in (with_(), with_(signed)):
        assert not [change for change in changes(with_(signed), fewer) if change.weakens]


@pytest.mark.parametrize(
    "term",
    ["unit.name", "unit.column", "unit.neighbouring_relation", "budget.delta", "budget.rule", "blocks.column"],
)
def test_what_a_population_is_registered_with_is_refused_whoever_signs(term):
    part, name = term.split(".")
    before = {**terms_for_approval(load_contract(MINIMAL)), "blocks": {"column": "month", "values": ["m1"]}}
    after = copy.deepcopy(before)
    after[part][name] = "another"
    [change] = changes(before, after)
    assert (change.term, change.refused) == (term, True)
    assert "never changes" in change.weakens
    assert not any(change.refused for change in changes(before, {**after, "population": "others"}))


def test_what_a_safety_classifier_promises_is_about_its_target():
    before = terms_for_approval(load_contract(MINIMAL))
    promised = {"target": "safety", "unsafe": "unsafe", "validation": "synthetic"}
    for name in promised:
        edited = {**before, "safety_classifier": {**promised, name: "another"}}
        [change] = changes({**before, "safety_classifier": promised}, edited)
        assert change.weakens, name


def test_votes_show_and_do_not_weaken():
    """Whatever is planned, the ledger holds the budget."""
    before = terms_for_approval(load_contract(MINIMAL))
    after = copy.deepcopy(before)
    after["releases"]["votes"] = {"mechanism": "discrete_laplace_histogram", "epsilon": 0.2, "clusters": 20}
    found = changes(before, after)
    assert {"releases.votes.clusters", "releases.votes.epsilon"} <= {change.term for change in found}
    assert not [change for change in found if change.weakens]


def test_letting_out_people_s_own_words_is_signed_for() -> None:
    before = terms_for_approval(load_contract(MINIMAL))
    planned = copy.deepcopy(before)
    planned["releases"]["key_phrases"] = {"mechanism": "gaussian_phrases", "epsilon": 0.2, "without": ["smith", "new"]}
    assert [said.partition(":")[0] for said in weakened(before, planned)] == ["releases.key_phrases.mechanism"]
    fewer = copy.deepcopy(planned)
    fewer["releases"]["key_phrases"]["without"] = ["new", "york"]
    assert [said.partition(":")[0] for said in weakened(planned, fewer)] == ["releases.key_phrases.without"]
    more = copy.deepcopy(planned)
    more["releases"]["key_phrases"] |= {"without": ["new", "smith", "york"], "each": 8}
    assert weakened(planned, more) == []


def test_of_signed_terms_it_is_said_what_protects_less():
    before = terms_for_approval(load_contract(MINIMAL))
    after = copy.deepcopy(before)
    assert weakened(None, before) == weakened(before, after) == []
    after["personal_data"]["addresses"] = 0.2
    after["unit"]["max_records"] += 1
    after["releases"]["adapter"]["steps"] += 1
    more = "personal_data.addresses: 0.02 -> 0.2 (more texts may look as if they held addresses or phone numbers)"
    assert weakened(None, after) == [more], "the first terms are compared with what is usual"
    assert [said.partition(":")[0] for said in weakened(before, after)] == [
        "personal_data.addresses",
        "unit.max_records",
    ]
    assert weakened(after, before) == []


def test_a_term_that_nothing_was_said_of_before_is_compared_with_what_is_usual():
    after = terms_for_approval(load_contract(MINIMAL))
    before = {name: value for name, value in after.items() if name not in ("personal_data", "variants", "csv")}
    assert weakened(before, after) == []
    assert len(weakened(before, {**after, "personal_data": {"account_numbers": 0.1, "addresses": 0.2}})) == 2
    assert len(weakened(before, {**after, "variants": {"epsilons": [1.0, "none"]}})) == 1


def test_lower_thresholds_of_a_safety_classifier_are_weaker_from_the_first_terms_on():
    terms = terms_for_approval(load_contract(MINIMAL))
    promise = {"target": "mood", "unsafe": "bad", "precision": 0.95, "recall": 0.9, "confidence": 0.95}
    assert weakened(None, {**terms, "safety_classifier": promise}) == []
    lower = {**promise, "precision": 0.8}
    for before in (None, {**terms, "safety_classifier": promise}):
        assert weakened(before, {**terms, "safety_classifier": lower}) == [
            "safety_classifier.precision: 0.95 -> 0.8 (less is promised to those who rely on the classifier)"
        ]
