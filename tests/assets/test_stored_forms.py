"""What ledgers and homes hold stays readable: digests, keys, events, terms, names of assets, folders and files.

`golden/stored.json` was written once, by the code that made such ledgers and homes. A change here that is meant needs
a version that reads both.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from dpsynth_assets.gate.approval import planned_releases, scope_of

GOLDEN = Path(__file__).with_name("golden")
STORED = json.loads((GOLDEN / "stored.json").read_text(encoding="utf-8"))


def names(folder: Path) -> list[str]:
    """The files below a folder but locks, which hold nothing, with what is drawn or dated in their names left out."""
    found = (str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    return sorted({re.sub(r"\d{8}T\d{6}Z-[0-9a-f]{6}", "ID", name) for name in found})


def test_a_home_has_the_folders_and_files_that_it_had(run, home, book):
    assert run().success
    assert names(home.artifacts) == STORED["artifacts"]
    assert names(home.warehouse) == STORED["warehouse"]
    receipts = {
        receipt.parts[-3]: sorted(json.loads(receipt.read_text()) | json.loads(receipt.read_text())["about"])
        for receipt in home.artifacts.rglob("receipt.json")
    }
    for release in ("adapter", "label_histogram"):
        receipts[release].remove("reading")  # which older receipts do not say; they stand all the same
    assert receipts == STORED["receipts"]
    kinds = {entry.kind: sorted(entry.payload) for entry in book.entries()}
    assert kinds == STORED["entries"]


def test_a_population_s_plan_keeps_the_order_that_it_is_registered_in(contract):
    """A closed plan is compared item by item with what the ledger holds, whatever order releases are made in now."""
    events = dict(planned_releases(contract))
    assert scope_of(contract).planned == (events["small/adapter"], events["small/label_histogram"])
