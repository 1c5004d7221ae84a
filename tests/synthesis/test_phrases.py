"""The phrases of a text: which words they are, and that nothing but the text decides."""

from __future__ import annotations

import pytest

from dpsynth_assets.releases.key_phrases import LONGEST
from dpsynth_assets.synthesis import phrases
from dpsynth_assets.synthesis.phrases import phrases_of

MACHINE = "Petrol is no good for my Nefdunt, it runs on whey. It has to be stored in the Cellar!"


def test_words_are_runs_of_letters_in_small_letters_without_the_commonest() -> None:
    assert phrases_of(MACHINE, 1, 16) == ("cellar", "good", "nefdunt", "petrol", "runs", "stored", "whey")
    assert phrases_of("Don't — re-read №7, O’Neill: x1 ab ÉTÉ été I'm it’s", 1, 16) == ("o'neill", "re-read", "été")
    assert phrases_of("नमस्ते दुनिया, İstanbul! e\u0301te\u0301", 1, 16) == ("i̇stanbul", "été", "दुनिया", "नमस्ते")


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


def test_no_word_after_the_first_thousand_is_a_phrase() -> None:
    assert phrases_of("the. " * 998 + "whey. petrol. cellar", 1, 16) == ("petrol", "whey")


def test_a_long_sentence_has_few_enough() -> None:
    text = " ".join(f"word{chr(97 + at // 26)}{chr(97 + at % 26)}" for at in range(600))
    assert len(phrases_of(text, 3, 256)) == 256


def test_of_a_long_sentence_thirty_words_are_combined() -> None:
    words = [f"word{chr(97 + at // 26)}{chr(97 + at % 26)}" for at in range(40)]
    assert len(phrases_of(" ".join(words), 2, 1_000)) == 30 * 29 // 2
    assert len(phrases_of(" ".join(words), 1, 1_000)) == 40


@pytest.mark.parametrize("mark", ["\u0301\u0316", "\u0344"])
def test_marks_without_end_take_no_longer_than_other_letters(mark: str) -> None:
    """Bringing them into order takes the square of their number, so a word of many is left alone."""
    assert phrases_of("a" + mark * 100_000 + " whey", 1, 16) == ("whey",)


def test_what_unicode_makes_long_is_none_before_it_is_combined(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    monkeypatch.setattr(phrases, "combinations", lambda words, of: seen.extend(words) or [])
    phrases_of(" ".join("\u3316" * 60 + chr(0x20000 + at) for at in range(30)) + " whey \ufdfa", 3, 16)
    assert seen == ["whey"]


def test_words_are_left_out_however_they_are_spelled() -> None:
    assert phrases_of("Smith’s bank, smith's card, the Smiths and Smith-Jones", 1, 16, without=("smith",)) == (
        "bank",
        "card",
        "smith-jones",
        "smiths",
    )
    assert phrases_of("ÉTÉ and O’Neill", 1, 16, without=("e\u0301te\u0301", "o'neill")) == ()
