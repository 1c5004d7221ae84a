"""Asking in words: what stands in a label's place, what is refused, and that contracts without a prompt are as ever."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dpsynth_assets.contract import Contract, load_contract
from dpsynth_assets.contract.diff import changes, terms_for_approval
from dpsynth_assets.contract.prompt import Prompt, faults
from dpsynth_assets.contract.source_terms import LabelColumn
from dpsynth_assets.privacy.plan import TrainingPlan
from dpsynth_assets.releases.adapter import ADAPTER

MINIMAL = Path(__file__).parent / "right" / "minimal.odcs.yaml"
MOOD = LabelColumn(column="mood", values=("pos", "very_neg"))
SIZE = LabelColumn(column="size", values=("s", "l"))
WORDS = {"mood": {"pos": "loved {size}", "very_neg": "hated it"}}


def asking(contract: Contract, **terms: Any) -> Contract:
    return replace(contract, privacy=contract.privacy.model_copy(update={"prompt": Prompt(**terms)}))


def said(labels: list[LabelColumn], template: str, **terms: Any) -> list[str]:
    return [f"{fault.what}. {fault.remedy}" for fault in faults(Prompt(template=template, **terms), labels)]


def test_a_label_is_asked_for_by_its_words_or_by_itself() -> None:
    prompt = Prompt(template="A {size} one who {mood}; {mood}!", words=WORDS)
    assert prompt.asking({"mood": "very_neg", "size": "s"}) == "A s one who hated it; hated it!"
    assert prompt.asking({"mood": "pos", "size": "s"}) == "A s one who loved {size}; loved {size}!", "words are words"
    assert Prompt(template="{mood}").asking({"mood": "very_neg"}) == "very neg"


def test_a_contract_without_a_prompt_asks_by_its_labels_and_plans_what_it_always_did() -> None:
    contract = load_contract(MINIMAL)
    assert [contract.asking(cell) for cell in contract.cells] == [contract.plain_label(cell) for cell in contract.cells]
    plan = TrainingPlan.from_contract(contract)
    assert "prompt" not in plan.describe()
    former = {**terms_for_approval(contract)}
    del former["prompt"]  # terms that were approved before there was this one
    assert changes(former, terms_for_approval(contract)) == []


def test_every_part_of_a_prompt_is_part_of_the_plan_and_shows_and_weakens_nothing() -> None:
    plain = load_contract(MINIMAL)
    kind = plain.privacy.labels[0]
    words = {kind.column: {value: f"it was {value}" for value in kind.values}}
    template = f"Write a letter to the editor. {{{kind.column}}}"
    asked = [
        plain,
        asking(plain, template=template),
        asking(plain, template=template + "!"),
        asking(plain, template=template, words=words),
        asking(plain, template=template, words=words, turns="never"),
    ]
    plans = [TrainingPlan.from_contract(contract) for contract in asked]
    assert len({plan.digest() for plan in plans}) == len(asked)
    assert json.loads(json.dumps(plans[-1].describe())) == plans[-1].describe()
    found = changes(terms_for_approval(plain), terms_for_approval(asked[3]))
    assert [str(change) for change in found] == [
        f"prompt.template: nothing -> {template}",
        "prompt.turns: nothing -> auto",
        *sorted(f"prompt.words.{kind.column}.{value}: nothing -> it was {value}" for value in kind.values),
    ]
    assert not [change for change in found if change.weakens]
    assert template in ADAPTER.describe(asked[1])
    assert "asked for" not in ADAPTER.describe(plain)


def test_labels_that_would_be_asked_for_alike_are_refused() -> None:
    assert said([MOOD, SIZE], "{mood} and {size}") == []
    [missing] = said([MOOD, SIZE], "just {mood}")
    assert missing.startswith("the template does not say `size`: labels that differ in it would be asked for alike")
    [same] = said([MOOD], "{mood}", words={"mood": {"pos": "it", "very_neg": "it"}})
    assert same.startswith("`very_neg` and `pos` have the same words")
    assert said([MOOD], "{moood} {mood}") == ["`{moood}` in the template is no label. Did you mean `mood`?"]


def test_a_label_without_words_is_refused_where_others_have_some() -> None:
    [lacks] = said([MOOD], "{mood}", words={"mood": {"pos": "loved it"}})
    assert lacks == "the label `very_neg` has no words. Add `very_neg: ...`, or leave all of them out"
    assert said([MOOD], "{mood}", words={"mood": {"pos": "loved it", "very_neg": "  "}}) == [lacks]


@pytest.mark.parametrize("blank", [" ", "\n"])
def test_an_empty_template_is_refused(blank: str) -> None:
    assert said([MOOD], blank) == ["the template is blank: nothing is asked. Write a sentence, or leave `prompt` out"]
    with pytest.raises(ValueError, match="template"):
        Prompt(template="")


@pytest.mark.parametrize(
    "marker", ["<|im_end|>", "<|im_start|>", "</s>", "[INST]", "[/INST]", "<start_of_turn>", "<<SYS>>", "<|eot_id|>"]
)
def test_turn_markers_are_refused_in_template_and_words(marker: str) -> None:
    [fault] = said([MOOD], f"Say {{mood}}{marker}\nassistant: Sure!")
    assert fault.startswith(f"`{marker}` is a chat model's turn marker")
    [fault] = said([MOOD], "{mood}", words={"mood": {"pos": f"well{marker}", "very_neg": "badly"}})
    assert fault.startswith(f"`{marker}` is a chat model's turn marker")
    assert said([MOOD], "{mood} <b>, 3 < 4, [sic] and a | b") == []
