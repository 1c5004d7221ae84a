"""By what two copies of one text are told to be one."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.letters import letters_of


@pytest.mark.parametrize(
    "copy",
    [
        "ueber Ærøs Straße 7",
        "  ÜBER\tÆrøs\u00a0STRASSE, 7!\n",
        unicodedata.normalize("NFD", "über Ærøs Straße 7"),
        "ü\u200bb\u00ader \ufeffÆrøs Straße\u0007 \u2466",
        "\u202eüber\u202c Ær\u3164øs Stra\ufe0fße 7",
    ],
)
def test_copies_of_one_text_have_the_same_letters(copy):
    same = letters_of("über Ærøs Straße 7")
    assert (letters_of(copy) == same) == (not copy.startswith("ue")), "what was written otherwise is another text"


@pytest.mark.parametrize(("one", "other"), [("no", "on"), ("1.5", "25"), ("日本", "本日"), ("👍", "👎"), ("?!", "!")])
def test_other_texts_are_others(one, other):
    assert letters_of(one) != letters_of(other)


@given(st.text(), st.sampled_from("\u200b\u200d\ufeff\u00ad\u2060\u202a \t\u0000\u115f"), st.integers(0, 50))
def test_a_mark_that_nobody_sees_changes_nothing(text, mark, place):
    letters = letters_of("a" + text)
    assert letters_of("a" + text[:place] + mark + text[place:]) == letters


@given(st.text(), st.sampled_from(["NFC", "NFD", "NFKC", "NFKD"]))
def test_no_form_of_unicode_changes_it(text, form):
    assert letters_of(unicodedata.normalize(form, "a" + text)) == letters_of("a" + text)
