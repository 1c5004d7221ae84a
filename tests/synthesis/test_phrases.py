"""The phrases of a text: which words they are, and that nothing but the text decides."""

from __future__ import annotations

import pytest

from dpsynth_assets.releases.key_phrases import LONGEST
from dpsynth_assets.synthesis.phrases import phrases_of

MACHINE = "Petrol is no good for my Nefdunt, it runs on whey. It has to be stored in the Cellar!"


def test_words_are_runs_of_letters_in_small_letters_without_the_commonest() -> None:
    assert phrases_of(MACHINE, 1, 16) == ("cellar", "good", "nefdunt", "petrol", "runs", "stored", "whey")
    assert phrases_of("Don't — re-read №7, O’Neill: x1 ab ÉTÉ été", 1, 16) == ("don't", "o’neill", "re-read", "été")


@pytest.mark.parametrize(
    ("words", "some", "none"),
    [(2, ("nefdunt whey", "cellar stored"), "cellar whey"), (3, ("nefdunt runs whey",), "cellar stored whey")],
)
def test_words_of_one_sentence_are_a_phrase_in_any_order(words: int, some: tuple[str, ...], none: str) -> None:
    found = phrases_of(MACHINE, words, 256)
    assert set(some) <= set(found)
    assert none not in found
    assert phrases_of("it runs on whey, my nefdunt", 2, 256) == phrases_of("my NEFDUNT: runs whey", 2, 256)


def test_a_bill_and_interest_are_phrases() -> None:
    assert phrases_of("The interest on that bill is in the system already.", 1, 16) == ("bill", "interest", "system")


def test_what_is_said_twice_is_a_phrase_once() -> None:
    assert phrases_of("whey. whey! Whey", 1, 16) == ("whey",)
    assert phrases_of("whey whey", 2, 16) == ()


def test_some_are_drawn_where_there_are_more_and_the_text_alone_decides() -> None:
    text = " ".join(f"word{chr(97 + at)}{chr(97 + other)}" for at in range(10) for other in range(10))
    found = phrases_of(text, 1, 12)
    assert len(found) == 12
    assert found == tuple(sorted(found)) == phrases_of(text, 1, 12)
    assert phrases_of(text + "!", 1, 12) != found
    assert len(phrases_of(text, 3, 12)) == 12


def test_words_that_are_named_are_none() -> None:
    assert "whey" not in phrases_of(MACHINE, 1, 16, without=("whey",))
    assert not any("whey" in phrase for phrase in phrases_of(MACHINE, 2, 256, without=("whey",)))


def test_what_is_too_long_is_none() -> None:
    assert phrases_of("ü" * (LONGEST // 2), 1, 16) == ("ü" * (LONGEST // 2),)
    assert phrases_of("ü" * (LONGEST // 2) + "x", 1, 16) == ()
    assert phrases_of("何と言っても今日は天気がよくて外に出かけるのにはとてもいい日だと思う", 1, 16) == ()


@pytest.mark.parametrize(
    "text", ["", " ", "\ud800 whey", "1 2 3", "\0", "a " * 100_000, "long" * 100_000, ".!?" * 1000]
)
@pytest.mark.parametrize("words", [1, 2, 3])
def test_any_text_has_some_or_none(text: str, words: int) -> None:
    """And quickly: a text of a million letters is read no further than its first thousand words."""
    assert len(phrases_of(text, words, 16)) <= 16


def test_a_long_sentence_has_few_enough() -> None:
    text = " ".join(f"word{chr(97 + at // 26)}{chr(97 + at % 26)}" for at in range(600))
    assert len(phrases_of(text, 3, 256)) == 256
