"""Variants cost what they say; one without privacy reads public sources only, and is charged and promises nothing."""

from __future__ import annotations

import math
import shutil
from dataclasses import replace

import dagster as dg
import pytest

from dpsynth_assets import variants
from dpsynth_assets.assets.proof import UnprovenError, guaranteed_table
from dpsynth_assets.contract import load_contract
from dpsynth_assets.contract.diff import changes, terms_for_approval
from dpsynth_assets.factory import build_contract_defs
from dpsynth_assets.gate.approval import planned_releases
from dpsynth_assets.gate.sources import source_of
from dpsynth_assets.language import generation
from dpsynth_assets.privacy.plan import TrainingPlan
from dpsynth_assets.publish.record import composed_epsilon
from dpsynth_assets.publish.release import PublishRefused
from ledger import Composed, Ledger
from ledger.accounting import epsilon as epsilon_of
from resources.artifact_store import ArtifactChangedError, ArtifactError, ArtifactStore
from resources.ledger import LedgerResource
from resources.platform import platform_resources
from resources.sensitive_store import SensitiveStore

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
        *("prompt-1", "prompt-3", "prompt-none", "nothing"),
    )
    assert variants.variant(contract, "main") is contract
    with pytest.raises(variants.VariantError, match=r"no variant 'lora-2': it has main, lora-1"):
        variants.variant(contract, "lora-2")


@pytest.mark.slow
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
    assert math.isinf(plan.mechanism.l2_clip_norm)
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
    for name in ("label_histogram", "adapter", "labeller"):
        artifact = store.latest("small--lora-none", name)
        assert artifact.receipts == []
        assert artifact.without_guarantee
    counts = (store.latest("small--lora-none", "label_histogram").folder / "counts.json").read_text()
    assert counts == '[[["card"], 30], [["loan"], 30]]'


def test_one_without_privacy_that_was_killed_goes_on_from_its_checkpoint(contract, home, book, instance, monkeypatch):
    """After another snapshot of the same source too: every run makes one."""
    from dpsynth_assets.language import finetuning

    found = []

    def fine_tune(contract, plan, rows, folder, progress=None, checkpoints=None, prepared=None, launch=None):
        with checkpoints.open() as opened:
            found.append((opened.load() or {}).get("step", 0))
            opened.begin_step()
            opened.save({"step": 1})
        if len(found) == 1:
            raise KeyboardInterrupt
        return finetuning.FineTuned(folder, None)

    monkeypatch.setattr(finetuning, "fine_tune", fine_tune)
    made = variants.variant(contract, "lora-none")
    assert not run(made, home, instance, "source", "adapter").success
    assert run(made, home, instance, "source", "adapter").success
    assert found == [0, 1]


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


def test_terms_that_nobody_approved_let_nothing_past(contract, home, book, instance, rooms, refusal_of):
    made = variants.variant(contract, "lora-none")
    assert run(made, home, instance, "source").success
    others = replace(made, base=replace(contract, retention_days=contract.retention_days + 1))
    result = run(others, home, instance, "adapter")
    assert "needs approval of" in refusal_of(result, "adapter").description
    assert rooms.read == 0


def test_a_mechanism_that_runs_uncharged_is_an_error(contract, home, book, instance, rooms, monkeypatch):
    """Were noise planned where the gate lets pass, its event would be in no ledger."""
    from dpsynth_assets.language import finetuning

    event = TrainingPlan.from_contract(contract).event()
    monkeypatch.setattr(
        finetuning, "fine_tune", lambda contract, plan, rows, folder, **_: finetuning.FineTuned(folder, event)
    )
    result = run(variants.variant(contract, "lora-none"), home, instance, "source", "adapter")
    assert not result.success
    assert ArtifactStore(home=str(home.root)).find("small--lora-none", "adapter") is None


# Partitions


SHARED = {"source", "budget"}


@pytest.fixture
def roomy(contract_path):
    """The same with a budget that covers several variants."""
    contract_path.write_text(contract_path.read_text().replace("epsilon: 8.0", "epsilon: 30.0"), encoding="utf-8")
    return load_contract(contract_path)


@pytest.fixture
def bank(roomy, home, agree):
    """The ledger, in which it is approved."""
    made = Ledger(home.ledger_file)
    agree(roomy, made)
    return made


def specs(contract):
    return {spec.key.path[-1]: spec for asset in build_contract_defs(contract).assets for spec in asset.specs}


def test_releases_and_what_is_made_of_them_have_a_partition_for_each_variant(contract):
    found = specs(contract)
    divided = {name for name, spec in found.items() if spec.partitions_def is not None}
    assert set(found) - divided == SHARED
    assert all(found[name].partitions_def.get_partition_keys() == list(variants.names(contract)) for name in divided)
    assert "`-none` has no privacy guarantee at all" in found["synthetic"].description


def test_a_contract_without_variants_and_a_variant_by_itself_have_none(contract):
    plain = replace(contract, privacy=contract.privacy.model_copy(update={"variants": None}))
    for each in (plain, variants.variant(contract, "lora-3")):
        assert not [spec for spec in specs(each).values() if spec.partitions_def is not None]


def run_partition(contract, home, instance, partition, *names):
    defs = dg.Definitions.merge(
        build_contract_defs(contract), dg.Definitions(resources=platform_resources(str(home.root)))
    )
    return defs.resolve_implicit_global_asset_job_def().execute_in_process(
        instance=instance,
        raise_on_error=False,
        partition_key=partition,
        asset_selection=[dg.AssetKey([contract.id, name]) for name in names] or None,
    )


def failures(result):
    return {
        each.step_key.removeprefix("small__"): each.step_failure_data.user_failure_data.description
        for each in result.all_events
        if each.is_step_failure and each.step_failure_data.user_failure_data
    }


THROUGH = ("adapter", "label_histogram", "labeller", "candidates", "corpus", "synthetic")


def test_partitions_share_the_source_and_are_charged_judged_and_published_apart(
    roomy, home, bank, instance, rooms, query
):
    """As a backfill does it: the source once, then a run for each partition."""
    assert run_partition(roomy, home, instance, None, "source").success
    store = ArtifactStore(home=str(home.root))
    for name in ("lora-1", "lora-3"):
        result = run_partition(roomy, home, instance, name, *THROUGH)
        assert result.success, failures(result)
        assert {check.partition for check in result.get_asset_check_evaluations()} == {name}
    charged = [charge.release for charge in bank.reservations() if charge.state == "committed"]
    assert charged == [
        f"small--lora-{epsilon}/{name}" for epsilon in (1, 3) for name in ("label_histogram", "adapter", "labeller")
    ]
    assert bank.balance("small-bank").epsilon_spent > 3
    assert store.find("small", "adapter") is None, "main was not made"
    corpora = {name: store.latest(f"small--{name}", "corpus") for name in ("lora-1", "lora-3")}
    for name, corpus in corpora.items():
        assert {charge["release"].split("/")[0] for charge in corpus.receipts} == {f"small--{name}"}
        assert store.latest(f"small--{name}", "verdict").receipt["about"]["corpus"] == corpus.id
        assert store.latest(f"small--{name}", "adapter").receipt["about"]["snapshot"] == snapshot_of(home, roomy)
        epsilon = store.latest(f"small--{name}", "synthetic").receipt["about"]["epsilon"]
        assert 0.9 * int(name[-1]) < epsilon <= int(name[-1])
    key = dg.AssetKey(["small", "adapter"])
    assert instance.get_materialized_partitions(key) == {"lora-1", "lora-3"}
    observed = instance.fetch_observations(dg.AssetKey(["small", "corpus"]), limit=9).records
    assert [each.asset_observation.partition for each in observed] == ["lora-3", "lora-1"]
    budget = instance.fetch_observations(dg.AssetKey(["small", "budget"]), limit=99).records
    assert len(budget) == 6
    assert {each.asset_observation.partition for each in budget} == {None}
    listed = query("select contract from releases where latest order by 1")
    assert listed == [("small--lora-1",), ("small--lora-3",)]
    assert query("select count(*) from small__lora_3.messages") == [(24,)]


def snapshot_of(home, contract):
    return SensitiveStore(home=str(home.root)).latest(source_of(contract)).id


def test_a_refused_partition_leaves_the_others_alone(contract_path, home, agree, instance, rooms, refusal_of):
    """Budget 8: `main` takes 7 for its adapter, so there is no room for one of 7.5."""
    contract_path.write_text(contract_path.read_text().replace("[1.0, 3.0, none]", "[7.5, none]"), encoding="utf-8")
    contract, book = load_contract(contract_path), Ledger(home.ledger_file)
    agree(contract, book)
    assert run_partition(contract, home, instance, "main", "source", "adapter").success
    refused = run_partition(contract, home, instance, "lora-7.5", "adapter")
    assert "The privacy ledger refused small--lora-7.5/adapter" in refusal_of(refused, "adapter").description
    assert rooms.read == 1
    assert run_partition(contract, home, instance, "lora-none", "adapter").success
    assert instance.get_materialized_partitions(dg.AssetKey(["small", "adapter"])) == {"main", "lora-none"}
    store = ArtifactStore(home=str(home.root))
    assert store.find("small--lora-7.5", "adapter") is None
    assert [charge.release for charge in book.reservations()] == ["small/adapter"]
    assert store.latest("small", "adapter").receipts[0]["release"] == "small/adapter"


def test_checks_judge_the_corpus_of_their_partition(roomy, home, bank, instance, rooms, monkeypatch):
    """A corpus that fails in one partition is not published there, and does not keep another from it."""
    assert run_partition(roomy, home, instance, "lora-1", "source", *THROUGH).success
    generate = generation.generate_corpus

    def poor(*given, **more):
        return generate(*given, **more).assign(text=None)

    with monkeypatch.context() as patched:
        patched.setattr(generation, "generate_corpus", poor)
        result = run_partition(roomy, home, instance, "lora-3", *THROUGH)
    failed = {(check.check_name, check.partition) for check in result.get_asset_check_evaluations() if not check.passed}
    assert ("text_is_present", "lora-3") in failed
    again = run_partition(roomy, home, instance, "lora-3", "synthetic")
    assert "failed its quality rules" in failures(again)["synthetic"]
    assert run_partition(roomy, home, instance, "lora-1", "synthetic").success


def test_a_run_for_no_partition_reads_nothing(contract, home, book, instance, rooms):
    result = run_partition(contract, home, instance, None, "source", "adapter")
    assert "run one partition at a time, main, lora-1" in failures(result)["adapter"]
    assert rooms.read == 0
    assert book.reservations() == []


def test_the_baseline_is_the_contracts_whatever_partition_a_run_is_for(contract_path, home, agree, instance, rooms):
    text = contract_path.read_text(encoding="utf-8").replace("epsilon: 8.0", "epsilon: 30.0")
    baseline = "            dp_baseline: {classifier: minilm, epsilon: 0.4, expected_batch_size: 8, steps: 3,"
    contract_path.write_text(text.replace(LABELLER, LABELLER + baseline + " learning_rate: 0.1}\n"))
    contract = load_contract(contract_path)
    assert specs(contract)["dp_baseline"].partitions_def is None
    book = Ledger(home.ledger_file)
    agree(contract, book)
    result = run_partition(contract, home, instance, "lora-1", "source", "dp_baseline")
    assert result.success, failures(result)
    assert [charge.release for charge in book.reservations()] == ["small/dp_baseline"]


def test_a_variant_without_privacy_is_published_as_such(contract, home, book, instance, rooms, query):
    names = ("source", *THROUGH, "classifier", "evaluation", "card")
    result = run_partition(contract, home, instance, "lora-none", *names)
    assert result.success, failures(result)
    assert book.reservations() == []
    sql = "select contract, epsilon, delta, guarantee from releases"
    ((name, epsilon, delta, said),) = query(sql)
    assert (name, epsilon, delta) == ("small--lora-none", None, None)
    assert "no privacy guarantee at all" in said
    ((comment,),) = query("select comment from duckdb_views() where view_name = 'messages'")
    assert "no privacy guarantee at all" in comment
    store = ArtifactStore(home=str(home.root))
    card = (store.latest("small--lora-none", "card").folder / "card.html").read_text()
    assert "This release has no privacy guarantee at all" in card
    assert "differential privacy" not in card
    for kind in ("candidates", "corpus", "verdict", "synthetic", "classifier", "evaluation", "card"):
        made = store.latest("small--lora-none", kind)
        assert made.without_guarantee
        assert made.receipts == []
    [made] = [e for e in result.get_asset_materialization_events() if e.asset_key.path[-1] == "synthetic"]
    assert made.materialization.metadata["epsilon"].value.startswith("no privacy guarantee at all")


@pytest.mark.parametrize("uncharged", ["adapter", "label_histogram"])
def test_a_private_table_is_never_made_from_an_uncharged_release(roomy, home, bank, instance, rooms, uncharged):
    """Were the one in the place of the other, its charge would be missing from the table's epsilon."""
    assert run_partition(roomy, home, instance, "lora-none", "source", "adapter", "label_histogram").success
    assert run_partition(roomy, home, instance, "lora-3", "adapter", "label_histogram", "labeller").success
    store = ArtifactStore(home=str(home.root))
    stolen = store.latest("small--lora-none", uncharged)
    with store.draft("small--lora-3", uncharged) as draft:
        ignored = shutil.ignore_patterns("receipt.json", "seal.json")
        shutil.copytree(stolen.folder, draft.folder, dirs_exist_ok=True, ignore=ignored)
        store.seal(draft, about=stolen.receipt["about"], protected=False)
    result = run_partition(roomy, home, instance, "lora-3", "candidates", "corpus", "synthetic")
    assert "no epsilon can be stated" in failures(result)["synthetic"]
    assert store.latest("small--lora-3", "corpus").without_guarantee
    assert not (home.warehouse / "warehouse.duckdb").exists()


def test_what_rests_on_no_charge_is_not_sealed_unless_it_says_so_and_then_has_no_epsilon(contract, home):
    store = ArtifactStore(home=str(home.root))
    with store.draft("small", "corpus") as draft:
        (draft.folder / "rows.txt").write_text("rows", encoding="utf-8")
        with pytest.raises(ArtifactError, match="made from nothing that was charged"):
            store.seal(draft)
        corpus = store.seal(draft, protected=False)
    with pytest.raises(PublishRefused, match="no epsilon can be stated"):
        composed_epsilon(contract, corpus)


def test_no_safety_classifier_is_trained_on_a_table_without_guarantee(contract, home, book, instance, rooms):
    assert run_partition(contract, home, instance, "lora-none", "source", *THROUGH).success
    store, ledger = ArtifactStore(home=str(home.root)), LedgerResource(home=str(home.root))
    made = variants.variant(contract, "lora-none")
    with pytest.raises(UnprovenError, match="no privacy guarantee at all"):
        guaranteed_table(made, store, ledger)
    sealed = store.latest(made.id, "synthetic")  # nor where an epsilon is written into its receipt
    receipt = sealed.folder / "receipt.json"
    receipt.write_text(receipt.read_text().replace('"epsilon": null', '"epsilon": 0.5'))
    with pytest.raises(ArtifactChangedError, match=r"receipt\.json was changed"):
        guaranteed_table(made, store, ledger)
