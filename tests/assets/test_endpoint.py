"""A contract whose texts a server writes, through the whole pipeline: what goes over the wire, and what stays.

The encoder is a stand-in; asking, voting and drawing are not.
"""

from __future__ import annotations

import json

import pytest

from dpsynth_assets.language.model_places import answers_folder
from resources.artifact_store import ArtifactStore
from tests.assets.test_evolution import ADAPTER
from tests.chat_server import Server, answer, text_for
from tests.conftest import MARKER

KEY = "sk-hunter2-0123456789"
VOTED = """\
            evolution: {mechanism: gaussian_votes, epsilon: 2.0, rounds: 2, texts: 4, variation: paraphrase,
                        paraphrase: "Another one like this: {text}"}
"""
PROMPT = """\
          prompt: {template: "Write to a bank about your {topic}."}
"""


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("WRITER_KEY", KEY)
    made = Server()
    yield made
    made.close()


@pytest.fixture
def contract_path(contract_path, server):
    text = contract_path.read_text(encoding="utf-8").replace(ADAPTER, VOTED)
    model = f"{{name: qwen, endpoint: '{server.url}', key_variable: WRITER_KEY, trained_before: 2024-01}}"
    lines = [
        f"          base_model: {model}" if line.strip().startswith("base_model:") else line
        for line in text.splitlines()
    ]
    text = "\n".join(lines).replace("          generation:", PROMPT + "          generation:") + "\n"
    contract_path.write_text(text, encoding="utf-8")
    return contract_path


@pytest.fixture
def written(draws, home):
    return ArtifactStore(home=str(home.root))


def test_no_row_goes_over_the_wire_and_no_key_stays(run, server, written, home):
    result = run("source", "label_histogram", "evolution", "candidates")
    assert result.success, [event.message for event in result.all_events if event.is_failure]
    assert len(server.bodies) >= 2 * 4 * 2
    assert {body["model"] for body in server.bodies} == {"qwen"}
    sent = json.dumps(server.bodies) + json.dumps(server.headers)
    assert MARKER not in sent
    for file in home.root.rglob("*"):
        if file.is_file():
            assert KEY.encode() not in file.read_bytes(), file
    assert not (answers_folder() / "small").exists()


def test_a_server_that_goes_away_is_asked_for_the_rest_only(run, server, written, book, failure_of, monkeypatch):
    """What it answered before is asked no second time, and one charge pays for both runs."""
    assert run("source", "label_histogram").success
    gone = (404, {}, "{}")
    server.turns = [text_for] * 14 + [gone] * 40  # the probe, the first texts, a trial, and some of a round's
    result = run("evolution")
    said = failure_of(result, "evolution").step_failure_data.user_failure_data.description
    assert server.url in said
    assert "run the same again" in said
    assert KEY not in said
    before = len(server.bodies)
    server.turns = []
    assert run("evolution").success
    asked = {json.dumps(body, sort_keys=True) for body in server.bodies[2:14]} - {probe(server)}
    again = {json.dumps(body, sort_keys=True) for body in server.bodies[before:]} - {probe(server)}
    assert asked
    assert not asked & again
    [charge] = [r for r in book.reservations() if r.release == "small/evolution" and r.state != "voided"]
    assert (charge.state, charge.replayed) == ("committed", ())


def probe(server):
    return json.dumps(server.bodies[0], sort_keys=True)


def test_a_server_that_is_away_costs_nothing_at_all(run, server, written, book):
    server.turns = [(404, {}, "{}")] * 40
    assert not run("source", "label_histogram", "evolution").success
    assert not [r for r in book.reservations() if r.state not in ("voided", "reserved")]


@pytest.mark.parametrize("refusal", [(400, {}, "{}"), (200, {}, json.dumps(answer("")))])
def test_a_text_that_the_server_never_varies_stands_in_no_ones_way(run, server, written, book, monkeypatch, refusal):
    """Asked again by itself, too: what is paid for comes to its end."""
    begun = len(server.bodies) + 11  # two probes, the first texts, a trial: all before the charge

    def refused(body):
        of_a_card = "Another" in json.dumps(body) and "your card" in json.dumps(body)
        return refusal if of_a_card and len(server.bodies) > begun else None

    server.refused = refused
    result = run("source", "label_histogram", "evolution")
    refused = [body for body in server.bodies[begun:] if refused(body)]
    assert refused
    assert result.success
    assert [r.state for r in book.reservations() if r.release == "small/evolution" and r.state != "voided"] == [
        "committed"
    ]
