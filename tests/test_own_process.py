"""What every process of the platform sees to at its start: it leaves nothing of its memory behind, and nothing of
another account's stops it."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
COMMAND_LINE = "import sys; sys.argv[1:] = ['--version']; from dpsynth_assets.cli.app import run; run()"
STEP = "import dpsynth_assets.definitions"
AT_ITS_END = "import atexit; atexit.register(lambda: end())\n"


def started(folder: Path, does: str, at_its_end: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A process of its own, in the folder, that may write core files."""

    def may_leave_core_files() -> None:
        _, hard = resource.getrlimit(resource.RLIMIT_CORE)
        resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))

    return subprocess.run(
        [sys.executable, "-P", "-c", f"{AT_ITS_END}def end():\n    {at_its_end}\n{does}"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "DPSYNTH_HOME": str(folder / "home"), **environment},
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
