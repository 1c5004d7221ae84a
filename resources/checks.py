"""What was measured of batches of new texts, until the contract's retention is over.

    sensitive/<contract>/check-<time>/manifest.json    until when it is kept; says nothing of the texts
    sensitive/<contract>/check-<time>/result.json      what was measured
    sensitive/<contract>/check-<time>/<page>           in the one that goes first: the page on all of them

Figures of sensitive texts are as sensitive as these, so each check is a copy in the sense of `resources.retention`: it
is deleted by whatever deletes snapshots. A page shows several checks, and lies by the one that goes first: so it is
gone as soon as anything that it shows has to be. Knows folders; not what was measured, nor of what.
"""

from __future__ import annotations

import glob
import json
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from resources import retention
from resources.home import private_folder, replace_atomically, write_private

_RESULT = "result.json"


@dataclass(frozen=True)
class Check:
    """One that is kept. `result` is sensitive."""

    folder: Path
    kept_until: datetime
    result: dict[str, Any]


class Checks:
    """The checks of a contract, below the sensitive folder of a home."""

    def __init__(self, sensitive: Path, contract: str) -> None:
        self._contract, self._folder = contract, private_folder(private_folder(sensitive) / contract)

    def keep(self, result: Mapping[str, Any], days: int) -> Check:
        """Keep a result for so many days."""
        now = datetime.now(UTC)
        id_ = f"{retention.CHECK}{now:%Y%m%dT%H%M%S%fZ}-{secrets.token_hex(3)}"
        until = retention.deadline(now, days).replace(microsecond=0)
        written = private_folder(self._folder / f".{id_}.tmp")  # what a kill leaves of it goes after a day
        manifest = {"contract": self._contract, "id": id_, "created": now.isoformat(), "kept_until": until.isoformat()}
        write_private(written / retention.MANIFEST, json.dumps(manifest, indent=2).encode())
        write_private(written / _RESULT, json.dumps(result, indent=2, allow_nan=False).encode())
        return Check(written.rename(self._folder / id_), until, dict(result))

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A private folder for what may be printed meanwhile. What a kill leaves of it goes after a day."""
        folder = private_folder(self._folder / f".{retention.CHECK}{secrets.token_hex(8)}.tmp")
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def kept(self) -> list[Check]:
        """Those whose time is not over, the oldest first."""
        found = []
        for manifest in sorted(self._folder.glob(f"{retention.CHECK}*/{retention.MANIFEST}")):
            stated = json.loads(manifest.read_text(encoding="utf-8"))
            until, result = datetime.fromisoformat(stated["kept_until"]), manifest.with_name(_RESULT)
            if until > datetime.now(UTC) and result.exists():
                found.append(Check(manifest.parent, until, json.loads(result.read_text(encoding="utf-8"))))
        return found

    def put_page(self, name: str, page: str, shown: Sequence[Check]) -> Path:
        """Put the page on these checks, one at least, by the one that goes first, in the place of any earlier page."""
        for earlier in self._folder.glob(f"{retention.CHECK}*/{glob.escape(name)}"):
            earlier.unlink(missing_ok=True)
        place = min(shown, key=lambda check: check.kept_until).folder / name
        replace_atomically(place, page.encode(), mode=0o600)
        return place
