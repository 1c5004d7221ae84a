"""A folder as on a disk that is mounted read-only, for a program of its own."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest


def on_a_read_only_disk(folder: Path, code: str, *arguments: str) -> str:
    """What a program prints that sees a folder so. Skips the test where nothing can be mounted."""
    mount = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$@"'
    command = ["unshare", "--mount", "--map-root-user", "bash", "-c", mount, str(folder)]
    if not shutil.which("unshare") or subprocess.run([*command, "true"], capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    done = subprocess.run(
        [*command, sys.executable, "-c", code, *arguments], capture_output=True, text=True, cwd=Path.cwd()
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
