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

from dpsynth_assets import definitions as definitions_module
from dpsynth_assets.assets.broken import GROUP, broken_asset
from dpsynth_assets.definitions import definitions_in, executor, load_contracts
from dpsynth_assets.factory import build_contract_defs
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


@pytest.mark.slow
def test_dagster_s_own_check_has_nothing_to_say(home):
    done = subprocess.run(
        [Path(sys.executable).parent / "dg", "check", "defs"],
        cwd=ROOT,
        env={**os.environ, "DPSYNTH_CONTRACTS": str(ROOT / "contracts")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.stdout.splitlines() == [
        "All component YAML validated successfully.",
        "All definitions loaded successfully.",
    ]
    assert done.returncode == 0


def test_each_contract_has_a_job_for_all_of_it(definitions):
    job = definitions.resolve_job_def("run_small")
    keys = {key.path[-1] for key in job.asset_layer.selected_asset_keys}
    assert keys == {key.path[-1] for key in definitions.resolve_all_asset_keys()}


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


def with_resources(defs):
    return dg.Definitions.merge(defs, dg.Definitions(resources=platform_resources()))


def broken_of(defs):
    """The assets that stand for contracts that do not hold, by the names of their files."""
    specs = [spec for spec in defs.resolve_all_asset_specs() if spec.group_name == GROUP]
    return {spec.metadata["contract_file"]: spec for spec in specs}


def test_a_broken_contract_is_an_asset_with_its_problems_and_the_others_load(contract_path):
    text = contract_path.read_text(encoding="utf-8")
    wrong = (("a", "epsilon: 8.0", "epsilon: -8.0"), ("b (c)", "max_tokens: 12", "max_tokens: many"))
    for name, old, new in wrong:
        other = text.replace("id: small", f"id: {name[0]}").replace(old, new)
        (contract_path.parent / f"{name}.odcs.yaml").write_text(other, encoding="utf-8")
    (contract_path.parent / "b__c_.odcs.yaml").write_text("id: [", encoding="utf-8")
    defs = with_resources(definitions_in(contract_path.parent))
    dg.Definitions.validate_loadable(defs)
    found = broken_of(defs)
    assert set(found) == {"a.odcs.yaml", "b (c).odcs.yaml", "b__c_.odcs.yaml"}
    assert "budget.epsilon" in found["a.odcs.yaml"].description
    assert "Write a number" in found["a.odcs.yaml"].metadata["problems"].value
    assert "max" in found["b (c).odcs.yaml"].description
    assert {"small/adapter", "small/card"} <= {key.to_user_string() for key in defs.resolve_all_asset_keys()}


def test_a_broken_contract_that_was_mended_says_what_is_left_to_do(contract_path):
    file = contract_path.parent / "a.odcs.yaml"
    text = contract_path.read_text(encoding="utf-8").replace("id: small", "id: other")
    file.write_text(text.replace("epsilon: 8.0", "epsilon: -8.0"), encoding="utf-8")
    asset = broken_asset(file, "as it was")
    result = dg.materialize([asset], raise_on_error=False)
    [failed] = [event for event in result.all_events if event.is_step_failure]
    assert "out of range" in failed.step_failure_data.user_failure_data.description
    file.write_text(text, encoding="utf-8")
    assert dg.materialize([asset]).success


def test_a_copy_takes_no_contract_s_place_while_that_does_not_hold(contract_path):
    copy = contract_path.with_name("old.odcs.yaml")
    copy.write_text(contract_path.read_text(encoding="utf-8"), encoding="utf-8")
    broken_text = contract_path.read_text(encoding="utf-8").replace("version: 1.0.0", 'version: ""')
    contract_path.write_text(broken_text, encoding="utf-8")
    contracts, broken = load_contracts(contract_path.parent)
    assert contracts == []
    assert "give each contract an id of its own" in broken[copy]
    assert "version" in broken[contract_path]


def test_what_is_no_file_is_said_and_not_waited_for(contract_path):
    os.mkfifo(contract_path.with_name("pipe.odcs.yaml"))
    contracts, broken = load_contracts(contract_path.parent)
    assert [each.id for each in contracts] == ["small"]
    assert "this is no file" in broken[contract_path.with_name("pipe.odcs.yaml")]


def test_of_two_contracts_with_one_id_none_is_loaded(contract_path):
    twin = contract_path.parent / "twin.odcs.yaml"
    twin.write_bytes(contract_path.read_bytes())
    contracts, broken = load_contracts(contract_path.parent)
    assert contracts == []
    assert "the id small is that of twin.odcs.yaml too" in broken[contract_path]
    assert "the id small is that of small.odcs.yaml too" in broken[twin]


def test_a_contract_whose_assets_cannot_be_made_stops_no_other(contract_path, monkeypatch):
    text = contract_path.read_text(encoding="utf-8").replace("id: small", "id: other")
    (contract_path.parent / "other.odcs.yaml").write_text(text, encoding="utf-8")

    def build(contract):
        if contract.id == "other":
            raise ValueError("no such thing")
        return build_contract_defs(contract)

    monkeypatch.setattr(definitions_module, "build_contract_defs", build)
    defs = with_resources(definitions_in(contract_path.parent))
    assert "no such thing" in broken_of(defs)["other.odcs.yaml"].description
    assert dg.AssetKey(["small", "adapter"]) in defs.resolve_all_asset_keys()


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
