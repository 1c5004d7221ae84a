"""`dpsynth run` of a small contract in a process of its own, which may be ended (-9, or otherwise) anywhere on its way.

Places are counted: each entry of the ledger, each end of its transactions, and whatever Python is asked to do to a
file of the home. Training is real; drawing texts and the encoder are stand-ins. Started by the tests, from a server
that has loaded everything once (`everything_loaded`).
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

import pytest

from dpsynth_assets.cli.app import run as command_line
from dpsynth_assets.language import base_model, finetuning
from ledger.store import DuckDBStore
from ledger.transaction import SQLTransaction
from tests.conftest import put_stand_ins

ROOT = Path(__file__).parents[2]
_TO_FILES = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod")


class Places:
    """Counts the places that a run comes to, and kills its process at one of them."""

    def __init__(self, home: str, kill_at: int | None, by: int, kill_before: tuple[str, int] | None) -> None:
        self.discarded = 0
        self.home, self.kill_at, self.by, self.kill_before, self.reached = home, kill_at, by, kill_before, 0
        append, commit = SQLTransaction.append, DuckDBStore._commit

        def appended(book, draft):
            self.reach()
            return append(book, draft)

        def committed(store, connection):
            self.reach()
            commit(store, connection)
            self.reach()

        SQLTransaction.append, DuckDBStore._commit = appended, committed
        sys.addaudithook(self.asked)

    def asked(self, event: str, arguments: tuple) -> None:
        if self.kill_before is not None and event == self.kill_before[0]:
            self.discarded += any(str(each).endswith(".gone") for each in arguments)
            if self.discarded == self.kill_before[1]:
                os.kill(os.getpid(), self.by)
        if event in _TO_FILES and str(arguments[0]).startswith(self.home):
            self.reach()

    def reach(self) -> None:
        self.reached += 1
        if self.reached == self.kill_at:
            os.kill(os.getpid(), self.by)


def whole_run(
    arguments: list[str],
    home: str,
    said: str,
    *,
    kill_at: int | None = None,
    by: int = signal.SIGKILL,
    kill_after: float | None = None,
    kill_before: tuple[str, int] | None = None,
) -> None:
    """The command line with these arguments on that home, killed at a place, after a time in seconds, or before
    the call by which the first or second release discards its checkpoints. What it says is in the file `said`, and how
    many places it reached in the one beside it."""
    os.chdir(ROOT)
    os.environ["DPSYNTH_HOME"] = home
    real = finetuning.fine_tune, finetuning.prepare, base_model.load_base_model
    put_stand_ins(pytest.MonkeyPatch())
    finetuning.fine_tune, finetuning.prepare, base_model.load_base_model = real
    with Path(said).open("w", encoding="utf-8") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.argv = ["dpsynth", *arguments]
    if kill_after is not None:
        threading.Timer(kill_after, os.kill, (os.getpid(), signal.SIGKILL)).start()
    places = Places(home, kill_at, by, kill_before)
    try:
        command_line()
    finally:
        Path(f"{said}.places").write_text(str(places.reached), encoding="utf-8")
