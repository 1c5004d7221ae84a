"""The home folder: where a deployment keeps its ledger, sensitive snapshots, artifacts, warehouse and Dagster instance.

    $DPSYNTH_HOME (default: .dpsynth in the working directory)
        ledger/ledger.duckdb        the privacy ledger; mode 0700
        sensitive/                  mode 0700: snapshots, the fingerprint key, error traces, captured output
        artifacts/<contract>/<kind>/<id>/
        warehouse/                  parquet/, warehouse.duckdb
        models/                     base models, public; `dpsynth model add` makes it, and nothing here reads it
        dagster/                    DAGSTER_HOME; mode 0700: who writes here queues runs

Nothing in it is writable for anybody but its owner, whatever the umask. Artifacts and warehouse hold what was released,
and are as readable as the umask says. Knows paths and modes only; nothing of contracts, budgets or assets.
"""

from __future__ import annotations

import errno
import os
import secrets
import sqlite3
import stat
from dataclasses import dataclass
from pathlib import Path

import filelock

DAGSTER_YAML = """\
# Written by `dpsynth`; edit freely, it is not overwritten.
telemetry:
  enabled: false
nux:
  enabled: false
"""


class HomeError(RuntimeError):
    """The home holds something that cannot be used; the message says what and what to do."""


@dataclass(frozen=True)
class Home:
    """Paths of one deployment."""

    root: Path

    @classmethod
    def at(cls, path: str | Path | None = None) -> Home:
        """`path`, or else $DPSYNTH_HOME, or else `.dpsynth` in the working directory; always absolute."""
        chosen = path or os.environ.get("DPSYNTH_HOME") or ".dpsynth"
        return cls(Path(chosen).expanduser().absolute())

    @property
    def ledger_file(self) -> Path:
        return self.root / "ledger" / "ledger.duckdb"

    @property
    def sensitive(self) -> Path:
        return self.root / "sensitive"

    @property
    def artifacts(self) -> Path:
        return self.root / "artifacts"

    @property
    def warehouse(self) -> Path:
        return self.root / "warehouse"

    @property
    def dagster(self) -> Path:
        return self.root / "dagster"

    def create(self) -> None:
        """Make the folders. The ledger is not made here: it comes from `dpsynth init` alone."""
        nobody_else_writes()
        self.root.mkdir(parents=True, exist_ok=True)
        for folder in (self.artifacts, self.warehouse):
            folder.mkdir(exist_ok=True)
        self._shut()
        self.prepare_dagster()

    def _shut(self) -> None:
        """Make the private folders, and take from others what an earlier program left open to them. What an operator
        has granted a group stays."""
        private_folder(self.sensitive)
        for folder in (self.ledger_file.parent, self.dagster):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            _close_to_others(folder, if_they_may=0o007, then=0o700)
        for folder in (self.root, self.artifacts, self.warehouse):
            if folder.is_dir():
                _close_to_others(folder, if_they_may=0o002, then=0o755)

    def prepare_dagster(self) -> Path:
        """DAGSTER_HOME with its tables made, telemetry and the sign-up prompt off; an existing dagster.yaml is kept.

        Dagster makes its SQLite tables at first use and two processes that do so at once collide, hence the lock.

        Raises:
            OSError: it cannot be written.
        """
        ready, settings = self.dagster / ".storage-ready", self.dagster / "dagster.yaml"
        if ready.exists() and settings.exists():
            if not os.access(self.dagster, os.W_OK | os.X_OK):  # Dagster's own error would name no place
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self.dagster))
            return self.dagster
        import dagster as dg

        self.dagster.mkdir(parents=True, exist_ok=True, mode=0o700)
        with filelock.FileLock(self.dagster / ".storage.lock"):
            if not settings.exists():
                settings.write_text(DAGSTER_YAML, encoding="utf-8")
            with dg.DagsterInstance.from_config(str(self.dagster)):
                ready.touch()
        return self.dagster

    def enter(self) -> None:
        """Point this process and its children at this home and its Dagster instance."""
        nobody_else_writes()
        self._shut()
        os.environ["DPSYNTH_HOME"] = str(self.root)
        os.environ["DAGSTER_HOME"] = str(self.prepare_dagster())
        self._require_settings()

    def _require_settings(self) -> None:
        """HomeError where Dagster cannot be set up as its dagster.yaml says; its own error is a page of trace. What
        SQLite says of its files goes through."""
        import dagster as dg

        try:
            with dg.DagsterInstance.from_config(str(self.dagster)):
                return
        except OSError:
            raise
        except Exception as error:
            if of_sqlite(error) is not None:
                raise
            settings, why = self.dagster / "dagster.yaml", type(error).__name__
        raise HomeError(
            f"{settings} is not a configuration of Dagster ({why}): correct it, or move it away and one that works is "
            "written. Nothing was charged"
        )


def of_sqlite(error: BaseException | None) -> sqlite3.Error | None:
    """What SQLite said, where that is what an error comes of: Dagster keeps its history there."""
    while error is not None:
        if isinstance(error, sqlite3.Error):
            return error
        error = error.__cause__ or error.__context__
    return None


def nobody_else_writes() -> None:
    """From now on nothing that this process and its children make is writable for others, whatever the umask was."""
    os.umask(os.umask(0o022) | 0o022)


def _close_to_others(folder: Path, *, if_they_may: int, then: int) -> None:
    if stat.S_IMODE(folder.stat().st_mode) & if_they_may:
        folder.chmod(then)


def private_folder(path: Path) -> Path:
    """`path` as a folder that only its owner may enter."""
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.chmod(0o700)
    return path


def write_private(path: Path, data: bytes) -> None:
    """Write `path` so that it is never readable by others, not even for a moment; fails if it exists."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def replace_atomically(path: Path, data: bytes, mode: int = 0o644, *, drafts: Path | None = None) -> None:
    """Put `data` at `path` in one step: readers see the old content or the new, never half; after a power cut too.

    Until then it lies hidden in `drafts`, of the same file system, where a kill may leave it; beside `path` unless
    given.
    """
    temporary = (drafts or path.parent) / f".{path.name}.{secrets.token_hex(8)}.tmp"
    try:
        write_private(temporary, data)
        temporary.chmod(mode)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
