"""A contract whose texts are voted on, through the whole pipeline: charged once, taken over, and plain about a server.

The writer and the encoder are stand-ins.
"""

from __future__ import annotations

import numpy as np
import pytest

from dpsynth_assets.contract import ContractError, load_contract
from dpsynth_assets.language.writing import WriterError
from dpsynth_assets.privacy.checkpoint import OpenFolder
from dpsynth_assets.privacy.evolution import NoisyVotes
from dpsynth_assets.releases import registry
from dpsynth_assets.releases.evolution import EVOLUTION
from dpsynth_assets.variants import variant
from ledger import Composed, Gaussian, SelfComposed
from ledger.accounting import epsilon as epsilon_of

ADAPTER = """\
            adapter: {mechanism: dp_sgd, method: lora, epsilon: 7.0, rank: 2, expected_batch_size: 8, steps: 3,
                      learning_rate: 0.001}
"""
VOTED = """\
            evolution: {mechanism: gaussian_votes, epsilon: 2.0, rounds: 3, texts: 6}
"""


class Scribe:
    """A writer whose server can be away."""

    def __init__(self):
        self.asked, self.away_after, self.adapters = 0, None, []

    def write(self, requests, seed, told=None):
        self.asked += 1
        if self.away_after is not None and self.asked > self.away_after:
            raise WriterError("http://localhost:9 does not answer: start the server")
        rng = np.random.default_rng(seed)
        said = [r.begin or ("my card" if "card" in r.asked else "the loan") for r in requests]
        return [f"{each} {int(rng.integers(10**9))}" for each in said]


@pytest.fixture
def contract_path(contract_path, request):
    """The small contract by votes; in tests that say so by their name, beside an adapter."""
    voted = VOTED.replace("texts: 6", "texts: 6, lookahead: 1") if "looked_at_ahead" in request.node.name else VOTED
    writers = ADAPTER.replace("7.0", "3.0") + voted if "beside_an_adapter" in request.node.name else voted
    text = contract_path.read_text(encoding="utf-8").replace(ADAPTER, writers)
    contract_path.write_text(text, encoding="utf-8")
    return contract_path


@pytest.fixture
def place(same_place):
    return same_place


@pytest.fixture
def scribe(writes):
    made = Scribe()
    writes(made)
    return made


def charges(book):
    return [(r.state, r.event) for r in book.reservations() if r.release == "small/evolution" and r.state != "voided"]


def test_a_contract_without_an_adapter_goes_all_the_way(run, book, store, contract, scribe):
    result = run()
    assert result.success, [event.message for event in result.all_events if event.is_failure]
    plan = EVOLUTION.plan(contract)
    assert charges(book) == [("committed", plan.event())]
    releases = [event.release for event in book.statement("small-bank", with_pld=False).reservations]
    assert releases == ["small/label_histogram", "small/evolution"]
    for kind in ("candidates", "corpus", "synthetic", "card"):
        assert sorted(charge["release"] for charge in store.latest("small", kind).receipts) == sorted(releases)
    assert store.latest("small", "corpus").receipt["about"]["evolution"] == store.latest("small", "evolution").id


def test_a_release_that_ended_halfway_is_taken_over(run, book, store, contract, scribe, monkeypatch):
    save, saved = OpenFolder.save, []

    def killed(self, state):
        if len(saved) == 1:
            raise MemoryError
        saved.append(save(self, state))

    with monkeypatch.context() as patched:
        patched.setattr(OpenFolder, "save", killed)
        assert not run("source", "label_histogram", "evolution").success
    assert run("evolution").success
    plan = EVOLUTION.plan(contract)
    [reservation] = [r for r in book.reservations() if r.release == "small/evolution"]
    assert reservation.state == "committed"
    assert reservation.replayed == (SelfComposed(Gaussian(plan.mechanism.noise_multiplier), 1),)


def test_a_server_that_is_away_at_first_costs_nothing(run, book, scribe, failure_of):
    scribe.away_after = 0
    result = run("source", "label_histogram", "evolution")
    said = failure_of(result, "evolution").step_failure_data.user_failure_data.description
    assert "http://localhost:9 does not answer" in said
    assert "nothing was charged" in said
    assert charges(book) == []


def test_what_is_looked_at_ahead_in_the_first_round_is_asked_for_before_the_charge(
    run, book, scribe, contract, failure_of
):
    """It needs no vote, so a server that is away then costs nothing either."""
    assert run("source", "label_histogram").success
    scribe.away_after = scribe.asked + 2  # the first texts, and a variation
    said = failure_of(run("evolution"), "evolution").step_failure_data.user_failure_data.description
    assert "nothing was charged for it by this run: http://localhost:9 does not answer" in said
    assert charges(book) == []
    scribe.away_after = None
    assert run("evolution").success
    assert charges(book) == [("committed", EVOLUTION.plan(contract).event())]


def test_a_server_that_goes_away_halfway_loses_nothing(run, book, scribe, failure_of, contract):
    """The failure is told in the server's words, not as one that may quote rows; the same run again goes on."""
    scribe.away_after = 2
    result = run("source", "label_histogram", "evolution")
    said = failure_of(result, "evolution").step_failure_data.user_failure_data.description
    assert "http://localhost:9 does not answer: start the server" in said
    assert "run the same again" in said
    assert [state for state, _ in charges(book)] == ["redeemed"]
    scribe.away_after = None
    assert run("evolution").success
    assert charges(book) == [("committed", EVOLUTION.plan(contract).event())]
    assert all(not r.replayed for r in book.reservations())


def test_any_other_failure_is_told_without_content(run, book, scribe, failure_of, monkeypatch):
    def fail(self, votes, units, texts):
        raise ValueError(f"XYZZY {votes}")

    monkeypatch.setattr(NoisyVotes, "release", fail)
    result = run("source", "label_histogram", "evolution")
    assert "XYZZY" not in str(failure_of(result, "evolution").step_failure_data.user_failure_data.description)
    assert [state for state, _ in charges(book)] == ["forfeited"]


def test_a_contract_must_say_who_writes(contract_path):
    text = contract_path.read_text(encoding="utf-8").replace(VOTED, "")
    contract_path.write_text(text, encoding="utf-8")
    with pytest.raises(ContractError, match="no release writes texts"):
        load_contract(contract_path)


def varied(contract_path, method):
    variants = f"          variants: {{methods: [{{method: {method}}}], epsilons: [1.0]}}\n"
    text = contract_path.read_text(encoding="utf-8")
    contract_path.write_text(
        text.replace("          generation:", variants + "          generation:"), encoding="utf-8"
    )
    return load_contract(contract_path)


def test_a_variant_by_votes_gets_what_is_left(contract_path):
    contract = variant(varied(contract_path, "private_evolution, rounds: 2, texts: 4"), "private_evolution-1")
    assert [release.name for release in registry.writers(contract)] == ["evolution"]
    assert EVOLUTION.plan(contract).mechanism.rounds == 2
    events = tuple(plan.event() for plan in registry.plans(contract).values())
    assert 0.99 < epsilon_of(Composed(events), 1e-5) <= 1.0


@pytest.mark.parametrize(
    ("planned", "method"),
    [
        (VOTED, "lora, learning_rate: 0.002"),
        (ADAPTER, "private_evolution, rounds: 2, texts: 4"),
        (ADAPTER.replace("7.0", "3.0") + VOTED, "lora, learning_rate: 0.002"),
    ],
)
def test_a_variant_has_its_texts_from_where_the_contract_has_them(contract_path, planned, method):
    """Its assets are the contract's: others would be charged for and never finish."""
    text = contract_path.read_text(encoding="utf-8").replace(VOTED, planned)
    contract_path.write_text(text, encoding="utf-8")
    with pytest.raises(ContractError, match=r"alone, and so must the contract"):
        varied(contract_path, method)


def test_the_line_that_reads_nothing_has_no_votes(contract):
    """Its texts are the base model's, as it comes."""
    nothing = variant(contract, "nothing")
    assert nothing.reads_nothing
    assert not nothing.without_privacy
    assert [release.name for release in registry.planned(nothing)] == ["label_histogram", "evolution"]
    assert all(release.unread is not None for release in registry.planned(nothing))


def test_an_evolution_beside_an_adapter_rests_on_both(run, book, store, contract, scribe):
    assert registry.inputs_of(contract, EVOLUTION) == ("adapter",)
    result = run("source", "label_histogram", "adapter", "evolution", "candidates", "corpus")
    assert result.success, [event.message for event in result.all_events if event.is_failure]
    adapter = store.latest("small", "adapter")
    charged = ["small/adapter", "small/evolution"]
    assert sorted(charge["release"] for charge in store.latest("small", "evolution").receipts) == charged
    assert store.latest("small", "evolution").receipt["about"]["adapter"] == adapter.id
    assert sorted(c["release"] for c in store.latest("small", "corpus").receipts) == [*charged, "small/label_histogram"]
    assert scribe.adapters[-1] == adapter.folder


def test_an_evolution_beside_an_adapter_goes_on_from_that_adapter_only(run, book, store, scribe, monkeypatch):
    """From another one it would hold texts that rest on a charge which its seal leaves out."""
    save, saved = OpenFolder.save, []

    def failing(self, state):
        if len(saved) == 1:
            raise MemoryError
        saved.append(save(self, state))

    with monkeypatch.context() as patched:
        patched.setattr(OpenFolder, "save", failing)
        assert not run("source", "label_histogram", "adapter", "evolution").success
    assert run("adapter").success
    assert run("evolution").success
    assert [state for state, _ in charges(book)] == ["redeemed", "committed"]
    [adapter] = store.latest("small", "adapter").charges
    evolved = {charge.reservation for charge in store.latest("small", "evolution").charges}
    [paid] = [r.id for r in book.reservations() if r.release == "small/evolution" and r.state == "committed"]
    assert evolved == {adapter.reservation, paid}
