"""A contract whose texts are asked to be about key phrases, through the whole pipeline, and beside other releases.

The writer and the encoder are stand-ins.
"""

from __future__ import annotations

import numpy as np
import pytest

from dpsynth_assets.contract import ContractError, load_contract
from dpsynth_assets.privacy.key_phrases import NoisyPhrases
from dpsynth_assets.releases import registry
from dpsynth_assets.releases.evolution import EVOLUTION
from dpsynth_assets.releases.key_phrases import KEY_PHRASES
from dpsynth_assets.synthesis import key_phrases
from dpsynth_assets.synthesis.key_phrases import KeyPhrases
from dpsynth_assets.variants import variant
from ledger import Composed
from ledger.accounting import epsilon as epsilon_of

ADAPTER = """\
            adapter: {mechanism: dp_sgd, method: lora, epsilon: 7.0, rank: 2, expected_batch_size: 8, steps: 3,
                      learning_rate: 0.001}
"""
PHRASES = """\
            key_phrases: {mechanism: gaussian_phrases, epsilon: 3.0, each: 4}
"""
VOTED = """\
            evolution: {mechanism: gaussian_votes, epsilon: 2.0, rounds: 2, texts: 4}
"""
PROMPT = """\
          prompt: {template: "Write about a {topic}."}
"""
BESIDE = {"adapter": ADAPTER.replace("7.0", "3.0"), "evolution": VOTED}


class Scribe:
    """A writer that tells what it was asked, and by which adapter it writes."""

    def __init__(self):
        self.asked, self.adapters = [], []

    def write(self, requests, seed, told=None):
        self.asked += [request.asked for request in requests]
        rng = np.random.default_rng(seed)
        return [f"{'my card' if 'card' in r.asked else 'the loan'} {int(rng.integers(10**9))}" for r in requests]


@pytest.fixture
def contract_path(contract_path, request):
    """The small contract by key phrases; in tests that say so by their name, beside an adapter or an evolution."""
    beside = [text for name, text in BESIDE.items() if f"beside_an_{name}" in request.node.name]
    text = contract_path.read_text(encoding="utf-8").replace(ADAPTER, PHRASES + "".join(beside))
    text = text.replace("          releases:\n", PROMPT + "          releases:\n")
    contract_path.write_text(text, encoding="utf-8")
    return contract_path


@pytest.fixture
def place(same_place):
    return same_place


@pytest.fixture
def scribe(writes, monkeypatch):
    made = Scribe()
    writes(made)
    monkeypatch.setattr(key_phrases, "writer_of", lambda *_: Scribe())
    monkeypatch.setattr(NoisyPhrases, "release", lambda self, records: {(0, b"fees"): 30.0} if list(records) else {})
    return made


def charges(book):
    return [(r.state, r.event) for r in book.reservations() if r.release == "small/key_phrases" and r.state != "voided"]


def test_a_contract_by_key_phrases_alone_goes_all_the_way(run, book, store, contract, scribe):
    result = run()
    assert result.success, [event.message for event in result.all_events if event.is_failure]
    assert charges(book) == [("committed", KEY_PHRASES.plan(contract).event())]
    releases = [event.release for event in book.statement("small-bank", with_pld=False).reservations]
    assert releases == ["small/label_histogram", "small/key_phrases"]
    for kind in ("candidates", "corpus", "synthetic", "card"):
        assert sorted(charge["release"] for charge in store.latest("small", kind).receipts) == sorted(releases)
    assert set(scribe.asked) == {"Write about a card. It must contain the word fees.", "Write about a loan."}
    assert scribe.adapters == [None]


def test_key_phrases_beside_an_adapter_are_asked_of_it(run, store, scribe):
    assert run("source", "label_histogram", "key_phrases", "adapter", "candidates", "corpus").success
    assert scribe.adapters == [store.latest("small", "adapter").folder]
    assert "Write about a card. It must contain the word fees." in scribe.asked
    paid = [charge["release"] for charge in store.latest("small", "corpus").receipts]
    assert sorted(paid) == ["small/adapter", "small/key_phrases", "small/label_histogram"]


def test_key_phrases_beside_an_evolution_are_what_its_first_texts_are_about(run, store, contract, scribe):
    assert registry.inputs_of(contract, EVOLUTION) == ("key_phrases",)
    assert run("source", "label_histogram", "key_phrases", "evolution", "candidates", "corpus").success
    assert scribe.asked[0] == "Write about a card. It must contain the word fees."
    paid = [charge["release"] for charge in store.latest("small", "evolution").receipts]
    assert sorted(paid) == ["small/evolution", "small/key_phrases"]


def test_a_failure_is_told_without_content(run, book, scribe, failure_of, monkeypatch):
    def fail(self, records):
        raise ValueError(f"{list(records)}")

    monkeypatch.setattr(NoisyPhrases, "release", fail)
    result = run("source", "label_histogram", "key_phrases")
    said = str(failure_of(result, "key_phrases").step_failure_data.user_failure_data.description)
    assert "xyzzy" not in said.casefold()
    assert [state for state, _ in charges(book)] == ["forfeited"]


def test_the_line_that_reads_nothing_asks_for_none(contract, run, scribe, tmp_path):
    nothing = variant(contract, "nothing")
    assert nothing.reads_nothing
    assert [release.name for release in registry.planned(nothing)] == ["label_histogram", "key_phrases"]
    with_nothing = tmp_path / "nothing"
    with_nothing.mkdir()
    (with_nothing / "base_model.json").write_text("{}")
    assert KeyPhrases.load(with_nothing).counts == {}


def varied(contract_path, method):
    variants = f"          variants: {{methods: [{{method: {method}}}], epsilons: [1.0]}}\n"
    text = contract_path.read_text(encoding="utf-8")
    contract_path.write_text(
        text.replace("          generation:", variants + "          generation:"), encoding="utf-8"
    )
    return load_contract(contract_path)


def composed(contract):
    return epsilon_of(Composed(tuple(plan.event() for plan in registry.plans(contract).values())), 1e-5)


def test_a_variant_by_key_phrases_gets_what_is_left(contract_path):
    contract = variant(varied(contract_path, "key_phrases"), "key_phrases-1")
    assert [release.name for release in registry.writers(contract)] == ["key_phrases"]
    assert 0.99 < composed(contract) <= 1.0


def test_a_variant_keeps_key_phrases_beside_an_adapter(contract_path):
    contract = variant(varied(contract_path, "lora, rank: 2, learning_rate: 0.002"), "lora-1")
    assert [release.name for release in registry.planned(contract)] == ["label_histogram", "key_phrases", "adapter"]
    assert 0.99 < composed(contract) <= 1.0


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ((PROMPT, ""), "no `prompt` to ask in"),
        ((PHRASES, PHRASES.replace("each: 4", "words: 4")), "words"),
        ((PHRASES, PHRASES.replace("each: 4", "each: 0")), "each"),
        ((PHRASES, PHRASES.replace("each: 4", "begin: perhaps")), "begin"),
        ((PHRASES, PHRASES.replace("each: 4", "without: [Smith]")), "`Smith` is compared as `smith`"),
        ((PHRASES, PHRASES.replace("each: 4", "without: [john smith]")), "`john smith` is no word"),
        ((PHRASES, PHRASES + VOTED.replace("texts: 4", "texts: 4, topics: [fees]")), "`releases.key_phrases` says"),
    ],
)
def test_what_does_not_hold_is_said(contract_path, changed, said):
    text = contract_path.read_text(encoding="utf-8")
    assert changed[0] in text
    contract_path.write_text(text.replace(*changed), encoding="utf-8")
    with pytest.raises(ContractError, match=said):
        load_contract(contract_path)


@pytest.mark.parametrize(
    ("beside", "method"),
    [("", "lora, rank: 2, learning_rate: 0.002"), (VOTED, "key_phrases"), ("", "key_phrases, texts: 3")],
)
def test_a_variant_has_its_texts_from_where_the_contract_has_them(contract_path, beside, method):
    text = contract_path.read_text(encoding="utf-8").replace(PHRASES, PHRASES + beside)
    contract_path.write_text(text, encoding="utf-8")
    with pytest.raises(ContractError, match=r"alone, and so must the contract|says nothing to the method"):
        varied(contract_path, method)
