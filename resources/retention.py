"""Sensitive copies, and how long they stay: what is over its time is deleted, with everything that lies beside it.

A copy is a snapshot's folder, `sensitive/<contract>/<snapshot>/`: its rows, and what releases left beside them that may
quote or count them (traces, captured output, figures). All of that goes at once. The manifest stays: it says nothing of
the rows, and free assets go on asking it where the public test split lies.

Knows folders and manifests; neither contracts nor the ledger, in which everything that was charged stays charged. What
is deleted is unlinked, not overwritten: backups and the disk's free blocks are not reached from here.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

MANIFEST = "manifest.json"
CHECK = "check-"  # begins the name of what is no snapshot, and was found of new texts (`resources.checks`)
_UNFINISHED = timedelta(days=1)  # an ingestion that is older than that was killed


@dataclass(frozen=True)
class Copy:
    """One snapshot of which more than the manifest is there, or the rest of an ingestion that was killed."""

    contract: str
    snapshot: str
    kept_until: datetime
    folder: Path

    @property
    def is_check(self) -> bool:
        """Whether it holds what was found of new texts, and no rows."""
        return self.snapshot.startswith(CHECK)

    def is_over(self, now: datetime | None = None) -> bool:
        """Whether its time has come."""
        return self.kept_until <= (now or datetime.now(UTC))


def deadline(created: datetime, days: int) -> datetime:
    """Until when a copy made at `created` is kept."""
    return created + timedelta(days=days)


def copies(sensitive: Path) -> tuple[list[Copy], list[str]]:
    """All of them below the sensitive folder, the first to go first; and, in words, where there may be more that cannot
    be looked at."""
    found: list[Copy] = []
    unread: list[str] = []
    for folder in _folders(sensitive, unread, 2):
        try:
            copy = _copy(folder)
        except FileNotFoundError:
            continue  # deleted meanwhile
        except (OSError, ValueError, KeyError, TypeError) as error:
            unread.append(_in_words(folder, error))
        else:
            found += [copy] if copy is not None else []
    return sorted(found, key=lambda copy: (copy.kept_until, copy.snapshot)), unread


def _folders(folder: Path, unread: list[str], depth: int) -> list[Path]:
    """The folders so deep below this one. Unlike a glob, it says where it may not look."""
    if depth == 0:
        return [folder]
    try:
        inside = [Path(entry.path) for entry in os.scandir(folder) if entry.is_dir()]
    except FileNotFoundError:
        return []  # deleted meanwhile
    except OSError as error:
        unread.append(_in_words(folder, error))
        return []
    return [each for below in inside for each in _folders(below, unread, depth - 1)]


def _in_words(folder: Path, error: Exception) -> str:
    return f"{folder} ({error.strerror if isinstance(error, OSError) else type(error).__name__})"


def delete(copy: Copy) -> None:
    """Everything but the manifest of a snapshot. Repeated after a kill, it goes on where it was.

    Raises:
        OSError: something cannot be deleted.
    """
    if copy.folder.name.startswith("."):
        shutil.rmtree(copy.folder)
        return
    for path in sorted(copy.folder.iterdir()):
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != MANIFEST:
            path.unlink(missing_ok=True)


def _copy(folder: Path) -> Copy | None:
    """What lies in a contract's folder as a copy; None where it is none, or its rows are gone."""
    if folder.name.startswith("."):
        return _unfinished(folder) if folder.name.endswith(".tmp") else None
    manifest = folder / MANIFEST
    inside = {path.name for path in folder.iterdir()}
    if inside == {MANIFEST} or MANIFEST not in inside:
        return None
    stated = json.loads(manifest.read_text(encoding="utf-8"))
    until = datetime.fromisoformat(stated.get("kept_until", stated["created"]))  # one that says nothing is over
    return Copy(stated["contract"], stated["id"], until, manifest.parent)


def _unfinished(folder: Path) -> Copy:
    begun = datetime.fromtimestamp(folder.stat().st_mtime, UTC)
    return Copy(folder.parent.name, folder.name.strip(".").removesuffix(".tmp"), begun + _UNFINISHED, folder)
