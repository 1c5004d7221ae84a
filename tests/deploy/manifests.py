"""What must hold of the pods that Kubernetes is asked for; used on the shipped manifests and on worse ones."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

# Which containers have a volume, and which of them may write to it; `dagster` is that of a run with a job of its own.
MAY = {
    "sensitive": {"folders", "code", "dagster"}, "ledger": {"folders", "code", "dagster"}, "runs": {"code", "dagster"},
    "sources": {"load", "code", "dagster"}, "token": {"daemon", "web"},
}  # fmt: skip
WRITE = {"released": {"folders", "code", "dagster"}, "sources": {"load"}}


def faults(documents: list[dict[str, Any]]) -> list[str]:
    """Each as `WHERE: what is wrong`."""
    found = [f"{name}: {fault}" for name, pod in pods(documents) for fault in of_pod(pod)]
    return found + list(_network(documents)) + list(_secrets(documents)) + list(_rights(documents))


def pods(documents: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    for each in documents:
        if each["kind"] == "Pod":
            yield each["metadata"]["name"], each
        elif "template" in each.get("spec", {}):
            yield each["metadata"]["name"], each["spec"]["template"]


def of_pod(pod: dict[str, Any]) -> Iterator[str]:
    """What is wrong with a pod."""
    spec = pod["spec"]
    account = spec.get("securityContext", {})
    if account.get("runAsNonRoot") is not True or not account.get("runAsUser") or not account.get("runAsGroup"):
        yield "it may be root"
    if account.get("seccompProfile") != {"type": "RuntimeDefault"}:
        yield "system calls are not filtered"
    if spec.get("automountServiceAccountToken") is not False:
        yield "every container has the cluster's token"
    for key in ("hostNetwork", "hostPID", "hostIPC"):
        if key in spec:
            yield f"{key} is set"
    for volume in spec.get("volumes", []):
        if "hostPath" in volume:
            yield f"{volume['name']} is the node's"
    for container in [*spec.get("initContainers", []), *spec["containers"]]:
        yield from (f"{container['name']}: {fault}" for fault in _of_container(container))


def _of_container(container: dict[str, Any]) -> Iterator[str]:
    closed = {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
    }  # fmt: skip
    if container.get("securityContext") != closed:
        yield "it is not closed"
    if "memory" not in container.get("resources", {}).get("limits", {}):
        yield "its memory has no limit"
    for mount in container.get("volumeMounts", []):
        name, volume = container["name"], mount["name"]
        if name not in MAY.get(volume, {name}):
            yield f"it has {volume}"
        elif name not in WRITE.get(volume, {name}) and not mount.get("readOnly"):
            yield f"it may write to {volume}"
    for variable in container.get("env", []):
        if re.search(r"PASSWORD|TOKEN|SECRET", variable["name"]) and not variable["name"].endswith("_FILE"):
            yield f"{variable['name']} is in its environment"
        if re.search(r"://[^/@]*:[^/@]*@", variable.get("value", "")):
            yield f"there is a password in {variable['name']}"


def _network(documents: list[dict[str, Any]]) -> Iterator[str]:
    policies = [each["spec"] for each in documents if each["kind"] == "NetworkPolicy"]
    if not any(each["podSelector"] == {} and set(each["policyTypes"]) == {"Ingress", "Egress"}
               and not each.get("ingress") and not each.get("egress") for each in policies):  # fmt: skip
        yield "network: what is not named is let through"
    for policy in policies:
        for rule in [*policy.get("egress", []), *policy.get("ingress", [])]:
            ends = rule.get("to", rule.get("from", []))
            if (
                not ends
                or not rule.get("ports")
                or any(end.get("ipBlock", {}).get("cidr") == "0.0.0.0/0" for end in ends)
            ):
                yield "network: a rule leads anywhere"


def _secrets(documents: list[dict[str, Any]]) -> Iterator[str]:
    if any(each["kind"] == "Secret" for each in documents):
        yield "a secret is in the manifests"


def _rights(documents: list[dict[str, Any]]) -> Iterator[str]:
    for each in documents:
        if each["kind"] in ("ClusterRole", "ClusterRoleBinding"):
            yield "rights: of the whole cluster"
        for rule in each.get("rules", []):
            if "*" in [*rule["resources"], *rule["verbs"]] or "secrets" in rule["resources"]:
                yield "rights: more than jobs"
