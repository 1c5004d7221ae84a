"""Dagster's settings as Dagster takes them, on a PostgreSQL server; and the job that a run is on Kubernetes."""

from __future__ import annotations

import json
from pathlib import Path

import dagster as dg
import kubernetes_validate
import pytest
from ruamel.yaml import YAML

from resources.home import Home, HomeError
from tests.deploy.manifests import of_pod
from tests.postgresql import PASSWORD, postgresql

DEPLOY = Path(__file__).parents[2] / "deploy"
PLAIN, JOBS = DEPLOY / "dagster.yaml", DEPLOY / "kubernetes/jobs/dagster.yaml"
ROLE = (f"CREATE ROLE dagster LOGIN PASSWORD '{PASSWORD}'", "GRANT CREATE ON SCHEMA public TO dagster")
IMAGE = "my.registry:5000/dpsynth:7-cuda"
KUBECONFIG = {
    "apiVersion": "v1", "kind": "Config", "current-context": "a", "users": [{"name": "a", "user": {"token": "t"}}],
    "clusters": [{"name": "a", "cluster": {"server": "http://127.0.0.1:1"}}],
    "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
}  # fmt: skip


def parsed(path: Path):
    return YAML(typ="safe").load(path)


@pytest.fixture(scope="module")
def port():
    with postgresql(*ROLE) as port:
        yield port


@pytest.fixture
def home(tmp_path, port, monkeypatch):
    """One whose dagster.yaml is a deployment's, in a folder with nothing else."""
    monkeypatch.setenv("DPSYNTH_JOB_IMAGE", IMAGE)
    made = Home.at(tmp_path / "home")
    made.dagster.mkdir(parents=True, mode=0o700)
    address = f"postgresql+psycopg2://dagster@127.0.0.1:{port}/postgres"
    monkeypatch.setenv("DPSYNTH_DAGSTER_DATABASE", address)
    monkeypatch.setenv("DPSYNTH_HOME", str(made.root))
    return made


def put(home: Home, settings: Path, tmp_path: Path) -> None:
    said = parsed(settings)
    if "config" in said["run_launcher"]:  # in the cluster its address and token are those of the pod
        (tmp_path / "kubeconfig").write_text(json.dumps(KUBECONFIG))
        said["run_launcher"]["config"] |= {
            "load_incluster_config": False, "kubeconfig_file": str(tmp_path / "kubeconfig"),
        }  # fmt: skip
    (home.dagster / "dagster.yaml").write_text(json.dumps(said))


@pytest.mark.parametrize(("settings", "launcher"), [(PLAIN, "DefaultRunLauncher"), (JOBS, "K8sRunLauncher")])
def test_dagster_takes_them_and_writes_nothing_beside_them(settings, launcher, home, tmp_path):
    put(home, settings, tmp_path)
    home.enter()
    with dg.DagsterInstance.get() as instance:
        assert type(instance.run_launcher).__name__ == launcher
        stores = (instance.run_storage, instance.event_log_storage, instance.schedule_storage)
        assert {type(each).__module__.split(".")[0] for each in stores} == {"dagster_postgres"}
        assert type(instance.compute_log_manager).__name__ == "NoOpComputeLogManager"
        assert instance.telemetry_enabled is False
        assert instance.nux_enabled is False
        assert instance.run_monitoring_enabled is True
        assert instance.get_concurrency_config().run_queue_config.max_concurrent_runs == 2
        assert instance.get_runs() == []
    assert [path.name for path in home.dagster.iterdir()] == ["dagster.yaml"]


def test_they_differ_in_the_launcher_alone():
    plain, jobs = parsed(PLAIN), parsed(JOBS)
    assert plain.pop("run_launcher") != jobs.pop("run_launcher")
    assert plain == jobs


@pytest.mark.parametrize("wrong", ["no server", "no password"])
def test_a_database_that_is_away_is_said_and_not_called_a_mistake_in_the_file(wrong, home, tmp_path, monkeypatch):
    put(home, PLAIN, tmp_path)
    monkeypatch.setattr("dagster_postgres.utils.time.sleep", lambda _: None)
    if wrong == "no server":
        monkeypatch.setenv("DPSYNTH_DAGSTER_DATABASE", "postgresql+psycopg2://dagster@127.0.0.1:1/postgres")
    else:
        monkeypatch.setenv("PGPASSWORD", "another")
    with pytest.raises(HomeError, match=r"Dagster's database, which .* names, cannot be used") as caught:
        home.enter()
    assert "move it away" not in str(caught.value)
    assert PASSWORD not in str(caught.value)


@pytest.fixture
def launch(home, tmp_path):
    """Launch a run with these tags; the job that the cluster was asked for, as it is sent."""

    def call(tags: dict[str, str]):
        from dagster._core.code_pointer import ModuleCodePointer
        from dagster._core.launcher import LaunchRunContext
        from dagster._core.origin import JobPythonOrigin, RepositoryPythonOrigin
        from dagster._core.remote_origin import (
            GrpcServerCodeLocationOrigin,
            RemoteJobOrigin,
            RemoteRepositoryOrigin,
        )
        from kubernetes import client

        put(home, JOBS, tmp_path)
        home.enter()
        with dg.DagsterInstance.get() as instance:
            code = ModuleCodePointer("dpsynth_assets.definitions", "defs", None)
            location = GrpcServerCodeLocationOrigin(host="localhost", socket="/run/dpsynth/code.sock")
            run = instance.create_run_for_job(
                dg.job(name="retention")(lambda: None),
                tags=tags,
                job_code_origin=JobPythonOrigin("retention", RepositoryPythonOrigin("python", code)),
                remote_job_origin=RemoteJobOrigin(RemoteRepositoryOrigin(location, "__repository__"), "retention"),
            )
            sent = []
            instance.run_launcher._api_client.create_namespaced_job_with_retries = lambda **asked: sent.append(asked)
            instance.run_launcher.launch_run(LaunchRunContext(run, None))
            [asked] = sent
            return asked["namespace"], client.ApiClient().sanitize_for_serialization(asked["body"])

    return call


def test_a_run_is_a_closed_job_with_the_home_and_a_gpu(launch):
    namespace, job = launch({})
    assert namespace == "dpsynth"
    kubernetes_validate.validate(job, "1.37", strict=True)
    pod = job["spec"]["template"]
    assert list(of_pod(pod)) == []
    assert pod["metadata"]["labels"]["database"] == "yes"
    [container] = pod["spec"]["containers"]
    assert container["args"][:5] == ["python", "-m", "dagster", "api", "execute_run"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert container["image"] == IMAGE
    mounts = mounted(container)
    assert mounts.pop("/var/lib/dpsynth/dagster/dagster.yaml") == ("dagster", "dagster.yaml", True)
    deployment = next(iter(YAML(typ="safe").load_all(DEPLOY / "kubernetes/base/dpsynth.yaml")))
    code = deployment["spec"]["template"]["spec"]["containers"][0]
    own = mounted(code)
    assert own.pop("/run/dpsynth") == ("sockets", None, False)
    assert mounts == own
    names = ("PGUSER", "DPSYNTH_HOME", "DPSYNTH_JOB_IMAGE")
    given = {each["name"]: each["value"] for each in container["env"] if each["name"] in names}
    assert given == {"PGUSER": "spender", "DPSYNTH_JOB_IMAGE": IMAGE}, "the last, since a run reads dagster.yaml too"


def mounted(container) -> dict[str, tuple[str, str | None, bool]]:
    """Volume, folder of it and whether it is read only, by the place that it is mounted at."""
    return {
        mount["mountPath"]: (mount["name"], mount.get("subPath"), mount.get("readOnly", False))
        for mount in container["volumeMounts"]
    }


@pytest.mark.parametrize(
    "asked",
    [
        {"container_config": {"env": [{"name": "DPSYNTH_HOME", "value": "/tmp/mine"}]}},
        {"container_config": {"image": "mine"}},
        {"pod_spec_config": {"service_account_name": "launcher"}},
        {"container_config": {"volume_mounts": [{"name": "sensitive", "mount_path": "/mine"}]}},
    ],
)
def test_a_run_s_tags_choose_nothing_of_it(launch, asked):
    with pytest.raises(Exception, match="violated the allowed list"):
        launch({"dagster-k8s/config": json.dumps(asked)})
