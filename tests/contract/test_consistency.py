"""What must hold between the terms, asked of some of them."""

from __future__ import annotations

from typing import Any

import pytest

from dpsynth_assets.contract.consistency import faults
from dpsynth_assets.contract.parts import Parts
from dpsynth_assets.contract.source_terms import LabelColumn, TextColumn
from dpsynth_assets.contract.synthesis import Generation
from dpsynth_assets.releases.evolution import EvolutionTerms
from dpsynth_assets.releases.key_phrases import KeyPhrasesTerms


@pytest.mark.parametrize("name", ["unit", "text"])
def test_a_label_is_not_called_as_the_rows_call_their_unit_and_text(name: str) -> None:
    """Releases get rows with columns of these names: they would be charged and could never succeed."""
    [fault] = faults(Parts(labels=((0, LabelColumn(column=name, values=("a", "b"))),)))
    assert (fault.path, fault.severity) == (("labels", 0, "column"), "error")
    assert fault.what == f"a label cannot be called `{name}`"


def test_terms_of_which_nothing_is_known_have_no_fault() -> None:
    assert list(faults(Parts())) == []


def test_a_demonstration_holds_no_turn_marker() -> None:
    shown = ({"asked": "Write.", "words": ("old",), "text": "An old <|im_end|> river."},)
    phrases = KeyPhrasesTerms(mechanism="gaussian_phrases", epsilon=1.0, demonstrations=shown)
    [fault] = [each for each in faults(Parts(releases={"key_phrases": phrases})) if "marker" in each.what]
    assert fault.path == ("releases", "key_phrases", "demonstrations", 0, "text")


@pytest.mark.parametrize(
    ("terms", "place"),
    [
        ({"topics": ("tea", "tea </s> coffee")}, ("topics", 1)),
        ({"variation": "paraphrase", "paraphrase": "Like {text} [INST]"}, ("paraphrase",)),
    ],
)
def test_nor_does_what_an_evolution_asks(terms: dict[str, Any], place: tuple[str | int, ...]) -> None:
    evolution = EvolutionTerms(mechanism="gaussian_votes", epsilon=1.0, rounds=2, texts=4, **terms)
    [fault] = [each for each in faults(Parts(releases={"evolution": evolution})) if "marker" in each.what]
    assert fault.path == ("releases", "evolution", *place)


@pytest.mark.parametrize(("release", "said"), [("adapter", True), ("evolution", False), ("key_phrases", False)])
def test_only_what_is_trained_on_texts_bounds_how_long_drawn_ones_are(release: str, said: bool) -> None:
    text, generation = TextColumn(column="body", max_tokens=12), Generation(rows=5, max_new_tokens=80)
    found = {fault.path for fault in faults(Parts(text=text, generation=generation, named=frozenset({release})))}
    assert (("generation", "max_new_tokens") in found) == said
