"""Key phrases as the gate runs them: what is counted of a record, what is let out, and what is asked for."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from dpsynth_assets.language import drawing, generation
from dpsynth_assets.language.contamination.facts import FACTS
from dpsynth_assets.language.writing import Request, WriterError
from dpsynth_assets.privacy.key_phrases import NoisyPhrases
from dpsynth_assets.releases.adapter import ADAPTER
from dpsynth_assets.releases.evolution import EVOLUTION, EvolutionTerms
from dpsynth_assets.releases.key_phrases import KEY_PHRASES, KeyPhrasesTerms
from dpsynth_assets.releases.release import Workspace
from dpsynth_assets.synthesis import key_phrases
from dpsynth_assets.synthesis.key_phrases import KeyPhrases, worded
from dpsynth_assets.synthesis.population import Asking, Requests, Wanted

CARD, LOAN = ("card",), ("loan",)
RELEASED = KeyPhrases({CARD: {"fees": 300.0, "pin stolen": 100.0}})


@pytest.fixture(autouse=True)
def nothing_of_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """What noise alone brings in, once in a hundred releases, is looked at in tests/privacy."""
    monkeypatch.setattr(NoisyPhrases, "_of_nobody", lambda *_: {})


@pytest.fixture
def counting(contract: Any) -> Any:
    """The small contract, whose texts are asked to be about key phrases."""
    return with_terms(contract, words=1, each=4)


def with_terms(contract: Any, **terms: Any) -> Any:
    stated = KeyPhrasesTerms(**{"mechanism": "gaussian_phrases", "epsilon": 6.0, **terms})
    releases = contract.privacy.releases.but(KEY_PHRASES, stated)
    return replace(contract, privacy=contract.privacy.model_copy(update={"releases": releases}))


def run(contract: Any, rows: pd.DataFrame, folder: Path) -> Any:
    plan = KEY_PHRASES.plan(contract)
    assert key_phrases.check(contract, plan, {}, lambda *_: None) is None
    work = Workspace(folder, folder / "checkpoints", lambda *_: None, lambda *_: None)
    return key_phrases.run(contract, plan, [rows[:50], rows[50:]], None, work)


def rows_of(*texts: tuple[str, str]) -> pd.DataFrame:
    """Texts and their labels, each by somebody else."""
    return pd.DataFrame([{"unit": f"c{at}", "text": text, "topic": label} for at, (text, label) in enumerate(texts)])


COMMON = [("my PIN was stolen", "card")] * 900 + [("the interest rate", "loan")] * 800


def test_what_many_write_comes_out_by_label_and_what_one_writes_does_not(counting: Any, tmp_path: Path) -> None:
    ran = run(counting, rows_of(*COMMON, ("XYZZY-4471 fraud", "card")), tmp_path)
    released = KeyPhrases.load(tmp_path)
    assert {cell: set(own) for cell, own in released.counts.items()} == {
        CARD: {"pin", "stolen"},
        LOAN: {"interest", "rate"},
    }
    assert released.counts[CARD]["pin"] == pytest.approx(900, abs=250)
    assert ran.event == KEY_PHRASES.plan(counting).event()
    assert ran.warning is None
    assert "xyzzy" not in (tmp_path / key_phrases.PHRASES).read_text().casefold()
    assert "pin (" in ran.facts["key_phrases"]


def test_records_of_other_labels_count_nowhere_and_belong_to_their_units(
    counting: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(NoisyPhrases, "release", lambda self, records: seen.extend(records) or {})
    ran = run(counting, rows_of(("my PIN", "card"), ("my house", "mortgage")), tmp_path)
    assert seen == [("c0", [(0, b"pin")]), ("c1", [])]
    assert "no phrase is in enough records" in ran.warning
    assert KeyPhrases.load(tmp_path).counts == {}


def alone(contract: Any) -> Any:
    """The same without an adapter: the base model writes."""
    return replace(
        contract, privacy=contract.privacy.model_copy(update={"releases": contract.privacy.releases.but(ADAPTER, None)})
    )


@pytest.mark.parametrize(("answers", "asked"), [([" ", "", "fine"], 3), ([""] * 9, None)])
def test_a_model_that_writes_nothing_fails_before_a_row_is_read(
    counting: Any, monkeypatch: pytest.MonkeyPatch, answers: list[str], asked: int | None
) -> None:
    """Asked with a phrase as long as one can be."""
    seen: list[Any] = []

    class Answering:
        def write(self, requests: Any, seed: int, told: Any = None) -> list[str]:
            seen.extend(requests)
            return [answers[len(seen) - 1]]

    monkeypatch.setattr(key_phrases, "writer_of", lambda *_: Answering())
    contract = alone(counting)
    plan = KEY_PHRASES.plan(contract)
    if asked is None:
        with pytest.raises(WriterError, match="writes no text with key phrases"):
            key_phrases.check(contract, plan, {}, lambda *_: None)
    else:
        key_phrases.check(contract, plan, {}, lambda *_: None)
        assert len(seen) == asked
    assert len(seen[0].asked) >= len(contract.asking(CARD)) + 48


def test_what_the_base_model_has_read_is_compared_where_it_writes(
    counting: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_phrases, "writer_of", lambda *_: Scribe())
    contract = alone(counting)
    contract = replace(
        contract, privacy=contract.privacy.model_copy(update={"base_model": type(contract.privacy.base_model)()})
    )
    kept: list[str] = []
    plan = KEY_PHRASES.plan(contract)
    index = key_phrases.check(contract, plan, {}, lambda *_: None)
    assert index is not None
    work = Workspace(tmp_path, tmp_path, lambda name, _: kept.append(name), lambda *_: None)
    key_phrases.run(contract, plan, [rows_of(*COMMON)], index, work)
    assert kept == [FACTS]


@pytest.mark.parametrize(("words", "found"), [(2, {"interest rate"}), (3, {"high interest rate"})])
def test_words_of_one_sentence_come_out_together(contract: Any, tmp_path: Path, words: int, found: set[str]) -> None:
    texts = [("High interest rate. Help!" if words == 3 else "interest rate? Help!", "loan")] * 900
    run(with_terms(contract, words=words), rows_of(*texts), tmp_path)
    assert set(KeyPhrases.load(tmp_path).counts[LOAN]) == found


def test_a_phrase_of_nobody_that_is_no_text_is_told_all_the_same(
    counting: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        NoisyPhrases, "release", lambda self, records: {(1, b"\xff\xfea"): 31.5} if list(records) else {}
    )
    run(counting, rows_of(*COMMON), tmp_path)
    assert KeyPhrases.load(tmp_path).counts == {LOAN: {"\ufffd\ufffda": 31.5}}


def test_what_a_text_is_about_follows_the_noisy_counts_of_its_label() -> None:
    cells = [CARD, LOAN] * 2_000
    drawn = RELEASED.drawn(cells, np.random.default_rng(0))
    assert {topic for topic, cell in zip(drawn, cells, strict=True) if cell == LOAN} == {None}
    told = Counter(topic for topic, cell in zip(drawn, cells, strict=True) if cell == CARD)
    assert set(told) == {"fees", "pin, stolen"}
    assert told["fees"] == pytest.approx(1_500, abs=100)
    assert RELEASED.drawn(cells, np.random.default_rng(0)) == drawn


def test_what_is_released_is_read_again(tmp_path: Path) -> None:
    RELEASED.save(tmp_path)
    assert KeyPhrases.load(tmp_path) == RELEASED


class Scribe:
    """A writer that keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def write(self, requests: Any, seed: int, told: Any = None) -> list[str]:
        self.asked += requests
        return [f"text {at} of {seed}" for at, _ in enumerate(requests)]


def test_the_table_is_asked_for_by_label_and_phrase(
    counting: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scribe = Scribe()
    monkeypatch.setattr(drawing, "writer_of", lambda *_: scribe)
    RELEASED.save(tmp_path)
    made: Any = {KEY_PHRASES.name: SimpleNamespace(folder=tmp_path)}
    draw = key_phrases.drawing(counting, made)
    [(_, texts)] = draw([([CARD, LOAN] * 100, 7)], lambda _: None)
    assert len(texts) == 200
    asked = Counter(each.asked for each in scribe.asked)
    card, loan = (counting.asking(cell) for cell in (CARD, LOAN))
    assert set(asked) == {
        f"{card} It must contain the word fees.",
        f"{card} It must contain the words pin and stolen.",
        loan,
    }
    assert asked[loan] == 100


def test_a_text_begins_with_its_phrase_where_the_contract_says_so(contract: Any) -> None:
    asked, begins = with_terms(contract), with_terms(contract, begin=True)
    assert KEY_PHRASES.plan(asked).digest() == KEY_PHRASES.plan(begins).digest()
    assert [worded(each, CARD, "pin, stolen").begin for each in (asked, begins)] == ["", "Pin, stolen"]
    assert worded(asked, CARD, "pin, stolen").asked == worded(begins, CARD, "pin, stolen").asked
    assert worded(begins, CARD, None) == Request(begins.asking(CARD))


def test_a_text_is_asked_for_again_until_it_has_its_words_as_often_as_the_contract_says(contract: Any) -> None:
    often = with_terms(contract, tries=9)
    assert KEY_PHRASES.plan(often).digest() == KEY_PHRASES.plan(with_terms(contract)).digest()
    assert [worded(often, CARD, "pin, stolen").words, worded(often, CARD, "pin, stolen").tries] == [
        ("pin", "stolen"),
        9,
    ]
    assert worded(often, CARD, None).tries == 1


SHOWN = ({"asked": "Write about a dog.", "words": ("old", "river"), "text": "The dog of the OLD River."},)


def test_demonstrations_are_shown_before_a_text_with_words_is_asked_for(contract: Any) -> None:
    shown = with_terms(contract, demonstrations=SHOWN)
    assert KEY_PHRASES.plan(shown).digest() == KEY_PHRASES.plan(with_terms(contract)).digest()
    asked = worded(shown, CARD, "pin, stolen").before
    assert asked == (("Write about a dog. It must contain the words old and river.", "The dog of the OLD River."),)
    assert worded(shown, CARD, None).before == ()


@pytest.mark.parametrize(
    ("other", "why"),
    [
        ({"words": ("old", "rivers")}, "lacks `rivers`"),
        ({"words": ("Old",)}, "`Old` is compared as `old`"),
        ({"words": ("old river",)}, "is no word"),
    ],
)
def test_a_demonstration_shows_what_it_says(contract: Any, other: Any, why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        with_terms(contract, demonstrations=({**SHOWN[0], **other},))


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("straße", "`straße` is compared as `strasse`"),
        ("u.s.", "`u.s.` is no word"),
        ("smith,", "`smith,` is no word"),
        ("123", "`123` is no word"),
    ],
)
def test_a_word_that_no_text_has_is_no_word_to_leave_out(contract: Any, word: str, says: str) -> None:
    """Else its owner believes that it stays here."""
    with pytest.raises(ValidationError, match=says):
        with_terms(contract, without=("smith", word))
    assert with_terms(contract, without=("smith", "o'neill", "smith-jones", "strasse"))


def test_a_demonstration_is_neither_voted_on_nor_shown_as_a_chosen_text(contract: Any) -> None:
    stated = EvolutionTerms(mechanism="gaussian_votes", epsilon=1.0, rounds=2, texts=4)
    releases = with_terms(contract, demonstrations=SHOWN).privacy.releases.but(EVOLUTION, stated)
    evolving = replace(contract, privacy=contract.privacy.model_copy(update={"releases": releases}))

    class Repeats:
        def __init__(self) -> None:
            self.answers = iter([SHOWN[0]["text"], "a text of its own"])

        def write(self, requests: Any, seed: int, told: Any = None) -> list[str]:
            return [next(self.answers) for _ in requests]

    asking = Asking(evolving, Repeats(), RELEASED)
    assert asking.written([Wanted(CARD)], "first") == ["a text of its own"]


@pytest.mark.parametrize(
    "said", ["The dog of the OLD River.", "The dog  of the OLD\nRiver.", "# The dog of the OLD River."]
)
def test_a_text_that_repeats_a_demonstration_is_drawn_again(contract: Any, tmp_path: Path, said: str) -> None:
    """As it would be published, whatever blanks and marks the owner wrote."""
    shown = with_terms(contract, demonstrations=({**SHOWN[0], "text": said},))
    drawn: list[int] = []

    def draw(shards: Any, told: Any) -> Any:
        for place, (cells, _) in enumerate(shards):
            drawn.append(len(cells))
            yield (
                place,
                [SHOWN[0]["text"] if len(drawn) == 1 and not at else f"{len(drawn)} {at}" for at in range(9)][
                    : len(cells)
                ],
            )

    frame = generation.generate_corpus(shown, tmp_path, {CARD: 1}, rows=9, draw=draw)
    assert drawn == [9, 1]
    assert SHOWN[0]["text"] not in set(frame["text"])


def test_an_evolution_begins_with_phrases_and_its_fresh_texts_have_some(contract: Any) -> None:
    stated = EvolutionTerms(mechanism="gaussian_votes", epsilon=1.0, rounds=2, texts=40, fresh=0.5)
    releases = with_terms(contract).privacy.releases.but(EVOLUTION, stated)
    evolving = replace(contract, privacy=contract.privacy.model_copy(update={"releases": releases}))
    scribe = Scribe()
    asking = Asking(evolving, scribe, RELEASED)
    first = asking.first(40)
    assert [each.cell for each in first] == [CARD] * 40 + [LOAN] * 40
    assert {each.topic for each in first[:40]} == {"fees", "pin, stolen"}
    assert {each.topic for each in first[40:]} == {None}
    fresh = Requests(evolving, RELEASED).some_fresh([Wanted(CARD, "a card")] * 200, "table 1")
    assert Counter(each.parent is None for each in fresh)[True] == pytest.approx(100, abs=30)
    assert {each.topic for each in fresh if each.parent is None} == {"fees", "pin, stolen"}
    asking.written(first[:2], "first")
    assert all("fees" in each.asked or "pin, stolen" in each.asked for each in scribe.asked)
