"""`dpsynth run` after a run that was stopped: it uses what was paid for, says so, and charges nothing twice."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from dpsynth_assets.contract import load_contract
from dpsynth_assets.gate.standing import standing_release
from dpsynth_assets.language import generation
from dpsynth_assets.releases.registry import planned
from ledger import LedgerBusy
from ledger.charging import Charging


@pytest.fixture
def place(same_place):
    return same_place


VOTES = """\
            votes: {mechanism: discrete_laplace_histogram, epsilon: 0.3, clusters: 2}
          curation: {proportions: votes, drawn: 2}
"""


@pytest.fixture
def with_votes(contract_path):
    text = contract_path.read_text(encoding="utf-8").replace("epsilon: 7.0", "epsilon: 6.5")
    contract_path.write_text(text.replace("          generation:", VOTES + "          generation:"), encoding="utf-8")
    return contract_path


def charged(book) -> list[str]:
    return [each.release for each in book.reservations() if each.state != "voided"]


def flat(out: str) -> str:
    return " ".join(out.split())


def test_the_same_command_after_a_failure_on_the_way(dpsynth, contract_path, rooms, book, store, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(generation, "generate_corpus", lambda *given, **more: 1 / 0)
        assert dpsynth("run", contract_path)[0] == 1
    before, read = charged(book), rooms.read
    code, out, err = dpsynth("run", contract_path)
    assert code == 0, out + err
    assert "stands and is used, nothing is charged" in flat(out)
    assert "--again adapter" in flat(out)
    assert "Snapshot of the source" not in out, "what is left is made from the same rows"
    assert (charged(book), rooms.read) == (before, read)
    assert store.find("small", "synthetic") is not None


def test_a_finished_run_is_free_to_repeat_and_says_what_it_used(dpsynth, contract_path, released, store, rooms):
    before = charged(released)
    code, out, err = dpsynth("run", contract_path, "--json")
    assert code == 0, out + err
    used = json.loads(out)["used_as_it_stands"]
    assert used == {name: store.latest("small", name).id for name in ("label_histogram", "adapter")}
    assert charged(released) == before


def test_a_plan_is_of_what_a_run_would_charge(dpsynth, contract_path, released):
    code, out, _ = dpsynth("plan", contract_path)
    assert code == 0
    assert "stands and is used" in flat(out)
    code, out, _ = dpsynth("plan", contract_path, "--json")
    assert json.loads(out)["releases"] == {}
    assert set(json.loads(out)["used_as_it_stands"]) == {"label_histogram", "adapter"}
    code, out, _ = dpsynth("plan", contract_path, "--again", "adapter", "--json")
    assert (code, set(json.loads(out)["releases"])) == (3, {"small/adapter"})


def test_another_release_is_asked_for_by_its_name(dpsynth, contract_path, released, rooms):
    before = charged(released)
    code, out, _ = dpsynth("run", contract_path, "--again", "adapter")
    assert code == 3
    assert "Snapshot of the source" in out, "it would be made from today's rows"
    assert "small/adapter was not started" in flat(out)
    assert charged(released) == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--again", "corpus"), "the contract plans"),
        (("--again", "adapter", "--only", "adapter"), "leave --again out"),
    ],
)
def test_what_cannot_be_asked_for_again(dpsynth, contract_path, book, arguments, said):
    code, _, err = dpsynth("run", contract_path, *arguments)
    assert (code, said in flat(err)) == (2, True)


def test_other_terms_are_another_release(dpsynth, contract_path, released, rooms, book):
    text = contract_path.read_text(encoding="utf-8")
    contract_path.write_text(text.replace("steps: 3", "steps: 4"), encoding="utf-8")
    code, _, _ = dpsynth("run", contract_path)
    assert code == 3, "the standing adapter was made by another plan"


def test_records_that_are_read_otherwise_are_another_release(dpsynth, contract_path, released, rooms, book, agree):
    """The plan is the same: it does not say which records are read."""
    text = contract_path.read_text(encoding="utf-8")
    contract_path.write_text(
        text.replace("  unit: {", "  source_where: {customer: c0}\n          unit: {"), encoding="utf-8"
    )
    agree(load_contract(contract_path), book)
    before = charged(book)
    code, out, err = dpsynth("run", contract_path)
    assert code == 3, out + err
    assert "stands and is used" not in flat(out)
    assert charged(book) == before


def test_a_receipt_from_before_they_said_how_records_are_read_stands(contract, store, released):
    release = planned(contract)[1]
    found, plan = store.latest("small", release.name), release.plan(contract, 1.0)
    del found.receipt["about"]["reading"]
    kept = SimpleNamespace(latest=lambda *_: found)
    assert standing_release(contract, release, plan, kept, 1.0) is found
    found.receipt["about"]["reading"] = "otherwise"
    assert standing_release(contract, release, plan, kept, 1.0) is None


def test_votes_stand_with_the_candidates_that_they_were_held_on(dpsynth, with_votes, rooms, book, store, agree):
    agree(load_contract(with_votes), book)
    code, out, err = dpsynth("run", with_votes, "--quiet")
    assert code == 0, out + err
    before, candidates = charged(book), store.latest("small", "candidates").id
    code, out, _ = dpsynth("run", with_votes)
    assert code == 0
    assert charged(book) == before == ["small/label_histogram", "small/adapter", "small/votes"]
    assert store.latest("small", "candidates").id == candidates
    assert dpsynth("run", with_votes, "--only", "candidates", "--quiet")[0] == 0
    code, out, _ = dpsynth("run", with_votes)
    assert code == 0
    assert charged(book) == [*before, "small/votes"], "other candidates need other votes"


def test_votes_that_were_not_sealed_any_more_are_found(dpsynth, with_votes, rooms, book, store, agree, monkeypatch):
    """They are on the candidates that stand: to draw others would lose them."""
    agree(load_contract(with_votes), book)
    commit = Charging.commit

    def busy(self, grant, **more):
        if grant.release == "small/votes":
            raise LedgerBusy("another process has held it for 120 s")
        return commit(self, grant, **more)

    with monkeypatch.context() as patched:
        patched.setattr(Charging, "commit", busy)
        assert dpsynth("run", with_votes, "--quiet")[0] == 1
    before, candidates = charged(book), store.latest("small", "candidates").id
    code, out, err = dpsynth("run", with_votes, "--quiet")
    assert code == 0, out + err
    assert charged(book) == before == ["small/label_histogram", "small/adapter", "small/votes"]
    assert store.latest("small", "votes").receipt["about"]["candidates"] == candidates


def test_what_was_made_of_a_share_of_the_units_does_not_stand_for_all(
    dpsynth, contract_path, rooms, book, store, agree
):
    text = contract_path.read_text(encoding="utf-8")
    contract_path.write_text(text.replace("epsilon: 8.0", "epsilon: 20.0"), encoding="utf-8")
    agree(load_contract(contract_path), book)
    for arguments, size, charges in ((("--size", "0.5"), 0.5, 2), ((), 1.0, 4), ((), 1.0, 4)):
        code, out, err = dpsynth("run", contract_path, "--quiet", *arguments)
        assert code == 0, out + err
        sizes = {store.latest("small", name).receipt["about"]["size"] for name in ("label_histogram", "adapter")}
        assert (sizes, len(charged(book))) == ({size}, charges)


@pytest.mark.parametrize("made", [False, True])
def test_a_run_that_failed_names_the_command_that_uses_what_it_paid_for(
    made, dpsynth, contract_path, released, rooms, agree, monkeypatch
):
    """A release that was asked for once more and made is not asked for a third time."""
    text = contract_path.read_text(encoding="utf-8")
    contract_path.write_text(text.replace("epsilon: 8.0", "epsilon: 20.0"), encoding="utf-8")
    agree(load_contract(contract_path), released)
    failing = (generation, "generate_corpus") if made else (Charging, "commit")
    with monkeypatch.context() as patched:
        patched.setattr(*failing, lambda *given, **more: (_ for _ in ()).throw(LedgerBusy("held")))
        code, out, _ = dpsynth("run", contract_path, "--again", "adapter", "--size", "1")
    assert code == 1
    assert "What stands of it is used by dpsynth run" in flat(out)
    assert "--size 1.0" in flat(out)
    assert ("--again adapter" in flat(out).partition("used by")[2]) == (not made)


def test_the_status_after_a_run_says_that_the_table_stands(dpsynth, released, contract_path, monkeypatch):
    monkeypatch.chdir(contract_path.parent.parent)
    _, out, _ = dpsynth("status")
    assert "table of 24 rows published" in " ".join(out.replace("│", " ").split())
    assert "dpsynth sql queries what is published" in " ".join(out.split())
