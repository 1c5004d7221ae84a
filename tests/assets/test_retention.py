"""Sensitive copies go when their retention is over, with all that lies beside them, and are not read after that."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from dpsynth_assets.gate.sources import source_of
from ledger import PoissonSampledGaussian
from resources.sensitive_store import SensitiveStore
from resources.tabular import SourceError

MARKER = "XYZZY-4471-PLUGH"
EVENT = PoissonSampledGaussian(0.2, 3.0, 3)


@pytest.fixture
def store(home):
    return SensitiveStore(home=str(home.root))


def standing(store, contract):
    """A snapshot that stands, as if a ledger had bound it."""
    snapshot = store.ingest(source_of(contract))
    store.settle(source_of(contract), snapshot, bound=True)
    return snapshot


def later(monkeypatch, days: float) -> None:
    """From here on it is so many days later, for the store."""

    class Clock(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) + timedelta(days=days)

    monkeypatch.setattr("resources.sensitive_store.datetime", Clock)
    monkeypatch.setattr("resources.snapshots.datetime", Clock)
    monkeypatch.setattr("resources.retention.datetime", Clock)


def files_with(home, text: str) -> list[str]:
    """Files below the sensitive folder that hold a text, Parquet ones by being there."""
    rows = [path for path in home.sensitive.rglob("*.parquet") if path.parent.name != "known"]
    quoting = [path for path in home.sensitive.rglob("*.txt") if text in path.read_text(encoding="utf-8")]
    return sorted(path.name for path in rows + quoting)


def test_the_last_day_is_the_contracts(store, contract, monkeypatch):
    made = standing(store, contract)
    assert datetime.fromisoformat(made.kept_until) - datetime.fromisoformat(made.created) == timedelta(days=30)
    later(monkeypatch, 29.9)
    assert store.forget() == []
    assert store.readable(source_of(contract)).id == made.id
    later(monkeypatch, 30.1)
    with pytest.raises(SourceError, match=r"kept no longer .*30 days.* materialize small/source again"):
        store.readable(source_of(contract))
    assert [copy.snapshot for copy in store.forget()] == [made.id]
    assert store.forget() == store.copies() == []


def test_traces_and_figures_go_with_the_rows_and_the_manifest_stays(store, contract, home, monkeypatch):
    made = standing(store, contract)
    store.keep_trace(source_of(contract), "reservation-1", MARKER)
    store.keep_figures(source_of(contract), "facts.json", "{}")
    (store.beside(source_of(contract), "output") / "reservation-1.txt").write_text(MARKER, encoding="utf-8")
    assert files_with(home, MARKER) == ["reservation-1.txt", "reservation-1.txt", "rows.parquet"]
    later(monkeypatch, 31)
    store.forget()
    assert [path.name for path in (home.sensitive / "small" / made.id).rglob("*")] == ["manifest.json"]
    assert store.latest(source_of(contract)) == made, "free assets still learn where the test split lies"


def test_an_ingestion_deletes_what_is_over_of_any_contract(store, contract, home, monkeypatch):
    old = standing(store, contract)
    other = replace(contract, id="other")
    later(monkeypatch, 31)
    new = standing(store, other)
    assert [copy.snapshot for copy in store.copies()] == [new.id]
    assert not (home.sensitive / "small" / old.id / "rows.parquet").exists()


def test_a_killed_ingestion_leaves_nothing_for_good(store, contract, home, monkeypatch):
    standing(store, contract)
    left = home.sensitive / "small" / ".20200101T000000Z-abcdef.tmp"
    left.mkdir()
    (left / "rows.parquet").write_bytes(b"half")
    (left / "manifest.json").write_text("{}", encoding="utf-8")
    assert store.forget() == [], "it may still be going on"
    yesterday = (datetime.now(UTC) - timedelta(days=2)).timestamp()
    os.utime(left, (yesterday, yesterday))
    assert [copy.folder for copy in store.forget()] == [left]
    assert not left.exists()


def test_a_deletion_that_was_killed_goes_on(store, contract, home):
    made = standing(store, contract)
    store.keep_trace(source_of(contract), "reservation-1", MARKER)
    [copy] = store.copies()
    (copy.folder / "rows.parquet").unlink()
    assert [copy.snapshot for copy in store.forget("small")] == [made.id]
    assert files_with(home, MARKER) == []


def test_all_copies_of_one_contract_at_once(store, contract):
    first, second = standing(store, contract), standing(store, contract)
    other = standing(store, replace(contract, id="other"))
    assert {copy.snapshot for copy in store.forget("small")} == {first.id, second.id}
    assert [copy.snapshot for copy in store.copies()] == [other.id]


def test_a_grant_does_not_open_what_is_over_and_is_not_used_up(reserve, book, store, contract, monkeypatch):
    grant = book.activate(reserve(EVENT))
    with monkeypatch.context() as patched:
        later(patched, 31)
        with pytest.raises(SourceError, match="kept no longer"):
            store.read(grant, source_of(contract))
    assert len(store.read(grant, source_of(contract))) == 60


def test_nothing_is_charged_for_rows_that_are_gone(run, rooms, store, book, failure_of):
    assert run("source").success
    store.forget("small")
    before = len(book.entries())
    result = run("adapter")
    assert (
        "materialize small/source again"
        in failure_of(result, "adapter").step_failure_data.user_failure_data.description
    )
    assert (len(book.entries()), rooms.read) == (before, 0)
    assert run("source", "adapter").success


def test_a_release_that_has_read_its_rows_outlives_them(run, rooms, store, book):
    rooms.train = lambda frame: store.forget("small")
    assert run("source", "adapter").success, "hours of training are not forfeited by the end of the retention"
    assert store.copies() == []


def test_a_copy_without_a_deadline_is_over(store, contract, home):
    made = standing(store, contract)
    manifest = home.sensitive / "small" / made.id / "manifest.json"
    stated = json.loads(manifest.read_text(encoding="utf-8"))
    del stated["kept_until"]
    manifest.write_text(json.dumps(stated), encoding="utf-8")
    new = standing(store, contract)
    assert [copy.snapshot for copy in store.copies()] == [new.id]


def test_the_schedule_runs_where_something_is_over(store, contract, home, monkeypatch):
    from dpsynth_assets.automation import retention as job
    from dpsynth_assets.automation import retention_schedule

    made = standing(store, contract)
    resources = {"sensitive_store": store}

    def tick() -> dg.RunRequest | dg.SkipReason:
        context = dg.build_schedule_context(resources=resources)
        return retention_schedule(context)

    assert isinstance(tick(), dg.SkipReason)
    later(monkeypatch, 31)
    assert isinstance(tick(), dg.RunRequest)
    assert job.execute_in_process(resources=resources).success
    assert not (home.sensitive / "small" / made.id / "rows.parquet").exists()
    assert isinstance(tick(), dg.SkipReason)


def test_the_shipped_location_deletes_by_itself():
    from dpsynth_assets.definitions import defs

    schedule = defs.resolve_schedule_def("retention_schedule")
    assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING
