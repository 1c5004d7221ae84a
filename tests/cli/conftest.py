"""The command line as a person calls it."""

from __future__ import annotations

import sys

import pytest

from dpsynth_assets.cli import console as console_module
from dpsynth_assets.cli.app import run as command_line


@pytest.fixture
def dpsynth(monkeypatch, capfd):
    """Call the command line; gives exit code, standard output, standard error."""

    def call(*arguments: str) -> tuple[int, str, str]:
        capfd.readouterr()
        monkeypatch.setattr(sys, "argv", ["dpsynth", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            command_line()
        out, err = capfd.readouterr()
        forget_console()
        code = ended.value.code
        return (code if isinstance(code, int) else 0 if code is None else 1), out, err

    return call


def forget_console() -> None:
    """The next call gets a console on the streams that it finds."""
    if console_module.console.cache_info().currsize:
        file = console_module.console().file
        if file is not sys.stdout:
            file.close()
    console_module.console.cache_clear()
