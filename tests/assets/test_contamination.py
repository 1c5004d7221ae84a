"""What the contamination check lets out: the figure of a public source, and nothing of a sensitive one."""

from __future__ import annotations

import json
from dataclasses import replace

import dagster as dg
import pytest

from dpsynth_assets.assets.contamination import CHECK, contamination_sentence
from dpsynth_assets.language.contamination.comparison import corpus_index
from dpsynth_assets.language.contamination.facts import FACTS, Facts
from dpsynth_assets.language.contamination.index import CorpusIndex
from dpsynth_assets.markdown import plain
from resources.artifact_store import ArtifactStore

UNRELATED = "it was a dark and stormy night and the rain fell in torrents except at occasional intervals"


def with_index(contract, texts, *, public=False):
    """The contract on another base model, whose corpus is indexed beside it."""
    CorpusIndex.of(texts, "a corpus made for tests").save(contract.path.parent / "corpus.idx")
    base = contract.privacy.base_model.model_copy(update={"name": "some/model", "corpus": "corpus.idx"})
    return replace(
        contract, privacy=contract.privacy.model_copy(update={"base_model": base, "source_is_public": public})
    )


def the_rows(contract):
    """Texts of the source: half of them, so that the share is neither nothing nor all."""
    lines = (contract.path.parent / "train.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["text"] for line in lines[::2]]


@pytest.fixture
def run_of(home, rooms, book, agree):
    """Materialize assets of a contract, approved as it stands; returns the result and its one contamination check."""

    def run(contract, *names):
        from dpsynth_assets.factory import build_contract_defs
        from resources.platform import platform_resources

        agree(contract, book)
        defs = dg.Definitions.merge(
            build_contract_defs(contract), dg.Definitions(resources=platform_resources(str(home.root)))
        )
        result = defs.resolve_implicit_global_asset_job_def().execute_in_process(
            asset_selection=[dg.AssetKey(["small", name]) for name in names] or None, raise_on_error=False
        )
        checks = [check for check in result.get_asset_check_evaluations() if check.check_name == CHECK]
        return result, checks

    return run


def everything_shown(result) -> str:
    return "\n".join(str(event) for event in result.all_events)


@pytest.mark.parametrize("texts", [None, [UNRELATED]], ids=["read", "not read"])
def test_of_a_sensitive_source_nothing_shows_and_the_owner_can_read_it(contract, run_of, home, texts):
    contract = with_index(contract, texts or the_rows(contract))
    result, [check] = run_of(contract, "source", "adapter")
    assert result.success
    assert check.passed
    assert set(check.metadata) == {"corpus", "sha256", "found_for_certain"}
    adapter = ArtifactStore(home=str(home.root)).latest("small", "adapter")
    assert set(json.loads((adapter.folder / FACTS).read_text())) == {"corpus", "sha256", "found_for_certain"}
    [kept] = (home.sensitive / "small").rglob(FACTS)
    assert kept.stat().st_mode & 0o777 == 0o600
    figures = json.loads(kept.read_text())
    assert (figures["overlapping"] > 0) == (texts is None)
    assert figures["overlapping"] == round(figures["share"] * figures["records"])
    assert figures["records"] == 60


def test_what_shows_of_a_sensitive_source_is_the_same_whatever_the_model_has_read(contract):
    facts = Facts("a corpus", "0" * 64, 19)
    assert "stays in the sensitive store" in contamination_sentence(contract, facts)
    assert "%" not in contamination_sentence(contract, facts)


def test_a_public_source_that_the_model_has_read_is_warned_of_with_its_share(contract, run_of, home):
    contract = with_index(contract, the_rows(contract), public=True)
    result, [check] = run_of(contract)
    assert result.success, "a warning does not block"
    assert not check.passed
    assert check.severity is dg.AssetCheckSeverity.WARN
    share = check.metadata["share"].value
    assert 0.5 <= share <= 1
    assert f"{share:.2%} of the records overlap" in check.description
    card = (ArtifactStore(home=str(home.root)).latest("small", "card").folder / "card.html").read_text(encoding="utf-8")
    assert "the base model has read some of this source" in card
    assert f"{share:.2%} of the records overlap" in card


def test_a_public_source_that_the_model_has_not_read_passes_with_its_share(contract, run_of):
    _, [check] = run_of(with_index(contract, [UNRELATED], public=True), "source", "adapter")
    assert check.passed
    assert check.metadata["share"].value == 0
    assert 0 < check.metadata["by_chance"].value < 1e-3


def test_the_embedded_model_is_compared_by_its_own_index(contract, run_of, home):
    result, [check] = run_of(contract)
    assert result.success
    assert check.passed
    assert "share" not in check.metadata
    card = (ArtifactStore(home=str(home.root)).latest("small", "card").folder / "card.html").read_text(encoding="utf-8")
    assert "stays in the sensitive store" in card


@pytest.mark.parametrize(
    ("declared", "passes", "said"),
    [
        ({}, False, "Warning: nothing says what the base model `some/model` was trained on"),
        ({"corpus": "Wikipedia"}, True, "on Wikipedia. It was not compared"),
        ({"corpus": "![x](x.png)\x1b"}, True, r"on !\[x\](x.png)\\u001b. It was not compared"),
        ({"trained_before": "2024-06"}, True, "before 2024-06. It was not compared"),
    ],
)
def test_without_an_index_the_card_says_what_is_declared_or_warns(contract, run_of, home, declared, passes, said):
    base = contract.privacy.base_model.model_copy(update={"name": "some/model", **declared})
    contract = replace(contract, privacy=contract.privacy.model_copy(update={"base_model": base}))
    result, [check] = run_of(contract)
    assert result.success
    assert check.passed is passes
    assert said in check.description
    card = ArtifactStore(home=str(home.root)).latest("small", "card").folder / "card.json"
    assert plain(said) in json.loads(card.read_text(encoding="utf-8"))["base_model"]["has_read"]
    assert not list((home.sensitive / "small").rglob(FACTS))


@pytest.mark.parametrize("damage", ["missing", "foreign"])
def test_an_index_that_cannot_be_read_stops_before_anything_is_spent(contract, run_of, book, failure_of, damage):
    contract = with_index(contract, [UNRELATED])
    path = contract.path.parent / "corpus.idx"
    path.unlink() if damage == "missing" else path.write_bytes(b"PK\x03\x04 something else")
    result, _ = run_of(contract, "source", "adapter")
    text = failure_of(result, "adapter").step_failure_data.user_failure_data.description
    assert str(path) in text
    assert "dpsynth_assets.language.contamination" in text
    assert not book.reservations()


def test_a_comparison_that_fails_is_charged_and_its_text_stays_inside(contract, run_of, book, monkeypatch, failure_of):
    from dpsynth_assets.language.contamination import comparison

    def fail(texts, index):
        raise RuntimeError(texts[0])

    monkeypatch.setattr(comparison, "measure", fail)
    result, _ = run_of(contract, "source", "adapter")
    assert [charge.state for charge in book.reservations()] == ["forfeited"]
    assert "XYZZY-4471-PLUGH" not in everything_shown(result)


def test_the_check_runs_again_by_itself_and_reads_no_row(contract, run_of, rooms, home, book):
    from dpsynth_assets.factory import build_contract_defs
    from resources.platform import platform_resources

    contract = with_index(contract, [UNRELATED])
    _, [first] = run_of(contract, "source", "adapter")
    before = len(book.entries())
    defs = dg.Definitions.merge(
        build_contract_defs(contract), dg.Definitions(resources=platform_resources(str(home.root)))
    )
    selection = dg.AssetSelection.checks(dg.AssetCheckKey(dg.AssetKey(["small", "adapter"]), CHECK))
    job = dg.define_asset_job("only_the_check", selection).resolve(asset_graph=defs.resolve_asset_graph())
    [again] = job.execute_in_process(resources=platform_resources(str(home.root))).get_asset_check_evaluations()
    assert (again.passed, again.description) == (first.passed, first.description)
    assert len(book.entries()) == before
    assert rooms.read == 1


def test_the_embedded_index_is_that_of_the_shape_which_the_command_makes(contract):
    from dpsynth_assets.language.contamination.fingerprints import Shape

    index = corpus_index(contract)
    assert index is not None
    assert index.shape == Shape()
    assert index.about.documents > 200_000
