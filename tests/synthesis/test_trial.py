"""How long texts will take, reckoned from a few."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from dpsynth_assets.releases.evolution import EVOLUTION, EvolutionTerms
from dpsynth_assets.synthesis import trial


class Slow:
    """A writer for whom a first text takes a second, and one after examples three. Its seconds are its own."""

    def __init__(self) -> None:
        self.now, self.asked = 0.0, 0

    def write(self, requests: Any, seed: int, told: Any = None) -> list[str]:
        self.now += sum(3.0 if request.examples else 1.0 for request in requests)
        self.asked += len(requests)
        return [f"text {seed} {at}" for at, _ in enumerate(requests)]


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Slow:
    made = Slow()
    monkeypatch.setattr(trial, "writer_of", lambda *_: made)
    monkeypatch.setattr(trial, "time", SimpleNamespace(monotonic=lambda: made.now))
    return made


@pytest.fixture
def evolving(contract: Any) -> Any:
    stated = EvolutionTerms(mechanism="gaussian_votes", epsilon=8.0, rounds=4, texts=100)
    releases = contract.privacy.releases.but(EVOLUTION, stated)
    return replace(contract, privacy=contract.privacy.model_copy(update={"releases": releases}))


def test_first_texts_and_variations_are_reckoned_apart(evolving: Any, slow: Slow) -> None:
    """Two labels: 200 first texts, 600 in the rounds after, 50 of the table."""
    assert trial.seconds(evolving, EVOLUTION.plan(evolving), 50) == 200 * 1 + 650 * 3
    assert slow.asked == 1 + 64 + 64, "one to wake the model, and some of each kind"


def test_a_writer_that_writes_nothing_is_timed_all_the_same(evolving: Any, slow: Slow) -> None:
    slow.write = lambda requests, *_: [""] * len(requests)  # type: ignore[method-assign]
    assert trial.seconds(evolving, EVOLUTION.plan(evolving), 50) == 0
