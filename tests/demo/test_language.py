"""The grammar fills phrases as its notation says, and no register spoils a planted detail."""

from __future__ import annotations

import random
import re
from typing import get_args

import pytest

from dpsynth_assets.demo.composition import SLOTS
from dpsynth_assets.demo.customers import Register, make_customers
from dpsynth_assets.demo.grammar import Speaker, split_phrases
from dpsynth_assets.demo.phrases import TOPICS, everyday, hostile
from dpsynth_assets.demo.phrases.topic import phrases
from dpsynth_assets.demo.style import restyle

CUSTOMER = make_customers(1, seed=7)[0]


def speaker(number: int) -> Speaker:
    return Speaker(random.Random(number), "train", SLOTS, CUSTOMER.slots)


def test_a_deeper_line_continues_the_phrase_above() -> None:
    assert phrases(
        """
        one (a|b)
            two
        three
    """
    ) == ("one (a|b) two", "three")


def test_alternatives_and_slots_are_filled() -> None:
    said = {speaker(number).phrase(("it was (red|blue|) {day}.",)) for number in range(60)}
    assert all(re.fullmatch(r"It was (red |blue )?\w+day\.", sentence) for sentence in said)
    assert len(said) > 10


def test_one_message_speaks_of_one_merchant() -> None:
    for number in range(20):
        first, second = speaker(number).phrase(("{merchant}/{merchant}",)).lower().split("/")
        assert first == second


def test_requests_end_as_they_begin() -> None:
    said = {speaker(number).phrase(("(Please|Can you) stop it.",)) for number in range(20)}
    assert said == {"Please stop it.", "Can you stop it?"}


def test_a_quarter_of_the_phrases_is_held_out_from_train() -> None:
    says = TOPICS[0].says
    shown, held_out = split_phrases(says)
    assert sorted((*shown, *held_out)) == sorted(says)
    assert len(held_out) == round(len(says) / 4)
    assert {speaker(number).sentence(("a", "b", "c", "d")) for number in range(60)} < {"A", "B", "C", "D"}


def test_every_phrase_of_the_material_can_be_filled() -> None:
    material = [*everyday.FEELINGS, *everyday.DETAILS, *everyday.FOLLOW_UPS, *hostile.ABUSE, *hostile.THREATS]
    material += [*hostile.SCAM_GREETINGS, *hostile.SCAM_PRESSURE]
    material += [
        phrase for group in (everyday.GREETINGS, everyday.CLOSINGS) for few in group.values() for phrase in few
    ]
    for topic in TOPICS:
        material += [*topic.says, *topic.hints, *topic.tells, *topic.asks, *topic.mentions, *topic.scams]
    assert len(set(material)) > 600
    for phrase in material:
        for number in range(5):
            assert not set("({|})") & set(speaker(number).phrase((phrase,))) - set("()" if "{phone}" in phrase else "")


@pytest.mark.parametrize("register", get_args(Register))
def test_no_register_spoils_a_detail(register: Register) -> None:
    for number in range(30):
        sentences = [f"My {kind} is {detail}." for kind, detail in CUSTOMER.details.items()]
        text = restyle(sentences, register, random.Random(number)).lower()
        assert [detail for detail in CUSTOMER.details.values() if detail.lower() not in text] == []
