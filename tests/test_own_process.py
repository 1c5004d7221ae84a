"""What every process of the platform sees to at its start: it leaves nothing of its memory behind, and nothing of
another account's stops it."""

from __future__ import annotations

import getpass
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

TORCH_CACHE = "TORCHINDUCTOR_CACHE_DIR"
ROOT = Path(__file__).parents[1]
COMMAND_LINE = "import sys; sys.argv[1:] = ['--version']; from dpsynth_assets.cli.app import run; run()"
STEP = "import dpsynth_assets.definitions"


def started(folder: Path, does: str, at_its_end: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A process of its own, in the folder, that may write core files."""

    def may_leave_core_files() -> None:
        _, hard = resource.getrlimit(resource.RLIMIT_CORE)
        resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))

    inherited = {name: said for name, said in os.environ.items() if name != TORCH_CACHE}
    return subprocess.run(
        [sys.executable, "-P", "-c", f"try:\n    {does}\nfinally:\n    {at_its_end}"],
        cwd=folder,
        env={**inherited, "PYTHONPATH": str(ROOT), "DPSYNTH_HOME": str(folder / "home"), **environment},
        preexec_fn=may_leave_core_files,
        capture_output=True,
        text=True,
    )


@pytest.mark.slow
@pytest.mark.parametrize("does", [COMMAND_LINE, STEP])
def test_no_process_leaves_a_core_file_nor_does_one_that_it_starts(tmp_path, does):
    """A core file holds the rows that were in memory. This is the guarantee that no crash writes one: the limits that
    ranks and workers inherit."""
    crash = f"import os; os.kill(os.getpid(), {int(signal.SIGSEGV)})"
    child = f"import subprocess, sys; print(subprocess.run([sys.executable, '-c', '{crash}']).returncode)"
    limits = "import resource; print(resource.getrlimit(resource.RLIMIT_CORE)[1] in (0, 1))"
    done = started(tmp_path, does, f"{child}; {limits}")
    assert done.stdout.split()[-2:] == [str(-signal.SIGSEGV), "True"], done.stderr
    assert [file.name for file in tmp_path.iterdir() if file.name.startswith("core")] == []


@pytest.mark.slow
@pytest.mark.parametrize("does", [COMMAND_LINE, STEP])
def test_what_another_account_has_put_in_the_place_of_torchs_folder_stops_nothing(tmp_path, does):
    """A file there ended each release before its charge, with "File exists" and no word about which. The folder that
    torch has instead goes with the process, and one that somebody has named is taken."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    taken = temporary / f"torchinductor_{getpass.getuser()}"
    taken.touch()
    loads = f"import peft, os; print(os.path.isdir(os.environ['{TORCH_CACHE}']))"
    done = started(tmp_path, does, loads, TMPDIR=str(temporary))
    assert done.stdout.split()[-1:] == ["True"], done.stderr
    assert list(temporary.iterdir()) == [taken]
    named = started(tmp_path, does, loads, TMPDIR=str(temporary), **{TORCH_CACHE: str(tmp_path / "own")})
    assert named.stdout.split()[-1:] == ["True"], named.stderr
    assert (tmp_path / "own").is_dir()
