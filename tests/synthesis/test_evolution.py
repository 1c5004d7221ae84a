"""Private Evolution as the gate runs it: votes, rounds, kills, and what a writer is told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from dpsynth_assets.language import drawing
from dpsynth_assets.language.writing import WriterError
from dpsynth_assets.privacy.checkpoint import OpenFolder
from dpsynth_assets.privacy.evolution import NoisyVotes
from dpsynth_assets.releases.evolution import EVOLUTION, EvolutionTerms
from dpsynth_assets.releases.release import Workspace
from dpsynth_assets.synthesis import evolution
from dpsynth_assets.synthesis.evolution import Electorate, Evolved
from dpsynth_assets.synthesis.population import Population
from ledger import SelfComposed

MARKER = "XYZZY-4471-PLUGH"


class Lengths:
    """An encoder for which texts are alike that are as long as each other."""

    def encode(self, texts: Any, progress: Any = None) -> np.ndarray:
        return np.array([[len(text), 1.0] for text in texts], dtype=np.float32).reshape(-1, 2)


class Scribe:
    """A writer that goes on from a beginning, or begins, with texts of every length."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def write(self, requests: Any, seed: int, told: Any = None) -> list[str]:
        self.asked += requests
        rng = np.random.default_rng(seed)
        return [f"{r.begin or 'the'} {'x' * int(rng.integers(1, 60))} {int(rng.integers(10**6))}" for r in requests]


@pytest.fixture
def scribe(monkeypatch: pytest.MonkeyPatch) -> Scribe:
    made = Scribe()
    monkeypatch.setattr(evolution, "_writer", lambda *_: made)
    monkeypatch.setattr(drawing, "writer_of", lambda *_: made)
    monkeypatch.setattr(evolution, "encoder_for", lambda _: Lengths())
    return made


@pytest.fixture
def evolving(contract: Any) -> Any:
    """The small contract, whose texts are voted on."""
    base = contract.privacy.base_model.model_copy(update={"name": "owner/model", "corpus": "public letters"})
    stated = EvolutionTerms(mechanism="gaussian_votes", epsilon=8.0, rounds=4, texts=12)
    releases = contract.privacy.releases.but(EVOLUTION, stated)
    return replace(contract, privacy=contract.privacy.model_copy(update={"releases": releases, "base_model": base}))


def rows_of(lengths: list[int], label: str = "card") -> pd.DataFrame:
    texts = [f"{MARKER} ".ljust(length, "y") for length in lengths]
    return pd.DataFrame({"text": texts, "unit": [f"c{at}" for at in range(len(texts))], "topic": label})


ROWS = rows_of([70] * 400)


class Kill(BaseException):
    pass


def run(contract: Any, rows: pd.DataFrame, folder: Path, progress: Any = lambda *_: None) -> Any:
    plan = EVOLUTION.plan(contract)
    ready = evolution.check(contract, plan, {}, lambda *_: None)
    (folder / "out").mkdir(exist_ok=True, parents=True)
    work = Workspace(folder / "out", folder / "checkpoints", lambda *_: None, progress)
    return evolution.run(contract, plan, [rows], ready, work)


def drawn_once(contract: Any, folder: Path, count: int) -> list[str]:
    """The texts of one shard of the table."""
    [(_, texts)] = evolution.drawing(contract, folder, {})([([("card",)] * count, 7)], lambda _: None)
    return texts


def spread(evolved: Evolved, cell: tuple[str, ...] = ("card",)) -> float:
    """How far the chosen texts' lengths are from the records', on average."""
    chosen = [(text, evolved.counted[at]) for at, (of, text) in enumerate(evolved.population.texts)
              if of == cell and at in evolved.counted]  # fmt: skip
    return float(np.average([abs(len(text) - 70) for text, _ in chosen], weights=[count for _, count in chosen]))


def test_the_texts_come_nearer_to_the_records(evolving: Any, scribe: Scribe, tmp_path: Path) -> None:
    plan = EVOLUTION.plan(evolving)
    first = evolution.check(evolving, plan, {}, lambda *_: None).population
    before = np.mean([abs(len(text) - 70) for cell, text in first.texts if cell == ("card",)])
    ran = run(evolving, ROWS, tmp_path)
    after = spread(Evolved.load(tmp_path / "out"))
    assert ran.event == plan.event()
    assert ran.replayed is None
    assert after < before / 2


def test_labels_without_votes_keep_all_of_their_first_texts(evolving: Any, scribe: Scribe, tmp_path: Path) -> None:
    """Where nobody is above the threshold, nothing was said for one text above another."""
    stated = evolving.privacy.releases[EVOLUTION].model_copy(update={"threshold": 6.0})
    releases = evolving.privacy.releases.but(EVOLUTION, stated)
    strict = replace(evolving, privacy=evolving.privacy.model_copy(update={"releases": releases}))
    first = evolution.check(strict, EVOLUTION.plan(strict), {}, lambda *_: None).population
    run(strict, ROWS, tmp_path)
    last = Evolved.load(tmp_path / "out").population
    assert [each for each in last.texts if each[0] == ("loan",)] == [e for e in first.texts if e[0] == ("loan",)]


def test_a_writer_is_told_nothing_of_the_rows(evolving: Any, scribe: Scribe, tmp_path: Path) -> None:
    run(evolving, ROWS, tmp_path)
    run(evolving, rows_of([5] * 400), tmp_path / "other")
    assert len(scribe.asked) > 100
    assert any(r.examples for r in scribe.asked)
    assert not any(MARKER in said for r in scribe.asked for said in (r.asked, r.begin, *r.examples))
    for file in (tmp_path / "out").iterdir():
        assert MARKER not in file.read_text(encoding="utf-8")


def test_votes_depend_on_neither_order_nor_ties() -> None:
    population = Population(((("card",), "aa"), (("card",), "bb"), (("loan",), "aa")))
    vectors = Lengths().encode([text for _, text in population.texts])
    cells = [("card",), ("loan",), ("card",)]
    electorate = Electorate(cells, Lengths().encode(["a", "aaa", "bbb"]), ["u", "v", "w"])
    assert electorate.votes(population, vectors) == [0, 2, 0]
    turned = Electorate(cells[::-1], Lengths().encode(["bbb", "aaa", "a"]), ["w", "v", "u"])
    assert turned.votes(population, vectors) == [0, 2, 0]


def test_a_part_of_the_table_is_asked_for_in_words_alone(evolving: Any, scribe: Scribe, tmp_path: Path) -> None:
    run(evolving, ROWS, tmp_path)
    asked: dict[float, int] = {}
    for fresh in (0.0, 0.4):
        stated = evolving.privacy.releases[EVOLUTION].model_copy(update={"fresh": fresh, "topics": ("loss", "theft")})
        releases = evolving.privacy.releases.but(EVOLUTION, stated)
        contract = replace(evolving, privacy=evolving.privacy.model_copy(update={"releases": releases}))
        assert EVOLUTION.plan(contract).event() == EVOLUTION.plan(evolving).event()
        scribe.asked.clear()
        drawn_once(contract, tmp_path / "out", 500)
        alone = [each for each in scribe.asked if not each.examples]
        assert all("\nTopic: " in each.asked for each in alone)
        asked[fresh] = len(alone)
    assert asked[0.0] == 0
    assert 150 < asked[0.4] < 250


def test_records_of_other_labels_have_no_vote(evolving: Any, tmp_path: Path) -> None:
    encoder: Any = Lengths()
    frames = [rows_of([3], "mortgage"), pd.concat([rows_of([3]), rows_of([3, 4], "mortgage")], ignore_index=True)]
    votes = Electorate.of(evolving, frames, encoder, tmp_path)
    assert votes.cells == [("card",)]
    assert votes.units.tolist() == [0]
    assert votes.vectors.tolist() == encoder.encode(rows_of([3]).text.tolist()).tolist()


def test_lookahead_judges_a_text_by_its_variations(evolving: Any, scribe: Scribe, tmp_path: Path) -> None:
    stated = evolving.privacy.releases[EVOLUTION].model_copy(update={"lookahead": 3, "rounds": 1})
    releases = evolving.privacy.releases.but(EVOLUTION, stated)
    ahead = replace(evolving, privacy=evolving.privacy.model_copy(update={"releases": releases}))
    run(ahead, ROWS, tmp_path)
    varied = [r for r in scribe.asked if len(r.examples) == 1]
    assert len(varied) >= 3 * 24


STEPS = {
    "before a round": (OpenFolder, "begin_step", 0),
    "after it began": (OpenFolder, "begin_step", 1),
    "before its votes": (NoisyVotes, "release", 0),
    "after its votes": (NoisyVotes, "release", 1),
    "before they are kept": (OpenFolder, "save", 0),
    "after they were kept": (OpenFolder, "save", 1),
}


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("step", STEPS)
def test_a_killed_run_goes_on_and_every_round_that_began_is_charged(
    evolving: Any, scribe: Scribe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, times: int
) -> None:
    """In its second round, once or again and again. Never less is charged than the rounds that were voted in."""
    owner, name, after = STEPS[step]
    original, plan = getattr(owner, name), EVOLUTION.plan(evolving)
    count = SimpleNamespace(calls=0, votes=0, charged=[])
    release = NoisyVotes.release

    def voting(self: Any, *given: Any) -> Any:
        count.votes += 1
        return release(self, *given)

    monkeypatch.setattr(NoisyVotes, "release", voting)
    original = getattr(owner, name)

    def killing(self: Any, *given: Any) -> Any:
        count.calls += 1
        fatal = count.calls == 2
        if fatal and not after:
            raise Kill
        found = original(self, *given)
        if fatal:
            raise Kill
        return found

    for _ in range(times):
        count.calls = 0
        with monkeypatch.context() as patched:
            patched.setattr(owner, name, killing)
            with pytest.raises(Kill):
                run(evolving, ROWS, tmp_path)
        again = plan.replay(tmp_path / "checkpoints", count.charged)
        count.charged += [again] if again is not None else []
    ran = run(evolving, ROWS, tmp_path)
    paid = sum(event.times for event in (plan.event(), *count.charged))
    assert ran.event == plan.event()
    assert count.votes <= paid
    again = ran.replayed.times if isinstance(ran.replayed, SelfComposed) else 0
    assert plan.mechanism.rounds + again == paid


def test_a_model_that_writes_nothing_fails_before_a_row_is_read(
    evolving: Any, scribe: Scribe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Scribe, "write", lambda self, requests, *_: [""] * len(requests))
    with pytest.raises(WriterError, match="writes no text of label 'topic: card'"):
        evolution.check(evolving, EVOLUTION.plan(evolving), {}, lambda *_: None)


def test_a_server_that_answers_alike_whatever_the_seed_fails_before_a_row_is_read(
    evolving: Any, scribe: Scribe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gateway that answers from its cache, say: the votes would be paid for, and say nothing."""
    monkeypatch.setattr(Scribe, "write", lambda self, requests, *_: [f"my own {r.asked} {r.begin}" for r in requests])
    with pytest.raises(WriterError, match=r"only one text of label 'topic: card' that is fit, .* heeds `seed`"):
        evolution.check(evolving, EVOLUTION.plan(evolving), {}, lambda *_: None)


def test_the_table_is_drawn_from_the_chosen(evolving: Any, scribe: Scribe, tmp_path: Path) -> None:
    run(evolving, ROWS, tmp_path)
    evolved = Evolved.load(tmp_path / "out")
    chosen = {text for at, (_, text) in enumerate(evolved.population.texts) if at in evolved.counted}
    scribe.asked.clear()
    drawn = drawn_once(evolving, tmp_path / "out", 30)
    assert len(drawn) == 30
    assert all(any(text.startswith(r.begin) for text in chosen) for r in scribe.asked)
