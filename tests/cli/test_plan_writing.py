"""What `dpsynth plan` says of texts that nobody trains a model for: how many, tokens, signal and, if asked, time."""

from __future__ import annotations

import json
import re

import pytest

from dpsynth_assets.language.endpoint import TURNS
from dpsynth_assets.language.generation import ROUNDS
from dpsynth_assets.language.writing import Insistent, WriterError
from dpsynth_assets.releases.key_phrases import LONGEST
from dpsynth_assets.synthesis import trial
from dpsynth_assets.synthesis.key_phrases import longest_phrase
from dpsynth_assets.synthesis.phrases import BETWEEN
from dpsynth_assets.synthesis.population import TRIES

EVOLUTION = "            evolution: {mechanism: gaussian_votes, epsilon: 2.0, rounds: 3, texts: 6%s}\n"


@pytest.fixture
def voted(contract_path):
    """The small contract, whose adapter's texts are voted on."""

    def write(terms=""):
        text = contract_path.read_text(encoding="utf-8").replace(
            "          releases:\n", "          releases:\n" + EVOLUTION % terms
        )
        contract_path.write_text(text, encoding="utf-8")
        return contract_path

    return write


def flat(text):
    return " ".join(text.split())


@pytest.mark.parametrize(
    ("terms", "texts_read"),
    [("", 3), (", shown: 5", 5), (", variation: paraphrase, paraphrase: 'Like {text}'", 1)],
    ids=["examples", "more examples", "paraphrase"],
)
def test_texts_and_tokens_are_said(dpsynth, voted, book, terms, texts_read):
    path = voted(terms)
    if "paraphrase" in terms:
        text = path.read_text(encoding="utf-8")
        path.write_text(
            text.replace("          releases:\n", '          prompt: {template: "On {topic}."}\n          releases:\n')
        )
    said = flat(dpsynth("plan", path)[1])
    found = re.search(
        r"asked for some (\d+) texts, .* writes at most ([\d,]+) tokens, and reads ([\d,]+) of chosen", said
    )
    assert found, said
    texts, written, read = (int(each.replace(",", "")) for each in found.groups())
    first = int(re.search(r"votes 3 times on (\d+) texts", said)[1])
    longest = written // texts
    assert read == (texts - first) * texts_read * longest
    drawn = texts - 3 * first
    assert f"at the very worst {2 * first * 3 // 2 * TRIES + drawn * ROUNDS:,} are asked for" in said


PHRASES = """\
            key_phrases: {mechanism: gaussian_phrases, epsilon: 1.0, tries: 5, demonstrations: [
              {asked: Write of a pin., words: [pin], text: The pin is lost.}]}
"""
PROMPT = '          prompt: {template: "On {topic}."}\n'
AT_A_SERVER = "          base_model: {name: a-model, endpoint: 'http://localhost:9/v1', trained_before: 2025-01}\n"


@pytest.fixture
def phrased(contract_path):
    """The small contract by key phrases, without an adapter; beside an evolution if that is wanted, and at a server."""

    original = contract_path.read_text(encoding="utf-8")

    def write(beside="", server=""):
        text = original
        adapter = text[text.index("            adapter:") : text.index("learning_rate: 0.001}\n") + 22]
        text = text.replace(adapter, PHRASES + beside)
        if server:
            text = re.sub(r" *base_model: .*\n", "", text)
        contract_path.write_text(text.replace("          releases:\n", PROMPT + server + "          releases:\n"))
        return contract_path

    return write


def test_what_is_asked_for_by_key_phrases_is_said_too(dpsynth, phrased, book):
    path = phrased()
    said = flat(dpsynth("plan", path)[1])
    told = json.loads(dpsynth("plan", path, "--json")[1])["writing"]
    rows = told["texts"]
    assert told["tokens_read"] == 0
    assert told["requests_at_most"] == rows * ROUNDS * 5
    shown = len("Write of a pin. It must contain the word pin.") + len("The pin is lost.")
    assert told["characters_asked"] > shown + LONGEST
    assert f"asked for some {rows:,} texts" in said
    assert "is unfit, is there already or lacks its key phrase is asked for again" in said
    at_a_server = json.loads(dpsynth("plan", phrased(server=AT_A_SERVER), "--json")[1])["writing"]
    assert at_a_server["requests_at_most"] == rows * ROUNDS * 5 * TURNS


TOPICS = ", topics: [tea, 'what the weather is like today', milk]"


@pytest.mark.parametrize(
    ("terms", "most"),
    [
        ("", 4 * ["On card."]),
        (", shown: 7", 8 * ["On card."]),
        (TOPICS, ["On card.", "\nTopic: what the weather is like today"]),
        (TOPICS + ", shown: 6", 7 * ["On card."]),
        (", variation: paraphrase, paraphrase: 'Say it otherwise: {text}'", ["Say it otherwise: "]),
        (", variation: continue", ["On card."]),
    ],
)
def test_what_is_asked_stands_before_each_example_that_is_shown(dpsynth, phrased, book, terms, most):
    """The most that a model reads before a text, besides chosen texts."""
    path = phrased(EVOLUTION % terms)
    path.write_text(
        re.sub(r"            key_phrases: .*\n.*\n", "", path.read_text(encoding="utf-8")), encoding="utf-8"
    )
    told = json.loads(dpsynth("plan", path, "--json")[1])["writing"]
    assert told["characters_asked"] == len("".join(most))


def test_who_asks_a_server_is_told_how_often_it_is_sent_again(dpsynth, phrased, book):
    assert "each is sent up to 5 times" in flat(dpsynth("plan", phrased(server=AT_A_SERVER))[1])
    assert "each is sent" not in flat(dpsynth("plan", phrased())[1])


@pytest.mark.parametrize("words", [1, 2, 3])
def test_the_longest_phrase_is_asked_for_word_by_word(words):
    phrase = longest_phrase(words)
    assert len(phrase.split(", ")) == words
    assert len(phrase.replace(", ", BETWEEN).encode()) == LONGEST


class Slow:
    """A writer whose texts never have their words."""

    def __init__(self):
        self.asked = 0

    def write(self, requests, seed, told=None):
        self.asked += len(requests)
        return ["my own"] * len(requests)


@pytest.mark.parametrize("beside", ["", EVOLUTION % ", fresh: 0.5"], ids=["alone", "beside an evolution"])
def test_the_time_counts_what_is_asked_for_again_for_the_sake_of_words(dpsynth, phrased, book, monkeypatch, beside):
    slow, clock = Slow(), iter(range(1000))
    monkeypatch.setattr(trial, "writer_of", lambda *_: Insistent(slow))
    monkeypatch.setattr(trial.time, "monotonic", lambda: 60 * slow.asked + 0 * next(clock))
    said = flat(dpsynth("plan", phrased(beside), "--timed")[1])
    texts = int(re.search(r"asked for some (\d+) texts", said)[1])
    first = 12 if beside else 0  # of an evolution's texts, those of the first round and half of the table's have words
    drawn = texts - 3 * first
    minutes = (first + drawn / 2) * 5 + 2 * first + drawn / 2 if beside else 5 * texts
    assert f"takes about {minutes / 60:,.0f} hours" in said


@pytest.mark.parametrize(
    ("seconds", "said"), [(20, "about a minute"), (600, "about 10 minutes"), (9000, "about 2 hours")]
)
def test_the_time_is_said_where_it_is_asked_for(dpsynth, voted, book, monkeypatch, seconds, said):
    monkeypatch.setattr(trial, "seconds", lambda *_: seconds)
    path = voted()
    assert "Writing them all" not in flat(dpsynth("plan", path)[1])
    assert f"Writing them all takes {said}" in flat(dpsynth("plan", path, "--timed")[1])


def test_a_writer_that_is_away_is_a_sentence(dpsynth, voted, book, monkeypatch):
    def away(*_):
        raise WriterError("the server cannot be reached")

    monkeypatch.setattr(trial, "seconds", away)
    before = len(book.entries())
    code, _, err = dpsynth("plan", voted(), "--timed")
    assert code == 2
    assert "how long it takes cannot be said: the server cannot be reached" in flat(err)
    assert len(book.entries()) == before


def test_what_would_say_nothing_is_refused(dpsynth, contract_path, book):
    for arguments in (("--json",), ()):
        code, _, err = dpsynth("plan", contract_path, "--timed", *arguments)
        assert code == 2, arguments
        assert "--timed" in err
