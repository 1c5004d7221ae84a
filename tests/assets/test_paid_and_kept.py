"""What was paid for is found, and what nobody paid for is not sealed."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import pytest

from resources import artifact_store
from resources import home as home_of_files
from resources.artifact_store import ArtifactStore
from resources.evidence import contradictions


@pytest.fixture
def place(same_place):
    return same_place


def test_a_full_disk_after_the_commit_loses_nothing(run, ran, rooms, home, book, store, monkeypatch):
    """The ledger has the entry; the file that remembers how far it came could not be written."""
    from ledger.charging import Charging
    from resources import heads

    ran("source")
    written, commit = heads.replace_atomically, Charging.commit

    def fail(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    def on_a_full_disk(self, *given, **more):
        monkeypatch.setattr(heads, "replace_atomically", fail)
        try:
            return commit(self, *given, **more)
        finally:
            monkeypatch.setattr(heads, "replace_atomically", written)

    monkeypatch.setattr(Charging, "commit", on_a_full_disk)
    assert not run("label_histogram").success
    assert [charge.state for charge in book.reservations()] == ["committed"]
    [made] = store.seal_committed()
    assert store.latest("small", "label_histogram").id == made.id


def test_an_interrupt_after_the_commit_leaves_what_was_paid_for(run, ran, rooms, home, book, store, monkeypatch):
    from ledger.charging import Charging

    ran("source")
    commit = Charging.commit

    def interrupted(self, *given, **more):
        commit(self, *given, **more)
        raise RuntimeError("as the answer came back")

    monkeypatch.setattr(Charging, "commit", interrupted)
    assert not run("label_histogram").success
    assert [charge.state for charge in book.reservations()] == ["committed"]
    assert [made.kind for made in store.seal_committed()] == ["label_histogram"]


def test_a_copy_of_a_release_is_not_sealed_with_words_of_somebody_else(ran, rooms, home, store):
    ran("source", "label_histogram")
    made = store.latest("small", "label_histogram")
    for number, about in enumerate(({"statement": "audited by the regulator"}, [1], "x")):
        copy = made.folder.with_name(f"20990101T000000Z-fffff{number}")
        shutil.copytree(made.folder, copy)
        (copy / "receipt.json").write_text(json.dumps({"about": about}), encoding="utf-8")
    assert store.seal_committed() == []
    assert store.latest("small", "label_histogram").id == made.id


def test_of_an_unsealed_receipt_only_snapshot_and_size_are_believed(run, ran, rooms, home, store, monkeypatch):
    seal = ArtifactStore.seal
    ran("source")
    monkeypatch.setattr(ArtifactStore, "seal", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
    try:
        run("label_histogram")
    except BaseException as error:  # how far an interrupt gets is Dagster's business
        del error
    monkeypatch.setattr(ArtifactStore, "seal", seal)
    [folder] = (home.artifacts / "small" / "label_histogram" / ".unfinished").iterdir()
    about = {"statement": "audited by the regulator", "size": 0.5, "snapshot": "20260101T000000Z-abcdef"}
    (folder / "receipt.json").write_text(json.dumps({"about": about}), encoding="utf-8")
    [made] = store.seal_committed()
    assert made.receipt["about"] == {"size": 0.5, "snapshot": "20260101T000000Z-abcdef"}


def test_what_is_no_file_or_no_receipt_stops_no_audit(ran, rooms, home, book):
    """Pipes would be read for ever, and nested lists exhaust the reader."""
    from resources.evidence import checkpoints, receipts

    ran("source", "label_histogram")
    for number in range(3):
        folder = home.artifacts / "small" / "label_histogram" / f"20990101T000000Z-fffff{number}"
        folder.mkdir()
        (folder / "receipt.json").write_text("[" * 200_000, encoding="utf-8")
        if number:
            os.mkfifo(folder / "seal.json")
        if number == 2:
            (folder / "receipt.json").unlink()
            os.mkfifo(folder / "receipt.json")
    assert len(checkpoints(home)) == 1
    assert [receipt for _, receipt in receipts(home) if receipt] != []


_KILLED = """
import os, pathlib, sys
replace = pathlib.Path.replace
def replacing(self, target):
    if pathlib.Path(target).name == {name!r}:
        os._exit(9)
    return replace(self, target)
pathlib.Path.replace = replacing
sys.argv[0] = "dpsynth"
from dpsynth_assets.cli.app import run
run()
"""


@pytest.mark.parametrize("name", ["receipt.json", "seal.json"])
def test_a_kill_while_what_lies_beside_a_release_is_written_loses_nothing(
    name, ran, rooms, home, book, store, contract_path
):
    """A half-written file among those of the release would be one that was neither committed nor sealed with it."""
    ran("source")
    arguments = [
        sys.executable,
        "-c",
        _KILLED.format(name=name),
        "run",
        contract_path,
        "--yes",
        "--only",
        "label_histogram",
    ]
    assert subprocess.run(arguments, capture_output=True).returncode == 9
    assert [charge.state for charge in book.reservations()] == ["committed"]
    assert len(store.seal_committed()) == (name == "receipt.json")
    assert len(store.latest("small", "label_histogram").charges) == 1  # and `seal.json` is written where it is missing
    assert contradictions(home, book) == []


@pytest.mark.parametrize("name", ["receipt.json", "seal.json"])
def test_a_disk_that_is_full_by_then_loses_nothing(name, ran, run, rooms, home, book, store, monkeypatch):
    """Whatever can be written of the file lies there already when the disk is full."""
    ran("source")
    new_file = home_of_files._new_private

    @contextmanager
    def full(path):
        with new_file(path) as file:
            yield file
            if name in path.name:
                raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(home_of_files, "_new_private", full)
    assert run("label_histogram").success == (name == "seal.json")
    monkeypatch.setattr(home_of_files, "_new_private", new_file)
    assert len(store.seal_committed()) == (name == "receipt.json")
    assert store.latest("small", "label_histogram").charges
    assert contradictions(home, book) == []


def test_two_that_seal_a_release_at_once_leave_one_that_stands(run, ran, rooms, home, store, monkeypatch):
    """Each writes a receipt of its own: the newest seal must be of the one that lies there."""
    seal, digests_in = ArtifactStore.seal, artifact_store.digests_in
    ran("source")
    monkeypatch.setattr(ArtifactStore, "seal", lambda *_, **__: (_ for _ in ()).throw(RuntimeError("killed")))
    run("label_histogram")
    monkeypatch.setattr(ArtifactStore, "seal", seal)
    found: list[list[artifact_store.Artifact]] = []
    other = threading.Thread(target=lambda: found.append(store.seal_committed()))

    def while_another_seals(folder):
        digests = digests_in(folder)
        if threading.current_thread() is not other and (folder / "receipt.json").exists() and not other.ident:
            time.sleep(1.1)  # receipts say the second in which they were made
            other.start()
            other.join(2)
        return digests

    monkeypatch.setattr(artifact_store, "digests_in", while_another_seals)
    found.append(store.seal_committed())
    other.join()
    assert sum(map(len, found)) == 1
    assert store.latest("small", "label_histogram").charges
