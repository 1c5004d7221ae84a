"""Sensitive copies, and how long they stay: what is over its time is deleted, with everything that lies beside it.

A copy is a snapshot's folder, `sensitive/<contract>/<snapshot>/`: its rows, and what releases left beside them that may
quote or count them (traces, captured output, figures). All of that goes at once. The manifest stays: it says nothing of
the rows, and free assets go on asking it where the public test split lies.

Knows folders and manifests; neither contracts nor the ledger, in which everything that was charged stays charged. What
is deleted is unlinked, not overwritten: backups and the disk's free blocks are not reached from here.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

MANIFEST = "manifest.json"
_UNFINISHED = timedelta(days=1)  # an ingestion that is older than that was killed


@dataclass(frozen=True)
class Copy:
    """One snapshot of which more than the manifest is there, or the rest of an ingestion that was killed."""

    contract: str
    snapshot: str
    kept_until: datetime
    folder: Path

    def is_over(self, now: datetime | None = None) -> bool:
        """Whether its time has come."""
        return self.kept_until <= (now or datetime.now(UTC))


def deadline(created: datetime, days: int) -> datetime:
    """Until when a copy made at `created` is kept."""
    return created + timedelta(days=days)


def copies(sensitive: Path) -> list[Copy]:
    """All of them below the sensitive folder, the first to go first."""
    found = [_finished(path) for path in sensitive.glob(f"*/*/{MANIFEST}") if not path.parent.name.startswith(".")]
    found += [_unfinished(path) for path in sensitive.glob("*/.*.tmp") if path.is_dir()]
    return sorted((copy for copy in found if copy is not None), key=lambda copy: (copy.kept_until, copy.snapshot))


def delete(copy: Copy) -> None:
    """Everything but the manifest of a snapshot. Repeated after a kill, it goes on where it was."""
    if copy.folder.name.startswith("."):
        shutil.rmtree(copy.folder)
        return
    for path in sorted(copy.folder.iterdir()):
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != MANIFEST:
            path.unlink(missing_ok=True)


def _finished(manifest: Path) -> Copy | None:
    if {path.name for path in manifest.parent.iterdir()} == {MANIFEST}:
        return None
    stated = json.loads(manifest.read_text(encoding="utf-8"))
    until = datetime.fromisoformat(stated.get("kept_until", stated["created"]))  # one that says nothing is over
    return Copy(stated["contract"], stated["id"], until, manifest.parent)


def _unfinished(folder: Path) -> Copy:
    begun = datetime.fromtimestamp(folder.stat().st_mtime, UTC)
    return Copy(folder.parent.name, folder.name.strip(".").removesuffix(".tmp"), begun + _UNFINISHED, folder)
