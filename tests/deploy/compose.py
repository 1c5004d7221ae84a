"""What must hold of the containers that a compose file describes; used on the shipped file and on worse ones."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

LOOSER = ("privileged", "cap_add", "devices", "pid", "ipc", "network_mode", "userns_mode", "extra_hosts")
OWN = {"sensitive": "code", "ledger": "code", "warehouse": "code", "models": "code", "database": "postgres"}
SECRETS = {
    "postgres": {"postgres-password", "runs.pgpass", "keeper.pgpass"},
    "code": {"runs.pgpass"},
    "daemon": {"interface.pgpass"},
    "web": {"interface.pgpass", "ui-token"},
}
PUBLISHED = {"web": ["127.0.0.1:3000:3000"]}


def faults(compose: dict[str, Any]) -> list[str]:
    """Each as `SERVICE: what is wrong`."""
    return [
        f"{name}: {fault}"
        for name, service in compose["services"].items()
        for check in (_hardened, _mounts, _secrets, _network)
        for fault in check(name, service, compose)
    ]


def _hardened(name: str, service: dict[str, Any], compose: dict[str, Any]) -> Iterator[str]:
    if service.get("read_only") is not True:
        yield "its root can be written to"
    if service.get("cap_drop") != ["ALL"]:
        yield "it keeps capabilities"
    if "no-new-privileges:true" not in service.get("security_opt", []):
        yield "it may gain privileges"
    if not re.fullmatch(r"[1-9][0-9]*:[1-9][0-9]*", str(service.get("user", ""))):
        yield "it may be root"
    for key in LOOSER:
        if key in service:
            yield f"{key} is set"


def _mounts(name: str, service: dict[str, Any], compose: dict[str, Any]) -> Iterator[str]:
    for mount in service.get("volumes", []):
        source, target, *mode = re.sub(r"\$\{[^}]*\}", "/host", mount).split(":")
        if OWN.get(source, name) != name:
            yield f"it has {source}"
        if source == "artifacts" and name != "code" and mode != ["ro"]:
            yield "it may write artifacts"
        if source.startswith(("/", ".")) and mode != ["ro"]:
            yield f"it may write to the machine's {target}"
        if "docker.sock" in mount:
            yield "it has Docker's socket"
        if target.startswith("/srv/") and name != "code":
            yield "it has the sources"


def _secrets(name: str, service: dict[str, Any], compose: dict[str, Any]) -> Iterator[str]:
    given = {each if isinstance(each, str) else each["source"] for each in service.get("secrets", [])}
    if given != SECRETS.get(name):
        yield f"its secrets are {sorted(given)}"
    for key, value in service.get("environment", {}).items():
        if re.search(r"PASSWORD|TOKEN|SECRET", key) and not key.endswith("_FILE"):
            yield f"{key} is in its environment"
        if re.search(r"://[^/@]*:[^/@]*@", str(value)):
            yield f"there is a password in {key}"
    for secret in given:
        if set(compose["secrets"].get(secret, {})) != {"file"}:
            yield f"{secret} is not a file"


def _network(name: str, service: dict[str, Any], compose: dict[str, Any]) -> Iterator[str]:
    if service.get("ports", []) != PUBLISHED.get(name, []):
        yield f"it publishes {service.get('ports')}"
    if "expose" in service:
        yield "it exposes a port"
    for network in service.get("networks", ["default"]):
        if name != "web" and not (compose["networks"].get(network) or {}).get("internal"):
            yield f"{network} leads outside"
