"""A process notices that the program on the disk is another one than it began with."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dpsynth_assets import program
from dpsynth_assets.program import BEGAN_WITH, ProgramChangedError, require_unchanged


@pytest.fixture
def began(tmp_path, monkeypatch):
    """A small program, and what a process begins with that runs it."""
    monkeypatch.setattr(program, "_ROOT", tmp_path)
    for name in ("dpsynth_assets/privacy/training.py", "ledger/store.py", "resources/home.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("noise = 1\n")
    return program._state()


def rewritten(tmp_path):
    (tmp_path / "ledger/store.py").write_text("noise = 0.1\n")


def written_anew(tmp_path):
    os.utime(tmp_path / "dpsynth_assets/privacy/training.py", ns=(1, 1))


def removed(tmp_path):
    (tmp_path / "resources/home.py").unlink()


def added(tmp_path):
    (tmp_path / "dpsynth_assets/privacy/noise.py").write_text("")


def test_nothing_has_changed(began, tmp_path):
    (tmp_path / "ledger/__pycache__").mkdir()
    (tmp_path / "ledger/__pycache__/store.cpython-311.pyc").write_bytes(b"compiled")
    require_unchanged(began)


def test_nor_has_the_program_that_runs_this():
    require_unchanged(BEGAN_WITH)


@pytest.mark.parametrize("change", [rewritten, written_anew, removed, added])
def test_every_change_is_noticed(began, tmp_path, change):
    change(tmp_path)
    with pytest.raises(ProgramChangedError, match="run the same again, in a new process"):
        require_unchanged(began)


def test_what_an_editor_leaves_is_no_change(began, tmp_path):
    (tmp_path / "ledger/.#store.py").symlink_to("nobody@nowhere")
    (tmp_path / "ledger/gone.py").symlink_to("nobody@nowhere")
    with_link = program._state()
    (tmp_path / "ledger/.#store.py").unlink()
    require_unchanged(with_link)


@pytest.mark.parametrize("first", ["dpsynth_assets.cli", "dpsynth_assets.definitions", "dpsynth_assets.language.rank"])
def test_a_process_begins_with_it(first):
    """Before any other module of the program, a change of which would else go unnoticed."""
    code = (
        "import sys\n"
        "class Order:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in ('dpsynth_assets', 'ledger', 'resources'): print(name, flush=True)\n"
        "        if len(sys.modules) and name == 'typer' or name == 'torch': sys.exit()\n"
        "sys.meta_path.insert(0, Order())\n"
        f"import {first}\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[1], check=False
    )
    assert done.stdout.split()[:2] == ["dpsynth_assets", "dpsynth_assets.program"]
