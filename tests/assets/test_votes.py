"""Votes as an asset: charged once, tied to the candidates that they were held on, and silent about the rows.

Only training, generation and the encoder are stand-ins.
"""

from __future__ import annotations

import dagster as dg
import pandas as pd
import pytest

from dpsynth_assets.classify import encoder
from dpsynth_assets.gate.approval import planned_releases
from dpsynth_assets.language import generation
from dpsynth_assets.releases.votes import VOTES
from dpsynth_assets.synthesis.votes import Ballot, Votes

MARKER = "XYZZY-4471-PLUGH"
RELEASE = """\
            votes: {mechanism: discrete_laplace_histogram, epsilon: 0.3, clusters: 2}
"""
CURATION = """\
          curation: {proportions: votes, drawn: 2}
"""
ALL = ("source", "adapter", "label_histogram", "candidates", "votes", "corpus")


@pytest.fixture
def contract_path(contract_path):
    text = contract_path.read_text(encoding="utf-8").replace("epsilon: 7.0", "epsilon: 3.0")
    text = text.replace("          generation:", RELEASE + CURATION + "          generation:")
    contract_path.write_text(text, encoding="utf-8")
    return contract_path


@pytest.fixture
def place(same_place):
    return same_place


def charges(book, name="votes"):
    only_held = ("reserved", "voided")
    return [
        (r.state, r.event) for r in book.reservations() if r.release == f"small/{name}" and r.state not in only_held
    ]


def said(result, failure_of, asset):
    return failure_of(result, asset).step_failure_data.user_failure_data.description


def test_the_whole_contract_and_what_rests_on_the_votes(run, book, store, contract):
    from dpsynth_assets.publish.record import composed_epsilon

    result = run()
    assert result.success, [event.message for event in result.all_events if event.is_failure]
    order = [event.release for event in book.statement("small-bank", with_pld=False).reservations]
    assert (
        order == ["small/label_histogram", "small/adapter", "small/votes"] == [n for n, _ in planned_releases(contract)]
    )
    plan = VOTES.plan(contract, 1.0)
    assert charges(book) == [("committed", plan.event())]
    votes = store.latest("small", "votes")
    assert votes.receipt["about"]["candidates"] == store.latest("small", "candidates").id
    for kind in ("votes", "corpus", "synthetic", "classifier", "card"):
        receipts = [charge["release"] for charge in store.latest("small", kind).receipts]
        assert sorted(receipts) == sorted(order), f"{kind} rests on each charge, once"
    spent = book.balance("small-bank", with_pld=False).epsilon_spent
    assert composed_epsilon(contract, store.latest("small", "corpus")) == pytest.approx(float(spent), rel=1e-6)
    assert set(Votes.load(votes.folder).counts) == set(plan.cells)
    assert len(pd.read_parquet(store.latest("small", "candidates").folder / "candidates.parquet")) == 48
    assert len(pd.read_parquet(store.latest("small", "corpus").folder / "corpus.parquet")) == 24
    assert book.verify() == []


def test_nothing_of_the_rows_is_said(ran, home, instance):
    result = ran(*ALL)
    [made] = [e for e in result.get_asset_materialization_events() if e.asset_key.path[-1] == "votes"]
    assert set(made.materialization.metadata) == {
        "clusters", "candidates", "epsilon", "delta", "plan", "noise_scale", "dagster/uri", "receipts",
        "ledger_checkpoint",
    }  # fmt: skip
    log = "\n".join(str(record.user_message) for record in instance.all_logs(result.run_id))
    for count in ("40", "60"):  # units and records of the source
        assert f"of {count}" not in log
    for path in home.root.rglob("*"):
        if path.is_file() and home.sensitive not in path.parents:
            assert MARKER.encode() not in path.read_bytes(), path


def test_curating_again_needs_no_other_votes(run, ran, book):
    ran(*ALL)
    assert run("corpus").success
    assert run("candidates", "corpus").success, "the same texts, drawn again, are the same candidates"
    assert len(charges(book)) == 1


def test_votes_on_other_candidates_are_refused(run, ran, book, store, failure_of, monkeypatch):
    ran(*ALL)
    standing = store.latest("small", "corpus")
    draw = generation.generate_corpus

    def otherwise(*given, **more):
        return draw(*given, **more).assign(text=lambda frame: frame["text"] + " again")

    monkeypatch.setattr(generation, "generate_corpus", otherwise)
    result = run("candidates", "corpus")
    assert not result.success
    assert "held on other candidates than the standing ones" in said(result, failure_of, "corpus")
    assert store.latest("small", "corpus").id == standing.id
    assert len(charges(book)) == 1


def test_candidates_of_another_adapter_are_not_voted_on(run, ran, book, store, failure_of):
    ran(*ALL[:4])
    with store.draft("small", "adapter") as draft:
        (draft.folder / "adapter.txt").write_text("another adapter", encoding="utf-8")
        store.seal(draft, made_from={"label_histogram": store.latest("small", "label_histogram")})
    result = run("votes")
    assert "made from another adapter than the standing one" in said(result, failure_of, "votes")
    assert charges(book) == []
    assert run("candidates", "votes").success


def test_votes_come_after_candidates(run, book, failure_of):
    result = run("source", "votes")
    assert said(result, failure_of, "votes") == "small has no candidates yet: materialize small/candidates first"
    assert charges(book) == []


def test_too_few_candidates_are_found_before_anything_is_spent(run, book, failure_of, monkeypatch):
    monkeypatch.setattr(
        generation, "generate_corpus", lambda *_, **__: pd.DataFrame({"text": ["one"], "topic": ["card"]})
    )
    result = run(*ALL[:5])
    assert "cannot be divided into 2 clusters" in said(result, failure_of, "votes")
    assert charges(book) == []


def test_the_clusters_are_settled_before_a_row_is_read(run, book, monkeypatch):
    """What is encoded before the ledger said yes is synthetic or made up."""
    seen = []

    class Watched(encoder.MiniLM):
        def encode(self, texts, progress=None):
            seen.append((len(charges(book)), list(texts)))
            return super().encode(texts, progress)

    monkeypatch.setattr(encoder, "MiniLM", Watched)
    assert run(*ALL[:5]).success
    before = [text for reserved, texts in seen for text in texts if not reserved]
    inside = [texts for reserved, texts in seen if reserved]
    assert len([text for text in before if text.startswith("please help me")]) == 48
    assert not [text for text in before if MARKER in text]
    assert inside


def test_an_error_is_charged_and_its_text_stays_inside(run, book, failure_of, monkeypatch):
    def fail(self, labels, texts, encoder):
        raise ValueError(texts[0])

    monkeypatch.setattr(Ballot, "cast", fail)
    text = said(run(*ALL[:5]), failure_of, "votes")
    assert "failed with ValueError" in text
    assert MARKER not in text
    assert [state for state, _ in charges(book)] == ["forfeited"]


def test_candidates_of_another_population_are_not_voted_on(
    run, ran, book, home, contract_path, instance, agree, failure_of
):
    """The contract was moved to other people after its texts were drawn: the votes could not be sealed."""
    from dpsynth_assets.contract import load_contract
    from dpsynth_assets.factory import build_contract_defs
    from resources.platform import platform_resources

    ran(*ALL[:4])
    text = contract_path.read_text(encoding="utf-8").replace("population: small-bank", "population: small-two")
    contract_path.write_text(text, encoding="utf-8")
    moved = load_contract(contract_path)
    agree(moved, book)
    resources = dg.Definitions(resources=platform_resources(str(home.root)))
    job = dg.Definitions.merge(build_contract_defs(moved), resources).resolve_implicit_global_asset_job_def()
    for name in ("source", "votes"):
        asset = [dg.AssetKey(["small", name])]
        result = job.execute_in_process(instance=instance, raise_on_error=False, asset_selection=asset)
    assert "rest on charges of population small-bank" in said(result, failure_of, "votes")
    assert charges(book) == []
