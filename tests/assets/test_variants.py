"""Variants cost what they say; one without privacy reads public sources only, and is charged and promises nothing."""

from __future__ import annotations

import math
from dataclasses import replace

import dagster as dg
import pytest

from dpsynth_assets import variants
from dpsynth_assets.approval import planned_releases
from dpsynth_assets.contract import load_contract
from dpsynth_assets.contract.diff import changes, terms_for_approval
from dpsynth_assets.factory import build_contract_defs
from dpsynth_assets.privacy.plan import TrainingPlan
from ledger import Composed
from ledger.accounting import epsilon as epsilon_of
from resources.artifact_store import ArtifactStore
from resources.platform import platform_resources

TERMS = """\
          source_is_public: true
          variants:
            methods: [{method: lora, learning_rate: 0.002}, {method: prompt, learning_rate: 0.1, prompt_tokens: 5}]
            epsilons: [1.0, 3.0, none]
"""
LABELLER = """\
            labeller: {classifier: word_cnn, epsilon: 1.0, expected_batch_size: 8, steps: 10, learning_rate: 0.01}
"""


@pytest.fixture
def contract_path(contract_path):
    """The small contract, public, with a labeller and six variants."""
    text = contract_path.read_text(encoding="utf-8").replace("confidential", "public").replace("restricted", "public")
    contract_path.write_text(text.replace("          generation:", LABELLER + TERMS + "          generation:"))
    return contract_path


def test_they_are_named_by_method_and_epsilon(contract):
    assert variants.names(contract) == (
        *("main", "lora-1", "lora-3", "lora-none"),
        *("prompt-1", "prompt-3", "prompt-none"),
    )
    assert variants.variant(contract, "main") is contract
    with pytest.raises(variants.VariantError, match=r"no variant 'lora-2': it has main, lora-1"):
        variants.variant(contract, "lora-2")


@pytest.mark.parametrize("name", ["lora-1", "prompt-3"])
def test_everything_in_one_composes_to_its_epsilon_and_hardly_less(contract, name):
    made = variants.variant(contract, name)
    wanted = float(name.partition("-")[2])
    events = tuple(event for _, event in planned_releases(made))
    assert len(events) == 3
    assert 0.99 * wanted < epsilon_of(Composed(events), 1e-5) <= wanted
    plan = TrainingPlan.from_contract(made)
    assert (plan.method, plan.prompt_tokens) == (("lora", None) if name == "lora-1" else ("prompt", 5))
    assert plan.learning.learning_rate == (0.002 if name == "lora-1" else 0.1)
    assert plan.mechanism.steps == 3, "what a method does not say is as in the contract's adapter"


def test_the_other_releases_keep_their_proportion_of_the_price(contract):
    releases = variants.variant(contract, "lora-3").privacy.releases
    assert releases.labeller.epsilon == pytest.approx(2 * releases.label_histogram.epsilon)
    assert releases.label_histogram.epsilon == pytest.approx(3 * 0.5 / (0.5 + 1.0 + 7.0))
    assert releases.dp_baseline is None


def test_one_without_privacy_has_a_price_that_no_ledger_takes(contract):
    made = variants.variant(contract, "lora-none")
    assert made.without_privacy
    assert not contract.without_privacy
    plan = TrainingPlan.from_contract(made)
    assert not plan.mechanism.is_private
    assert math.isinf(plan.mechanism.clipping_norm)
    with pytest.raises(ValueError, match="cannot be charged"):
        planned_releases(made)


def test_reviewers_are_asked_about_one_without_privacy(contract, contract_path):
    contract_path.write_text(contract_path.read_text().replace("[1.0, 3.0, none]", "[1.0, 3.0]"))
    priced = load_contract(contract_path)
    weaker = [str(change) for change in changes(terms_for_approval(priced), terms_for_approval(contract))]
    assert weaker == ["variants.epsilons: 1.0, 3.0 -> 1.0, 3.0, none (a variant is released without privacy)"]
    assert not any(each.weakens for each in changes(terms_for_approval(contract), terms_for_approval(priced)))


def run(contract, home, instance, *names):
    defs = dg.Definitions.merge(
        build_contract_defs(contract), dg.Definitions(resources=platform_resources(str(home.root)))
    )
    return defs.resolve_implicit_global_asset_job_def().execute_in_process(
        instance=instance,
        raise_on_error=False,
        asset_selection=[dg.AssetKey([contract.id, name]) for name in names],
    )


def test_one_without_privacy_is_charged_nothing_and_says_so(contract, home, book, instance, rooms):
    made = variants.variant(contract, "lora-none")
    before = book.balance("small-bank").epsilon_spent
    assert run(made, home, instance, "source", "adapter", "label_histogram", "labeller").success
    assert rooms.read == 1
    assert book.reservations() == []
    assert book.balance("small-bank").epsilon_spent == before
    store = ArtifactStore(home=str(home.root))
    for name in ("adapter", "label_histogram", "labeller"):
        artifact = store.latest("small--lora-none", name)
        assert artifact.receipts == []
        assert artifact.receipt["about"]["guarantee"] == "none"
    counts = (store.latest("small--lora-none", "label_histogram").folder / "counts.json").read_text()
    assert counts == '[[["card"], 30], [["loan"], 30]]'


def test_without_the_declaration_no_row_is_read_and_nothing_is_made(contract, home, book, instance, rooms):
    made = variants.variant(contract, "lora-none")
    secret = replace(made, privacy=made.privacy.model_copy(update={"source_is_public": False}))
    result = run(secret, home, instance, "source", "adapter")
    assert not result.success
    assert rooms.read == 0
    [failure] = [each for each in result.all_events if each.is_step_failure]
    said = failure.step_failure_data.user_failure_data.description
    assert "not declared public: its rows need a grant" in said
    assert ArtifactStore(home=str(home.root)).find("small--lora-none", "adapter") is None


def test_a_mechanism_that_runs_uncharged_is_an_error(contract, home, book, instance, rooms, monkeypatch):
    """Were noise planned where the gate lets pass, its event would be in no ledger."""
    from dpsynth_assets.language import finetuning

    event = TrainingPlan.from_contract(contract).event()
    monkeypatch.setattr(
        finetuning, "fine_tune", lambda contract, plan, frame, folder, **_: finetuning.FineTuned(folder, event)
    )
    result = run(variants.variant(contract, "lora-none"), home, instance, "source", "adapter")
    assert not result.success
    assert ArtifactStore(home=str(home.root)).find("small--lora-none", "adapter") is None
