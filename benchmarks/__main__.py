"""`make bench`: every figure of README and docs, as a ratio against a named reference measured in the same run.

    python -m benchmarks [training_step] [ranks] [sharded] [heads] [generation] [audit_cost] [code_location] [ledger]

Times on one machine say little elsewhere, and two times taken minutes apart say little anywhere. So each benchmark
interleaves what is measured with its reference, and prints the median of the paired ratios with their range.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable

from rich.console import Console
from rich.table import Table

from benchmarks import audit_cost, code_location, generation, heads, ledger, ranks, sharded, training_step

BENCHMARKS: dict[str, Callable[[], Iterable[tuple[str, str, list[float]]]]] = {
    "training_step": training_step.rows,
    "ranks": ranks.rows,
    "sharded": sharded.rows,
    "heads": heads.rows,
    "generation": generation.rows,
    "audit_cost": audit_cost.rows,
    "code_location": code_location.rows,
    "ledger": ledger.rows,
}


def main() -> None:
    chosen = sys.argv[1:] or list(BENCHMARKS)
    unknown = [name for name in chosen if name not in BENCHMARKS]
    if unknown:
        sys.exit(f"unknown benchmark {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
    table = Table("measured", "reference", "ratio (median)", "from", "to", "pairs")
    for name in chosen:
        for measured, reference, ratios in BENCHMARKS[name]():
            if not ratios:
                table.add_row(measured, f"cannot: {reference}", "", "", "", "")
                continue
            ordered = sorted(ratios)
            median = ordered[len(ordered) // 2]
            table.add_row(
                measured, reference, f"{median:.2f}", f"{ordered[0]:.2f}", f"{ordered[-1]:.2f}", str(len(ordered))
            )
    Console().print(table)


main()
