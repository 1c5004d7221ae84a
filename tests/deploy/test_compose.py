"""The compose files are what Compose takes, and every container in them is as closed as it is said to be."""

from __future__ import annotations

import copy
import json
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest
from ruamel.yaml import YAML

from tests.deploy.compose import faults

DEPLOY = Path(__file__).parents[2] / "deploy"
SCHEMA = json.loads(files("check_jsonschema").joinpath("builtin_schemas/vendor/compose-spec.json").read_text())


def parsed(name: str):
    return json.loads(json.dumps(YAML(typ="safe").load(DEPLOY / name)))  # plain values, no part shared with another


@pytest.fixture
def compose():
    return parsed("compose.yaml")


@pytest.mark.parametrize("name", ["compose.yaml", "compose.gpu.yaml"])
def test_they_are_compose_files(name):
    jsonschema.validate(parsed(name), SCHEMA)


def test_a_file_that_is_none_would_be_found(compose):
    compose["services"]["code"]["read_onyl"] = True
    with pytest.raises(jsonschema.ValidationError, match="read_onyl"):
        jsonschema.validate(compose, SCHEMA)


def test_every_container_is_closed(compose):
    assert faults(compose) == []


def change(service: str, key: str, value):
    return lambda compose: compose["services"][service].__setitem__(key, value)


@pytest.mark.parametrize(
    ("worse", "fault"),
    [
        (change("daemon", "read_only", False), "daemon: its root can be written to"),
        (change("web", "cap_drop", []), "web: it keeps capabilities"),
        (change("web", "security_opt", []), "web: it may gain privileges"),
        (change("code", "user", "0:0"), "code: it may be root"),
        (change("code", "privileged", True), "code: privileged is set"),
        (change("web", "ports", ["3000:3000"]), "web: it publishes ['3000:3000']"),
        (change("postgres", "ports", ["127.0.0.1:5432:5432"]), "postgres: it publishes ['127.0.0.1:5432:5432']"),
        (change("code", "networks", ["inside", "outside"]), "code: outside leads outside"),
        (change("web", "volumes", ["sensitive:/var/lib/dpsynth/sensitive"]), "web: it has sensitive"),
        (change("web", "volumes", ["artifacts:/var/lib/dpsynth/artifacts"]), "web: it may write artifacts"),
        (change("daemon", "volumes", ["../data:/srv/data:ro"]), "daemon: it has the sources"),
        (change("code", "volumes", ["../data:/srv/data"]), "code: it may write to the machine's /srv/data"),
        (change("daemon", "secrets", ["runs.pgpass"]), "daemon: its secrets are ['runs.pgpass']"),
        (change("code", "environment", {"PGPASSWORD": "x"}), "code: PGPASSWORD is in its environment"),
        (change("code", "environment", {"A": "postgresql://a:b@c/d"}), "code: there is a password in A"),
    ],
)
def test_one_that_is_less_closed_would_be_found(compose, worse, fault):
    worse(compose)
    assert faults(compose) == [fault]


def test_a_gpu_changes_nothing_else(compose):
    added = parsed("compose.gpu.yaml")
    assert added.keys() == {"services"}
    assert added["services"].keys() == {"code"}
    assert added["services"]["code"].keys() == {"image", "build", "deploy"}
    merged = copy.deepcopy(compose)
    merged["services"]["code"] |= added["services"]["code"]
    assert faults(merged) == []


def test_every_secret_is_made_and_none_is_carried(compose):
    names = {Path(each["file"]).name for each in compose["secrets"].values()}
    script = (DEPLOY / "secrets.sh").read_text(encoding="utf-8")
    assert {name for name in names if f'"$folder/{name}"' in script} == names
    assert not (DEPLOY / "secrets").exists() or "deploy/secrets/" in (DEPLOY.parent / ".gitignore").read_text()
