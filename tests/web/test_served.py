"""`dpsynth ui` as a browser and as a foreign page meet it, over real sockets."""

from __future__ import annotations

import http.client
import json
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.traps import traps
from tests.web.serving import serving

pytestmark = pytest.mark.slow

LAUNCH = """
mutation($p: ExecutionParams!) { launchPipelineExecution(executionParams: $p) {
  __typename ... on LaunchRunSuccess { run { runId } } } }"""


class Served:
    """A running interface: its port, its secret and its process."""

    def __init__(self, port: int, token: str, process: subprocess.Popen[str]) -> None:
        self.port, self.token, self.process = port, token, process
        self.origin = f"http://127.0.0.1:{port}"

    @property
    def cookie(self) -> dict[str, str]:
        return {"Cookie": f"dpsynth-{self.port}={self.token}"}

    def ask(self, method: str, path: str, headers: dict[str, str], body: str | None = None) -> tuple[int, str]:
        line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        try:
            line.request(method, path, body, headers)
            answer = line.getresponse()
            return answer.status, answer.read().decode("utf-8", "replace")
        finally:
            line.close()

    def graphql(self, query: str, variables: object = None, **headers: str) -> tuple[int, str]:
        sent = self.cookie | {"Origin": self.origin, "Content-Type": "application/json"} | headers
        return self.ask("POST", "/graphql", sent, json.dumps({"query": query, "variables": variables}))

    def runs(self) -> list[dict[str, str]]:
        _, text = self.graphql("{ runsOrError { ... on Runs { results { runId status } } } }")
        return json.loads(text)["data"]["runsOrError"]["results"]


@pytest.fixture
def served(home, book, contract_path, tmp_path) -> Iterator[Served]:
    """In a working directory of somebody else's: nothing in it is imported by any of its processes."""
    (folder := tmp_path / "theirs").mkdir()
    sprung = traps(folder)
    with serving(home.root, contract_path.parent, folder) as running:
        yield Served(*running)
    assert not sprung.exists(), sprung.read_text()


def launch_parameters() -> dict[str, object]:
    selector = {
        "repositoryLocationName": "dpsynth_assets.definitions",
        "repositoryName": "__repository__",
        "pipelineName": "__ASSET_JOB",
        "assetSelection": [{"path": ["small", "source"]}],
    }
    return {"p": {"selector": selector, "runConfigData": "{}", "mode": "default"}}


def listening(pids: set[int]) -> list[str]:
    """Addresses at which these processes listen for anybody (Linux: /proc)."""
    sockets = set()
    for pid in pids:
        for link in Path(f"/proc/{pid}/fd").iterdir():
            try:
                sockets |= set(re.findall(r"socket:\[(\d+)\]", str(link.readlink())))
            except OSError:
                continue
    found = []
    for table in ("tcp", "tcp6"):
        for row in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            cells = row.split()
            if cells[3] == "0A" and cells[9] in sockets:
                address, port = cells[1].split(":")
                found.append(f"{address}:{int(port, 16)}")
    return sorted(set(found))


def family_of(pid: int) -> set[int]:
    children = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        children.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    found, todo = set(), [pid]
    while todo:
        found.add(one := todo.pop())
        todo += children.get(one, [])
    return found


def test_sockets_between_its_processes_lie_where_nobody_else_may_enter(monkeypatch, tmp_path):
    from dpsynth_assets.web.serving import _private_temporary_files

    monkeypatch.setenv("TMPDIR", str(tmp_path))  # and what is set in its place is undone
    umask = os.umask(0)
    try:
        with _private_temporary_files() as folder:
            assert folder.stat().st_mode & 0o777 == 0o700
            assert [os.environ["TMPDIR"], tempfile.gettempdir()] == [str(folder)] * 2
    finally:
        os.umask(umask)
    assert not folder.exists()
    assert tempfile.gettempdir() != str(folder)


def test_its_own_page_launches_runs_and_no_other_page_does(served, book):
    form = {"Content-Type": "text/plain"}
    foreign = {"Origin": "https://evil.example"}
    for headers in (
        foreign,
        foreign | form,
        {"Origin": "http://127.0.0.1:1"},
        {"Host": "evil.example"},
        {"Cookie": "a=b"},
    ):
        status, text = served.graphql(LAUNCH, launch_parameters(), **headers)
        assert status in (401, 403, 415, 421), (headers, text)
    get = "/graphql?query=" + "".join(f"%{byte:02x}" for byte in b"mutation{reloadWorkspace{__typename}}")
    assert served.ask("GET", get, served.cookie)[0] == 405
    assert served.ask("POST", get, served.cookie | foreign)[0] == 403
    assert served.ask("POST", "/report_asset_materialization/small/source", served.cookie | foreign, "{}")[0] == 403
    assert served.runs() == []

    uri = f"ws://127.0.0.1:{served.port}/graphql"
    options = {"subprotocols": ["graphql-ws"], "proxy": None}
    for origin, cookie in (("https://evil.example", served.cookie), (None, served.cookie), (served.origin, {})):
        with pytest.raises(InvalidStatus, match="403"):
            connect(uri, origin=origin, additional_headers=cookie, **options)

    assert served.ask("GET", "/", {})[0] == 401
    assert served.ask("GET", f"/?token={served.token}", {})[0] == 303
    status, page = served.ask("GET", "/runs", served.cookie)
    assert status == 200
    assert "<!DOCTYPE html>" in page
    with connect(uri, origin=served.origin, additional_headers=served.cookie, **options) as line:
        line.send(json.dumps({"type": "connection_init"}))
        assert json.loads(line.recv(60))["type"] == "connection_ack"

    status, text = served.graphql(LAUNCH, launch_parameters())
    assert status == 200, text
    assert json.loads(text)["data"]["launchPipelineExecution"]["__typename"] == "LaunchRunSuccess", text
    deadline = time.monotonic() + 180
    while (state := served.runs()[0]["status"]) not in ("SUCCESS", "FAILURE"):
        assert time.monotonic() < deadline, state
        time.sleep(1)
    assert state == "SUCCESS"

    assert listening(family_of(served.process.pid)) == [f"0100007F:{served.port}"]
