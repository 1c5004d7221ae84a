"""The home folder is made once, whoever comes first."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from resources.home import Home

ENTER = "from resources.home import Home; import dagster; Home.at().enter(); dagster.DagsterInstance.get().dispose()"


@pytest.mark.slow
def test_processes_that_enter_a_new_home_at_once_do_not_collide(tmp_path):
    environment = {**os.environ, "DPSYNTH_HOME": str(tmp_path / "home")}
    started = [
        subprocess.Popen([sys.executable, "-c", ENTER], env=environment, stderr=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    for process in started:
        _, said = process.communicate(timeout=120)
        assert process.returncode == 0, said


def test_the_settings_of_an_operator_are_kept(tmp_path):
    home = Home.at(tmp_path / "home")
    home.dagster.mkdir(parents=True)
    settings = home.dagster / "dagster.yaml"
    settings.write_text("telemetry:\n  enabled: false\nconcurrency:\n  runs:\n    max_concurrent_runs: 1\n")
    before = settings.read_text()
    home.create()
    assert settings.read_text() == before
