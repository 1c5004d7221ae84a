"""Ctrl-C in a terminal: the whole foreground is told, and one sentence is what is left on the screen."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from dpsynth_assets.contract import load_contract
from tests.conftest import agree, write_contract

CTRL_C = b"\x03"
COMMAND = "from dpsynth_assets.cli import main; main()"
ROOT = Path(__file__).parents[2]
PATIENCE = 180  # seconds, on a machine that does much else


def _takes_the_terminal() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # what is typed there becomes a signal for this process and its children


class Terminal:
    """A program that runs in the foreground of a terminal, and what the screen has shown."""

    def __init__(self, *command: str, environment: dict[str, str]) -> None:
        self._ours, theirs = pty.openpty()
        self.screen = ""
        self.process = subprocess.Popen(
            command,
            cwd=ROOT,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=os.environ | environment,
            start_new_session=True,
            preexec_fn=_takes_the_terminal,
        )
        os.close(theirs)

    def until(self, shown: str | None, again: bytes = b"") -> None:
        """Read until that is shown; until the terminal is left where it is None. What is to be typed `again` is while
        nothing comes: an interrupt in the moment before Python begins to read is heard at the next key."""
        deadline = time.monotonic() + PATIENCE
        while shown is None or shown not in self.screen:
            assert time.monotonic() < deadline, self.screen
            if not select.select([self._ours], [], [], 5.0)[0]:
                self.types(again)
                continue
            try:
                read = os.read(self._ours, 4096)
            except OSError:  # nobody has the terminal any more
                read = b""
            self.screen += read.decode(errors="replace")
            if not read:
                break
        assert shown is None or shown in self.screen, self.screen

    def types(self, keys: bytes) -> None:
        os.write(self._ours, keys)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._ours)


@pytest.mark.slow
@pytest.mark.parametrize("before", ["Start, and charge this?", "/4000"], ids=["asked", "in training"])
def test_ctrl_c(before, tmp_path, home, book, tiny_model):
    path = write_contract(tmp_path / "contracts", model=str(tiny_model))
    text = path.read_text(encoding="utf-8").replace("base_model: {name", "base_model: {corpus: random weights, name")
    path.write_text(text.replace("epsilon: 7.0", "epsilon: 6.0").replace("steps: 3", "steps: 4000"), encoding="utf-8")
    agree(load_contract(path), book)
    terminal = Terminal(sys.executable, "-c", COMMAND, "run", str(path), environment={"DPSYNTH_HOME": str(home.root)})
    try:
        terminal.until("Start, and charge this?")
        if before != "Start, and charge this?":
            terminal.types(b"y\n")
            terminal.until(before)
        terminal.types(CTRL_C)
        terminal.until(None, again=CTRL_C if before == "Start, and charge this?" else b"")
        assert terminal.process.wait(PATIENCE) == 130, terminal.screen
    finally:
        terminal.close()
    assert "Traceback" not in terminal.screen, terminal.screen
    assert "Stopped" in terminal.screen, terminal.screen
    assert ("this run was charged ε" in " ".join(terminal.screen.split())) == (before != "Start, and charge this?")
