"""The command line as a person calls it."""

from __future__ import annotations

import sys

import pytest

from dpsynth_assets.cli.app import run as command_line
from resources.artifact_store import ArtifactStore


@pytest.fixture
def dpsynth(monkeypatch, capfd, forget_console):
    """Call the command line; gives exit code, standard output, standard error. A run has agreed to its costs, as in a
    script, unless `asks`."""

    def call(*arguments: str, asks: bool = False) -> tuple[int, str, str]:
        capfd.readouterr()
        agreed = ["--yes"] if arguments[:1] == ("run",) and not asks else []
        monkeypatch.setattr(sys, "argv", ["dpsynth", *map(str, arguments), *agreed])
        with pytest.raises(SystemExit) as ended:
            command_line()
        out, err = capfd.readouterr()
        forget_console()
        code = ended.value.code
        return (code if isinstance(code, int) else 0 if code is None else 1), out, err

    return call


@pytest.fixture
def released(dpsynth, contract_path, rooms, book, made_once):
    """A whole run: receipts with checkpoints lie in the artifact store, and a table in the warehouse."""

    def run():
        code, out, err = dpsynth("run", contract_path, "--quiet")
        assert code == 0, out + err

    made_once("released", run)
    return book


@pytest.fixture
def store(home):
    return ArtifactStore(home=str(home.root))


@pytest.fixture
def table(released, home):
    [path] = (home.warehouse / "parquet").glob("*/*/*.parquet")
    return path
