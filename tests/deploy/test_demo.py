"""The demo's contract finds its rows in the containers, and the docs of a first run name what it names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from dpsynth_assets.contract import load_contract
from dpsynth_assets.demo.inbox import write_inbox
from dpsynth_assets.gate.sources import place_of
from tests.deploy.manifests import pods

ROOT = Path(__file__).parents[2]
OPERATORS = (ROOT / "docs/operators.md").read_text(encoding="utf-8")
MOUNTED = {"contracts": "/srv/contracts", "data": "/srv/data"}


def test_compose_mounts_the_checkout_s_folders():
    compose = YAML(typ="safe").load(ROOT / "deploy/compose.yaml")
    named = re.compile(r"\$\{\w+:-\.\./(\w+)\}:([^:]+):ro")
    volumes = [named.fullmatch(each) for each in compose["services"]["code"]["volumes"]]
    assert {found[1]: found[2] for found in volumes if found} == MOUNTED


def test_kubernetes_mounts_contracts_and_sources_likewise():
    documents = list(YAML(typ="safe").load_all(ROOT / "deploy/kubernetes/base/dpsynth.yaml"))
    [pod] = [pod["spec"] for _, pod in pods(documents)]
    mounts = {each["name"]: each["mountPath"] for each in pod["containers"][0]["volumeMounts"]}
    assert {"contracts": mounts["contracts"], "data": mounts["sources"]} == MOUNTED
    load = YAML(typ="safe").load(ROOT / "deploy/kubernetes/load/pod.yaml")
    assert [each["mountPath"] for each in load["spec"]["containers"][0]["volumeMounts"]] == [MOUNTED["data"]]


@pytest.mark.parametrize("as_a_config_map", [False, True])
def test_its_rows_lie_where_it_says(tmp_path, as_a_config_map):
    folder = tmp_path / MOUNTED["contracts"].lstrip("/")
    path, shipped = folder / "inbox.odcs.yaml", (ROOT / "contracts/inbox.odcs.yaml").read_bytes()
    folder.mkdir(parents=True)
    if as_a_config_map:  # whose files are links to a folder of the day, which is a link itself
        (folder / "..2026_11_30").mkdir()
        (folder / "..2026_11_30" / path.name).write_bytes(shipped)
        (folder / "..data").symlink_to("..2026_11_30")
        path.symlink_to(f"..data/{path.name}")
    else:
        path.write_bytes(shipped)
    rows = tmp_path / MOUNTED["data"].lstrip("/") / "inbox"
    write_inbox(rows)
    contract = load_contract(path)
    for place, name in ((contract.source, "train.parquet"), (contract.privacy.test_split.path, "test.parquet")):
        assert Path(place_of(contract, place)).samefile(rows / name)


def test_the_docs_name_its_people_and_its_files():
    contract = load_contract(ROOT / "contracts/inbox.odcs.yaml")
    owner, approver = contract.owners[0], contract.approvers[0]
    assert f"--owner {owner} --approver {approver}" in OPERATORS
    for name in (owner, approver):
        assert f"dpsynth approve inbox --as {name} --reason" in OPERATORS
    text = contract.path.read_text(encoding="utf-8")
    for name in re.findall(r"`(\.\./data/inbox/\S+)`", OPERATORS):
        assert f"path: {name}" in text
