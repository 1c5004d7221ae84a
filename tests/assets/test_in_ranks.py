"""Training in several processes behind the gate: one charge, one receipt, and what becomes of both when one is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from dpsynth_assets.language import finetuning
from dpsynth_assets.privacy.checkpoint import CheckpointFolder
from ledger import PoissonSampledGaussian
from tests.conftest import MARKER
from tests.traps import traps

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
REAL = finetuning.fine_tune, finetuning.prepare
STEPS = 40
COMMAND_LINE = "from dpsynth_assets.cli.app import run; run()"


@pytest.fixture
def contract_path(contract_path):
    text = contract_path.read_text(encoding="utf-8")
    contract_path.write_text(
        text.replace("epsilon: 7.0", "epsilon: 3.0").replace("steps: 3", f"steps: {STEPS}"), encoding="utf-8"
    )
    return contract_path


@pytest.fixture
def run(run, monkeypatch):
    """Real training, in two processes."""
    monkeypatch.setattr(finetuning, "fine_tune", REAL[0])
    monkeypatch.setattr(finetuning, "prepare", REAL[1])
    monkeypatch.setenv("DPSYNTH_RANKS", "2")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return run


def ranks_of(home, which: str = "") -> list[int]:
    """The living training processes of this home, whoever is their parent by now; all, or that of a number."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if b"dpsynth_assets.language.rank" not in (process / "cmdline").read_bytes():
                continue
            said = dict(each.split("=", 1) for each in (process / "environ").read_text().split("\0") if "=" in each)
        except (OSError, ValueError):
            continue
        if str(home.sensitive) in said.get("DPSYNTH_HANDED_OVER", "") and which in ("", said["RANK"]):
            found.append(int(process.name))
    return found


def begun(home) -> int:
    return sum(file.stat().st_size for file in (home.sensitive / "checkpoints").glob("*/steps-begun"))


def kill_when(home, steps: int, pids) -> threading.Thread:
    """Kills (-9) what `pids()` gives, once so many steps have begun."""

    def wait() -> None:
        until = time.monotonic() + 300
        while begun(home) < steps and time.monotonic() < until:
            time.sleep(0.002)
        for pid in pids():
            os.kill(pid, signal.SIGKILL)

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread


def adapters(book):
    return [each for each in book.reservations() if each.release == "small/adapter"]


@pytest.mark.parametrize("sharded", ["0", "1"])
def test_what_is_lost_on_the_way_to_one_release(
    run, book, home, failure_of, contract_path, tmp_path_factory, monkeypatch, sharded
):
    """First a rank, then the process that waits for them; each is taken over under the one reservation. In shards as
    well, where the other rank waits in the middle of a pass. All of it in a working directory of somebody else's."""
    monkeypatch.setenv("DPSYNTH_SHARDED", sharded)
    sprung = traps(theirs := tmp_path_factory.mktemp("theirs"))
    monkeypatch.chdir(theirs)
    run("source")
    killer = kill_when(home, 5, lambda: ranks_of(home, "1"))
    failed = str(failure_of(run("adapter"), "adapter"))
    killer.join()
    assert "goes on from the last checkpoint" in failed
    assert [each.state for each in adapters(book)] == ["redeemed"]
    assert ranks_of(home) == []

    command = [sys.executable, "-c", COMMAND_LINE, "run", str(contract_path), "--yes"]
    temporary = tmp_path_factory.mktemp("temporary")
    own = {**os.environ, "TMPDIR": str(temporary)}
    waiting = subprocess.Popen(command, cwd=ROOT, env=own, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    killer = kill_when(home, begun(home) + 5, lambda: [waiting.pid])
    assert waiting.wait(400) == -signal.SIGKILL
    killer.join()
    until = time.monotonic() + 60
    while ranks_of(home) and time.monotonic() < until:
        time.sleep(0.1)
    assert ranks_of(home) == []
    assert [file.name for file in temporary.rglob("*") if file.is_file()] == ["messages"]  # of steps done; no context
    lost = begun(home)

    result = run("adapter")
    assert result.success
    [reservation] = adapters(book)
    assert reservation.state == "committed"
    again = sum(event.steps for event in reservation.replayed if isinstance(event, PoissonSampledGaussian))
    assert 2 <= again <= lost
    made = next(e for e in result.get_asset_materialization_events() if e.asset_key.path[-1] == "adapter")
    assert made.materialization.metadata["precision"].value in ("float32", "bfloat16")
    folder = Path(made.materialization.metadata["dagster/uri"].value)
    assert {"adapter_model.safetensors", "README.md"} <= {file.name for file in folder.iterdir()}
    assert not list((home.sensitive / "checkpoints").glob("*/*"))
    assert ranks_of(home) == []
    assert book.verify() == []
    assert not sprung.exists(), sprung.read_text()


@pytest.fixture
def raising(tmp_path, monkeypatch):
    """The first rank raises this where it reads its work: training, a trial, or the call to meet."""

    def put(error: str, of: str = "found[1] is not None") -> None:
        (tmp_path / "sitecustomize.py").write_text(
            "import os, pickle\n"
            "if os.environ.get('RANK') == '0':\n"
            "    real = pickle.load\n"
            "    def load(file):\n"
            "        found = real(file)\n"
            f"        if {of}: raise {error}\n"
            "        return found\n"
            "    pickle.load = load\n"
        )
        monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{ROOT}")

    return put


def test_an_error_of_a_rank_keeps_its_words_to_itself(run, book, home, failure_of, raising):
    """It is told apart from a loss: it would come again, so the charge is forfeited."""
    raising(f"ValueError({MARKER!r})")
    result = run("source", "adapter")
    failed = str(failure_of(result, "adapter"))
    assert MARKER not in f"{failed} {[event.message for event in result.all_events]}"
    assert [each.state for each in adapters(book)] == ["forfeited"]
    kept = [file for file in home.sensitive.rglob("*.txt") if MARKER in file.read_text(encoding="utf-8")]
    assert kept
    assert all(file.stat().st_mode & 0o077 == 0 for file in kept)


@pytest.mark.parametrize(
    "error",
    ["OSError(28, 'No space left')", "MemoryError", 'RuntimeError("DefaultCPUAllocator: can\'t allocate memory")'],
)
def test_no_room_may_pass_in_a_rank_as_in_one_process(run, book, failure_of, raising, error):
    raising(error)
    assert MARKER not in str(failure_of(run("source", "adapter"), "adapter"))
    assert [each.state for each in adapters(book)] == ["redeemed"]


def test_what_still_trains_is_waited_for_and_costs_nothing(run, book, home, failure_of):
    """A rank that outlives its run, stopped in its tracks, keeps the checkpoints and does not lose the charge."""
    run("source")
    killer = kill_when(home, 3, lambda: ranks_of(home, "1"))
    run("adapter")
    killer.join()
    [folder] = [file.parent for file in (home.sensitive / "checkpoints").glob("*/steps-begun")]
    with CheckpointFolder(folder, "").open():
        failed = str(failure_of(run("adapter"), "adapter"))
    assert "another process trains in" in failed
    assert "nothing was charged now" in failed
    assert [each.state for each in adapters(book)] == ["redeemed"]


@pytest.mark.parametrize("said", ["two", "0", "-1", "1.5", ""])
def test_settings_that_are_none_are_refused_before_anything_is_charged(run, book, failure_of, monkeypatch, said):
    run("source")
    monkeypatch.setenv("DPSYNTH_RANKS", said)
    failed = str(failure_of(run("adapter"), "adapter"))
    assert "DPSYNTH_RANKS" in failed
    assert adapters(book) == []


@pytest.mark.parametrize(("ranks", "said"), [("2", "yes"), ("2", ""), ("1", "1"), (None, "1")])
def test_shards_that_nobody_can_hold_are_refused_before_anything_is_charged(
    run, book, failure_of, monkeypatch, ranks, said
):
    run("source")
    monkeypatch.setenv("DPSYNTH_SHARDED", said)
    monkeypatch.setenv("DPSYNTH_RANKS", ranks) if ranks else monkeypatch.delenv("DPSYNTH_RANKS")
    failed = str(failure_of(run("adapter"), "adapter"))
    assert "DPSYNTH_SHARDED is" in failed
    assert adapters(book) == []


def test_what_ranks_cannot_hold_in_shards_is_said_before_anything_is_charged(
    run, book, failure_of, monkeypatch, raising
):
    """They have no record then, so they say why."""
    monkeypatch.setenv("DPSYNTH_SHARDED", "1")
    raising("ValueError('no such block')", of="found[0] is not None")
    failed = str(failure_of(run("source", "adapter"), "adapter"))
    assert "nothing was charged" in failed
    assert "failed on made-up records: ValueError: no such block" in failed
    assert adapters(book) == []


def test_what_keeps_ranks_from_meeting_is_said_before_anything_is_charged(run, book, failure_of, raising):
    raising("ValueError('no loopback')", of="found[0] is None")
    failed = str(failure_of(run("source", "adapter"), "adapter"))
    assert "nothing was charged" in failed
    assert "could not meet: ValueError: no loopback" in failed
    assert adapters(book) == []


def test_nor_is_anything_charged_where_no_process_can_be_started(run, book, failure_of, monkeypatch):
    run("source")
    real = subprocess.Popen

    def started(command, *arguments, **named):
        if "dpsynth_assets.language.rank" in command:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        return real(command, *arguments, **named)

    monkeypatch.setattr(subprocess, "Popen", started)
    failed = str(failure_of(run("adapter"), "adapter"))
    assert "nothing was charged" in failed
    assert "Resource temporarily unavailable" in failed
    assert adapters(book) == []


def test_ranks_of_another_version_are_told_before_anything_is_charged(run, book, failure_of, monkeypatch):
    monkeypatch.setattr("dpsynth_assets.language.in_ranks.BEGAN_WITH", "another")
    failed = str(failure_of(run("source", "adapter"), "adapter"))
    assert "nothing was charged" in failed
    assert "the files of this program were changed" in failed
    assert adapters(book) == []


def test_an_upgrade_while_a_run_lasts_is_told_before_anything_is_charged(run, book, failure_of, monkeypatch):
    monkeypatch.setenv("DPSYNTH_RANKS", "1")
    run("source")
    monkeypatch.setattr("dpsynth_assets.program._state", lambda: "another")
    failed = str(failure_of(run("adapter"), "adapter"))
    assert "nothing was charged" in failed
    assert "the files of this program were changed" in failed
    assert adapters(book) == []


def test_more_processes_than_gpus_are_refused_before_anything_is_charged(run, book, failure_of, monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    failed = str(failure_of(run("source", "label_histogram"), "label_histogram"))
    assert "DPSYNTH_RANKS is 2, and this machine has 1 GPUs" in failed
    assert list(book.reservations()) == []
