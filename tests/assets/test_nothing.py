"""The variant that reads nothing: no row is handed out for it, nothing is charged, and its seals promise epsilon 0."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import dagster as dg
import pytest

from dpsynth_assets import variants
from dpsynth_assets.assets.contamination import contamination_sentence
from dpsynth_assets.assets.proof import guaranteed_table
from dpsynth_assets.contract import load_contract
from dpsynth_assets.contract.synthesis import BaseModelTerms
from dpsynth_assets.factory import build_contract_defs
from dpsynth_assets.language import base_model, finetuning
from dpsynth_assets.language.untouched import untouched
from dpsynth_assets.releases.registry import planned_names
from dpsynth_assets.synthesis.label_histogram import even, released_counts
from ledger import Ledger
from resources.artifact_store import ArtifactStore
from resources.ledger import LedgerResource
from resources.platform import platform_resources
from resources.sensitive_store import SensitiveStore

ASKED = """\
            labeller: {classifier: word_cnn, epsilon: 1.0, expected_batch_size: 8, steps: 10, learning_rate: 0.01}
          curation: {labels: agreed, proportions: even, near_duplicates: 0.9, drawn: 2}
"""
TAUGHT = "classifier: {target: topic, teacher: labeller}"
VARIANTS = """\
          variants: {methods: [{method: lora, learning_rate: 0.002}], epsilons: [2.0]}
"""
THROUGH = ("adapter", "label_histogram", "candidates", "corpus", "synthetic", "classifier", "evaluation", "card")


def asking(contract_path, more=""):
    """The small contract with a labeller that judges and teaches."""
    text = contract_path.read_text(encoding="utf-8").replace("classifier: {target: topic}", TAUGHT)
    contract_path.write_text(text.replace("          generation:", ASKED + more + "          generation:"))
    return load_contract(contract_path)


def test_it_plans_what_can_be_had_for_nothing_and_asks_nobody(contract_path):
    contract = asking(contract_path)
    made = variants.variant(contract, "nothing")
    assert variants.names(contract) == ("main",), "it has no partition without variants, and is there all the same"
    assert (made.id, made.declared, variants.name_of(made)) == ("small--nothing", contract, "nothing")
    assert made.reads_nothing
    assert not made.without_privacy
    assert not contract.reads_nothing
    assert planned_names(made) == ("label_histogram", "adapter")
    terms = made.privacy
    assert not terms.curation.needs_labeller
    assert (terms.curation.proportions, terms.curation.near_duplicates) == ("histogram", 0.9)
    assert not terms.classifier.taught_by_labeller


def test_its_histogram_is_even_and_says_that_it_counts_nobody(contract, tmp_path):
    folder = tmp_path / "made"
    folder.mkdir()
    even(contract, folder)
    assert released_counts(folder) == {("card",): 1, ("loan",): 1}
    [file] = folder.iterdir()
    assert json.loads(file.read_text())["counted"].startswith("nobody")


@pytest.mark.parametrize("method", ["lora", "prompt", "full"])
def test_texts_are_drawn_from_the_base_model_as_it_comes(contract, tmp_path, monkeypatch, method):
    loaded = SimpleNamespace()
    monkeypatch.setattr(base_model, "load_base_model", lambda name: (loaded, name))
    monkeypatch.setattr(finetuning, "load_base_model", lambda name: (loaded, name))
    folder = tmp_path / "made"
    folder.mkdir()
    untouched(contract, folder)
    assert [file.suffix for file in folder.iterdir()] == [".json"], "there are no weights"
    assert finetuning.load_tuned("embedded", method, folder) == (loaded, "embedded")


def run(declared, home, instance, *names, partition=None):
    defs = dg.Definitions.merge(
        build_contract_defs(declared), dg.Definitions(resources=platform_resources(str(home.root)))
    )
    return defs.resolve_implicit_global_asset_job_def().execute_in_process(
        instance=instance,
        raise_on_error=False,
        partition_key=partition,
        asset_selection=[dg.AssetKey([declared.id, name]) for name in names],
    )


@pytest.fixture
def shut(monkeypatch):
    """A store that fails on any read."""

    def refuse(*given, **more):
        raise AssertionError("rows were asked for")

    for way in ("batches", "read", "read_public", "readable"):
        monkeypatch.setattr(SensitiveStore, way, refuse)


@pytest.mark.parametrize("divided", [True, False])
def test_no_row_is_read_nothing_is_charged_and_the_seals_promise_0(
    contract_path, home, agree, instance, rooms, query, shut, divided
):
    contract, book = asking(contract_path, VARIANTS if divided else ""), Ledger(home.ledger_file)
    agree(contract, book)
    assert run(contract, home, instance, "source").success
    made = variants.variant(contract, "nothing")
    chosen = (contract, *(("labeller",) if divided else ()), *THROUGH)
    result = run(chosen[0] if divided else made, home, instance, *chosen[1:], partition="nothing" if divided else None)
    assert result.success
    assert rooms.read == 0
    assert book.reservations() == []
    store = ArtifactStore(home=str(home.root))
    for kind in (*THROUGH, "verdict"):
        artifact = store.latest("small--nothing", kind)
        assert artifact.charges == ()
        assert artifact.seal.guarantee.of_nothing_read
    assert store.find("small--nothing", "labeller") is None
    assert query("select epsilon, delta from releases") == [(0.0, 0.0)]
    assert "without reading a row" in query("select guarantee from releases")[0][0]
    card = (store.latest("small--nothing", "card").folder / "card.html").read_text()
    assert "Nothing was learned of any customer" in card
    assert "takes rows, and none was read" in card
    assert "no privacy guarantee at all" not in card
    assert guaranteed_table(made, store, LedgerResource(home=str(home.root)))[0].seal.guarantee.of_nothing_read
    assert book.verify() == []


def test_a_model_that_cannot_be_had_is_said(contract, home, book, instance, rooms, monkeypatch):
    def lacking(name):
        raise base_model.BaseModelError("there is no such model")

    made = variants.variant(contract, "nothing")
    assert run(contract, home, instance, "source").success
    monkeypatch.setattr(base_model, "load_base_model", lacking)
    result = run(made, home, instance, "adapter")
    [failed] = [each.step_failure_data.user_failure_data for each in result.all_events if each.is_step_failure]
    assert failed.description == "small--nothing/adapter cannot be made: there is no such model"
    assert ArtifactStore(home=str(home.root)).find(made.id, "adapter") is None


@pytest.mark.parametrize(
    ("public", "says"), [(True, "so the model may have read it"), (False, "public texts only has not read it")]
)
def test_what_the_base_model_may_have_read_follows_from_where_the_source_lies(contract, public, says):
    web = BaseModelTerms(name="some/model", corpus="the web")
    terms = contract.privacy.model_copy(update={"base_model": web, "source_is_public": public})
    sentence = contamination_sentence(replace(contract, privacy=terms), None)
    assert says in sentence
    assert "trained on the web" in sentence
