"""`dpsynth ui` as a process of its own, over a home and a folder of contracts."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]


@contextmanager
def serving(home: Path, contracts: Path, folder: Path = ROOT) -> Iterator[tuple[int, str, subprocess.Popen[str]]]:
    """The port, the secret and the process of a running interface, begun in that folder; interrupted at the end."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    places = {"DPSYNTH_HOME": str(home), "DAGSTER_HOME": str(home / "dagster"), "DPSYNTH_CONTRACTS": str(contracts)}
    environment = {**os.environ, **places, "PYTHONUNBUFFERED": "1"}
    command = [Path(sys.executable).parent / "dpsynth", "ui", "--port", str(port)]
    said = home / "ui.log"
    with said.open("w+") as log:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT, text=True
        )
        try:
            deadline = time.monotonic() + 180
            while True:
                assert process.poll() is None, said.read_text()
                assert time.monotonic() < deadline, said.read_text()
                try:
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
                except OSError:
                    time.sleep(0.5)
            [token] = re.findall(r"token=([\w-]+)", said.read_text())
            yield port, token, process
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(120)
