"""The sensitive store holds a batch of a source at once, and what a killed or failed ingestion leaves is nothing."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest

from dpsynth_assets.gate.sources import source_of
from ledger import LedgerError, PoissonSampledGaussian
from resources import snapshots, tabular
from resources.bounding import bound_units
from resources.scratch import scratch
from resources.sensitive_store import GrantRequiredError, SensitiveStore
from resources.tabular import Fingerprint, SourceError, keyed

EVENT = PoissonSampledGaussian(0.2, 3.0, 3)


@pytest.fixture
def store(home):
    return SensitiveStore(home=str(home.root))


def test_batches_are_read_under_one_grant_and_are_the_rows(reserve, book, store, contract):
    grant, source = book.activate(reserve(EVENT)), source_of(contract)
    frames = store.batches(grant, source, most=7)
    with pytest.raises(LedgerError):
        store.batches(grant, source)  # it was redeemed before the first row
    with pytest.raises(LedgerError):
        store.read(grant, source)
    found = list(frames)
    assert max(map(len, found)) <= 7
    assert len(found) == 9
    snapshot = store.latest(source)
    pd.testing.assert_frame_equal(pd.concat(found, ignore_index=True), store._rows(snapshot, source))


@pytest.mark.parametrize("forged", [None, "a token"])
def test_batches_have_no_other_door(store, contract, snapshotted, forged):
    with pytest.raises(GrantRequiredError, match="activated grant"):
        store.batches(forged, source_of(contract))


def test_a_source_of_nobody_is_read_as_one(store, contract):
    path = contract.path.parent / "nobody.jsonl"
    path.write_text("{", encoding="utf-8")
    source = source_of(replace(contract, source=str(path)))
    rows = store._rows(store.ingest(source), source)
    assert (rows.columns.tolist(), len(rows)) == (["unit", "text", "topic"], 0)


def below(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file() and path.name != ".lock")


def test_a_failure_midway_leaves_nothing(store, contract, home, monkeypatch):
    monkeypatch.setattr(tabular, "_BATCH", 2)
    monkeypatch.setattr("resources.formats._BATCH", 2)
    folder = contract.path.parent / "folder"
    folder.mkdir()
    good = pa.table({"customer": list("abc"), "text": list("xyz"), "topic": ["card"] * 3})
    pyarrow.parquet.write_table(good, folder / "1.parquet")
    (folder / "2.parquet").write_bytes(b"no Parquet")
    before = below(home.sensitive)
    with pytest.raises(SourceError, match=r"2\.parquet could not be parsed"):
        store.ingest(source_of(replace(contract, source=str(folder))))
    assert [name for name in below(home.sensitive) if name not in before] == ["fingerprint.key"][: not before]
    assert store.copies() == []


KILLED = """
import os, signal, sys
from resources import tabular
from resources.sensitive_store import SensitiveStore
from dpsynth_assets.contract import load_contract
from dpsynth_assets.gate.sources import source_of

tabular._BATCH, records_of = 4, tabular.records_of

def killed(*asked):
    for number, record in enumerate(records_of(*asked)):
        if number == 30:
            os.kill(os.getpid(), signal.SIGKILL)
        yield record

tabular.records_of = killed
SensitiveStore(home=sys.argv[1]).ingest(source_of(load_contract(sys.argv[2])))
"""


def test_a_kill_midway_leaves_nothing_standing(store, contract, snapshotted, home):
    former, before = store.latest(source_of(contract)), below(home.sensitive / "known")
    done = subprocess.run([sys.executable, "-c", KILLED, str(home.root), str(contract.path)], capture_output=True)
    assert done.returncode == -signal.SIGKILL
    assert store.latest(source_of(contract)) == former
    assert below(home.sensitive / "known") == before
    [left] = (copy.folder for copy in store.copies() if copy.snapshot != former.id)
    assert left.name.endswith(".tmp")
    yesterday = (datetime.now(UTC) - timedelta(days=2)).timestamp()
    os.utime(left, (yesterday, yesterday))
    again = store.ingest(source_of(contract))
    assert not left.exists(), "what the kill left goes with the next snapshot that is taken after its day"
    assert len(store._rows(again, source_of(contract))) == 60


PEAK = """
import re, sys
from pathlib import Path
from resources import databases, formats, snapshots, tabular
from resources.sensitive_store import SensitiveStore
from dpsynth_assets.contract import load_contract
from dpsynth_assets.gate.sources import source_of
from dataclasses import replace

tabular._BATCH = snapshots._MOST = formats._BATCH = databases._BATCH = 256
databases._MEMORY = "24MB"
store = SensitiveStore(home=sys.argv[1])
source = source_of(replace(load_contract(sys.argv[2]), source=sys.argv[3]))
snapshot = store.ingest(source)
rows = sum(map(len, store._batches(snapshot, source, 256)))
# Not `ru_maxrss`, which begins with what the parent had.
print(rows, int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) // 1024)
"""


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".jsonl", ".sqlite", ".duckdb"])
def test_memory_does_not_grow_with_the_source(contract, home, suffix):
    """In MiB: 24 times as many records, of 4,000 characters each, take no more than half their own length."""
    peaks, few, many = [], 1_000, 24_000
    for records in (few, many):
        path = contract.path.parent / f"{records}{suffix}"
        write_large(path, records)
        done = subprocess.run(
            [sys.executable, "-c", PEAK, str(home.root), str(contract.path), str(path)], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        rows, peak = map(int, done.stdout.split())
        assert rows == records // 10 * 2, "of 10 records of each unit 2 are used"
        peaks.append(peak)
    assert peaks[1] - peaks[0] < (many - few) * 4_000 / 2**20 / 2


def write_large(path: Path, records: int) -> None:
    """Ten records of each unit, of texts that cannot be packed."""
    draw, names = random.Random(0), ["customer", "text", "topic"]
    rows = [(f"c{number // 10}", draw.randbytes(2_000).hex(), "card") for number in range(records)]
    if path.suffix == ".jsonl":
        path.write_text("\n".join(json.dumps(dict(zip(names, row, strict=True))) for row in rows), encoding="utf-8")
    elif path.suffix == ".csv":
        pd.DataFrame(rows, columns=names).to_csv(path, index=False)
    elif path.suffix == ".sqlite":
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("create table messages (customer, text, topic)")
            connection.executemany("insert into messages values (?, ?, ?)", rows)
            connection.commit()
    else:
        table = pa.table(dict(zip(names, zip(*rows, strict=True), strict=True)))
        if path.suffix == ".parquet":
            pyarrow.parquet.write_table(table, path)
        else:
            with duckdb.connect(str(path)) as connection:
                connection.register("given", table)
                connection.execute("create table messages as from given")


def test_a_batch_is_bounded_by_its_length_too(monkeypatch):
    monkeypatch.setattr(tabular, "_LARGEST", 10)
    records = [["a" * 4, None], ["b" * 4, "c" * 4], ["d" * 40, ""], [None, None], ["e", "f"]]
    assert [len(batch) for batch in tabular._bounded(iter(records))] == [2, 1, 2]


def test_rows_are_read_by_the_groups_they_were_written_in(store, contract, monkeypatch):
    monkeypatch.setattr(tabular, "_BATCH", 8)
    snapshot = store.ingest(source_of(contract))
    kept = snapshots.Snapshots(Path(store.home) / "sensitive")
    assert [len(batch) for batch in kept.batches(snapshot)] == [8] * 7 + [4]


def test_the_fingerprint_is_of_the_sorted_texts_whatever_the_batches(contract):
    import hashlib

    source, key = source_of(contract), b"k" * 32
    texts = [f"text {number % 300}" for number in range(400)]
    found = Fingerprint(source, key)
    for part in (texts[:1], texts[1:250], texts[250:]):
        table = pa.table({name: part if name == "text" else [None] * len(part) for name in source.columns.names})
        found.add(table)
    whole = hashlib.sha256(b"".join(sorted(keyed(key, "text", text) for text in texts))).hexdigest()
    assert found.value() == keyed(key, "source", whole).hex()


def test_what_is_used_of_a_unit_is_what_has_the_smallest_keyed_hash():
    key, draw = b"k" * 32, random.Random(1)
    records = [(f"u{draw.randrange(40)}", f"text {draw.randrange(30)}", "card") for _ in range(2_000)]
    used = bound_units([records[:5], [], records[5:1999], records[1999:]], 7, key)
    for unit in {record[0] for record in records}:
        own = [number for number, record in enumerate(records) if record[0] == unit]
        own.sort(key=lambda number: (keyed(key, "bound", *records[number]), number))
        assert np.flatnonzero(used[own]).tolist() == list(range(min(7, len(own))))


def test_a_scratch_lies_where_only_this_user_may_go_and_goes(tmp_path):
    with scratch(tmp_path) as database:
        [folder] = tmp_path.iterdir()
        assert folder.stat().st_mode & 0o777 == 0o700
        assert database.sql("select current_setting('temp_directory')").fetchall() == [(str(folder),)]
        assert database.sql("select current_setting('memory_limit')").fetchall() == [("488.2 MiB",)]
    assert list(tmp_path.iterdir()) == []


def test_a_scratch_that_overflows_gives_what_one_in_memory_gives(tmp_path, monkeypatch):
    monkeypatch.setattr("resources.scratch._BOUNDED", {"memory_limit": "24MB", "threads": "1"})
    records = [[(f"u{(place * 7919) % 500}", f"{place} " * 40, "card") for place in range(a, a + 20_000)]
               for a in range(0, 200_000, 20_000)]  # fmt: skip
    assert (bound_units(records, 3, b"k", tmp_path) == bound_units(records, 3, b"k")).all()
    assert not any(tmp_path.iterdir())
