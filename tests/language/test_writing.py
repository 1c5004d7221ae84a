"""Texts that lack the words they are to hold are asked for again."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from dpsynth_assets.language.writing import Insistent, Request, seed_of


class Scribe:
    """Writes the next of the texts that it has for what is asked, and nothing but the last of them thereafter."""

    def __init__(self, **texts: Sequence[str]) -> None:
        self._texts = {asked: list(own) for asked, own in texts.items()}
        self.calls: list[tuple[list[str], int]] = []

    def write(self, requests: Sequence[Request], seed: int, told: Callable[[int], None] | None = None) -> list[str]:
        self.calls.append(([request.asked for request in requests], seed))
        found = []
        for ready, request in enumerate(requests, start=1):
            own = self._texts[request.asked]
            found.append(own.pop(0) if len(own) > 1 else own[0])
            if told is not None:
                told(ready)
        return found


def wanted(asked: str, *words: str, tries: int = 4) -> Request:
    return Request(asked, words=words, tries=tries)


def test_only_texts_that_lack_their_words_are_asked_for_again_and_each_stays_in_its_place() -> None:
    scribe = Scribe(a=["no", "no", "the pin"], b=["any"], c=["a loan"], d=["never"])
    asked = [wanted("a", "pin"), Request("b"), wanted("c", "loan"), wanted("d", "fee", "card", tries=3)]
    assert Insistent(scribe).write(asked, 7) == ["the pin", "any", "a loan", "never"]
    assert [who for who, _ in scribe.calls] == [["a", "b", "c", "d"], ["a", "d"], ["a", "d"]]


def test_words_behind_a_turn_marker_are_not_kept_and_do_not_count() -> None:
    assert wanted("a", "pin").is_met_by("the PIN <|im_end|> a loan")
    assert not wanted("a", "loan").is_met_by("the PIN <|im_end|> a loan")


def test_each_turn_has_a_seed_of_its_own_and_the_same_once_more() -> None:
    seeds = []
    for _ in range(2):
        scribe = Scribe(a=["never"])
        Insistent(scribe).write([wanted("a", "pin")], 7)
        seeds.append([seed for _, seed in scribe.calls])
    assert seeds[0] == seeds[1]
    assert len(set(seeds[0])) == 4
    assert seeds[0][0] == 7, "without words a text is the one that the writer alone writes"
    assert not set(seeds[0][1:]) & {seed_of(f"8 words {turn}") for turn in range(4)}


def test_what_is_told_counts_texts_that_are_ready() -> None:
    told: list[int] = []
    scribe = Scribe(a=["no", "the pin"], b=["any"])
    Insistent(scribe).write([wanted("a", "pin"), Request("b")], 7, told.append)
    assert told == [1, 2, 2]


def test_nothing_is_asked_where_nothing_is_wanted() -> None:
    assert Insistent(Scribe()).write([], 7) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("My PIN was stolen.", ("pin", "stolen")),
        ("Stolen: pins.", ("pin", "stolen")),
        ("Cafe\u0301", ("caf\u00e9",)),
        ("\uff50\uff49\uff4e", ("pin",)),
        ("It\u2019s o\u2019clock", ("o'clock",)),
        ("anything", ()),
    ],
)
def test_words_are_held_in_any_case_order_and_form_of_unicode(text: str, words: tuple[str, ...]) -> None:
    assert Request("", words=words).is_met_by(text)


@pytest.mark.parametrize(("text", "words"), [("My card.", ("pin",)), ("my pin", ("pin", "stolen")), ("", ("pin",))])
def test_a_word_that_is_not_there_is_lacking(text: str, words: tuple[str, ...]) -> None:
    assert not Request("", words=words).is_met_by(text)


def test_what_was_asked_before_comes_first_then_examples_of_the_same() -> None:
    request = Request("now", examples=("one",), before=(("then", "a"), ("earlier", "b")))
    said = [(turn["role"], turn["content"]) for turn in request.turns()]
    assert said == [
        *(("user", "then"), ("assistant", "a"), ("user", "earlier"), ("assistant", "b")),
        *(("user", "now"), ("assistant", "one"), ("user", "now")),
    ]
