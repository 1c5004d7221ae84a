"""A whole charge (reserve, activate, redeem, commit) late in a ledger's life over one at its beginning."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.pairs import paired_ratios
from ledger import Gaussian, Ledger, Scope

LATE = 300


def rows() -> Iterator[tuple[str, str, list[float]]]:
    """Admission reads stored sums, so its time must not grow with the number of charges."""
    number = itertools.count()

    def book(folder: str, charges: int) -> Ledger:
        ledger = Ledger.create(Path(folder) / f"{charges}.duckdb")
        event = Gaussian(1000.0)
        scope = Scope("everybody", "person", "add_or_remove_one_unit", epsilon=8.0, delta=1e-6, planned=(event,))
        ledger.register(scope, actor="benchmark")
        ledger.bind_source("everybody", "f" * 64)
        for _ in range(charges):
            charge(ledger)
        return ledger

    def charge(ledger: Ledger) -> None:
        reservation = ledger.reserve(
            "everybody", Gaussian(1000.0), release="r", key=f"k{next(number)}", owner="benchmark", plan_digest="0" * 64
        )
        grant = ledger.activate(reservation)
        ledger.redeem(grant, population="everybody", fingerprint="f" * 64)
        ledger.commit(grant, artifact_digest="0" * 64, event=Gaussian(1000.0))

    with tempfile.TemporaryDirectory() as folder:
        late, early = book(folder, LATE), book(folder, 0)
        ratios = paired_ratios(lambda: charge(late), lambda: charge(early))
    yield f"charge number {LATE}", "the first charges", ratios
