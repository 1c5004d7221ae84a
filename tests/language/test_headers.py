"""Headers of conditional pre-training: true of the text that follows, and in the form that fine-tuning uses."""

from __future__ import annotations

import numpy as np
import pytest

from dpsynth_assets.language.pretraining.headers import NAMES, Headers
from dpsynth_assets.language.pretraining.recipe import REGISTERS

FILLER = [
    f"this is the sort of text with numbers for words like these here {word}"
    for word in ("red", "blue")
    for _ in range(6)
]
TEXT = "Please refund the ticket for my flight to Lisbon."


@pytest.fixture(scope="module")
def headers():
    # `refund` and `flight` stand in enough documents to be words, and in few enough to say something.
    sample = [*FILLER * 100, *["a refund was asked for"] * 13, *["the flight was late"] * 14]
    return Headers(sample)


def drawn(headers, text=TEXT, source="airbnb_reviews", times=200):
    rng = np.random.default_rng(0)
    return [headers.header(text, source, rng) for _ in range(times)]


def test_a_header_is_one_line_of_attributes_as_labels_are_written(headers):
    for line in drawn(headers):
        assert line.endswith("\n")
        assert line.count("\n") == 1
        for attribute in line.strip().split(", "):
            name, value = attribute.split(": ")
            assert name in {*NAMES, "register", "length"}
            assert value


def test_its_words_stand_in_the_text_and_are_salient(headers):
    words = {word for line in drawn(headers) for word in line.split(",")[0].strip().split(": ")[1].split()}
    assert words == {"refund", "flight"}


def test_register_and_length_are_those_of_the_document(headers):
    lines = drawn(headers)
    assert {line.split("register: ")[1].split(",")[0].strip() for line in lines if "register" in line} == {
        REGISTERS["airbnb_reviews"]
    }
    assert any("length: short" in line for line in lines)
    assert not any("length: long" in line or "length: medium" in line for line in lines)


def test_a_text_without_a_salient_word_gets_no_header(headers):
    assert set(drawn(headers, text="xyzzy 123 with and these")) == {""}
