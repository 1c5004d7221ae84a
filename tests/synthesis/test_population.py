"""Populations: whom noisy votes choose, what is asked for, and that only released texts and public words are."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from dpsynth_assets.releases.evolution import EVOLUTION, EvolutionTerms
from dpsynth_assets.synthesis.population import (
    Asking,
    Population,
    Wanted,
    apportioned,
    beginning,
    descendants,
    first,
)

CARD, LOAN = ("card",), ("loan",)
POPULATION = Population(((CARD, "a card"), (CARD, "two cards"), (LOAN, "a loan"), (LOAN, "my loan")))


class Scribe:
    """A writer that keeps what it was asked, and answers in turn."""

    def __init__(self, *answers: str) -> None:
        self.asked: list[Any] = []
        self.answers = list(answers)

    def write(self, requests: Any, seed: int, told: Any = None) -> list[str]:
        self.asked.append((list(requests), seed))
        return [self.answers.pop(0) if self.answers else f"{r.begin} text {len(self.asked)} {at}".strip()
                for at, r in enumerate(requests)]  # fmt: skip


def contract_with(contract: Any, **terms: Any) -> Any:
    stated = EvolutionTerms(mechanism="gaussian_votes", epsilon=1.0, rounds=2, texts=2, **terms)
    releases = contract.privacy.releases.but(EVOLUTION, stated)
    return replace(contract, privacy=contract.privacy.model_copy(update={"releases": releases}))


def test_votes_are_counted_within_a_label_from_the_threshold_on() -> None:
    assert POPULATION.counted([30.2, 9.9, -50.0, 11.4], least=10) == {0: 30, 3: 11}
    assert POPULATION.counted([30.2, 0.4, 3.0, -1.0], least=0) == {0: 30, 2: 3}


def test_without_votes_all_texts_of_a_label_are_alike() -> None:
    assert POPULATION.counted([1.0, -2.0, 50.0, 0.0], least=10) == {0: 1, 1: 1, 2: 50}


def test_descendants_follow_the_votes_within_a_label() -> None:
    assert POPULATION.chosen({0: 30, 1: 10, 2: 4, 3: 4}, survivors=1.0, each=4) == {0: 3, 1: 1, 2: 2, 3: 2}


def test_a_part_of_the_texts_survives_those_with_most_votes() -> None:
    assert POPULATION.chosen({0: 10, 1: 30, 2: 5, 3: 4}, survivors=0.5, each=4) == {1: 4, 2: 4}
    assert POPULATION.chosen({0: 10, 1: 30, 3: 4}, survivors=0.01, each=2) == {1: 2, 3: 2}


def test_where_no_text_has_more_votes_than_another_all_survive() -> None:
    assert POPULATION.chosen({0: 1, 1: 1, 2: 7, 3: 7}, survivors=0.25, each=2) == {0: 1, 1: 1, 2: 1, 3: 1}


def test_the_chosen_stay_and_are_varied() -> None:
    wanted = descendants(POPULATION, {0: 3, 3: 1})
    assert wanted == [Wanted(CARD, "a card"), Wanted(CARD, "a card")]


def test_what_is_drawn_follows_the_votes_of_each_label() -> None:
    drawn = apportioned(POPULATION, {0: 3, 1: 1, 3: 2}, [CARD, LOAN, CARD, CARD, CARD])
    assert [each.cell for each in drawn] == [CARD, LOAN, CARD, CARD, CARD]
    assert [each.parent for each in drawn] == ["a card", "my loan", "a card", "a card", "two cards"]


@pytest.mark.parametrize(
    ("text", "share", "kept"),
    [("one two three four", 0.5, "one two"), ("one two", 0.99, "one"), ("word", 0.5, "wo"), ("a b c", 0.01, "a")],
)
def test_a_continuation_keeps_a_beginning(text: str, share: float, kept: str) -> None:
    assert beginning(text, share) == kept


def test_a_part_of_the_continuations_keeps_less(contract: Any) -> None:
    """So that some try, and others stay near to the text that was voted for."""
    scribe = Scribe()
    parent = " ".join("abcdefghij")
    Asking(contract_with(contract, variation="continue", kept=0.6), scribe).written(
        [Wanted(CARD, parent)] * 3, "round 1"
    )
    assert [r.begin for r in scribe.asked[0][0]] == ["a b", "a b c d", "a b c d e f"]


def test_variations_are_asked_for_after_some_of_the_chosen(contract: Any) -> None:
    """Four after the same ones, so that a local model reads those once; the others see others."""
    texts = Population((*((CARD, f"card {at}") for at in range(20)), (LOAN, "a loan"), (LOAN, "no loan")))
    given = dict.fromkeys(range(10), 2) | {20: 5}
    scribe = Scribe()
    asking = Asking(contract_with(contract), scribe)
    wanted = asking.after_examples(descendants(texts, given), texts, given, "round 1")
    assert [each.cell for each in wanted] == [CARD] * 10 + [LOAN] * 4
    asking.written(wanted, "round 1")
    shown = [r.examples for r in scribe.asked[0][0]]
    assert all(len(set(examples)) == 3 and {*examples} <= {f"card {at}" for at in range(10)} for examples in shown[:10])
    assert [len(set(shown[start : start + 4])) for start in (0, 4)] == [1, 1]
    assert len(set(shown[8:10])) == 1
    assert len(set(shown[:10])) == 3
    assert shown[10:] == [("a loan",)] * 4
    assert {r.asked for r in scribe.asked[0][0]} == {"topic: card", "topic: loan"}
    assert {r.begin for r in scribe.asked[0][0]} == {""}
    again = asking.after_examples(descendants(texts, given), texts, given, "round 1")
    assert again == wanted != asking.after_examples(descendants(texts, given), texts, given, "round 2")


def test_who_has_more_votes_is_shown_more_often(contract: Any) -> None:
    texts = Population(tuple((CARD, f"card {at}") for at in range(4)))
    asking = Asking(contract_with(contract, shown=1), Scribe())
    wanted = asking.after_examples([Wanted(CARD, "card 0")] * 4000, texts, {0: 30, 1: 10, 2: 0}, "table")
    shown = Counter(each.examples for each in wanted)
    assert set(shown) == {("card 0",), ("card 1",)}
    assert 2800 < shown["card 0",] < 3200


def test_fresh_texts_are_shown_nothing_and_come_between_no_four_that_are_shown_the_same(contract: Any) -> None:
    texts = Population(tuple((CARD, f"card {at}") for at in range(20)))
    asking = Asking(contract_with(contract, fresh=0.5), Scribe())
    some = asking.some_fresh([Wanted(CARD, "card 0")] * 400, "table")
    wanted = asking.after_examples(some, texts, dict.fromkeys(range(20), 2), "table")
    own = [at for at, each in enumerate(some) if each.parent is None]
    assert [at for at, each in enumerate(wanted) if not each.examples] == own
    shown = [each.examples for each in wanted if each.examples]
    assert 150 < len(shown) < 250
    assert all(len(set(shown[start : start + 4])) == 1 for start in range(0, len(shown), 4))


def test_a_text_that_only_repeats_an_example_is_asked_for_again(contract: Any) -> None:
    scribe = Scribe("a card", "another")
    wanted = Wanted(CARD, examples=("two cards", "a card"))
    assert Asking(contract_with(contract), scribe).written([wanted], "round 1") == ["another"]


def test_the_trial_shows_as_much_as_a_round_may(contract: Any) -> None:
    scribe = Scribe()
    texts = ((CARD, "a card"), (CARD, "a new card"), (LOAN, "one"), (LOAN, "a very long loan"), (LOAN, "the other"))
    Asking(contract_with(contract, shown=2), scribe).require_variations(Population(texts))
    assert scribe.asked[0][0][0].examples == ("a very long loan", "the other")


def test_first_texts_are_asked_for_by_label_and_topic(contract: Any) -> None:
    scribe = Scribe()
    asking = Asking(contract_with(contract), scribe)
    asking.written(first([CARD, LOAN], 2, ("fees", "fraud")), "first")
    [(requests, _)] = scribe.asked
    asked = [(label, topic) for label in ("card", "loan") for topic in ("fees", "fraud")]
    assert [r.asked for r in requests] == [f"topic: {label}\nTopic: {topic}" for label, topic in asked]
    assert {r.begin for r in requests} == {""}


def test_every_label_has_the_same_topics_in_turn() -> None:
    assert [each.topic for each in first([CARD, LOAN], 3, ("fees", "fraud"))] == ["fees", "fraud", "fees"] * 2


def test_a_paraphrase_is_asked_for_in_words(contract: Any) -> None:
    scribe = Scribe()
    terms = {"variation": "paraphrase", "paraphrase": "Like this: {text}!"}
    Asking(contract_with(contract, **terms), scribe).written([Wanted(CARD, "braces {text} {x}")], "round 1")
    assert scribe.asked[0][0][0].asked == "Like this: braces {text} {x}!"


def test_texts_that_are_unfit_or_there_are_asked_for_again(contract: Any) -> None:
    scribe = Scribe("", "the same", "the same", "a card")
    asking = Asking(contract_with(contract), scribe)
    found = asking.written([Wanted(CARD, "a card")] * 4, "round 1")
    assert found[1] == "the same"
    assert [len(requests) for requests, _ in scribe.asked] == [4, 3]
    assert len(set(found)) == 4
    assert "a card" not in found
    assert scribe.asked[0][1] != scribe.asked[1][1]


def test_a_writer_that_never_writes_anything_fit_ends(contract: Any) -> None:
    mute = SimpleNamespace(write=lambda requests, *_: [""] * len(requests))
    assert Asking(contract_with(contract), mute).written(first([CARD], 3), "first") == [None, None, None]


def test_each_occasion_has_a_seed_of_its_own(contract: Any) -> None:
    scribe = Scribe()
    asking = Asking(contract_with(contract), scribe)
    for name in ("first", "round 1", "first"):
        asking.written(first([CARD], 1), name)
    seeds = [seed for _, seed in scribe.asked]
    assert seeds[0] == seeds[2] != seeds[1]


def test_a_population_has_each_text_once_in_its_label() -> None:
    texts = [(LOAN, "x"), (CARD, "x"), (LOAN, "x"), (CARD, "y")]
    assert Population.of(iter(texts), [CARD, LOAN]).texts == ((CARD, "x"), (CARD, "y"), (LOAN, "x"))
