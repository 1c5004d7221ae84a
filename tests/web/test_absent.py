"""What the web interface is asked for and does not have is answered with 404, and never with an error of the server."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import WorkspaceFileTarget
from dagster_webserver.app import create_app_from_workspace_process_context

from dpsynth_assets.web.absent import Absent

pytestmark = pytest.mark.slow

RUN = "2f9a6d5e-0d0c-4f0e-8d3c-0c7b7e1b7a11"


@dg.job
def nothing() -> None:
    pass


@pytest.fixture(scope="module")
def interface(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Absent]:
    """Dagster's own server with one run, one log, and nothing else."""
    folder = tmp_path_factory.mktemp("dagster")
    (log := folder / "storage" / RUN / "compute_logs" / "step.out").parent.mkdir(parents=True)
    log.write_text("printed", encoding="utf-8")
    (workspace := folder / "workspace.yaml").write_text("load_from: []", encoding="utf-8")
    with (
        dg.DagsterInstance.local_temp(str(folder)) as instance,
        WorkspaceProcessContext(instance, WorkspaceFileTarget([str(workspace)]), "", read_only=False) as context,
    ):
        nothing.execute_in_process(instance=instance, run_id=RUN)
        yield Absent(create_app_from_workspace_process_context(context), instance.has_run)


def ask(app: Absent, path: str) -> tuple[int, bytes]:
    said: list[Any] = []
    left = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> Any:
        return left.pop() if left else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        said.append(message)

    scope = {"type": "http", "asgi": {"spec_version": "2.4"}, "method": "GET", "path": path, "query_string": b""}
    asyncio.run(app(scope | {"headers": [], "root_path": ""}, receive, send))
    return said[0]["status"], b"".join(each.get("body", b"") for each in said[1:])


@pytest.mark.parametrize(
    "path",
    [
        "/logs/",
        "/logs/x",
        "/logs/x/../",
        "/logs/x/../../../out",
        "/logs/../../secret/out",
        "/logs//etc/passwd",
        "/logs/./out",
        "/logs/x\0/out",
        f"/logs/{RUN}/compute_logs/other/out",
        f"/logs/{'x' * 5000}/out",
        "/download_debug/",
        "/download_debug/x",
        "/download_debug/x/y",
        "/download_debug/..",
        "/download_debug/x\0",
    ],
)
def test_what_is_not_there_is_not_found(interface, path):
    assert ask(interface, path)[0] == 404


def test_what_is_there_is_served(interface):
    assert ask(interface, f"/logs/{RUN}/compute_logs/step/out") == (200, b"printed")
    assert ask(interface, f"/download_debug/{RUN}")[0] == 200
    for path in ("/", "/runs", "/server_info", "/logs"):
        assert ask(interface, path)[0] == 200, path
