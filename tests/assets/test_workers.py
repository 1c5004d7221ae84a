"""What workers are given is public or released, and where they cannot be had it is said before anything is charged."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from importlib.metadata import PackageNotFoundError

import numpy as np
import pandas as pd
import pytest

from dpsynth_assets.language import base_model, finetuning, generation, local_writer
from dpsynth_assets.language.base_model import load_base_model
from dpsynth_assets.language.untouched import untouched
from resources import ray_workers
from tests.conftest import MARKER
from tests.pools import WrittenDown

GENERATE = generation.generate_corpus


@pytest.fixture
def pool(rooms, monkeypatch) -> WrittenDown:
    """In place of a cluster; it draws with the base model, since nothing was trained."""
    made = WrittenDown()

    @contextmanager
    def handed(self: ray_workers.RayWorkers) -> Iterator[WrittenDown]:
        yield made

    monkeypatch.setattr(ray_workers.RayWorkers, "pool", handed)
    monkeypatch.setattr(generation, "generate_corpus", GENERATE)
    monkeypatch.setattr(local_writer, "load_tuned", lambda place, method, folder: load_base_model(place))
    return made


def test_workers_are_given_nothing_of_the_records(run, pool, home, store, contract):
    assert run().success
    sensitive = pd.read_json(contract.path.parent / "train.jsonl", lines=True)["text"]
    assert sensitive.str.contains(MARKER).all()
    handed = "\n".join(pool.handed)
    assert MARKER not in handed
    for hidden in (home.sensitive, home.ledger_file.parent, contract.path.parent / "train.jsonl"):
        assert str(hidden) not in handed
    assert str(store.latest("small", "adapter").folder) in handed
    assert "topic: card" in handed
    drawn = pd.read_parquet(store.latest("small", "candidates").folder / "candidates.parquet")["text"]
    assert sum(f'"{text}"' in handed for text in drawn) > len(drawn) / 2  # they were encoded for the report


def test_the_table_is_the_one_that_the_assets_own_process_makes(run, pool, store, monkeypatch):
    def table() -> pd.DataFrame:
        return pd.read_parquet(store.latest("small", "candidates").folder / "candidates.parquet")

    assert run("source", "label_histogram", "adapter", "candidates").success
    in_pool = table()
    assert pool.computed
    monkeypatch.setattr(ray_workers.RayWorkers, "pool", lambda self: nullcontext())
    assert run("candidates").success
    pd.testing.assert_frame_equal(table(), in_pool)


@pytest.mark.parametrize("said", ["2", "many"])
def test_workers_that_cannot_be_had_cost_nothing(run, book, failure_of, monkeypatch, said):
    def missing(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(ray_workers, "version", missing)
    monkeypatch.setenv("DPSYNTH_RAY", said)
    failed = str(failure_of(run("source", "label_histogram"), "label_histogram"))
    assert "DPSYNTH_RAY" in failed
    assert ("pip install" in failed) is (said == "2")
    assert book.reservations() == []


def test_workers_that_are_lost_are_said_in_words(run, failure_of, monkeypatch, pool):
    def lost(self, *given):
        raise ray_workers.WorkersError("Ray ended before the work was done: run it again")
        yield

    monkeypatch.setattr(WrittenDown, "map", lost)
    failed = failure_of(run("source", "label_histogram", "adapter", "candidates"), "candidates")
    assert "Ray ended before the work was done: run it again" in str(failed)


@pytest.mark.slow
def test_a_whole_run_has_its_texts_drawn_and_encoded_by_a_cluster(run, rooms, store, monkeypatch):
    """With the base model in the adapter's place, which the workers can load."""

    def fine_tune(contract, plan, rows, folder, *args, **kwargs):
        untouched(contract, folder)
        return finetuning.FineTuned(folder, plan.event())

    started = []

    class Counted(ray_workers.RayPool):
        def map(self, maker, *given):
            started.append(maker.partition(":")[2])
            return super().map(maker, *given)

    monkeypatch.setattr(base_model, "load_base_model", load_base_model)
    monkeypatch.setattr(local_writer, "load_base_model", load_base_model)
    monkeypatch.setattr(finetuning, "fine_tune", fine_tune)
    monkeypatch.setattr(generation, "generate_corpus", GENERATE)
    monkeypatch.setattr(ray_workers, "RayPool", Counted)
    monkeypatch.setenv("DPSYNTH_RAY", "2")
    assert run().success
    assert {"writing", "encoding"} == set(started)
    by_cluster = pd.read_parquet(store.latest("small", "candidates").folder / "candidates.parquet")
    vectors = np.load(store.latest("small", "embeddings").folder / "embeddings.npy")
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, rtol=1e-5)
    monkeypatch.delenv("DPSYNTH_RAY")
    started.clear()
    assert run("candidates").success
    assert started == []
    pd.testing.assert_frame_equal(
        pd.read_parquet(store.latest("small", "candidates").folder / "candidates.parquet"), by_cluster
    )
