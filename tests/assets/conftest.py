"""Runs of the small contract's assets."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from typing import Any

import dagster as dg
import pytest

from dpsynth_assets.assets.admission import ADMITTED
from dpsynth_assets.classify import encoder
from dpsynth_assets.language import drawing, generation
from dpsynth_assets.synthesis import evolution
from ledger import Ledger, accounting
from resources.artifact_store import ArtifactStore

_GENERATE = generation.generate_corpus  # before `rooms` puts a stand-in there


@pytest.fixture
def unsigned(home):
    """The home's ledger, in which nobody has signed."""
    return Ledger(home.ledger_file)


@pytest.fixture
def instance(home):
    """The home's persistent Dagster instance, as the UI and the command line use it."""
    with dg.DagsterInstance.from_config(str(home.dagster)) as made:
        yield made


@pytest.fixture
def store(home) -> ArtifactStore:
    """The home's artifacts."""
    return ArtifactStore(home=str(home.root))


@pytest.fixture
def draws(rooms, monkeypatch) -> None:
    """Texts are drawn in earnest, by whoever writes, and placed by a stand-in of the encoder."""
    made_up = encoder.MiniLM  # of `rooms`
    monkeypatch.setattr(evolution, "encoder_for", lambda _: made_up())
    monkeypatch.setattr(generation, "generate_corpus", _GENERATE)


@pytest.fixture
def writes(draws, monkeypatch) -> Callable[[Any], None]:
    """Makes a stand-in write all texts; its `adapters` gets to know whose base model it stands in for."""

    def stand_in(scribe: Any) -> None:
        def writer_of(contract, adapter, precision):
            scribe.adapters.append(adapter)
            return scribe

        monkeypatch.setattr(evolution, "writer_of", writer_of)
        monkeypatch.setattr(drawing, "writer_of", writer_of)

    return stand_in


@pytest.fixture
def run(definitions, instance, rooms) -> Callable[..., dg.ExecuteInProcessResult]:
    """Run the named assets, or all, through the implicit job, as UI and command line do."""

    def run_assets(*names: str, **options) -> dg.ExecuteInProcessResult:
        job = definitions.resolve_implicit_global_asset_job_def()
        selection = [dg.AssetKey(["small", name]) for name in names] or None
        return job.execute_in_process(instance=instance, raise_on_error=False, asset_selection=selection, **options)

    return run_assets


@pytest.fixture
def ran(run, made_once) -> Callable[..., dg.ExecuteInProcessResult]:
    """`ran("source", "adapter")`: the home in which these assets, or all, were made, and the result of that."""

    def after(*names: str) -> dg.ExecuteInProcessResult:
        def make():
            result = run(*names)
            assert result.success, [event.message for event in result.all_events if event.is_failure]
            return result

        return made_once(names, make)

    return after


@pytest.fixture
def spent(run):
    """Source snapshotted, and the adapter's budget spent by a first run: a second one cannot be afforded."""
    result = run("source", "adapter")
    assert result.success
    return result


@pytest.fixture
def charged_too_little(monkeypatch):
    """`with charged_too_little():` the ledger's accountant finds half of what a step of training costs."""

    @contextmanager
    def wrong():
        true = accounting._sampled_gaussian
        with monkeypatch.context() as patched:
            patched.setattr(accounting, "_sampled_gaussian", lambda *asked: tuple(cost / 2 for cost in true(*asked)))
            accounting._vector.cache_clear()
            yield
        accounting._vector.cache_clear()

    return wrong


def failure_of(result: dg.ExecuteInProcessResult, asset: str) -> dg.DagsterEvent:
    """The event with which an asset failed."""
    [event] = [e for e in result.all_events if e.is_step_failure and e.step_key == f"small__{asset}"]
    return event


def refusal_of(result: dg.ExecuteInProcessResult, asset: str) -> dg.AssetCheckEvaluation:
    """What an asset was refused with: nothing failed, and nothing was made."""
    assert result.success, [event.message for event in result.all_events if event.is_failure]
    assert not [each for each in result.get_asset_materialization_events() if each.asset_key.path[-1] == asset]
    checks = [check for check in result.get_asset_check_evaluations() if check.check_name == ADMITTED]
    [refused] = [check for check in checks if check.asset_key.path[-1] == asset and not check.passed]
    return refused


@pytest.fixture(name="refusal_of")
def refusal_of_fixture():
    return refusal_of


@pytest.fixture(name="failure_of")
def failure_of_fixture():
    return failure_of
