"""The baseline is a release like the others: gate, ledger, resumption, and nothing of the rows beside what was charged.

Real training on made-up rows; only the encoder is a stand-in.
"""

from __future__ import annotations

import json
from contextlib import suppress

import dagster as dg
import numpy as np
import pytest

from dpsynth_assets.classify import dp_training
from dpsynth_assets.gate.approval import planned_releases, scope_of
from dpsynth_assets.privacy.checkpoint import CheckpointFolder
from dpsynth_assets.releases.dp_baseline import DP_BASELINE
from ledger import BudgetRefused, Gaussian
from resources.artifact_store import ArtifactStore

MARKER = "XYZZY-4471-PLUGH"
RELEASE = """\
            dp_baseline: {classifier: word_cnn, epsilon: 0.4, expected_batch_size: 8, steps: 10, learning_rate: 0.01}
"""


@pytest.fixture
def contract_path(contract_path):
    """The small contract with a baseline, and two kinds of classifiers with two seeds each."""
    text = contract_path.read_text(encoding="utf-8")
    text = text.replace("          generation:", RELEASE + "          generation:")
    text = text.replace("{target: topic}", "{target: topic, kinds: [minilm, word_cnn], seeds: 2}")
    contract_path.write_text(text, encoding="utf-8")
    return contract_path


@pytest.fixture
def read(monkeypatch):
    """How often sensitive rows were read for a baseline."""
    frames = []
    real = dp_training.train_with_dp

    def train(plan, rows, *rest, **more):
        frames.append(kept := list(rows))
        return real(plan, kept, *rest, **more)

    monkeypatch.setattr(dp_training, "train_with_dp", train)
    return frames


def charges(book):
    return [(r.state, r) for r in book.reservations() if r.release == "small/dp_baseline"]


def test_it_is_charged_its_plan_s_event_and_no_other(run, read, book, contract):
    assert run("source", "dp_baseline").success
    [(state, reservation)] = charges(book)
    assert state == "committed"
    plan = DP_BASELINE.plan(contract, 1.0)
    assert reservation.event == plan.event() == dict(planned_releases(contract))["small/dp_baseline"]
    assert len(read) == 1
    assert book.verify() == []
    alone = book.balance("small-bank", with_pld=False).epsilon_spent
    assert 0.3 < alone < 1.0


def test_over_budget_it_is_refused_before_a_row_is_read(run, read, book, reserve, refusal_of):
    for noise in (1.0, 2.0, 8.0, 32.0):  # others use up all but a little
        with suppress(BudgetRefused):
            for number in range(100):
                reserve(Gaussian(noise), release="before", key=f"{noise} {number}")
    refused = len(book.statement("small-bank", with_pld=False).refusals)
    result = run("dp_baseline")
    assert "No sensitive row was read" in refusal_of(result, "dp_baseline").description
    assert read == []
    assert charges(book) == []
    refusals = book.statement("small-bank", with_pld=False).refusals[refused:]
    assert [entry.release for entry in refusals] == ["small/dp_baseline"]


def test_what_cannot_be_trained_is_found_before_anything_is_spent(run, read, book, monkeypatch, failure_of):
    kind = dp_training._Cnn
    right = kind.logits
    monkeypatch.setattr(kind, "logits", staticmethod(lambda *arguments: right(*arguments).detach()))
    result = run("source", "dp_baseline")
    assert not result.success
    assert charges(book) == []
    assert read == []


def test_its_metadata_and_its_log_say_nothing_of_the_rows(run, read, home, instance):
    result = run("source", "dp_baseline")
    [made] = [e for e in result.get_asset_materialization_events() if e.asset_key.path[-1] == "dp_baseline"]
    assert set(made.materialization.metadata) == {
        "classifier", "target", "epsilon", "delta", "noise_multiplier", "sampling_rate", "steps", "plan",
        "dagster/uri", "receipts", "ledger_checkpoint",
    }  # fmt: skip
    plan = made.materialization.metadata["plan"].value
    assert plan["mechanism"]["steps"] == 10
    said = "\n".join(str(record.user_message) for record in instance.all_logs(result.run_id))
    assert "of 10" in said, "steps are told"
    for count in ("40", "60"):  # units and records of the source, beside its public count of 40
        assert f"of {count}" not in said
    for path in home.root.rglob("*"):
        if path.is_file() and home.sensitive not in path.parents:
            assert MARKER.encode() not in path.read_bytes(), path


@pytest.mark.parametrize("public", [False, True])
def test_vectors_of_rows_are_kept_only_where_the_rows_are_declared_public(
    contract_path, home, instance, rooms, tmp_path, public
):
    from dpsynth_assets.classify.vectors import FILE, kept_in
    from dpsynth_assets.contract import load_contract
    from dpsynth_assets.factory import build_contract_defs
    from ledger import Ledger
    from resources.platform import platform_resources
    from tests.conftest import agree

    text = contract_path.read_text(encoding="utf-8").replace(
        "dp_baseline: {classifier: word_cnn", "dp_baseline: {classifier: minilm"
    )
    if public:
        text = text.replace("confidential", "public").replace("restricted", "public")
        text = text.replace("          generation:", "          source_is_public: true\n          generation:")
    contract_path.write_text(text, encoding="utf-8")
    contract = load_contract(contract_path)
    agree(contract, Ledger(home.ledger_file))
    resources = platform_resources(str(home.root))
    defs = dg.Definitions.merge(build_contract_defs(contract), dg.Definitions(resources=resources))
    with kept_in(tmp_path / "vectors"):
        made = defs.resolve_implicit_global_asset_job_def().execute_in_process(
            instance=instance, asset_selection=[dg.AssetKey(["small", name]) for name in ("source", "dp_baseline")]
        )
    assert made.success
    assert (tmp_path / "vectors" / FILE).exists() == public


def test_an_error_is_charged_and_its_text_stays_inside(run, book, monkeypatch, failure_of):
    def fail(plan, rows, *rest):
        raise ValueError(next(iter(rows))["text"].iloc[0])

    monkeypatch.setattr(dp_training, "train_with_dp", fail)
    result = run("source", "dp_baseline")
    text = failure_of(result, "dp_baseline").step_failure_data.user_failure_data.description
    assert "failed with ValueError" in text
    assert MARKER not in text
    assert [state for state, _ in charges(book)] == ["forfeited"]


def test_a_killed_run_is_taken_over_and_pays_for_what_runs_twice(run, book, monkeypatch):
    made = CheckpointFolder.__init__
    monkeypatch.setattr(CheckpointFolder, "__init__", lambda self, *given: made(self, *given, every=4))
    real = dp_training.train_with_dp

    def killed(plan, rows, folder, progress, checkpoints, encoder):
        def stop(step, of):
            if step == 7:
                raise KeyboardInterrupt

        return real(plan, rows, folder, stop, checkpoints)

    monkeypatch.setattr(dp_training, "train_with_dp", killed)
    assert not run("source", "dp_baseline").success
    assert [state for state, _ in charges(book)] == ["redeemed"]
    monkeypatch.setattr(dp_training, "train_with_dp", real)
    assert run("dp_baseline").success
    [(state, reservation)] = charges(book)
    assert state == "committed"
    assert [event.steps for event in reservation.replayed] == [3], "seven began, four were saved"
    assert book.verify() == []


def test_the_whole_contract_and_what_its_evaluation_compares(run, book, home, contract):
    result = run()
    assert result.success, [event.message for event in result.all_events if event.is_failure]
    order = [event.release for event in book.statement("small-bank", with_pld=False).reservations]
    assert order == ["small/label_histogram", "small/adapter", "small/dp_baseline"], "the comparison comes last"
    store = ArtifactStore(home=str(home.root))
    for kind in ("evaluation", "card"):
        releases = {charge["release"] for charge in store.latest("small", kind).receipts}
        assert releases == set(order), "an accuracy of the baseline rests on the baseline's charge"
    for kind in ("synthetic", "classifier"):
        releases = {charge["release"] for charge in store.latest("small", kind).receipts}
        assert "small/dp_baseline" not in releases
    [made] = [e for e in result.get_asset_materialization_events() if e.asset_key.path[-1] == "evaluation"]
    metadata = made.materialization.metadata
    assert {"accuracy", "accuracy_word_cnn", "accuracy_word_cnn_with_dp", "seeds_low_word_cnn"} <= set(metadata)
    assert not [name for name in metadata if "real" in name]
    compared = [(r["classifier"], r["trained_on"], r["seeds"]) for r in metadata["figures"].value]
    assert compared == [
        ("minilm", "synthetic rows", 2),
        ("word_cnn", "synthetic rows", 2),
        ("word_cnn", "real rows with DP-SGD", 1),
    ]
    card = (store.latest("small", "card").folder / "card.html").read_text(encoding="utf-8")
    assert "<td>word_cnn</td><td>real rows with DP-SGD</td>" in card


def test_a_corpus_that_a_labeller_has_touched_rests_on_its_charge(
    contract_path, home, monkeypatch, instance, rooms, failure_of
):
    """Planned, charged, made before the corpus, and in the receipts and the epsilon of all that follows. It may teach
    the classifiers, since they rest on its charge."""
    from dpsynth_assets.classify import recipes
    from dpsynth_assets.contract import load_contract
    from dpsynth_assets.factory import build_contract_defs
    from dpsynth_assets.publish.record import composed_epsilon
    from ledger import Ledger
    from resources.platform import platform_resources
    from tests.conftest import agree

    text = contract_path.read_text(encoding="utf-8").replace("dp_baseline: {", "labeller: {")
    curation = "          curation: {confidence: 0.1, drawn: 3, proportions: even}\n"
    text = text.replace("seeds: 2}", "seeds: 1, teacher: labeller}")
    training_sets = []

    class Noting:
        def __init__(self, recipe):
            self._recipe = recipe

        def train(self, training_set, *args, **more):
            training_sets.append(training_set)
            return self._recipe.train(training_set, *args, **more)

    for kind in ("minilm", "word_cnn"):
        monkeypatch.setitem(recipes.RECIPES, kind, Noting(recipes.RECIPES[kind]))
    contract_path.write_text(
        text.replace("          test_split:", curation + "          test_split:"), encoding="utf-8"
    )
    changed = load_contract(contract_path)
    book = Ledger(home.ledger_file)
    agree(changed, book)
    resources = dg.Definitions(resources=platform_resources(str(home.root)))
    job = dg.Definitions.merge(build_contract_defs(changed), resources).resolve_implicit_global_asset_job_def()
    result = job.execute_in_process(instance=instance, raise_on_error=False)
    assert result.success, [event.message for event in result.all_events if event.is_failure]
    order = [event.release for event in book.statement("small-bank", with_pld=False).reservations]
    assert order == ["small/label_histogram", "small/adapter", "small/labeller"]
    store = ArtifactStore(home=str(home.root))
    for kind in ("corpus", "synthetic", "classifier", "card"):
        assert {charge["release"] for charge in store.latest("small", kind).receipts} == set(order), kind
    alone = book.balance("small-bank", with_pld=False).epsilon_spent
    assert composed_epsilon(changed, store.latest("small", "corpus")) == pytest.approx(float(alone), rel=1e-6)
    [made] = [e for e in result.get_asset_materialization_events() if e.asset_key.path[-1] == "corpus"]
    assert made.materialization.metadata["drawn"].value == 3 * changed.privacy.generation.rows
    labeller = recipes.load_classifier(store.latest("small", "labeller").folder / "classifier")
    assert len(training_sets) == 2
    for training_set in training_sets:
        np.testing.assert_allclose(training_set.targets, labeller.predict_proba(training_set.texts))

    corpus = store.latest("small", "corpus").folder / "receipt.json"
    receipt = json.loads(corpus.read_text())
    del receipt["about"]["labeller"]
    corpus.write_text(json.dumps(receipt))
    refused = job.execute_in_process(
        instance=instance, raise_on_error=False, asset_selection=[dg.AssetKey(["small", "classifier"])]
    )
    assert (
        "receipt.json was changed" in failure_of(refused, "classifier").step_failure_data.user_failure_data.description
    )


def test_evaluation_does_without_a_baseline_that_was_never_made(run, book):
    assert run("source", "adapter", "label_histogram", "candidates", "corpus", "synthetic", "classifier").success
    result = run("evaluation")
    assert result.success
    assert charges(book) == []


def test_a_contract_without_one_has_no_such_asset(contract, contract_path):
    from dpsynth_assets.contract import load_contract
    from dpsynth_assets.factory import asset_names, build_contract_defs
    from resources.platform import platform_resources

    contract_path.write_text(contract_path.read_text(encoding="utf-8").replace(RELEASE, ""), encoding="utf-8")
    without = load_contract(contract_path)
    resources = dg.Definitions(resources=platform_resources())
    defs = dg.Definitions.merge(build_contract_defs(without), resources)
    keys = {key.path[-1] for key in defs.resolve_all_asset_keys()}
    assert "dp_baseline" not in keys | set(asset_names(without))
    assert set(asset_names(without)) == keys
    assert set(asset_names(contract)) - keys == {"dp_baseline"}


def test_it_is_planned_for_and_never_runs_by_itself(contract, definitions):
    assert len(scope_of(contract).planned) == 3
    [spec] = [s for s in definitions.resolve_all_asset_specs() if s.key == dg.AssetKey(["small", "dp_baseline"])]
    assert spec.tags["spends_budget"] == "yes"
    assert spec.automation_condition is None
