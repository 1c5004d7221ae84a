"""What `dpsynth plan` says of an evolution before it is paid for: texts, tokens, signal and, if asked, time."""

from __future__ import annotations

import re

import pytest

from dpsynth_assets.language.writing import WriterError
from dpsynth_assets.synthesis import trial

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
