"""The assets of a contract from source to card, in one process, and what they leave behind."""

from __future__ import annotations

import json

import dagster as dg
import pandas as pd
import pytest

from dpsynth_assets.assets.proof import UnprovenError, published_table
from resources.artifact_store import ArtifactMissingError, ArtifactStore, folder_digest
from resources.ledger import LedgerResource

MARKER = "XYZZY-4471-PLUGH"


@pytest.fixture
def place(same_place):
    return same_place


@pytest.fixture
def finished(ran):
    return ran()


def test_everything_is_made_and_each_release_is_charged_once(finished, home, book, contract, query):
    store = ArtifactStore(home=str(home.root))
    charges = book.statement("small-bank", with_pld=False).reservations
    assert [(charge.release, charge.state) for charge in charges] == [
        ("small/label_histogram", "committed"),
        ("small/adapter", "committed"),
    ]
    hashes = {entry.hash for entry in book.entries() if entry.kind == "committed"}
    for kind in ("candidates", "corpus", "verdict", "synthetic", "classifier", "evaluation", "card"):
        artifact = store.latest("small", kind)
        assert {charge["ledger_hash"] for charge in artifact.receipts} == hashes
        assert artifact.digest == folder_digest(artifact.folder)
    assert query("select count(*) from small.messages") == [(24,)]
    card = (store.latest("small", "card").folder / "card.html").read_text(encoding="utf-8")
    assert "differential privacy" in card
    assert "small/adapter" in card


def test_no_sensitive_text_leaves_the_sensitive_folder(finished, home):
    for path in home.root.rglob("*"):
        if path.is_file() and home.sensitive not in path.parents:
            assert MARKER.encode() not in path.read_bytes(), path
    for path in home.sensitive.rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, f"{path} is open to others"


def test_metadata_of_the_sensitive_assets_says_nothing_of_the_rows(finished):
    shown = {
        event.asset_key.path[-1]: set(event.materialization.metadata)
        for event in finished.get_asset_materialization_events()
    }
    assert shown["source"] == {"snapshot", "blocks", "dagster/uri", "size", "population"}
    assert "dagster/row_count" not in shown["adapter"] | shown["label_histogram"]
    assert {"dagster/row_count", "preview", "dagster/column_schema"} <= shown["synthetic"]
    assert {"epsilon_spent", "epsilon_remaining", "epsilon_reserved", "epsilon_cap"} <= shown["budget"]


def test_free_assets_run_again_without_a_charge(finished, run, book):
    before = book.entries()
    assert run("candidates", "corpus", "synthetic", "classifier", "evaluation", "card").success
    assert {entry.kind for entry in book.entries()[len(before) :]} == {"sealed"}


def test_a_card_says_nothing_of_classifiers_of_another_table(finished, run, home):
    def usefulness():
        card = ArtifactStore(home=str(home.root)).latest("small", "card").folder / "card.json"
        return json.loads(card.read_text(encoding="utf-8"))["usefulness"]

    assert usefulness()["test_records"] == 60
    assert run("synthetic", "card").success
    assert usefulness() is None


def test_curating_again_draws_nothing_again(finished, run, home, monkeypatch):
    from dpsynth_assets.language import generation

    def drawn_again(*_, **__):
        raise AssertionError("texts were drawn")

    monkeypatch.setattr(generation, "generate_corpus", drawn_again)
    store = ArtifactStore(home=str(home.root))
    first = store.latest("small", "corpus")
    assert run("corpus").success
    again = store.latest("small", "corpus")
    assert (again.id != first.id, again.digest, again.receipts) == (True, first.digest, first.receipts)
    assert again.receipt["about"]["candidates"] == store.latest("small", "candidates").id


def test_a_corpus_with_fewer_rows_than_were_asked_for_says_so(finished, run, home, monkeypatch, contract, capsys):
    from dpsynth_assets.cli.running import Outcome
    from dpsynth_assets.cli.summary import show_success
    from dpsynth_assets.language import generation

    topics = ["card"] * 29 + ["loan"]
    drawn = pd.DataFrame({"text": [f"text number {i}" for i in range(30)], "topic": topics})
    drawn.attrs["drawn_again"] = 7
    monkeypatch.setattr(generation, "generate_corpus", lambda *_, **__: drawn)
    result = run("candidates", "corpus", "synthetic")
    assert result.success, [event.message for event in result.all_events if event.is_failure]
    events = {event.asset_key.path[-1]: event for event in result.get_asset_materialization_events()}
    assert events["candidates"].materialization.metadata["drawn_again"].value == 7
    made = events["corpus"]
    complaint = made.materialization.metadata["fewer_rows_than_wanted"].value
    assert f"{made.materialization.metadata['dagster/row_count'].value} of 24 rows" in complaint
    assert "'topic: loan'" in complaint
    show_success(contract, home, Outcome(success=True, run_id="0" * 8, seconds=1.0))
    assert complaint in " ".join(capsys.readouterr().out.split())


def test_a_corpus_that_fails_a_blocking_check_is_not_published(run, home, monkeypatch, failure_of):
    from dpsynth_assets.language import generation

    monkeypatch.setattr(
        generation, "generate_corpus", lambda *_, **__: pd.DataFrame({"text": ["same"] * 24, "topic": ["card"] * 24})
    )
    result = run()
    assert not result.success
    assert not (home.warehouse / "warehouse.duckdb").exists()
    alone = run("synthetic")  # past the blocking check: the stored verdict stops it
    assert "failed its quality rules" in failure_of(alone, "synthetic").step_failure_data.user_failure_data.description


def test_a_corpus_without_a_verdict_is_not_published(finished, run, home, failure_of):
    store = ArtifactStore(home=str(home.root))
    corpus = store.latest("small", "corpus")
    with store.draft("small", "corpus") as draft:
        (draft.folder / "corpus.parquet").write_bytes((corpus.folder / "corpus.parquet").read_bytes())
        store.seal(draft, made_from={"candidates": store.latest("small", "candidates")})
    result = run("synthetic")
    assert "no quality verdict" in failure_of(result, "synthetic").step_failure_data.user_failure_data.description


@pytest.mark.parametrize("kind", ["label_histogram", "adapter", "candidates"])
def test_no_classifier_is_trained_on_a_table_whose_origins_are_not_as_they_were_sealed(finished, home, contract, kind):
    """Also where the table itself and its corpus are untouched."""
    store, ledger = ArtifactStore(home=str(home.root)), LedgerResource(home=str(home.root))
    published_table(contract, store, ledger)
    (store.latest("small", kind).folder / "receipt.json").write_text("{}", encoding="utf-8")
    with pytest.raises(UnprovenError, match=f"is not borne out by the privacy ledger.*small/{kind}/"):
        published_table(contract, store, ledger)


def test_a_missing_input_is_named(run, failure_of):
    for asset, missing in (("candidates", "adapter"), ("corpus", "candidates")):
        text = failure_of(run(asset), asset).step_failure_data.user_failure_data.description
        assert text == f"small has no {missing} yet: materialize small/{missing} first"


def test_an_unsealed_draft_leaves_nothing(home):
    store = ArtifactStore(home=str(home.root))
    with store.draft("small", "corpus") as draft:
        (draft.folder / "half").write_text("half", encoding="utf-8")
    assert not draft.folder.exists()
    with pytest.raises(ArtifactMissingError):
        store.latest("small", "corpus")


def test_the_evaluation_compares_with_real_rows_only_where_the_source_is_public(finished, contract, home):
    from dpsynth_assets.gate.public_rows import public_rows
    from resources.sensitive_store import GrantRequiredError, SensitiveStore

    evaluated = next(e for e in finished.get_asset_materialization_events() if e.asset_key.path[-1] == "evaluation")
    assert "accuracy" in evaluated.materialization.metadata
    assert not [name for name in evaluated.materialization.metadata if "real" in name]
    with pytest.raises(GrantRequiredError, match="not declared public"):
        public_rows(contract, SensitiveStore(home=str(home.root)))


def test_a_public_source_is_compared_with(contract, home, rooms, book, agree):
    from dataclasses import replace

    from dpsynth_assets.factory import build_contract_defs
    from resources.platform import platform_resources

    public = replace(contract, privacy=contract.privacy.model_copy(update={"source_is_public": True}))
    agree(public, book)
    defs = dg.Definitions.merge(
        build_contract_defs(public), dg.Definitions(resources=platform_resources(str(home.root)))
    )
    result = defs.resolve_implicit_global_asset_job_def().execute_in_process()
    evaluated = next(e for e in result.get_asset_materialization_events() if e.asset_key.path[-1] == "evaluation")
    assert evaluated.materialization.metadata["accuracy_on_real"].value == 1.0


def test_figures_are_checked_observed_and_drawn(contract, home, rooms, book, agree, monkeypatch):
    """A run of the checks leaves figures and a picture, and embeddings that the next run does not make again."""
    from dataclasses import replace

    from dpsynth_assets.assets.materials import materials_for
    from dpsynth_assets.classify import encoder
    from dpsynth_assets.contract.model import QualityRule
    from dpsynth_assets.factory import build_contract_defs
    from resources.platform import platform_resources
    from resources.sensitive_store import SensitiveStore

    def figure(name: str, **kwargs: object) -> QualityRule:
        return QualityRule(name, f"expect_column_{name}_to_be_between", {"column": "text", **kwargs}, False, "")

    wanted = (
        figure("mauve", reference="test_split", min_value=0.99),
        figure("length_distance", reference="test_split", max_value=0.5),
        figure("self_bleu", max_value=1.0),
    )
    embedded: list[int] = []

    class Counting(encoder.MiniLM):
        def encode(self, texts, progress=None):
            embedded.append(len(texts))
            return super().encode(texts, progress)

    monkeypatch.setattr(encoder, "MiniLM", Counting)
    asking = replace(contract, quality=(*contract.quality, *wanted))
    defs = dg.Definitions.merge(
        build_contract_defs(asking), dg.Definitions(resources=platform_resources(str(home.root)))
    )
    job = defs.resolve_implicit_global_asset_job_def()
    keys = [dg.AssetKey(["small", name]) for name in ("source", "label_histogram", "adapter", "candidates", "corpus")]
    with dg.DagsterInstance.ephemeral() as instance:
        made = job.execute_in_process(instance=instance, asset_selection=keys)
        assert made.success
        observations = instance.fetch_observations(dg.AssetKey(["small", "corpus"]), limit=5).records
    results = {result.check_name: result for result in made.get_asset_check_evaluations()}
    assert results["mauve"].passed  # the stand-in's vectors know topics only, and both sides have as many of each
    assert not results["length_distance"].passed  # ten words against six
    assert results["length_distance"].metadata["observed_value"].value == 4
    [observation] = observations
    metadata = observation.asset_observation.metadata
    assert metadata["length_distance"].value == 4.0
    assert {"mauve", "self_bleu"} <= set(metadata)
    assert "data:image/png;base64," in metadata["lengths_and_labels"].value
    assert embedded == [24, 60]
    store = ArtifactStore(home=str(home.root))
    corpus, kept = store.latest("small", "corpus"), store.latest("small", "embeddings")
    assert kept.receipts == corpus.receipts
    assert kept.digest == folder_digest(kept.folder)
    frame = pd.read_parquet(corpus.folder / "corpus.parquet")
    sensitive = SensitiveStore(home=str(home.root))
    again = materials_for(asking, corpus, frame, store, sensitive, lambda done, of: None)
    assert again.vectors().shape == (24, 384)
    assert embedded == [24, 60]
    with store.draft("small", "corpus") as draft:
        frame.to_parquet(draft.folder / "corpus.parquet")
        other = store.seal(draft, made_from={"candidates": store.latest("small", "candidates")})
    materials_for(asking, other, frame, store, sensitive, lambda done, of: None).vectors()
    assert embedded == [24, 60, 24]  # another corpus, even of the same rows


def test_rules_compare_with_the_source_only_where_it_is_public(finished, contract, home):
    """Lint refuses such a rule; were one to get past it, the store would."""
    from dataclasses import replace

    from dpsynth_assets.assets.materials import materials_for
    from dpsynth_assets.contract.model import QualityRule
    from resources.sensitive_store import GrantRequiredError, SensitiveStore

    kwargs = {"column": "text", "reference": "source", "max_value": 1.0}
    rule = QualityRule("copies", "expect_column_ngram_overlap_to_be_between", kwargs, False, "")
    asking = replace(contract, quality=(rule,))
    store, sensitive = ArtifactStore(home=str(home.root)), SensitiveStore(home=str(home.root))
    given = (store.latest("small", "corpus"), pd.DataFrame({"text": ["a"]}), store, sensitive, lambda done, of: None)
    with pytest.raises(GrantRequiredError, match="not declared public"):
        materials_for(asking, *given)
    public = replace(asking, privacy=asking.privacy.model_copy(update={"source_is_public": True}))
    assert len(materials_for(public, *given).values("text", "source")) == 60


def test_classifiers_meet_public_rows_and_no_text_that_tests(contract_path, home, rooms, monkeypatch):
    """Rows of `classifier.mix` and tricks of spelling are trained on; what is tested on is left out of them."""
    import json

    from dpsynth_assets.classify.recipes import FrozenRecipe
    from dpsynth_assets.contract import load_contract
    from dpsynth_assets.factory import build_contract_defs
    from ledger import Ledger
    from resources.platform import platform_resources
    from tests.conftest import agree

    mix = "classifier: {target: topic, mix: {path: mix.jsonl, declared_public_by: owner@example.org}"
    text = contract_path.read_text(encoding="utf-8")
    contract_path.write_text(text.replace("classifier: {target: topic", mix + ", augmentation: true"), encoding="utf-8")
    test = [json.loads(line) for line in (contract_path.parent / "test.jsonl").read_text().splitlines()]
    own = [{"customer": "p", "text": f"a public card {row}", "topic": "card"} for row in range(10)]
    (contract_path.parent / "mix.jsonl").write_text("\n".join(map(json.dumps, [*own, *test[:5]])), encoding="utf-8")
    training_sets = []
    train = FrozenRecipe.train

    def watched(self, training_set, seed, **more):
        training_sets.append(training_set)
        return train(self, training_set, seed, **more)

    monkeypatch.setattr(FrozenRecipe, "train", watched)
    changed = load_contract(contract_path)
    agree(changed, Ledger(home.ledger_file))
    resources = dg.Definitions(resources=platform_resources(str(home.root)))
    job = dg.Definitions.merge(build_contract_defs(changed), resources).resolve_implicit_global_asset_job_def()
    result = job.execute_in_process()
    [training_set] = training_sets
    assert len(training_set.texts) == 24
    assert training_set.additions.mix.texts == [row["text"] for row in own]
    assert training_set.additions.augmentation
    [made] = [e for e in result.get_asset_materialization_events() if e.asset_key.path[-1] == "classifier"]
    assert made.materialization.metadata["public_rows"].value == 10
    card = (ArtifactStore(home=str(home.root)).latest("small", "card").folder / "card.html").read_text(encoding="utf-8")
    assert "trained on the published synthetic table and rows that owner@example.org declares public" in card
