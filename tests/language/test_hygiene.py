"""What drawn texts are freed of: half characters, turn markers, markup, loops. A sampler that loops is caught."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from dpsynth_assets.contract.prompt import TURN_MARKER
from dpsynth_assets.contract.synthesis import Generation
from dpsynth_assets.language import generation
from dpsynth_assets.language.base_model import EMBEDDED_FOLDER
from dpsynth_assets.language.drawing import one_by_one
from dpsynth_assets.language.generation import GenerationError, generate_corpus
from dpsynth_assets.language.hygiene import HALF, loops_at, usable

TERMS = Generation(rows=1, max_new_tokens=8)
TOKENIZER: Any = AutoTokenizer.from_pretrained(EMBEDDED_FOLDER)
LOOP = "I bought a ring of silver, silver, Silver, silver, silver, silver"


@settings(deadline=None, max_examples=200)
@given(st.text(st.characters(exclude_categories=("Cs",), exclude_characters=HALF), max_size=30), st.integers(0, 60))
def test_no_text_ends_within_a_character_wherever_it_is_cut(text: str, tokens: int) -> None:
    drawn = TOKENIZER.decode(TOKENIZER(text, add_special_tokens=False)["input_ids"][:tokens])
    for mended in (False, True):
        assert HALF not in usable(drawn, TERMS, mended=mended)


@settings(deadline=None, max_examples=200)
@given(st.lists(st.integers(3, len(TOKENIZER) - 1), max_size=20))
def test_no_half_character_is_published_whatever_tokens_are_drawn(tokens: list[int]) -> None:
    drawn = TOKENIZER.decode(tokens)
    assert HALF not in usable(drawn, TERMS) + usable(drawn, TERMS, mended=True)


def test_a_text_cut_within_a_character_is_cut_clean_and_one_with_half_of_one_inside_is_drawn_again() -> None:
    assert usable(f"so good {HALF}{HALF}", TERMS) == "so good"
    assert usable(f"so {HALF} good", TERMS) == ""
    assert usable(f"so {HALF} good", TERMS, mended=True) == "so"


@pytest.mark.parametrize(
    "marker", ["<|im_end|>", "<|im_start|>", "</s>", "[/INST]", "<end_of_turn>", "<|endoftext|>", "<|eot_id|>"]
)
def test_a_text_ends_before_a_turn_marker(marker: str) -> None:
    assert usable(f"It was fine.{marker}\nuser\nAnd then?", TERMS) == "It was fine."


@pytest.mark.parametrize(
    ("drawn", "published"),
    [
        ("One.<br /><br />Two.", "One. Two."),
        ("A <b>bold</b> word", "A bold word"),
        ("fish &amp; chips &quot;today&quot;", 'fish & chips "today"'),
        ("cut in a tag <br", "cut in a tag"),
        ("cut in a tag </", "cut in a tag </"),
        ("I <3 it, 1 < 2 > 0, AT&T; f**k s**t, # 1, 2 ** 3", "I <3 it, 1 < 2 > 0, AT&T; f**k s**t, # 1, 2 ** 3"),
        ("**1/2 out of ****, `quoted' so", "**1/2 out of ****, `quoted' so"),
        ("# The Final\n**A `great` match**, __so__ great", "The Final A great match, so great"),
        ("**cut in a heading", "cut in a heading"),
    ],
)
def test_markup_becomes_text(drawn: str, published: str) -> None:
    assert usable(drawn, TERMS) == published


@pytest.mark.parametrize(
    ("drawn", "mended"),
    [
        (LOOP, "I bought a ring of silver"),
        ("so so so so so so", "so"),
        ("Well. It is good. It is good. It is good. It is good.", "Well. It is good."),
        ("no way no way no way no way", "no way"),
        (
            "Call us at the front desk, call us at the front desk; call us at the front desk!",
            "Call us at the front desk",
        ),
    ],
)
def test_a_text_that_loops_is_drawn_again_or_ends_before_it(drawn: str, mended: str) -> None:
    assert usable(drawn, TERMS) == ""
    assert usable(drawn, TERMS, mended=True) == mended


@pytest.mark.parametrize(
    "text",
    [
        "very very very good",
        "No, no, no, no, no.",
        "The food was good. The service was good. The room was good, and the view too.",
        "One of the best. " + " ".join(f"word{at}" for at in range(80)) + " One of the best. One of the worst.",
        "",
        "one two three",
    ],
)
def test_what_people_write_does_not_loop(text: str) -> None:
    assert loops_at(text) is None


def looping(share: float) -> Any:
    """In place of what draws: of so many texts one says everything over and over, the others do not."""
    count = 0

    def draw(cells: Any, seed: int, told: Any) -> list[str]:
        nonlocal count
        texts = []
        for _ in cells:
            count += 1
            texts.append(f"{count} {LOOP}" if count % 10 < 10 * share else f"a sound text, number {count}")
        return texts

    return lambda *_: one_by_one(draw)


def test_a_sampler_that_often_loops_is_caught(inbox: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generation, "_drawing", looping(0.5))
    corpus = generate_corpus(inbox, tmp_path, dict.fromkeys(inbox.cells, 1), rows=200)
    texts = corpus[inbox.privacy.text.column]
    assert len(corpus) == 200
    assert [loops_at(text) for text in texts] == [None] * 200
    assert texts.str.contains("sound").sum() >= 199
    assert 150 <= corpus.attrs["drawn_again"] <= 250


def test_a_sampler_that_always_loops_ends_with_what_it_said_once(
    inbox: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not in an error: what was paid for would be of no use, whatever it is worth."""
    monkeypatch.setattr(generation, "_drawing", looping(1.0))
    corpus = generate_corpus(inbox, tmp_path, dict.fromkeys(inbox.cells, 1), rows=20)
    assert corpus[inbox.privacy.text.column].str.fullmatch(r"\d+ I bought a ring of silver").all()
    assert corpus.attrs["drawn_again"] == 7 * 20


def test_a_sampler_that_says_nothing_else_is_an_error_as_ever(
    inbox: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generation, "_drawing", lambda *_: one_by_one(lambda cells, *_: [LOOP] * len(cells)))
    with pytest.raises(GenerationError, match="gave 1 distinct texts"):
        generate_corpus(inbox, tmp_path, dict.fromkeys(inbox.cells, 1), rows=200)


@pytest.mark.parametrize("blank", ["[Bank Name]", "[Your Name]", "[Name]", "[Name of the Hotel]"])
def test_a_form_that_is_not_filled_in_is_drawn_again_or_ends_before_it(blank: str) -> None:
    assert usable(f"I wrote to {blank}, in vain.", TERMS) == ""
    assert usable(f"I wrote to {blank}, in vain.", TERMS, mended=True) == "I wrote to"


@pytest.mark.parametrize(
    "text", ["He [the boss] left", "[Spoilers] It was fine", "a [sic] b", "[1] and [A]", "[AP] A fire"]
)
def test_brackets_of_a_text_s_own_are_left(text: str) -> None:
    assert usable(text, TERMS) == text


PARTS = (
    "<|im_",
    "end",
    "|>",
    "`",
    "**",
    "__",
    "&lt;",
    "&gt;",
    "&#124;",
    "</",
    "s>",
    "<b",
    "[",
    "/INST",
    "]",
    "# ",
    "\n",
    "a",
    " ",
)


@settings(deadline=None, max_examples=500)
@example(["<|im_", "`", "end", "`", "|>"])
@example(["&lt;", "&#124;", "a", "&#124;", "&gt;"])
@example(["**", "</", "**", "s>"])
@given(st.lists(st.sampled_from(PARTS), max_size=12))
def test_no_turn_marker_is_put_together_by_what_is_taken_away(parts: list[str]) -> None:
    for mended in (False, True):
        assert not TURN_MARKER.search(usable("so " + "".join(parts), TERMS, mended=mended))
