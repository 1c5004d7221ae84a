"""What the code location offers, how light it is, and what may run by itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import dagster as dg
import pytest

from dpsynth_assets.definitions import ContractsError, executor, load_contracts
from resources.platform import platform_resources

ROOT = Path(__file__).parents[2]
HEAVY = ("torch", "transformers", "peft", "opacus", "dp_accounting", "great_expectations", "sklearn", "pandas")
RELEASES = {"adapter", "label_histogram"}


def test_loading_imports_nothing_heavy():
    code = (
        "import sys, json, dpsynth_assets.definitions as d; "
        "assert d.defs.resolve_all_asset_keys(); "
        f"print(json.dumps([m for m in {HEAVY!r} if m in sys.modules]))"
    )
    environment = {**os.environ, "DPSYNTH_CONTRACTS": str(ROOT / "contracts")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert json.loads(done.stdout) == []


def test_the_command_line_starts_without_dagster():
    code = "import sys, dpsynth_assets.cli.app; print(*(m in sys.modules for m in ('dagster', 'duckdb', 'opacus')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False"] * 3


def test_the_shipped_contracts_make_a_valid_code_location():
    from dpsynth_assets.definitions import defs

    dg.Definitions.validate_loadable(defs)
    keys = {key.to_user_string() for key in defs.resolve_all_asset_keys()}
    assert {"inbox/adapter", "inbox/synthetic", "ag_news/adapter", "ag_news/card"} <= keys


def test_only_post_processing_runs_by_itself(definitions):
    for spec in definitions.resolve_all_asset_specs():
        name = spec.key.path[-1]
        assert (spec.tags["spends_budget"] == "yes") == (name in RELEASES)
        if name in RELEASES | {"source", "budget"}:
            assert spec.automation_condition is None, name
        else:
            assert spec.automation_condition is not None, name


def test_no_spending_asset_has_a_retry_policy(definitions):
    for asset in definitions.resolve_asset_graph().assets_defs:
        if {key.path[-1] for key in asset.keys} & RELEASES:
            assert asset.op.retry_policy is None


def test_assets_say_who_owns_them_and_what_they_promise(definitions):
    for spec in definitions.resolve_all_asset_specs():
        assert spec.owners == ["owner@example.org"]
        assert spec.group_name == "small"
        assert spec.kinds
        assert spec.description
        if spec.key.path[-1] == "synthetic":
            assert "(8, 1e-05)-differential privacy" in spec.description


def test_a_broken_contract_stops_the_location_with_every_problem(contract_path):
    text = contract_path.read_text(encoding="utf-8")
    for name, old, new in (("a", "epsilon: 8.0", "epsilon: -8.0"), ("b", "max_tokens: 12", "max_tokens: many")):
        (contract_path.parent / f"{name}.odcs.yaml").write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(ContractsError) as caught:
        load_contracts(contract_path.parent)
    assert "a.odcs.yaml" in str(caught.value)
    assert "b.odcs.yaml" in str(caught.value)


def test_two_contracts_cannot_share_an_id(contract_path):
    (contract_path.parent / "twin.odcs.yaml").write_bytes(contract_path.read_bytes())
    with pytest.raises(ContractsError, match="id small is taken"):
        load_contracts(contract_path.parent)


@pytest.mark.filterwarnings("ignore:`parse_obj_as` is deprecated")  # by Dagster's own resolver
def test_a_contract_is_a_component_too(contract_path):
    from dpsynth_assets.components import ContractComponent

    component = ContractComponent.resolve_from_yaml(f"contract: {contract_path.name}")
    defs = dg.Definitions.merge(
        component.build_defs(SimpleNamespace(path=contract_path.parent)), dg.Definitions(resources=platform_resources())
    )
    assert {key.path[0] for key in defs.resolve_all_asset_keys()} == {"small"}


def test_the_executor_is_chosen_by_environment(monkeypatch):
    monkeypatch.delenv("DPSYNTH_EXECUTOR", raising=False)
    assert executor().name == "in_process"
    monkeypatch.setenv("DPSYNTH_EXECUTOR", "multiprocess")
    assert executor().name == "multiprocess"
    monkeypatch.setenv("DPSYNTH_EXECUTOR", "cluster")
    with pytest.raises(ValueError, match="choose one of in_process, multiprocess"):
        executor()


def test_the_dagster_home_is_quiet(home):
    text = (home.dagster / "dagster.yaml").read_text(encoding="utf-8")
    assert text.count("enabled: false") == 2
    (home.dagster / "dagster.yaml").write_text("mine", encoding="utf-8")
    home.prepare_dagster()
    assert (home.dagster / "dagster.yaml").read_text(encoding="utf-8") == "mine"
