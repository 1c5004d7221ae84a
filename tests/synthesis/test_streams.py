"""A release keeps of each record some bytes: no text, no vector, so that more records than memory holds can be read."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from dpsynth_assets.classify import dp_training
from dpsynth_assets.releases.classifiers import ClassifierTerms
from dpsynth_assets.releases.dp_baseline import DP_BASELINE
from dpsynth_assets.releases.label_histogram import LABEL_HISTOGRAM
from dpsynth_assets.releases.release import Workspace
from dpsynth_assets.releases.rows import Rows
from dpsynth_assets.releases.votes import VOTES, VotesTerms
from dpsynth_assets.synthesis import label_histogram, votes
from dpsynth_assets.synthesis.evolution import Electorate
from dpsynth_assets.synthesis.votes import Ballot

pytestmark = pytest.mark.slow

RECORDS, FRAME = 20_000, 100
KEPT = 200  # bytes of a record at most, the name of its unit included; its text has 900, its vector 1,536


class Wide:
    """Vectors of 384 numbers, of which only the last two differ."""

    def encode(self, texts: Any, progress: Any = None) -> np.ndarray:
        found = np.zeros((len(texts), 384), np.float32)
        found[:, 382] = [hash(text[-3:]) % 5 for text in texts]
        found[:, 383] = 1
        return found


def stream(records: int = RECORDS) -> Iterator[pd.DataFrame]:
    for start in range(0, records, FRAME):
        numbers = range(start, start + FRAME)
        texts = [f"{'x' * 900} {number}" for number in numbers]
        labels = [("card", "loan")[number % 2] for number in numbers]
        yield pd.DataFrame({"unit": [f"c{number // 2}" for number in numbers], "text": texts, "topic": labels})


@pytest.fixture
def planned(contract: Any) -> Any:
    more = {
        "votes": VotesTerms(mechanism="discrete_laplace_histogram", epsilon=0.5, clusters=2),
        "dp_baseline": ClassifierTerms(
            classifier="word_cnn", epsilon=0.4, expected_batch_size=8, steps=3, learning_rate=0.1
        ),
    }
    releases = contract.privacy.releases.model_copy(update=more)
    return replace(contract, privacy=contract.privacy.model_copy(update={"releases": releases}))


def histogram(contract: Any, rows: Rows, work: Workspace) -> object:
    return label_histogram.run(contract, LABEL_HISTOGRAM.plan(contract, 1.0), rows, None, work)


def voted(contract: Any, rows: Rows, work: Workspace) -> object:
    ballot = Ballot.of([f"text {number}" for number in range(40)], 2, seed=0, encoder=Wide())
    ready = votes.Ready(ballot, Wide(), SimpleNamespace(digest="0" * 64, folder=work.folder))
    return votes.run(contract, VOTES.plan(contract, 1.0), rows, ready, work)


def evolved(contract: Any, rows: Rows, work: Workspace) -> object:
    return Electorate.of(contract, rows, Wide(), work.checkpoints)


def words(contract: Any, rows: Rows, work: Workspace) -> object:
    plan = DP_BASELINE.plan(contract, 1.0)
    return dp_training._labelled(plan, dp_training._method(plan), rows, work.checkpoints)


def vectors(contract: Any, rows: Rows, work: Workspace) -> object:
    plan = replace(DP_BASELINE.plan(contract, 1.0), classifier="minilm")
    return dp_training._labelled(plan, dp_training._method(plan, Wide()), rows, work.checkpoints)


@pytest.mark.parametrize("read", [histogram, voted, evolved, words, vectors])
def test_what_is_kept_of_a_record_is_some_bytes(read, planned: Any, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    work = Workspace(tmp_path / "out", tmp_path / "left", lambda *_: None, lambda *_: None)
    read(planned, stream(FRAME), work)  # what is loaded at first is not counted
    tracemalloc.start()
    try:
        kept = read(planned, stream(), work)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept is not None
    assert peak < RECORDS * KEPT
