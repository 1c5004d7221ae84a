"""The folder of a cluster: nobody else can take its place, and it goes when no process of the cluster lives."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from resources import ray_folder
from resources.ray_folder import FolderError
from resources.ray_workers import RayPool, RayWorkers, WorkersError

# A worker that starts late: it makes its folder anew for as long as it lives, out of reach of its parent's group.
LATE = "import os, time\nwhile True:\n    os.makedirs({folder!r} + '/ray', exist_ok=True)\n    time.sleep(0.001)"
STARTS_LATE = "import subprocess, sys, time\nsubprocess.Popen([sys.executable, '-c', {code!r}], start_new_session=True)"


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """In the place of /tmp."""
    made = tmp_path / "room"
    made.mkdir()
    made.chmod(0o1777)
    monkeypatch.setattr(ray_folder, "_ROOM", str(made))
    return made


def late(folder: Path) -> None:
    """Starts something whose parent has ended already."""
    code = STARTS_LATE.format(code=LATE.format(folder=str(folder)))
    subprocess.run([sys.executable, "-c", code], cwd=ray_folder.work_in(folder), check=True)


def until(said: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not said() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert said()


def test_it_lies_in_a_folder_that_stays_and_only_this_account_enters(room: Path) -> None:
    folder, other = ray_folder.new(), ray_folder.new()
    assert folder.parent == other.parent == room / f"dpsynth-ray-{os.geteuid()}"
    assert folder.parent.stat().st_mode & 0o777 == folder.stat().st_mode & 0o777 == 0o700
    late(folder)
    until((folder / "ray").exists)
    taken = folder.with_name(f"{folder.name}-gone")
    taken.mkdir()
    (taken / "of somebody").touch()
    ray_folder.remove(folder)
    for _ in range(20):
        assert sorted(folder.parent.iterdir()) == sorted([other, taken])
        time.sleep(0.01)
    assert list(taken.iterdir())
    ray_folder.remove(other)
    ray_folder.remove(other)  # as both may who wait
    assert folder.parent.is_dir()


def test_it_stays_where_a_process_does_not_end(room: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = ray_folder.new()
    late(folder)
    until((folder / "ray").exists)
    with monkeypatch.context() as patch:
        patch.setattr(ray_folder, "_PATIENCE", 0.1)
        patch.setattr(ray_folder.os, "kill", lambda pid, how: None)
        ray_folder.remove(folder)
    assert folder.exists()
    ray_folder.remove(folder)
    assert not folder.exists()


@pytest.mark.parametrize("taken", ["link", "file", "open", "another account's"])
def test_one_that_somebody_else_could_change_is_refused(
    taken: str, room: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = os.geteuid() + (taken == "another account's")
    monkeypatch.setattr(ray_folder.os, "geteuid", lambda: account)
    place, sensitive = room / f"dpsynth-ray-{account}", tmp_path / "sensitive"
    sensitive.mkdir(mode=0o700)
    if taken == "link":
        place.symlink_to(sensitive)
    elif taken == "file":
        place.touch()
    else:
        place.mkdir(mode=0o700)
    if taken == "open":
        place.chmod(0o770)
    with pytest.raises(FolderError, match="is not a folder that only this account enters: move it away"):
        ray_folder.new()
    assert not list(sensitive.iterdir())
    with pytest.raises(WorkersError, match="not a folder that only this account enters"):
        next(RayPool(1).map("a:b", {}, {}, [1]))


def test_it_is_refused_before_a_release_is_charged(room: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DPSYNTH_RAY", "2")
    monkeypatch.setattr("resources.ray_workers.version", lambda _: "2.60.0")
    assert RayWorkers().require() == 2
    (room / f"dpsynth-ray-{os.geteuid()}").chmod(0o755)
    with pytest.raises(WorkersError, match=r"DPSYNTH_RAY is 2, and .* or unset DPSYNTH_RAY"):
        RayWorkers().require()


def test_a_room_where_all_may_rename_is_refused(room: Path) -> None:
    room.chmod(0o777)
    with pytest.raises(FolderError, match=r"lets every account rename what is another's: `chmod \+t"):
        ray_folder.new()
