"""Text of others in Markdown and in pictures: nothing is read in it."""

from __future__ import annotations

import doctest
import re

import matplotlib
import pandas as pd
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from dpsynth_assets import markdown
from dpsynth_assets.assets.figures import preview
from dpsynth_assets.classify import evaluation
from dpsynth_assets.markdown import code, escaped
from ledger.visible import visible

CONTROLS = "\x1b[31m \x1b]0;x\x07 \u202eabc\u2066 \ud83d"
HOSTILE = "![x](https://example.org/p.png) <img src=x> [a](b) `c` **d** _e_ ~~f~~ | g \\| <!-- &lt; # h"
reader = MarkdownIt("commonmark").enable(["table", "strikethrough"])


def tokens(text: str) -> list[tuple[str, str]]:
    return [(token.type, token.content) for block in reader.parse(text) for token in block.children or ()]


@given(st.text(st.characters(), max_size=60) | st.text("![]()<>`*_~|\\&#;:/ax\n ", max_size=40))
@example(HOSTILE)
@example(CONTROLS)
@example("__0__")
def test_an_escaped_text_is_read_as_text_alone(text):
    cells = tokens(f"| a |\n|---|\n| x{escaped(text)}x |")
    assert {kind for kind, _ in cells} <= {"text", "text_special"}
    said = "".join(content for _, content in cells[1:])
    assert "".join(said.split()) == "x" + visible("".join(text.split())) + "x"


@given(st.text("`a \\\u202e<*", max_size=20))
def test_code_is_one_piece_of_code_whatever_stands_in_it(text):
    [(kind, said)] = [each for each in tokens(f"x{code(text)}x") if each != ("text", "x")] or [("", "")]
    if text.strip():
        assert kind == "code_inline"
        assert "".join(said.split()) == visible("".join(text.split()))


def test_the_example_of_its_documentation_holds():
    assert doctest.testmod(markdown).failed == 0


def test_synthetic_texts_and_labels_show_no_picture_and_follow_no_link():
    frame = pd.DataFrame({f"text{HOSTILE}": [HOSTILE], "topic": ["a|b"]})
    shown = tokens(preview(frame).value or "")
    table = tokens(evaluation._table(["label", HOSTILE], [[HOSTILE, "1"]]))
    for kind, _ in [*shown, *table]:
        assert kind in ("text", "text_special")
    assert len(preview(frame).value.splitlines()) == 3


def test_a_preview_fits_into_the_page():
    """From a thousand characters on the interface hides it; a word that cannot be broken widens the page."""
    frame = pd.DataFrame({"text": ["word " * 200, "x" * 300, *["short"] * 20]})
    shown = preview(frame).value or ""
    assert len(shown) < 1_000
    assert shown.count("\n") > 3
    assert max(map(len, re.split(r"&#8203;|\s", shown))) <= 24


def test_dollars_in_titles_and_labels_are_no_formula(tmp_path):
    from dpsynth_assets.cli.utility.report import chart
    from dpsynth_assets.quality.metrics.materials import Materials
    from dpsynth_assets.quality.pictures import portrait

    chart([], r"from $\frac to $5", tmp_path / "chart.png")
    assert (tmp_path / "chart.png").exists()
    frame = pd.DataFrame({"text": ["a b", "c"], "topic": [r"$\frac$", "$x"]})
    assert portrait(Materials(frame, "text"), {"topic": [r"$\frac$", "$x"]}).startswith(b"\x89PNG")
    assert matplotlib.rcParams["text.parse_math"] is True
