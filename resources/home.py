"""The home folder: where a deployment keeps its ledger, sensitive snapshots, artifacts, warehouse and Dagster instance.

    $DPSYNTH_HOME (default: .dpsynth in the working directory; for commands, or the nearest above it)
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
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import filelock

DAGSTER_YAML = """\
# Written by `dpsynth`; edit freely, it is not overwritten.
telemetry:
  enabled: false
nux:
  enabled: false
"""


FOLDER = ".dpsynth"  # where nothing else is said


class HomeError(RuntimeError):
    """The home holds something that cannot be used; the message says what and what to do."""


@dataclass(frozen=True)
class Home:
    """Paths of one deployment."""

    root: Path

    @classmethod
    def at(cls, path: str | Path | None = None) -> Home:
        """`path`, or else $DPSYNTH_HOME, or else `.dpsynth` in the working directory; always absolute.

        Raises:
            HomeError: it is a file, or nobody named it and it is another account's.
        """
        named = path or os.environ.get("DPSYNTH_HOME")
        root = Path(named or FOLDER).expanduser().absolute()
        if not named and os.path.exists(root) and not _is_own(root):  # noqa: PTH110 (as below)
            raise HomeError(
                f"{root} is a home of another account, so it is not taken because it lies here. Set $DPSYNTH_HOME to "
                "the home that you mean"
            )
        if os.path.isfile(root):  # noqa: PTH113 (what may not be looked at is said elsewhere)
            raise HomeError(f"the home {root} is a file: name a folder with $DPSYNTH_HOME")
        return cls(root)

    @property
    def ledger_file(self) -> Path:
        return self.root / "ledger" / "ledger.duckdb"

    @property
    def has_ledger(self) -> bool:
        """Whether a ledger was made here, or the address of a server stands in its place."""
        from ledger.places import is_there

        return is_there(self.ledger_file)

    @property
    def ledger_name(self) -> str:
        """Where the ledger lies, for messages: the file, or the server's address."""
        from ledger.places import name_of

        return name_of(self.ledger_file)

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

        Dagster makes its SQLite tables at first use and two processes that do so at once collide, hence the lock. Where
        dagster.yaml names a server for them nothing is written here, so that a deployment may mount it read-only.

        Raises:
            OSError: it cannot be written.
        """
        ready, settings = self.dagster / ".storage-ready", self.dagster / "dagster.yaml"
        if ready.exists() and settings.exists():
            if not os.access(self.dagster, os.W_OK | os.X_OK):  # Dagster's own error would name no place
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self.dagster))
            return self.dagster
        if _keeps_history_elsewhere(settings):
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
        from sqlalchemy.exc import DBAPIError  # Dagster's own databases are reached by it

        try:
            with dg.DagsterInstance.from_config(str(self.dagster)):
                return
        except OSError:
            raise
        except Exception as error:
            if of_sqlite(error) is not None:
                raise
            settings, why = self.dagster / "dagster.yaml", type(error).__name__
            away = any(isinstance(each, DBAPIError) for each in _causes(error))
        if away:
            raise HomeError(
                f"Dagster's database, which {settings} names, cannot be used: start it, let this account in, or give "
                "the password by $PGPASSWORD or in the file that $PGPASSFILE names. Nothing was charged"
            )
        raise HomeError(
            f"{settings} is not a configuration of Dagster ({why}): correct it, or move it away and one that works is "
            "written. Nothing was charged"
        )


def _is_own(home: Path) -> bool:
    """Whether it is this account's, and the link too where it is one: in a folder that several accounts write to,
    somebody else may have left it for this one to find."""
    return {home.lstat().st_uid, home.stat().st_uid} == {os.geteuid()}


def home_above(folder: Path) -> Path | None:
    """The nearest home of this account in the folders above, where the folder has none itself: who gives a command in a
    folder below would else be told that there is no ledger, and make another one for the same people."""
    if (folder / FOLDER).exists():
        return None
    for above in folder.parents:
        home = above / FOLDER
        with suppress(OSError):
            if (home / "ledger").is_dir() and _is_own(home):
                return home
    return None


def of_sqlite(error: BaseException | None) -> sqlite3.Error | None:
    """What SQLite said, where that is what an error comes of: Dagster keeps its history there."""
    return next((each for each in _causes(error) if isinstance(each, sqlite3.Error)), None)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _keeps_history_elsewhere(settings: Path) -> bool:
    """Whether a dagster.yaml says that runs and events are kept on a server. What is no YAML says nothing."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        stated = YAML(typ="safe").load(settings)
    except (OSError, UnicodeDecodeError, YAMLError):
        return False
    storage = stated.get("storage") if isinstance(stated, dict) else None
    return isinstance(storage, dict) and bool(storage.keys() - {"sqlite"})


def nobody_else_writes() -> None:
    """From now on nothing that this process and its children make is writable for others, whatever the umask was."""
    os.umask(os.umask(0o022) | 0o022)


def _close_to_others(folder: Path, *, if_they_may: int, then: int) -> None:
    if stat.S_IMODE(folder.stat().st_mode) & if_they_may:
        folder.chmod(then)


def private_folder(path: Path) -> Path:
    """`path` as a folder that only its owner may enter; one that is so already may lie on a read-only disk."""
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    if stat.S_IMODE(path.stat().st_mode) != 0o700:
        path.chmod(0o700)
    return path


def write_private(path: Path, data: bytes) -> None:
    """Write `path` so that it is never readable by others, not even for a moment; fails if it exists."""
    with _new_private(path) as file:
        file.write(data)


def replace_atomically(path: Path, data: bytes, mode: int = 0o644, *, drafts: Path | None = None) -> None:
    """Put `data` at `path` in one step: readers see the old content or the new, never half; after a power cut too.

    Until then it lies hidden in `drafts`, of the same file system, where a kill may leave it; beside `path` unless
    given.
    """
    with replacing(path, mode, drafts=drafts) as file:
        file.write(data)


@contextmanager
def replacing(path: Path, mode: int = 0o644, *, drafts: Path | None = None) -> Iterator[BinaryIO]:
    """As `replace_atomically`, with what is written to the file that it gives, which none but its owner reads till
    then. Nothing is replaced where writing fails."""
    temporary = (drafts or path.parent) / f".{path.name}.{secrets.token_hex(8)}.tmp"
    try:
        with _new_private(temporary) as file:
            yield file
        temporary.chmod(mode)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextmanager
def _new_private(path: Path) -> Iterator[BinaryIO]:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())
