"""Runs whose process was killed are called failed and give up their place in the queue; others are left alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from dpsynth_assets.lost_runs import lost_runs, mark_lost, told_apart
from resources import run_process
from resources.home import Home
from resources.run_process import alive, lost

RUN = "0b4f7a52-1f0e-4a5c-9a55-2f3c1d0e9b11"


@pytest.fixture
def instance(home):
    with dg.DagsterInstance.from_config(str(home.dagster)) as instance:
        yield instance


HOLDS = """
import sys, time
from resources import run_process
from resources.home import Home
from resources.run_process import alive
with alive(Home.at(sys.argv[1]), sys.argv[2]):
    print("runs", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def process(home):
    here = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-P", "-c", HOLDS, str(home.root), RUN]
    with subprocess.Popen(command, env=here, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "runs\n"
        yield process
        process.kill()


def begun(instance) -> dg.DagsterRun:
    """A run that says of itself that it has started, as its own process did before it was killed."""
    run = instance.create_run_for_job(dg.GraphDefinition("nothing").to_job(), run_id=RUN)
    instance.report_dagster_event(dg.DagsterEvent(dg.DagsterEventType.PIPELINE_START.value, run.job_name), run_id=RUN)
    return instance.get_run_by_id(RUN)


def is_lost(home, run: str = RUN) -> bool:
    with lost(home, run) as found:
        return found


def status(instance) -> dg.DagsterRunStatus:
    return instance.get_run_by_id(RUN).status


def test_a_run_whose_process_was_killed_has_failed(home, instance, process):
    begun(instance)
    assert mark_lost(instance, home) == []
    assert status(instance) == dg.DagsterRunStatus.STARTED
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert mark_lost(instance, home) == [RUN]
    assert status(instance) == dg.DagsterRunStatus.FAILURE
    assert mark_lost(instance, home) == []  # once


def test_the_sensor_does_it_and_says_so(home, instance, process, monkeypatch):
    monkeypatch.setenv("DPSYNTH_HOME", str(home.root))
    begun(instance)
    process.kill()
    process.wait()
    with dg.build_sensor_context(instance=instance) as context:
        said = lost_runs(context)
    assert said.skip_message == "runs that had lost their process: 1"
    assert status(instance) == dg.DagsterRunStatus.FAILURE


def test_an_end_is_no_loss(home, process):
    process.communicate("")
    assert process.returncode == 0
    assert not is_lost(home)
    assert list((home.sensitive / "runs").iterdir()) == []


def test_a_run_of_which_nothing_is_known_is_left_alone(home, instance):
    begun(instance)
    assert mark_lost(instance, home) == []
    assert not is_lost(home, "../../etc/passwd")


def test_a_run_goes_on_where_its_file_cannot_be_written(tmp_path):
    home = Home.at(tmp_path / "home")
    home.root.mkdir()
    home.sensitive.write_text("no folder")
    with alive(home, RUN):
        pass
    assert not is_lost(home)


def test_one_that_was_to_be_canceled_is(home, instance, process):
    instance.report_run_canceling(begun(instance))
    process.kill()
    process.wait()
    assert mark_lost(instance, home) == [RUN]
    assert status(instance) == dg.DagsterRunStatus.CANCELED


def test_a_loss_is_found_until_it_is_reported(home, instance, process, monkeypatch):
    begun(instance)
    process.kill()
    process.wait()
    with monkeypatch.context() as away:
        away.setattr(type(instance), "report_run_failed", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            mark_lost(instance, home)
    assert mark_lost(instance, home) == [RUN]


def test_a_run_of_another_machine_is_lost_when_it_has_been_silent_for_long(home, process, monkeypatch):
    """Its lock need not be seen here."""
    process.kill()
    process.wait()
    monkeypatch.setattr(run_process, "_kernel", lambda: b"another")
    assert not is_lost(home)
    [left] = (home.sensitive / "runs").iterdir()
    os.utime(left, (0, 0))
    assert is_lost(home)


def test_nobody_finds_it_unlocked_while_it_begins(home, monkeypatch):
    found = []
    real = run_process.fcntl.flock
    monkeypatch.setattr(
        run_process.fcntl,
        "flock",
        lambda *given: found.extend((home.sensitive / "runs").glob("*.process")) or real(*given),
    )
    with alive(home, RUN):
        assert found == []


@pytest.mark.parametrize("kind", [dg.in_process_executor, dg.multiprocess_executor], ids=lambda kind: kind.name)
def test_runs_of_the_executors_can_be_told_apart(kind, home, instance, monkeypatch):
    monkeypatch.setenv("DPSYNTH_HOME", str(home.root))
    monkeypatch.setenv("DAGSTER_HOME", str(home.dagster))
    job = dg.reconstructable(in_process if kind.name == "in_process" else in_processes)
    with dg.execute_job(job, instance) as result:
        assert result.success
        assert result.output_for_node("files") == [f"{result.run_id}.process"]
    assert list((home.sensitive / "runs").iterdir()) == []


@dg.op
def files() -> list[str]:
    return [path.name for path in (Home.at().sensitive / "runs").iterdir()]


@dg.job(executor_def=told_apart(dg.in_process_executor))
def in_process():
    files()


@dg.job(executor_def=told_apart(dg.multiprocess_executor))
def in_processes():
    files()


def test_a_run_of_the_terminal_is_told_apart_too(contract, home, book, rooms):
    from dpsynth_assets.cli.running import materialize

    seen = []
    rooms.train = lambda frame: seen.extend(path.name for path in (home.sensitive / "runs").glob("*.process"))
    outcome = materialize(contract, home)
    assert seen == [f"{outcome.run_id}.process"]
