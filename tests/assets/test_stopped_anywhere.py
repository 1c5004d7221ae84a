"""Whole runs that are killed anywhere, whose disk fills, and that run beside others: nothing is overspent, what was
paid for is used, and the same command ends with a published table."""

from __future__ import annotations

import multiprocessing
import random
import shutil
import signal
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from dpsynth_assets.contract import load_contract
from ledger import Ledger
from ledger.replay import Replay
from resources.artifact_store import ArtifactStore
from resources.home import Home
from tests.assets import whole_run
from tests.conftest import agree, write_contract

PLACED, TIMED, SIZES, AT_ONCE = 30, 10, 10, 8
REFUSED, STOPPED = 3, 130


@pytest.fixture(scope="module")
def server():
    """Forks processes from one that has loaded everything."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.assets.everything_loaded"])
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PYTHONPATH", str(whole_run.ROOT))
        context.Process(target=int).start()  # the server starts with the first of them
        yield context


@pytest.fixture(scope="module")
def signed(tmp_path_factory, tiny_model):
    """A folder with eight contracts of one population, and a home in which all of them are approved.

    There is room for a second histogram: a draw that was cut off is drawn again, and both are paid for."""
    folder = tmp_path_factory.mktemp("stopped") / "here"
    path = write_contract(folder / "contracts", model=str(tiny_model))
    text = path.read_text(encoding="utf-8").replace("epsilon: 8.0", "epsilon: 9.0")
    text = text.replace("base_model: {name", "base_model: {corpus: random weights, name")
    path.write_text(text, encoding="utf-8")
    home = Home.at(folder / "home")
    home.create()
    Ledger.create(home.ledger_file)
    for number in range(AT_ONCE):
        other = path.with_name(f"small_{number}.odcs.yaml")
        other.write_text(text.replace("id: small\n", f"id: small_{number}\n"), encoding="utf-8")
        agree(load_contract(other), Ledger(home.ledger_file))
    path.unlink()
    kept = folder.with_name("kept")
    shutil.copytree(folder, kept)
    return kept, folder


class Runs:
    """Runs on a copy of the signed home, each in a process of its own."""

    def __init__(self, server, signed: tuple[Path, Path]) -> None:
        kept, self.folder = signed
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.copytree(kept, self.folder)
        self._server, self.home = server, Home.at(self.folder / "home")

    @property
    def book(self) -> Ledger:
        return Ledger(self.home.ledger_file)

    def start(self, name: str = "small_0", **stopped: float | tuple[str, int] | None):
        contract, said = self.folder / f"contracts/{name}.odcs.yaml", self.folder / f"{name}.said"
        arguments = ["run", str(contract), "--yes", "--quiet"], str(self.home.root), str(said)
        process = self._server.Process(target=whole_run.whole_run, args=arguments, kwargs=stopped)
        process.start()
        return process, said

    def run(self, **stopped: float | tuple[str, int] | None) -> tuple[int, str]:
        process, said = self.start(**stopped)
        process.join()
        return process.exitcode, said.read_text(encoding="utf-8") if said.exists() else ""


@pytest.fixture
def runs(server, signed):
    return Runs(server, signed)


@pytest.fixture(scope="module")
def places(server, signed):
    """How many places a whole run comes to."""
    runs = Runs(server, signed)
    code, said = runs.run()
    assert code == 0, said
    return int((runs.folder / "small_0.said.places").read_text(encoding="utf-8"))


def require_sound(book: Ledger) -> None:
    """Nothing is overspent, and the entries say the same to both who check them."""
    balance, replayed = book.balance("small-bank", with_pld=False), Replay()
    assert balance.epsilon_spent <= balance.epsilon_cap
    for line in book.export():
        replayed.read(line.encode())
    assert (book.verify(), replayed.problems) == ([], [])


def require_whole(runs: Runs) -> None:
    """The table is published, and each release was finished once and paid for once."""
    require_sound(runs.book)
    assert ArtifactStore(home=str(runs.home.root)).find("small_0", "synthetic") is not None
    charged = [each for each in runs.book.reservations() if each.state != "voided"]
    found = Counter((each.release.partition("/")[2], each.state) for each in charged)
    assert found.pop(("label_histogram", "committed")) == found.pop(("adapter", "committed")) == 1
    assert set(found) <= {("label_histogram", "redeemed")}, "one draw: nobody can tell whether it was drawn"
    left = {path.name for path in (runs.home.sensitive / "checkpoints").iterdir() if path.is_dir()}
    assert left <= {each.id for each in charged if each.state == "redeemed"}


@pytest.mark.parametrize("number", range(PLACED))
def test_killed_at_a_place(number, places, runs):
    code, said = runs.run(kill_at=1 + number * (places - 1) // PLACED)
    assert code == -9, said
    code, said = runs.run()
    assert code == 0, said
    require_whole(runs)


@pytest.mark.parametrize("release", [1, 2])
@pytest.mark.parametrize("call", ["os.rename", "shutil.rmtree"])
def test_killed_between_the_seal_and_the_end(call, release, runs):
    """The next run finds the release standing and goes past it, and still discards what the first could not."""
    code, said = runs.run(kill_before=(call, release))
    assert code == -9, said
    assert [each.state for each in runs.book.reservations()].count("committed") == release
    code, said = runs.run()
    assert code == 0, said
    require_whole(runs)


@pytest.mark.parametrize("number", range(TIMED))
def test_killed_at_some_time(number, runs):
    runs.run(kill_after=random.Random(number).uniform(0, 10))
    code, said = runs.run()
    assert code == 0, said
    require_whole(runs)


@pytest.mark.parametrize("share", [0.1, 0.4, 0.6, 0.8])
@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM])
def test_stopped_by_a_signal(by, share, places, runs):
    code, said = runs.run(kill_at=int(share * places), by=by)
    assert code == STOPPED, said
    assert "Traceback" not in said
    charged = [each for each in runs.book.reservations() if each.state != "voided"]
    assert all(each.state != "reserved" for each in charged), "what it does not come to is given back"
    assert (": this run was charged" in said) == bool(charged) != ("before this run was charged anything" in said)
    assert "dpsynth run" in said
    assert all(each.release in said for each in charged)
    code, said = runs.run()
    assert code == 0, said
    require_whole(runs)


@pytest.fixture
def disk(signed, server):
    """Mounts a small disk where the home is; gives what mounts it again with another size."""
    runs = Runs(server, signed)
    home, kept = runs.home.root, runs.folder / "before"
    home.rename(kept)
    home.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1g", "tmpfs", home], capture_output=True, check=False)
    if made.returncode:
        pytest.skip("mounting a small disk takes an account that may")
    try:
        shutil.copytree(kept, home, dirs_exist_ok=True, symlinks=True)

        def resize(size: int) -> None:
            subprocess.run(["mount", "-o", f"remount,size={size}", "tmpfs", home], check=True)

        runs.resize = resize
        yield runs
    finally:
        subprocess.run(["umount", home], check=True)


@pytest.mark.parametrize("number", range(SIZES))
def test_a_disk_that_fills_on_the_way(number, disk):
    taken = shutil.disk_usage(disk.home.root).used
    disk.resize(taken + (number + 1) * 2**19)
    code, said = disk.run()
    assert code in (0, 1, 2), said
    assert "Traceback" not in said
    disk.resize(2**30)
    code, said = disk.run()
    assert code == 0, said
    require_whole(disk)


def test_whole_runs_at_once(runs):
    started = {f"small_{number}": runs.start(f"small_{number}") for number in range(AT_ONCE)}
    codes = {}
    for name, (process, said) in started.items():
        process.join()
        codes[name] = process.exitcode
        assert process.exitcode in (0, REFUSED), said.read_text(encoding="utf-8")
    require_sound(runs.book)
    assert Counter(codes.values()) == {0: 1, REFUSED: AT_ONCE - 1}, "the budget has room for one of them"
    [admitted] = [name for name, code in codes.items() if code == 0]
    charged = [each for each in runs.book.reservations() if each.state != "voided"]
    assert {each.release for each in charged} == {f"{admitted}/label_histogram", f"{admitted}/adapter"}
