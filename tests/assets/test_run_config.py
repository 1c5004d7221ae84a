"""What a run may configure: a snapshot's source and size, and nothing that leads away from the deployment's ledger."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from dpsynth_assets.automation import retention
from dpsynth_assets.definitions import executor
from ledger import Ledger
from resources.home import Home
from resources.platform import platform_resources

ROOT = Path(__file__).parents[2]
STORES = ("ledger", "sensitive_store", "artifact_store", "warehouse")


def settings(schema, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """Every place in a configuration that takes a value, and what kind of value."""
    fields, inner = getattr(schema, "fields", None), getattr(schema, "inner_type", None)
    if fields is not None:
        for name, field in fields.items():
            yield from settings(field.config_type, (*path, name))
    elif inner is not None:
        yield from settings(inner, path)
    else:
        yield path, type(schema).__name__


def configurable(definitions: dg.Definitions) -> dict[tuple[str, ...], str]:
    found = {}
    for job in definitions.get_repository_def().get_all_jobs():
        found |= dict(settings(job.run_config_schema.run_config_schema_type))
    return found


@pytest.mark.parametrize("processes", ["in_process", "multiprocess"])
def test_nothing_can_be_configured_but_what_is_harmless(processes, monkeypatch, definitions):
    from dpsynth_assets import definitions as shipped

    monkeypatch.setenv("DPSYNTH_EXECUTOR", processes)
    shared = dg.Definitions(jobs=[retention], executor=executor())
    for each in (shipped.defs, dg.Definitions.merge(definitions, shared)):
        found = configurable(each)
        for path, kind in found.items():
            assert not kind.endswith("SourceType"), f"{'/'.join(path)} can name an environment variable"
            match path:
                case ("resources", *_):
                    raise AssertionError(f"a run can configure {'/'.join(path)}")
                case ("ops", step, "config", "source" | "size"):
                    assert step.endswith("__source")
                case ("ops", _, "config"):
                    assert kind == "Any"  # of a step that has no configuration: nothing reads it
                case ("loggers", "console", "config", "log_level" | "name"):
                    pass  # what is logged holds nothing of the rows at any level
                case ("execution", "config", *rest):
                    assert rest == ["max_concurrent"], path
                case _:
                    raise AssertionError(f"a run can configure {'/'.join(path)}")


def test_every_resource_that_dagster_is_given_takes_no_configuration(home):
    for name, resource in platform_resources(str(home.root)).items():
        assert resource.config_schema.config_type.fields == {}, name


@pytest.fixture
def elsewhere(tmp_path, contract, agree):
    """A home with a ledger that somebody made and signed for alone."""
    made = Home.at(tmp_path / "elsewhere")
    made.create()
    agree(contract, Ledger.create(made.ledger_file))
    return made


@pytest.fixture
def used_up(book):
    """The deployment's ledger, in which nothing more may be released."""
    book.lower_cap("small-bank", 0.0001, actor="owner@example.org", reason="nothing more may be released")
    return book


def to(home: Home, *names: str) -> dict[str, object]:
    return {"resources": {name: {"config": {"home": str(home.root)}} for name in names or STORES}}


def snapshots(home: Home) -> list[Path]:
    return sorted(home.sensitive.glob("*/*/manifest.json"))


@pytest.mark.parametrize("names", [(), *((name,) for name in STORES)])
def test_a_run_that_names_another_ledger_or_store_is_refused_before_anything_is_read(
    names, used_up, elsewhere, home, run, rooms
):
    with pytest.raises(dg.DagsterInvalidConfigError, match="home"):
        run(run_config=to(elsewhere, *names))
    assert rooms.read == 0
    assert snapshots(home) == snapshots(elsewhere) == []
    assert used_up.reservations() == []


def test_a_named_environment_variable_is_no_way_round(used_up, elsewhere, home, run, monkeypatch):
    monkeypatch.setenv("ELSEWHERE", str(elsewhere.root))
    for config in (
        {"resources": {"ledger": {"config": {"home": {"env": "ELSEWHERE"}}}}},
        {"resources": {"io_manager": {"config": {"base_dir": {"env": "ELSEWHERE"}}}}},
    ):
        with pytest.raises(dg.DagsterInvalidConfigError):
            run("source", run_config=config)
    assert snapshots(home) == []


def test_the_source_cannot_be_used_to_read_the_environment(book, run, failure_of, monkeypatch):
    monkeypatch.setenv("PASSWORD", "hunter2")
    config = {"ops": {"small__source": {"config": {"source": {"env": "PASSWORD"}}}}}
    result = run("source", run_config=config)
    assert not result.success
    assert "hunter2" not in repr([event.event_specific_data for event in result.all_events])


def test_no_plain_use_of_a_store_can_be_configured_either(contract, elsewhere, home, used_up):
    from dpsynth_assets.assets.source import source_asset
    from resources.ledger import LedgerResource
    from resources.sensitive_store import SensitiveStore

    own = {"ledger": LedgerResource(str(home.root)), "sensitive_store": SensitiveStore(str(home.root))}
    dg.materialize([source_asset(contract)], resources=own, run_config=to(elsewhere, *own), raise_on_error=False)
    assert snapshots(elsewhere) == []


@pytest.mark.slow
@pytest.mark.parametrize("way", ["dagster", "dg", "graphql"])
def test_no_way_of_launching_takes_another_ledger(way, used_up, elsewhere, home, contract_path):
    bin_folder, config = Path(sys.executable).parent, json.dumps(to(elsewhere))
    environment = {
        **os.environ,
        "DPSYNTH_HOME": str(home.root),
        "DAGSTER_HOME": str(home.dagster),
        "DPSYNTH_CONTRACTS": str(contract_path.parent),
        "PATH": os.pathsep.join([str(bin_folder), os.environ.get("PATH", "")]),
    }
    location = ("-m", "dpsynth_assets.definitions")
    query = """
      mutation($p: ExecutionParams!) { launchPipelineExecution(executionParams: $p) {
        __typename ... on RunConfigValidationInvalid { errors { message } } } }"""
    selector = {
        "repositoryLocationName": "dpsynth_assets.definitions",
        "repositoryName": "__repository__",
        "pipelineName": "__ASSET_JOB",
        "assetSelection": [{"path": ["small", "source"]}],
    }
    parameters = {"p": {"selector": selector, "runConfigData": config, "mode": "default"}}
    commands = {
        "dagster": ["dagster", "asset", "materialize", *location, "--select", "small/source", "--config-json", config],
        "dg": ["dg", "launch", *location, "--assets", "small/source", "--config-json", config],
        "graphql": ["dagster-graphql", *location, "-t", query, "-v", json.dumps(parameters)],
    }
    name, *arguments = commands[way]
    done = subprocess.run(
        [bin_folder / name, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300
    )
    said = done.stdout + done.stderr
    assert "home" in said, said
    assert ("RunConfigValidationInvalid" in said) if way == "graphql" else (done.returncode != 0), said
    assert snapshots(home) == snapshots(elsewhere) == []
    assert used_up.reservations() == []
