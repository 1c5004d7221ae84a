"""Workers of a Ray cluster: no shard is lost or doubled, nobody else can talk to them, and they end with their run."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import closing, nullcontext
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import pytest

from benchmarks.ray_workers import running_workers
from resources import ray_cluster, ray_workers
from resources.ray_workers import ClusterGoneError, RayPool, RayWorkers, WorkersError

ROOT = Path(__file__).parents[2]
WORK = "tests.resources.ray_work"
PATH = {"PYTHONPATH": str(ROOT)}
SECRETS = ("PGPASSWORD", "WRITER_KEY", "HF_TOKEN", "HF_HUB_TOKEN", "OMP_SECRET", "PYTHONSECRET", "CUDA_SECRET")
SHADOWED = ("resources", "dpsynth_assets", "tests", "numpy", "ray", "json")  # what driver and workers import
PLAIN, TLS = "who does not encrypt", "without its certificate"


@pytest.fixture(scope="module")
def pool() -> Iterator[RayPool]:
    """Two workers; a cluster takes its time to start, so the tests that leave it running share one."""
    with pytest.MonkeyPatch.context() as patch:  # it puts back what stood there: another test's server has a password
        for name in SECRETS:
            patch.setenv(name, "hunter2")
        made = RayPool(2)
        try:
            yield made
        finally:
            made.close()


def collected(pool: RayPool, shards: list[Any], seconds: float, seen: Callable[[int], None] = lambda _: None) -> Any:
    """What came, in the order in which it came."""
    came = []
    with closing(pool.map(f"{WORK}:sleeping", {"seconds": seconds}, PATH, shards)) as results:
        for place, result in results:
            came.append((place, result))
            seen(len(came))
    return came


def processes(session: int) -> dict[int, str]:
    """The living processes of a session, by number."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            if int(fields[3]) == session and fields[0] != "Z":
                found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
    return found


def listening(pids: Iterator[int] | list[int]) -> set[tuple[str, int]]:
    """The addresses at which processes listen, by the kernel."""
    ours = set()
    for pid in pids:
        for each in Path(f"/proc/{pid}/fd").iterdir():
            try:
                ours.add(os.readlink(each))  # noqa: PTH115 - no path
            except OSError:
                continue
    found = set()
    for table, width in (("tcp", 4), ("tcp6", 16)):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in ours:
                address, port = fields[1].split(":")
                words = [bytes.fromhex(address)[at : at + 4][::-1] for at in range(0, width, 4)]
                kind = socket.AF_INET if width == 4 else socket.AF_INET6
                found.add((socket.inet_ntop(kind, b"".join(words)).removeprefix("::ffff:"), int(port, 16)))
    return found


@pytest.mark.slow
def test_each_shard_comes_once_and_a_killed_workers_is_computed_again(pool: RayPool) -> None:
    killed = []

    def kill(count: int) -> None:
        if count == 3:
            killed.append(next(running_workers()))
            os.kill(killed[0], signal.SIGKILL)

    shards = [{"shard": number} for number in range(12)]
    came = collected(pool, shards, 0.3, kill)
    assert killed
    assert sorted(place for place, _ in came) == list(range(12))
    assert all(result["shard"] == place for place, result in came)
    workers = [result["worker"] for _, result in came]
    assert len(set(workers)) == 3
    assert killed[0] not in workers[5:]  # what it had when it was killed, somebody else computed
    assert not {name for _, result in came for name in result["environment"]} & set(SECRETS)
    folder = Path(came[0][1]["environment"]["TORCHINDUCTOR_CACHE_DIR"]).parent  # the cluster's, which goes with it
    assert (folder / "driver.log").is_file()
    again = collected(pool, shards, 0.3)  # the same work in the workers that there are
    assert {result["worker"] for _, result in again} <= set(workers)


@pytest.mark.slow
@pytest.mark.slow
@pytest.mark.parametrize("kills", [1, 2])
def test_a_cluster_that_is_killed_is_followed_by_one_other(kills: int) -> None:
    came: list[int] = []
    with closing(RayPool(1)) as pool:
        killed = []
        results = pool.map(f"{WORK}:sleeping", {"seconds": 0.2}, PATH, [{"shard": at} for at in range(12)])
        with pytest.raises(ClusterGoneError, match="before the work was done") if kills == 2 else nullcontext():
            for place, result in results:
                assert result["shard"] == place
                came.append(place)
                if len(killed) < kills and len(came) > 2 * len(killed):
                    assert pool._driver is not None
                    killed.append(pool._driver._process.pid)
                    os.kill(killed[-1], signal.SIGKILL)
    assert len(set(came)) == len(came), "none comes twice"
    assert (sorted(came) == list(range(12))) == (kills == 1)


def test_nobody_without_the_certificate_reaches_any_part(pool: RayPool) -> None:
    import grpc

    collected(pool, [{}], 0.0)
    driver = pool._driver
    assert driver is not None
    folder, parts = driver._folder, processes(driver._process.pid)
    assert folder.stat().st_mode & 0o077 == 0
    assert (folder / "token").stat().st_mode & 0o077 == 0
    assert (folder / "key.pem").stat().st_mode & 0o077 == 0
    token = (folder / "token").read_text()
    assert not any(token in command for command in parts.values())  # which every account can read
    addresses = listening(list(parts))
    assert len(addresses) >= 6  # control service, raylet and its objects, its agent, driver, two workers
    assert {host for host, _ in addresses} == {ray_cluster.LOOPBACK}
    roots = (folder / "certificate.pem").read_bytes()
    web = set()
    for host, port in addresses:
        if _http(port).startswith(b"HTTP/1.1"):
            web.add(port)
            continue
        for channel in (grpc.insecure_channel, lambda at: grpc.secure_channel(at, grpc.ssl_channel_credentials(roots))):
            assert not ray_cluster._answered(lambda: channel(f"{host}:{port}")), (channel, port)  # noqa: B023
    assert len(web) == 1
    assert b"401" in _http(web.pop())
    ray_cluster.require_closed(_control(folder), folder)  # which answers whoever has it


def _http(port: int) -> bytes:
    """What is answered to somebody who asks for code to be fetched and run."""
    with socket.create_connection((ray_cluster.LOOPBACK, port), timeout=10) as connection:
        connection.sendall(b"POST /get_or_create_runtime_env HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        try:
            return connection.recv(64)
        except OSError:
            return b""


def _control(folder: Path) -> str:
    [file] = (folder / "ray").glob("session_2*/gcs_server_port_*")
    return f"{ray_cluster.LOOPBACK}:{json.loads(file.read_text())}"


@pytest.mark.slow
def test_what_cannot_be_computed_is_said_and_the_next_work_goes_on(pool: RayPool) -> None:
    with pytest.raises(WorkersError, match="ValueError: bread is no stone"):
        list(pool.map(f"{WORK}:failing", {"what": "bread"}, PATH, ["stone"]))
    with pytest.raises(WorkersError, match="a shard's worker was lost, and no other could compute it"):
        list(pool.map(f"{WORK}:dying", {}, PATH, [1]))
    assert collected(pool, [{"a": 1}], 0.0)[0][1]["a"] == 1


@pytest.mark.slow
@pytest.mark.parametrize("with_driver", [False, True])
def test_all_ends_with_the_process_that_waits_and_nothing_is_imported_of_its_folder(
    with_driver: bool, tmp_path: Path
) -> None:
    imported = tmp_path / "imported"
    for name in SHADOWED:
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(f"open({str(imported)!r}, 'a').write({name!r})\n")
    code = (
        "from resources.ray_workers import RayPool\n"
        f"for _ in RayPool(1).map('{WORK}:sleeping', {{'seconds': 0.1}}, {PATH!r}, [{{}}] * 10_000):\n"
        "    print('going', flush=True)\n"
    )
    waiting = subprocess.Popen(
        [sys.executable, "-P", "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert waiting.stdout is not None
    assert waiting.stdout.readline() == "going\n"
    [driver] = [
        pid
        for pid, parent in _parents()
        if parent == waiting.pid and "ray_driver" in Path(f"/proc/{pid}/cmdline").read_text()
    ]
    arguments = Path(f"/proc/{driver}/cmdline").read_text().split("\0")
    folder = Path(arguments[arguments.index("resources.ray_driver") + 1])
    assert folder.exists()
    assert len(processes(driver)) >= 5
    if with_driver:
        os.kill(waiting.pid, signal.SIGSTOP)  # so that it does not see that the driver is gone
        os.kill(driver, signal.SIGKILL)
    waiting.kill()
    waiting.wait()
    waiting.stdout.close()
    deadline = time.monotonic() + 60
    while folder.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert processes(driver) == {}  # at once: the folder goes last
    assert not folder.exists()
    assert not imported.exists()


def _parents() -> Iterator[tuple[int, int]]:
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            yield int(folder.name), int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue


@pytest.mark.parametrize("open_to", [PLAIN, TLS])
def test_a_cluster_that_answers_strangers_is_refused(open_to: str, tmp_path: Path) -> None:
    import grpc

    ray_cluster._environment(tmp_path)
    certificate, key = (tmp_path / "certificate.pem").read_bytes(), (tmp_path / "key.pem").read_bytes()
    server = grpc.server(futures.ThreadPoolExecutor(1))
    closed = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([(key, certificate)], certificate, True))
    lax = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([(key, certificate)]))
    plain = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        ray_cluster.require_closed(f"127.0.0.1:{closed}", tmp_path)
        if open_to == TLS:
            with pytest.raises(ray_cluster.ClusterError, match=f"answers anybody {TLS}"):
                ray_cluster.require_closed(f"127.0.0.1:{lax}", tmp_path)
        else:
            assert ray_cluster._answered(lambda: grpc.insecure_channel(f"127.0.0.1:{plain}"))
            with pytest.raises(ray_cluster.ClusterError, match="does not answer with the certificate"):
                ray_cluster.require_closed(f"127.0.0.1:{plain}", tmp_path)
    finally:
        server.stop(None).wait()


def test_an_address_that_others_reach_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ray_cluster.ClusterError, match=r"listens at 192.0.2.1:6379, which other machines may reach"):
        ray_cluster.require_closed("192.0.2.1:6379", tmp_path)


def test_something_else_than_plain_values_is_handed_to_nobody() -> None:
    made = RayPool(1)
    with pytest.raises(TypeError, match="not JSON serializable"):
        list(made.map(f"{WORK}:sleeping", {}, {}, [Path("/")]))
    assert made._driver is None


@pytest.mark.parametrize("said", ["0", "-1", "two", "ray://head:10001", "1.5"])
def test_a_setting_that_is_no_number_of_workers_is_refused(said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DPSYNTH_RAY", said)
    with pytest.raises(WorkersError, match=f"DPSYNTH_RAY is '{said}': write how many workers"):
        RayWorkers().require()


def test_without_ray_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(ray_workers, "version", missing)
    with RayWorkers().pool() as pool:
        assert pool is None  # nobody asked
    monkeypatch.setenv("DPSYNTH_RAY", "2")
    with pytest.raises(WorkersError, match=r"Ray is not installed: `pip install 'ray>=2\.60,<3'`, or unset"):
        RayWorkers().require()
    monkeypatch.setattr(ray_workers, "version", lambda _: "2.59.1")
    with pytest.raises(WorkersError, match=r"the Ray 2\.59\.1 that is installed is too old"):
        RayWorkers().require()
    monkeypatch.setattr(ray_workers, "version", lambda _: "2.60.0")
    assert RayWorkers().require() == 2
