"""A PostgreSQL server for tests: this machine's own binaries, in a folder that goes when the server does.

As root it runs as the user `postgres`, which Debian's package makes: PostgreSQL refuses to run as root.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

PASSWORD = "hunter2-XYZZY"
_DEBIAN = Path("/usr/lib/postgresql")
_ACCOUNT = "postgres"


@contextmanager
def postgresql(*statements: str, fsync: str = "off") -> Iterator[int]:
    """The port of a server on which the statements were run, with its name and password in the environment. Skips where
    there is none on this machine."""
    with server(*statements, fsync=fsync) as running:
        yield running.port


@dataclass
class Server:
    """A running server. `fail` ends it as a power cut would; `start` lets it recover."""

    port: int
    fail: Callable[[], None]
    start: Callable[[], None]


@contextmanager
def server(*statements: str, fsync: str = "off") -> Iterator[Server]:
    """As `postgresql`, of a server that is stopped on the way."""
    import psycopg

    binaries = _binaries()
    if binaries is None:
        pytest.skip("no PostgreSQL on this machine")
    runs_as = []
    if os.getuid() == 0:
        if not shutil.which("runuser") or subprocess.run(["id", _ACCOUNT], capture_output=True).returncode:
            pytest.skip(f"PostgreSQL does not run as root, and there is no user {_ACCOUNT}")
        runs_as = ["runuser", "-u", _ACCOUNT, "--"]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="pg-") as name, pytest.MonkeyPatch.context() as patch:
        folder = Path(name)
        (folder / "password").write_text(PASSWORD)
        if runs_as:
            for path in (folder, folder / "password"):
                shutil.chown(path, _ACCOUNT)

        def call(program: str, *arguments: str) -> None:
            subprocess.run([*runs_as, binaries / program, *arguments], check=True, capture_output=True, cwd=folder)

        data, control = f"{folder}/data", ["-D", f"{folder}/data", "-w"]
        call("initdb", "-D", data, "-U", "owner", f"--pwfile={folder}/password", "-A", "scram-sha-256", "--no-sync")
        options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync={fsync}"

        def start() -> None:
            call("pg_ctl", *control, "-o", options, "-l", f"{folder}/log", "start")

        def stop() -> None:
            call("pg_ctl", *control, "-m", "immediate", "stop")

        start()
        try:
            patch.setenv("PGUSER", "owner")
            patch.setenv("PGPASSWORD", PASSWORD)
            with psycopg.connect(host="127.0.0.1", port=port, dbname="postgres") as connection:
                for statement in statements:
                    connection.execute(statement)
            yield Server(port, stop, start)
        finally:
            stop()


def _binaries() -> Path | None:
    """The folder of the server's programs; Debian keeps them out of the path."""
    if found := shutil.which("initdb"):
        return Path(found).parent
    return max((each.parent for each in _DEBIAN.glob("*/bin/initdb")), default=None)
