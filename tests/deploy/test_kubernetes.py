"""The manifests are what Kubernetes takes, by its own schemas, and every pod is as closed as it is said to be.

What `kubectl kustomize` makes of base and overlays is looked at where there is a kubectl; without one the files
themselves are. No cluster is asked.
"""

from __future__ import annotations

import copy
import json
import shutil
import subprocess
from pathlib import Path

import kubernetes_validate
import pytest
from ruamel.yaml import YAML

from tests.deploy.manifests import faults, pods

DEPLOY = Path(__file__).parents[2] / "deploy"
VERSIONS = ("1.31", "1.37")  # the oldest and the newest that are looked at
BASE = [*sorted((DEPLOY / "kubernetes/base").glob("*.yaml")), DEPLOY / "postgres/postgres.yaml",
        DEPLOY / "kubernetes/load/pod.yaml"]  # fmt: skip
FILES = [path for path in BASE if path.name != "kustomization.yaml"]


def parsed(text: str | Path):
    return list(YAML(typ="safe").load_all(text))


def built(folder: str, deploy: Path = DEPLOY):
    if not shutil.which("kubectl"):
        pytest.skip("no kubectl on this machine")
    command = ["kubectl", "kustomize", deploy / "kubernetes" / folder]
    return parsed(subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout)


@pytest.fixture(scope="module")
def base():
    documents = [document for path in FILES for document in parsed(path)]
    return json.loads(json.dumps(documents))  # no part shared with another


@pytest.mark.parametrize("version", VERSIONS)
def test_every_file_is_what_kubernetes_takes(base, version):
    assert {each["kind"] for each in base} >= {"Deployment", "StatefulSet", "NetworkPolicy", "PersistentVolumeClaim"}
    for document in base:
        kubernetes_validate.validate(document, version, strict=True)


def test_one_that_is_not_would_be_found(base):
    wrong = copy.deepcopy(next(each for each in base if each["kind"] == "Deployment"))
    wrong["spec"]["template"]["spec"]["containers"][0]["readOnly"] = True
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSIONS[0], strict=True)


def test_every_pod_is_closed(base):
    assert faults(base) == []


def change(kind: str, edit):
    def worse(documents):
        for each in documents:
            if each["kind"] == kind:
                edit(each)

    return worse


def of_code(edit):
    return change("Deployment", lambda each: edit(each["spec"]["template"]["spec"]["containers"][0]))


def of_daemon(edit):
    return change("Deployment", lambda each: edit(each["spec"]["template"]["spec"]["containers"][1]))


def of_pod(key, value):
    return change("Deployment", lambda each: each["spec"]["template"]["spec"].__setitem__(key, value))


@pytest.mark.parametrize(
    ("worse", "fault"),
    [
        (of_pod("securityContext", {"seccompProfile": {"type": "RuntimeDefault"}}), "dpsynth: it may be root"),
        (of_pod("automountServiceAccountToken", True), "dpsynth: every container has the cluster's token"),
        (of_pod("hostNetwork", True), "dpsynth: hostNetwork is set"),
        (of_code(lambda each: each.pop("securityContext")), "dpsynth: code: it is not closed"),
        (of_code(lambda each: each.pop("resources")), "dpsynth: code: its memory has no limit"),
        (of_code(lambda each: each["env"].append({"name": "PGPASSWORD", "value": "x"})),
         "dpsynth: code: PGPASSWORD is in its environment"),
        (of_daemon(lambda each: each["volumeMounts"].append({"name": "sensitive", "mountPath": "/a"})),
         "dpsynth: daemon: it has sensitive"),
        (of_daemon(lambda each: each["volumeMounts"].append({"name": "runs", "mountPath": "/a"})),
         "dpsynth: daemon: it has runs"),
        (of_daemon(lambda each: each["volumeMounts"].append({"name": "released", "mountPath": "/a"})),
         "dpsynth: daemon: it may write to released"),
        (of_daemon(lambda each: each["volumeMounts"].append({"name": "sources", "mountPath": "/a", "readOnly": True})),
         "dpsynth: daemon: it has sources"),
        (of_code(lambda each: each["volumeMounts"].append({"name": "sources", "mountPath": "/a"})),
         "dpsynth: code: it may write to sources"),
        (change("Pod", lambda each: each["spec"]["containers"][0]["volumeMounts"].append(
            {"name": "sensitive", "mountPath": "/a"})), "load: load: it has sensitive"),
        (lambda documents: documents.remove(next(each for each in documents if each["metadata"]["name"] == "nothing")),
         "network: what is not named is let through"),
        (lambda documents: documents.append({"kind": "Secret", "metadata": {"name": "a"}}),
         "a secret is in the manifests"),
    ],
)  # fmt: skip
def test_one_that_is_less_closed_would_be_found(base, worse, fault):
    documents = copy.deepcopy(base)
    worse(documents)
    assert faults(documents) == [fault]


def test_the_home_is_one_pod_s(base):
    [claims] = [{each["metadata"]["name"]: each["spec"]["accessModes"] for each in base
                 if each["kind"] == "PersistentVolumeClaim"}]  # fmt: skip
    assert claims == {name: ["ReadWriteOncePod"] for name in ("sensitive", "ledger", "released", "sources")}
    [deployment] = [each["spec"] for each in base if each["kind"] == "Deployment"]
    assert (deployment["replicas"], deployment["strategy"]) == (1, {"type": "Recreate"})


def test_only_who_says_so_reaches_the_database(base):
    [into] = [each["spec"] for each in base if each["metadata"]["name"] == "into-the-database"]
    labels = {name: pod["metadata"].get("labels", {}) for name, pod in pods(base)}
    [rule] = into["ingress"]
    assert into["podSelector"]["matchLabels"].items() <= labels["postgres"].items()
    assert rule["from"] == [{"podSelector": {"matchLabels": {"database": "yes"}}}]
    assert {name for name, each in labels.items() if each.get("database") == "yes"} == {"dpsynth"}


@pytest.mark.parametrize("folders", [["base"], ["gpu"], ["jobs"], ["base", "load"]], ids=" and ".join)
def test_what_is_made_of_them_is_what_kubernetes_takes_and_closed(folders):
    documents = [each for folder in folders for each in built(folder)]
    for document in documents:
        for version in VERSIONS:
            kubernetes_validate.validate(document, version, strict=True)
        assert document["kind"] == "Namespace" or document["metadata"]["namespace"] == "dpsynth"
    assert faults(documents) == []


PLAIN, CUDA = "my.registry:5000/texts/dpsynth:7", f"my.registry:5000/texts/dpsynth@sha256:{'a' * 64}"


@pytest.fixture(scope="module")
def renamed(tmp_path_factory):
    """What is built after an operator has named images of their own, where the docs say."""
    deploy = shutil.copytree(DEPLOY, tmp_path_factory.mktemp("named") / "deploy", ignore=lambda *_: ["secrets"])
    place = deploy / "kubernetes/images/kustomization.yaml"
    text = place.read_text(encoding="utf-8")
    for shipped, own in (("plain=registry.example.org/dpsynth:1\n", f"plain={PLAIN}\n"),
                         ("cuda=registry.example.org/dpsynth:1-cuda ", f"cuda={CUDA} ")):  # fmt: skip
        assert text.count(shipped) == 1
        text = text.replace(shipped, own)
    place.write_text(text, encoding="utf-8")
    return lambda folder: built(folder, deploy)


@pytest.mark.parametrize(("folder", "image"), [("base", PLAIN), ("gpu", CUDA), ("jobs", PLAIN), ("load", PLAIN)])
def test_images_that_an_operator_names_are_used(renamed, folder, image):
    documents = renamed(folder)
    found = {
        container["image"]
        for name, pod in pods(documents)
        if name != "postgres"
        for container in [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]
    }
    assert found == {image}
    assert "registry.example.org" not in json.dumps(documents)
    assert not [each for each in documents if each["metadata"]["name"] == "images"], "which is for kustomize alone"


def test_a_run_s_job_has_the_image_for_gpus_that_an_operator_names(renamed):
    documents = {(each["kind"], each["metadata"]["name"]): each for each in renamed("jobs")}
    assert [_environment(each)["DPSYNTH_JOB_IMAGE"] for each in _containers(documents)] == [CUDA] * 3
    [settings] = parsed(documents["ConfigMap", "dagster"]["data"]["dagster.yaml"])
    assert settings["run_launcher"]["config"]["job_image"] == {"env": "DPSYNTH_JOB_IMAGE"}


def test_an_overlay_keeps_the_environment_of_the_base():
    base, jobs = ({(each["kind"], each["metadata"]["name"]): each for each in built(name)} for name in ("base", "jobs"))
    for before, after in zip(_containers(base), _containers(jobs), strict=True):
        assert _environment(before).items() < _environment(after).items()


def _environment(container):
    return {each["name"]: each["value"] for each in container["env"]}


@pytest.mark.parametrize("folder", ["base", "gpu", "jobs"])
def test_files_of_sources_are_read_where_runs_are_and_nowhere_else(folder):
    documents = {(each["kind"], each["metadata"]["name"]): each for each in built(folder)}
    mounts = [
        (container["name"], mount["mountPath"], mount.get("readOnly"))
        for container in _containers(documents)
        for mount in container["volumeMounts"]
        if mount["name"] == "sources"
    ]
    assert mounts == [("code", "/srv/data", True)]
    [load] = [pod["spec"] for name, pod in pods(built("load")) if name == "load"]
    claims = [each["persistentVolumeClaim"]["claimName"] for each in load["volumes"]]
    assert claims == ["sources"]
    assert ("PersistentVolumeClaim", "sources") in documents


def test_the_overlays_add_a_gpu_and_the_launcher_alone():
    base, gpu, jobs = ({(each["kind"], each["metadata"]["name"]): each for each in built(name)}
                       for name in ("base", "gpu", "jobs"))  # fmt: skip
    assert gpu.keys() == base.keys()
    [code] = [each for each in _containers(gpu) if "nvidia.com/gpu" in each["resources"]["limits"]]
    assert code["name"] == "code"
    assert jobs.keys() - base.keys() == {
        ("ConfigMap", "dagster"), ("NetworkPolicy", "to-the-cluster"), ("Role", "launcher"),
        ("RoleBinding", "launcher"), ("ServiceAccount", "launcher"),
    }  # fmt: skip
    assert {each["spec"]["accessModes"][0] for key, each in jobs.items() if key[0] == "PersistentVolumeClaim"} == {
        "ReadWriteMany"
    }
    with_token = {
        each["name"] for each in _containers(jobs) if any(mount["name"] == "token" for mount in each["volumeMounts"])
    }
    assert with_token == {"daemon", "web"}


def _containers(documents):
    return documents["Deployment", "dpsynth"]["spec"]["template"]["spec"]["containers"]
