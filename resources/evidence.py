"""What lies outside the ledger and speaks for or against it: receipts of artifacts and their signed checkpoints."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ledger import Checkpoint, LedgerError
from resources.artifact_store import RECEIPT, folder_digest

if TYPE_CHECKING:
    from ledger import Entry
    from ledger.snapshot import Artifact
    from resources.home import Home


def receipts(home: Home, only: Collection[Path] | None = None) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Every artifact's folder and receipt, or those of the named folders."""
    for file in sorted(home.artifacts.glob(f"*/*/*/{RECEIPT}")):
        if only is None or file.parent in only:
            yield file.parent, json.loads(file.read_text(encoding="utf-8"))


def checkpoints(home: Home, only: Collection[Path] | None = None) -> list[Checkpoint]:
    """The signed checkpoints in all receipts; what is none is left for `contradictions` to say."""
    found = []
    for _, receipt in receipts(home, only):
        for charge in receipt.get("charges", ()):
            try:
                found.append(Checkpoint.from_json(charge["checkpoint"]))
            except (LedgerError, KeyError, TypeError):
                continue
    return found


def artifacts(home: Home) -> Iterator[Artifact]:
    """Every charge in every receipt, for the reviewers' views; its own digest only where the artifact is a release."""
    from ledger.snapshot import Artifact

    for folder, receipt in receipts(home):
        name = str(folder.relative_to(home.artifacts))
        for charge in receipt.get("charges") or [{}]:
            own = str(charge.get("release", "")).split("/")[-1] == receipt.get("kind")
            digest = str(receipt.get("artifact_digest")) if own else None
            ledger = (charge.get("checkpoint") or {}).get("ledger")
            yield Artifact(name, digest, ledger, charge.get("ledger_seq"), charge.get("ledger_hash"))


def contradictions(home: Home, entries: list[Entry], only: Collection[Path] | None = None) -> list[str]:
    """Where an artifact and the ledger disagree: an entry that is missing, a charge without checkpoint, other files.

    `only`: the folders of the artifacts to look at; otherwise all of them.
    """
    found = []
    committed = {entry.seq: entry for entry in entries if entry.kind == "committed"}
    for folder, receipt in receipts(home, only):
        where = f"artifact {folder.relative_to(home.artifacts)}"
        if folder_digest(folder) != receipt.get("artifact_digest"):
            found.append(f"{where}: its files are not those it was sealed with")
        for charge in receipt.get("charges", ()):
            entry = committed.get(charge.get("ledger_seq"))
            if entry is None or entry.hash != charge.get("ledger_hash"):
                found.append(f"{where}: entry {charge.get('ledger_seq')} of the ledger is not the one in its receipt")
            elif not charge.get("checkpoint"):
                found.append(f"{where}: its receipt carries no signed checkpoint")
            elif receipt.get("kind") == str(entry.release).split("/")[-1] and entry.payload[
                "artifact_digest"
            ] != receipt.get("artifact_digest"):
                found.append(f"{where}: entry {entry.seq} was committed with other files")
    return found
