"""Texts drawn by a pool of workers are those that one process draws, whoever draws which shard, and when."""

from __future__ import annotations

import os
import signal
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from benchmarks.ray_workers import running_workers
from dpsynth_assets.language import generation
from dpsynth_assets.language.drawing import shard_drawing
from dpsynth_assets.language.generation import generate_corpus
from dpsynth_assets.language.untouched import untouched
from dpsynth_assets.language.writing import Request
from resources.ray_workers import RayPool
from tests.pools import WrittenDown

ROWS, SHARD = 60, 16


@pytest.fixture
def model(contract: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of the base model as it comes, whose texts are drawn in small shards by one thread."""
    import torch

    monkeypatch.setattr(generation, "_SHARD", SHARD)
    (tmp_path / "adapter").mkdir()
    untouched(contract, tmp_path / "adapter")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield tmp_path / "adapter"
    torch.set_num_threads(threads)


def drawn(contract: Any, model: Path, **how: Any) -> pd.DataFrame:
    return generate_corpus(contract, model, dict.fromkeys(contract.cells, 1), rows=ROWS, **how)


def test_rows_do_not_depend_on_who_draws_or_when(contract: Any, model: Path) -> None:
    alone = drawn(contract, model)
    assert alone["text"].nunique() == ROWS
    backwards, by_threes = WrittenDown(), WrittenDown(lambda n: sorted(range(n), key=lambda place: place % 3))
    pd.testing.assert_frame_equal(drawn(contract, model, pool=backwards), alone)
    pd.testing.assert_frame_equal(drawn(contract, model, pool=by_threes), alone)
    assert backwards.computed == by_threes.computed >= ROWS // SHARD


def test_what_was_drawn_before_a_kill_is_kept_and_the_rest_drawn(contract: Any, model: Path, tmp_path: Path) -> None:
    alone, shards = drawn(contract, model), tmp_path / "shards"
    whole = WrittenDown()
    drawn(contract, model, pool=whole, shards=tmp_path / "whole")

    class Killed(WrittenDown):
        def map(self, *given: Any) -> Generator[tuple[int, Any]]:
            for count, each in enumerate(super().map(*given)):
                if count == 2:
                    raise KeyboardInterrupt
                yield each

    with pytest.raises(KeyboardInterrupt):
        drawn(contract, model, pool=Killed(), shards=shards)
    assert len(list(shards.glob("*.parquet"))) == 2  # the last two of the round: they came first
    rest = WrittenDown()
    pd.testing.assert_frame_equal(drawn(contract, model, pool=rest, shards=shards), alone)
    assert rest.computed == whole.computed - 2
    idle = WrittenDown()
    pd.testing.assert_frame_equal(drawn(contract, model, pool=idle, shards=shards), alone)
    assert (idle.computed, idle.handed[3:]) == (0, [])


def test_a_shard_that_is_lost_is_an_error_and_no_shorter_table(contract: Any, model: Path) -> None:
    losing = WrittenDown(lambda shards: range(1, shards))
    with pytest.raises(RuntimeError, match="StopIteration"):
        drawn(contract, model, pool=losing)


def test_a_shard_drawn_with_another_seed_is_another(contract: Any, model: Path) -> None:
    draw = shard_drawing(contract, model, "float32", lambda cells, seed: [Request("topic: card")] * 8, WrittenDown())
    cells = [("card",)] * 8
    texts = dict(draw([(cells, 1), (cells, 2), (cells, 1)], lambda _: None))
    assert texts[0] == texts[2] != texts[1]


def test_texts_are_asked_for_again_for_their_words_in_a_worker_as_here(contract: Any, model: Path) -> None:
    def of(tries: int, pool: WrittenDown | None = None) -> list[str]:
        asked = [Request("topic: card", words=("the",), tries=tries)] * 16
        draw = shard_drawing(contract, model, "float32", lambda cells, seed: asked, pool)
        [(_, texts)] = draw([([("card",)] * 16, 1)], lambda _: None)
        return texts

    once, often = of(1), of(40)
    held = ["the" in text.casefold() for text in once]
    assert not all(held)
    assert all(now == text for now, text, good in zip(often, once, held, strict=True) if good)
    assert all("the" in text.casefold() for text in often)
    assert of(40, WrittenDown()) == often


@pytest.mark.slow
def test_workers_of_a_cluster_draw_the_same_rows_though_one_is_killed(
    contract: Any, model: Path, tmp_path: Path
) -> None:
    alone, pool, killed = drawn(contract, model), RayPool(2), []

    def kill(done: int, rows: int) -> None:
        if not killed:
            killed.append(next(running_workers()))
            os.kill(killed[0], signal.SIGKILL)

    try:
        in_two = drawn(contract, model, pool=pool, progress=kill)
    finally:
        pool.close()
    assert killed
    pd.testing.assert_frame_equal(in_two, alone)
    one = RayPool(1)
    try:
        pd.testing.assert_frame_equal(drawn(contract, model, pool=one), alone)
    finally:
        one.close()
