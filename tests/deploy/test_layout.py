"""The containers' processes as deploy/ has them, without containers: roles and grants on a PostgreSQL server, a ledger
made by its owner, code server, daemon and web interface, and a run that is launched through the last.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from resources.heads import open_ledger
from resources.home import Home
from tests.postgresql import PASSWORD, postgresql

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
BIN = Path(sys.executable).parent
LAUNCH = """
mutation($p: ExecutionParams!) { launchPipelineExecution(executionParams: $p) {
  __typename ... on LaunchRunSuccess { run { runId } } } }"""


@pytest.fixture
def server():
    if not shutil.which("psql"):
        pytest.skip("no psql on this machine")
    with postgresql(f"CREATE ROLE postgres SUPERUSER LOGIN PASSWORD '{PASSWORD}'", fsync="on") as port:
        yield port


@pytest.fixture
def passwords(tmp_path) -> Path:
    shutil.copy(DEPLOY / "secrets.sh", tmp_path)
    subprocess.run(["sh", tmp_path / "secrets.sh", "127.0.0.1"], check=True)
    for path in (tmp_path / "secrets").iterdir():
        path.chmod(0o600)  # as the entrypoint does
    return tmp_path / "secrets"


@pytest.fixture
def psql(server, passwords, tmp_path):
    def run(script: Path, database: str) -> None:
        text = script.read_text().replace("/run/secrets/postgres/", f"{passwords}/")
        place = {"PGHOST": "127.0.0.1", "PGPORT": str(server), "PGPASSWORD": PASSWORD, "PGDATABASE": database}
        command = ["sh"] if script.suffix == ".sh" else ["psql", "--quiet", "--username", "postgres"]
        subprocess.run(command, input=text, text=True, check=True, env={**os.environ, **place}, cwd=tmp_path)

    return run


@pytest.fixture
def environment(server, passwords, tmp_path, contract_path) -> dict[str, str]:
    home = tmp_path / "home"
    (home / "dagster").mkdir(parents=True, mode=0o700)
    shutil.copy(DEPLOY / "dagster.yaml", home / "dagster")
    settings = {
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "DPSYNTH_HOME": str(home),
        "DAGSTER_HOME": str(home / "dagster"),
        "DPSYNTH_CONTRACTS": str(contract_path.parent),
        "DPSYNTH_DAGSTER_DATABASE": f"postgresql+psycopg2://dagster@127.0.0.1:{server}/dagster",
        "PGUSER": "spender",
        "PGPASSFILE": str(passwords / "runs.pgpass"),
        "PYTHONPATH": str(ROOT),
    }
    return {key: value for key, value in os.environ.items() if not key.startswith("PG")} | settings


@pytest.fixture
def ledger(server, psql, passwords, environment, contract, agree, monkeypatch):
    """Made by its owner, and signed for by the role that spends."""
    psql(DEPLOY / "postgres/10-roles.sh", "postgres")
    with (passwords / "keeper.pgpass").open() as keeper:
        command = ["sh", DEPLOY / "first-ledger.sh", f"postgresql://127.0.0.1:{server}/ledger"]
        subprocess.run(command, stdin=keeper, check=True, env=environment, cwd=ROOT, capture_output=True)
    psql(DEPLOY / "postgres/grants.sql", "ledger")
    for key in ("PGUSER", "PGPASSFILE", "DPSYNTH_HOME"):
        monkeypatch.setenv(key, environment[key])
    monkeypatch.delenv("PGPASSWORD")
    made = open_ledger(Home.at(environment["DPSYNTH_HOME"]))
    agree(contract, made)
    return made


def waited(done: Callable[[], object], seconds: float, said: Callable[[], str]) -> object:
    due = time.monotonic() + seconds
    while not (found := done()):
        assert time.monotonic() < due, said()
        time.sleep(0.5)
    return found


class Web:
    """The interface, asked as a script asks it."""

    def __init__(self, port: int, token: str) -> None:
        self._port, self._token = port, token

    def __call__(self, query: str, variables: object = None, token: str | None = None) -> tuple[int, dict]:
        line = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        headers = {"X-Dpsynth-Token": token or self._token, "Content-Type": "application/json"}
        try:
            line.request("POST", "/graphql", json.dumps({"query": query, "variables": variables}), headers)
            answer = line.getresponse()
            text = answer.read()
            return answer.status, json.loads(text)["data"] if answer.status == 200 else {}
        finally:
            line.close()

    def location(self) -> str:
        [entry] = self("{workspaceOrError{... on Workspace{locationEntries{locationOrLoadError{__typename}}}}}")[1][
            "workspaceOrError"
        ]["locationEntries"]
        return str((entry["locationOrLoadError"] or {}).get("__typename"))

    def status(self, run: str) -> str:
        return str(self(f'{{runOrError(runId:"{run}"){{... on Run{{status}}}}}}')[1]["runOrError"]["status"])


@pytest.fixture
def web(ledger, environment, passwords, tmp_path):
    """Code server, daemon and interface, each with the passwords of its container."""
    sock = tmp_path / "code.sock"
    workspace = tmp_path / "workspace.yaml"
    workspace.write_text((DEPLOY / "workspace.yaml").read_text().replace("/run/dpsynth/code.sock", str(sock)))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    token = (passwords / "ui-token").read_text()
    outside = {**environment, "PGPASSFILE": str(passwords / "interface.pgpass")}
    commands = {
        "code": (["dagster", "code-server", "start", "--socket", sock, "--module-name", "dpsynth_assets.definitions"],
                 environment),
        "daemon": (["dagster-daemon", "run", "--workspace", workspace], outside),
        "web": (["dpsynth", "ui", f"--workspace={workspace}", f"--port={port}"],
                {**outside, "DPSYNTH_UI_TOKEN": token}),
    }  # fmt: skip
    logs = {name: (tmp_path / f"{name}.log").open("w+") for name in commands}
    running = {
        name: subprocess.Popen(command, cwd=tmp_path, env=given, stdout=logs[name], stderr=subprocess.STDOUT)
        for name, (command, given) in commands.items()
    }

    def said() -> str:
        return "\n".join((tmp_path / f"{name}.log").read_text()[-3000:] for name in commands)

    def answers() -> bool:
        assert [name for name, process in running.items() if process.poll() is not None] == [], said()
        try:
            return asked.location() == "RepositoryLocation"
        except OSError:
            return False

    asked = Web(port, token)
    try:
        waited(answers, 180, said)
        yield asked
    finally:
        for process in running.values():
            process.send_signal(signal.SIGTERM)
        for process in running.values():
            process.wait(60)
        for log in logs.values():
            log.close()


def test_a_reviewer_writes_the_report_as_the_role_that_spends(ledger, environment, tmp_path):
    """Into a folder beside a home whose root is read-only, as the docs say."""
    entries, page = len(ledger.entries()), tmp_path / "audit/report.html"
    subprocess.run(
        ["dpsynth", "audit", "report", "--out", page], check=True, env=environment, cwd=tmp_path, capture_output=True
    )
    assert "small-bank" in page.read_text(encoding="utf-8")
    assert sorted(path.name for path in page.parent.iterdir()) == ["audit.duckdb", "report.html"]
    assert not Path(environment["DPSYNTH_HOME"], "audit").exists()
    assert len(ledger.entries()) == entries


def test_a_run_that_is_launched_through_the_interface_enters_the_ledger_on_the_server(
    web, ledger, environment, passwords, server
):
    home, entries = Home.at(environment["DPSYNTH_HOME"]), len(ledger.entries())
    assert web("{version}", token="x" * 40)[0] == 401
    selector = {
        "repositoryLocationName": "dpsynth_assets.definitions", "repositoryName": "__repository__",
        "pipelineName": "__ASSET_JOB", "assetSelection": [{"path": ["small", "source"]}],
    }  # fmt: skip
    asked = {"selector": selector, "runConfigData": {}, "mode": "default", "executionMetadata": {}}
    launched = web(LAUNCH, {"p": asked})[1]["launchPipelineExecution"]
    assert launched["__typename"] == "LaunchRunSuccess"
    run = launched["run"]["runId"]
    waited(lambda: web.status(run) in ("SUCCESS", "FAILURE", "CANCELED"), 180, lambda: web.status(run))
    assert web.status(run) == "SUCCESS"
    assert [each.kind for each in ledger.entries()[entries:]] == ["bound"]
    assert ledger.verify() == []
    assert (home.sensitive / "small/latest").exists()
    for place, database, user in (("runs", "ledger", "spender"), ("interface", "ledger", "dagster")):
        with pytest.raises(psycopg.Error) as refused:  # noqa: SIM117
            with psycopg.connect(host="127.0.0.1", port=server, dbname=database, user=user,
                                 passfile=str(passwords / f"{place}.pgpass")) as connection:  # fmt: skip
                connection.execute("DELETE FROM dpsynth_ledger.entries")
        assert ("permission denied" in str(refused.value)) or ("no password" in str(refused.value))
