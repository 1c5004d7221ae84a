"""The processes of the web interface: code server, daemon, and the web server behind its guard.

As `dagster dev` has them, but for two things: the web server is asked through `guard.Guard`, and the code server's
sockets lie in a folder that only this user may enter. Nothing but the web server listens on a port. In a deployment
that runs code server and daemon by themselves there is the web server alone. Dagster's inner modules, which may change
with any version, are imported here alone.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import dagster as dg
import uvicorn
from dagster._cli.proxy_server_manager import ProxyServerManager
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import ModuleTarget, WorkspaceFileTarget
from dagster_webserver.app import create_app_from_workspace_process_context
from dagster_webserver.version import __version__

from dpsynth_assets.web.absent import Absent
from dpsynth_assets.web.guard import Guard
from dpsynth_assets.web.pages import Pages
from resources.home import Home

_LOCATION = "dpsynth_assets.definitions"
_SECONDS_TO_STOP = 30
_POLL_MILLISECONDS = 2000  # how often pages look for news; the default of `dagster dev`


def serve(host: str, port: int, origins: tuple[str, ...], token: str, workspace: Path | None = None) -> None:
    """Serve until interrupted. $DAGSTER_HOME says over which instance.

    Args:
        workspace: Dagster's file that says where code servers are that others run, with their daemon; without it, both
            are started here.
    """
    with (
        _private_temporary_files() as folder,
        dg.DagsterInstance.get() as instance,
        nullcontext(workspace) if workspace else _code_server_and_daemon(instance, folder) as served_by,
        WorkspaceProcessContext(
            instance, WorkspaceFileTarget([str(served_by)]), version=__version__, read_only=False
        ) as context,
    ):
        pages = create_app_from_workspace_process_context(
            context, live_data_poll_rate=_POLL_MILLISECONDS, lifespan=_until_cancelled
        )
        served = Pages(Absent(pages, instance.has_run), Home.at().artifacts)
        guarded = Guard(served, origins=origins, token=token, cookie=f"dpsynth-{port}")
        uvicorn.run(guarded, host=host, port=port, log_level="warning", proxy_headers=False)


@contextmanager
def _code_server_and_daemon(instance: dg.DagsterInstance, folder: Path) -> Iterator[Path]:
    """Both, and the workspace file that says where they are."""
    # Dagster imports from there before all else: never the working directory, where somebody else may write.
    own = str(Path(__file__).parents[2])
    target = ModuleTarget(_LOCATION, attribute=None, working_directory=own, location_name=_LOCATION)
    with ProxyServerManager(instance, target, code_server_log_level="info") as code_server:
        workspace = folder / "workspace.yaml"
        workspace.write_text(json.dumps({"load_from": list(code_server.get_code_server_specs())}), "utf-8")
        with _daemon(workspace):
            yield workspace


@contextmanager
def _private_temporary_files() -> Iterator[Path]:
    """A folder for this process and its children: a socket in it is reached by this user alone, whatever the umask."""
    with tempfile.TemporaryDirectory(prefix="dpsynth-") as folder:  # mode 0700
        os.environ["TMPDIR"] = tempfile.tempdir = folder
        try:
            yield Path(folder)
        finally:
            tempfile.tempdir = None
            del os.environ["TMPDIR"]


@contextmanager
def _daemon(workspace: Path) -> Iterator[None]:
    """Schedules, queued runs and backfills, in a process of its own."""
    command = ["dagster._daemon", "run", "--workspace", str(workspace), "--log-level", "info"]
    process = subprocess.Popen([sys.executable, "-P", "-m", *command])
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(_SECONDS_TO_STOP)
        except subprocess.TimeoutExpired:
            process.kill()


@asynccontextmanager
async def _until_cancelled(_: Any) -> AsyncIterator[None]:
    with suppress(asyncio.CancelledError):  # an interrupt ends the server this way
        yield
