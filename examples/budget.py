"""Keep a privacy budget with the ledger alone: no contract, no Dagster, no data.

    python examples/budget.py

Two people agree to a budget. Releases are charged until one does not fit; that one is refused, and an entry says so.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from ledger import AddPopulation, BudgetRefused, Gaussian, Ledger, People, Scope


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        book = Ledger.create(Path(folder, "ledger", "ledger.duckdb"))
        scope = Scope(
            population="readers",
            unit="reader",
            neighbouring_relation="add_or_remove_one_unit",
            epsilon=2.0,
            delta=1e-6,
            planned=(Gaussian(8.0),),
            unit_by="column reader_id as string",
        )
        people = People(("owner@example.org",), ("reviewer@example.org",))
        asked = book.propose(AddPopulation(scope, people), actor="owner@example.org", reason="a monthly count")
        book.approve(asked, actor="reviewer@example.org", reason="read it")
        book.bind_source("readers", "hmac-sha256:the-readers")
        for month in range(1, 100):
            try:
                grant = book.charge(
                    "readers",
                    Gaussian(8.0),
                    source="hmac-sha256:the-readers",
                    release=f"count-{month}",
                    key=f"count-{month}",
                    owner="a-run",
                    plan_digest="0" * 64,
                    ready=lambda: None,  # what can fail without the rows fails here, and costs nothing
                )
            except BudgetRefused as refused:
                print(f"month {month}: refused, since {refused.why}")
                break
            book.redeem(grant, population="readers", fingerprint="hmac-sha256:the-readers")  # now the rows may be read
            book.commit(grant, artifact_digest="0" * 64, event=Gaussian(8.0))
        print(book.balance("readers").epsilon_spent, "of", book.cap("readers"), "spent")
        print("what is wrong with the ledger:", book.verify() or "nothing")


if __name__ == "__main__":
    main()
