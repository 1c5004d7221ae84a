"""`dpsynth model`, and what lint, plan, run and the gate say of a base model that is not there: nothing is charged."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from importlib import import_module

import pytest

from dpsynth_assets.assets.materials import _scorer
from dpsynth_assets.contract import load_contract
from dpsynth_assets.contract.base_models import is_path
from dpsynth_assets.contract.synthesis import BaseModelTerms
from dpsynth_assets.language.model_places import BaseModelError, folder_of, lacking, located, require_base_model
from dpsynth_assets.language.untouched import untouched
from dpsynth_assets.privacy.plan import TrainingPlan
from tests.conftest import write_contract

NAME = "smollm2-135m"
lint = import_module("dpsynth_assets.cli.lint")  # the package has a command of that name


@pytest.fixture(autouse=True)
def own_models(monkeypatch):
    monkeypatch.delenv("DPSYNTH_MODELS", raising=False)


@pytest.fixture
def contract_path(place):
    return write_contract(place / "contracts", model=NAME)


@pytest.fixture
def named(contract_path):
    """The contract with another base model."""

    def make(name: str):
        return load_contract(write_contract(contract_path.parent, model=name))

    return make


def test_names_and_paths_are_told_apart_by_their_form():
    paths = ("model.gguf", "models/model.gguf", "./model", "../model", "/srv/model", "~/model", "a/b/c")
    names = ("embedded", NAME, "gpt2", "HuggingFaceTB/SmolLM2-135M")
    assert all(map(is_path, paths))
    assert not any(map(is_path, names))


def test_paths_are_beside_the_contract_and_names_are_not(named):
    for name in ("words/model.gguf", "./model", "../model"):
        contract = named(name)
        assert located(name, contract) == str((contract.path.parent / name).resolve())
    for name in ("/srv/model", "embedded", NAME, "owner/name"):
        assert located(name, named(name)) == name


def test_what_is_lacking_is_said_until_it_is_there(named, home):
    there = {
        "words/model.gguf": ("words/model.gguf", "the base model's file .* is not there: correct `base_model.name`"),
        "./model": ("model/config.json", "the base model's folder .* is not there, or has no config.json"),
    }
    for name, (file, says) in there.items():
        contract = named(name)
        assert re.search(says, lacking(contract))
        made = contract.path.parent / file
        made.parent.mkdir()
        made.touch()
        assert lacking(contract) is None
    assert f"`dpsynth model add {NAME}`" in lacking(named(NAME))
    folder_of(NAME).mkdir(parents=True)
    assert lacking(named(NAME)) is None
    assert lacking(named("embedded")) is None
    assert lacking(named("owner/name")) is None


def test_a_folder_that_reads_like_a_name_of_the_hub_is_said(named):
    contract = named("owner/name")
    (contract.path.parent / "owner" / "name").mkdir(parents=True)
    assert "write `./owner/name`" in lacking(contract)


@pytest.fixture
def at_endpoint(named):
    """The contract with a server's model. Terms that plan an adapter have none, so it is put in past their rules."""

    def make(**terms: str):
        contract = named("embedded")
        base = BaseModelTerms(name="hf.co/owner/name", endpoint="http://localhost:8000/v1", **terms)
        return replace(contract, privacy=contract.privacy.model_copy(update={"base_model": base}))

    return make


def test_of_a_server_s_model_only_the_key_can_be_lacking(at_endpoint, monkeypatch):
    monkeypatch.delenv("WRITER_KEY", raising=False)
    require_base_model(at_endpoint())
    for empty in (None, "", " \n"):
        if empty is not None:
            monkeypatch.setenv("WRITER_KEY", empty)
        with pytest.raises(BaseModelError, match=r"variable WRITER_KEY holds no key .*: set it"):
            require_base_model(at_endpoint(key_variable="WRITER_KEY"))
    monkeypatch.setenv("WRITER_KEY", "sk-1")
    require_base_model(at_endpoint(key_variable="WRITER_KEY"))


def test_a_server_s_model_is_loaded_by_nothing(at_endpoint, tmp_path):
    contract = at_endpoint()
    says = "hf.co/owner/name is at http://localhost:8000/v1 and cannot be loaded here"
    for load in (
        lambda: located(contract.privacy.base_model.name, contract),
        lambda: _scorer(contract)(["a text"]),
    ):
        with pytest.raises(BaseModelError, match=says):
            load()
    assert untouched(contract, tmp_path)["trained"] == "nothing: the model as it answers"
    [said] = tmp_path.glob("*.json")
    assert json.loads(said.read_text(encoding="utf-8"))["endpoint"] == "http://localhost:8000/v1"


def test_lint_points_at_the_key_s_variable(at_endpoint, monkeypatch):
    monkeypatch.delenv("WRITER_KEY", raising=False)
    contract = at_endpoint(key_variable="WRITER_KEY")
    monkeypatch.setattr(lint, "load_contract", lambda path: contract)
    [problem] = lint._absent_model(contract.path)
    assert (problem.where, problem.severity) == ("privacy.base_model.key_variable", "warning")
    assert problem.remedy == "Set it before you run this; nothing is charged before"
    monkeypatch.setattr(lint, "load_contract", lambda path: at_endpoint())
    assert lint._absent_model(contract.path) == []


def test_the_plan_does_not_depend_on_where_models_lie(named, monkeypatch, tmp_path):
    def digest() -> str:
        return TrainingPlan.from_contract(named(NAME)).digest()

    first = digest()
    monkeypatch.setenv("DPSYNTH_HOME", str(tmp_path / "elsewhere"))
    assert digest() == first
    monkeypatch.setenv("DPSYNTH_MODELS", str(tmp_path / "shared"))
    assert digest() == first
    assert TrainingPlan.from_contract(named("embedded")).digest() != first


def test_lint_warns_and_names_the_command(dpsynth, contract_path, home):
    code, out, err = dpsynth("lint", contract_path)
    assert code == 0
    assert "privacy.base_model.name" in out + err
    assert f"`dpsynth model add {NAME}` brings it" in " ".join((out + err).split())


def test_plan_says_so(dpsynth, contract_path, book):
    code, out, err = dpsynth("plan", contract_path)
    assert code == 0
    assert f"Nothing can be released yet: the base model {NAME} is not here yet" in " ".join((out + err).split())
    code, out, err = dpsynth("plan", contract_path, "--json")
    assert f"dpsynth model add {NAME}" in json.loads(out)["needs_base_model"]
    folder_of(NAME).mkdir(parents=True)
    code, out, err = dpsynth("plan", contract_path, "--json")
    assert json.loads(out)["needs_base_model"] is None


@pytest.mark.parametrize("only", [(), ("--only", "source", "--only", "label_histogram")])
def test_run_refuses_and_nothing_is_charged(dpsynth, contract_path, book, rooms, only):
    code, out, err = dpsynth("run", contract_path, *only)  # the second is stopped by the gate's free check
    assert code != 0
    assert f"`dpsynth model add {NAME}` brings it" in " ".join((out + err).split())
    assert book.reservations() == []
    assert rooms.read == 0
    if not only:
        folder_of(NAME).mkdir(parents=True)
        code, out, err = dpsynth("run", contract_path, "--quiet")
        assert code == 0, out + err


def test_list_and_path_and_adding_again(dpsynth, home):
    code, out, _ = dpsynth("model", "list")
    assert code == 0
    assert NAME in out
    assert "Apache-2.0" in out
    assert " no " in out
    code, _, err = dpsynth("model", "path", NAME)
    assert code == 2
    assert f"`dpsynth model add {NAME}` brings it" in " ".join(err.split())
    folder_of(NAME).mkdir(parents=True)
    assert dpsynth("model", "path", NAME)[:2] == (0, f"{folder_of(NAME)}\n")
    assert " yes " in dpsynth("model", "list")[1]
    code, out, err = dpsynth("model", "add", NAME)
    assert code == 0
    assert "is here already" in out + err


def test_a_name_that_nobody_knows_and_a_file_that_is_not_there(dpsynth, home):
    code, _, err = dpsynth("model", "add", "smolm2-135m")
    assert code == 2
    assert f"Did you mean `{NAME}`?" in err
    code, _, err = dpsynth("model", "add", NAME, "--file", "/no/such.whl")
    assert code == 2
    assert "there is no such file" in err
    assert not folder_of(NAME).exists()
