"""A source larger than memory: ingested, bounded, read in batches and sampled, over a plain copy of the same file.

    python -m benchmarks.ingestion --records 1e6 [--folder /a/disk/with/room]

It writes a Parquet file of fictional records, of units of 1 to 50 records with texts of some 100 characters, into a
folder of its own, and deletes it at the end. Each phase runs in a process of its own, whose peak of resident memory is
read from Linux. The reference is what DuckDB takes to copy that file to another Parquet file: reading, unpacking and
packing, without a key, a unit or an order. Ratios are to the median of three such copies, one before each phase.
"""

from __future__ import annotations

import argparse
import multiprocessing
import re
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from dpsynth_assets.privacy.sampling import PoissonSampler
from ledger import AddPopulation, Gaussian, Ledger, People, Scope
from resources.canonical import STRING
from resources.home import Home, private_folder
from resources.scratch import silent
from resources.sensitive_store import SensitiveStore
from resources.source import Columns, Label, Layout, Source

MOST = 8  # records of a unit that are used
RATE, STEPS = 0.01, 10  # of sampling
EVENT = Gaussian(10_000.0)
_LABELS = ("card", "loan")
_UNITS = "units.npy"  # the unit of each row that is used, as a number
_RECORDS = """
    copy (
        with people as (select person, 1 + (hash(person) % 50)::bigint as records from range({people}) as t(person)),
        records as (select person, unnest(range(records)) as number from people)
        select 'customer-' || person as customer,
               'Letter ' || number || ' of ' || person || ', ' || md5(person || '/' || number)
                   || ': my card was lost again, and what is to be done?' as text,
               if(hash(person, number) % 2 = 0, '{}', '{}') as topic
        from records order by hash(person, number) limit {records}
    ) to '{file}' (format parquet)
"""


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--records", type=float, default=1e6)
    asked.add_argument("--folder", type=Path, default=None, help="where its files lie meanwhile; a temporary one")
    chosen = asked.parse_args()
    with tempfile.TemporaryDirectory(prefix="dpsynth-ingestion-", dir=chosen.folder) as made:
        Console().print(f"{int(chosen.records):,} records in {made}, which is deleted at the end")
        Console().print(measured(Path(made), int(chosen.records)))


def measured(folder: Path, records: int) -> Table:
    """Each phase with its time, its ratio to the reference, and the peak of memory of its process."""
    table = Table("phase", "seconds", "over a copy", "peak MiB")
    _, _, nothing = apart(_nothing, folder)
    seconds, peak = apart(write, folder, records)[1:]
    table.add_row("make the file", f"{seconds:.1f}", "", str(peak))
    phases: list[Callable[..., Any]] = [ingest, read, sample]
    copies, found = [], []
    for phase in phases:
        copies.append(apart(copy, folder)[1:])
        found.append(apart(phase, folder)[1:])
    reference = statistics.median(seconds for seconds, _ in copies)
    table.add_row("copy it with DuckDB (median)", f"{reference:.1f}", "1", str(max(peak for _, peak in copies)))
    for phase, (seconds, peak) in zip(phases, found, strict=True):
        table.add_row(phase.__doc__, f"{seconds:.1f}", f"{seconds / reference:.1f}", str(peak))
    table.caption = f"a process that does nothing: {nothing} MiB"
    return table


def write(folder: Path, records: int) -> None:
    _duckdb().execute(
        _RECORDS.format(*_LABELS, people=records // 25 + 50, records=records, file=folder / "source.parquet")
    )


def copy(folder: Path) -> None:
    _duckdb().execute(f"copy (from '{folder / 'source.parquet'}') to '{folder / 'copy.parquet'}' (format parquet)")


def ingest(folder: Path) -> None:
    """ingest"""
    store, source = SensitiveStore(home=str(folder / "home")), source_in(folder)
    snapshot = store.ingest(source)
    store.settle(source, snapshot, bound=True)


def read(folder: Path) -> None:
    """bound and read in batches"""
    store, source = SensitiveStore(home=str(folder / "home")), source_in(folder)
    snapshot, book = store.latest(source), _ledger(folder)
    book.bind_source("everybody", snapshot.identity)
    grant = book.charge(
        "everybody",
        EVENT,
        source=snapshot.identity,
        release="r",
        key="k",
        owner="benchmark",
        plan_digest="0" * 64,
        ready=lambda: None,
    )
    frames = store.batches(grant, source)
    units = [frame["unit"].str.removeprefix("customer-").to_numpy(np.int64) for frame in frames]
    np.save(folder / _UNITS, np.concatenate(units))


def sample(folder: Path) -> None:
    """ten Poisson samples of units"""
    units = np.load(folder / _UNITS)
    names, number_of = np.unique(units, return_inverse=True)
    sampler = PoissonSampler(len(names), RATE)
    for _ in range(STEPS):
        drawn = np.zeros(len(names), np.bool_)
        drawn[sampler.draw()] = True
        np.flatnonzero(drawn[number_of])


def source_in(folder: Path) -> Source:
    label = Label("topic", {name: name for name in _LABELS}, {})
    columns = Columns("text", (label,), {"customer": STRING}, "customer", None, ())
    return Source(
        contract="fictional",
        file=folder / "fictional.odcs.yaml",
        digest="0" * 64,
        population="everybody",
        place=str(folder / "source.parquet"),
        layout=Layout(),
        copy=None,
        where={},
        columns=columns,
        public=False,
        max_records=MOST,
        max_characters=4096,
        retention_days=1,
    )


def _ledger(folder: Path) -> Ledger:
    file = Home.at(folder / "home").ledger_file
    private_folder(file.parent)
    book = Ledger.create(file)
    scope = Scope("everybody", "person", "add_or_remove_one_unit", epsilon=8.0, delta=1e-6, planned=(EVENT,))
    asked = book.propose(AddPopulation(scope, People(("owner",), ("other",))), actor="owner", reason="to measure")
    book.approve(asked, actor="other", reason="agreed")
    return book


def _duckdb() -> Any:
    import duckdb

    return silent(duckdb.connect(":memory:"))


def _nothing(folder: Path) -> None:
    """What a process takes for what it imports."""


def apart(phase: Callable[..., Any], *given: Any) -> tuple[Any, float, int]:
    """What it returns, the seconds that it takes, and the peak of memory in MiB, in a new process."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_timed, phase, *given).result()


def _timed(phase: Callable[..., Any], *given: Any) -> tuple[Any, float, int]:
    begun = time.perf_counter()
    returned = phase(*given)
    seconds = time.perf_counter() - begun
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="utf-8"))
    assert peak is not None
    return returned, seconds, int(peak[1]) // 1024


if __name__ == "__main__":
    main()
