"""The safety classifier as an asset: what it is made of, when it refuses, and what leaves with it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import dagster as dg
import pandas as pd
import pytest

from dpsynth_assets.classify import dp_training
from dpsynth_assets.classify.recipes import RECIPES
from dpsynth_assets.classify.training_rows import TrainingSet
from dpsynth_assets.gate import public_rows
from dpsynth_assets.language import generation
from dpsynth_assets.safety import comparison, students
from dpsynth_assets.safety.rows import labelled_rows, prepared, public_halves
from dpsynth_assets.safety.screening import Screener
from dpsynth_assets.safety.students import FACTS
from resources.sensitive_store import SensitiveStore

MARKER = "XYZZY-4471-PLUGH"
TERMS = """\
          safety_classifier: {target: topic, unsafe: loan, students: [word_cnn], functional_tests: [negation, spelling],
                              precision: 0.8, confidence: 0.8, VALIDATION}
"""
CLASSIFIER = """\
            dp_baseline: {classifier: word_cnn, epsilon: 0.4, expected_batch_size: 8, steps: 10, learning_rate: 0.01}
"""


TAUGHT_BY_LABELLER = "teacher: labeller}\n          curation: {labels: relabelled"


@pytest.fixture(params=["validation: synthetic"])
def contract_path(contract_path, request):
    """The small contract, with a safety classifier that takes loans for unsafe."""
    text = contract_path.read_text(encoding="utf-8") if contract_path.exists() else ""
    text = text.replace("classifier: {target: topic}\n", "classifier: {target: topic}\n" + TERMS)
    if request.param == TAUGHT_BY_LABELLER:
        text = text.replace(
            "          generation:", CLASSIFIER.replace("dp_baseline", "labeller") + "          generation:"
        )
    contract_path.write_text(text.replace("VALIDATION", request.param).replace("rows: 24", "rows: 300"), "utf-8")
    return contract_path


@pytest.fixture(autouse=True)
def tables(rooms, monkeypatch):
    """Synthetic rows whose label shows in the text."""
    import pandas as pd

    def generate_corpus(contract, adapter_folder, counts, rows=None, progress=None, shards=None, draw=None, pool=None):
        cells = [("card", "loan")[row % 2] for row in range(rows)]
        texts = [f"my {cell} number {row} is lost" for row, cell in enumerate(cells)]
        return pd.DataFrame({"text": texts, "topic": cells})

    monkeypatch.setattr(generation, "generate_corpus", generate_corpus)


@pytest.fixture
def place(same_place):
    return same_place


@pytest.fixture
def published(ran):
    ran("source", "adapter", "label_histogram", "candidates", "corpus", "synthetic")


def why(result, failure_of, asset="safety_classifier") -> str:
    assert not result.success
    return failure_of(result, asset).step_failure_data.user_failure_data.description


def test_it_is_exported_with_the_guarantee_and_receipts_of_its_table(published, run, store, home, book):
    before = len(book.entries())
    result = run("safety_classifier", "safety_evaluation")
    assert result.success, [event.message for event in result.all_events if event.is_failure]
    assert {entry.kind for entry in book.entries()[before:]} == {"sealed"}, "free, and known to the ledger"
    made, synthetic = store.latest("small", "safety_classifier"), store.latest("small", "synthetic")
    assert made.receipts == synthetic.receipts != []
    assert made.receipt["about"] == {"synthetic": synthetic.id, "student": "word_cnn"}
    screener = Screener(made.folder / "word_cnn")
    manifest = screener.manifest
    assert manifest["receipts"] == synthetic.receipts
    assert manifest["guarantee"]["epsilon"] == synthetic.receipt["about"]["epsilon"]
    assert manifest["labels"] == {"column": "topic", "unsafe": "loan", "safe": ["card"]}
    assert manifest["parity"]["agreement"] >= 0.995
    assert screener.screen("my loan number 9000 is lost").outcome == "block"
    assert screener.screen("my card number 9000 is lost").outcome == "allow"
    facts = json.loads((made.folder / FACTS).read_text())
    assert [suite["suite"] for suite in facts["students"][0]["functional_tests"]] == ["negation", "spelling"]
    evaluation = store.latest("small", "safety_evaluation")
    for name in (comparison.CURVE, comparison.CALIBRATION):
        assert (evaluation.folder / name).stat().st_size > 1_000
    [figures] = json.loads((evaluation.folder / comparison.FIGURES).read_text())
    assert figures["n"] == 60, "the public test split"
    assert figures["precision"] == figures["recall"] == 1.0
    assert {each["slice"] for each in figures["slices"]} == {
        "topic: card", "topic: loan", "length: up to 80 characters",
    }  # fmt: skip
    for path in home.root.rglob("*"):
        if path.is_file() and home.sensitive not in path.parents:
            assert MARKER.encode() not in path.read_bytes(), path


def test_metadata_plots_what_matters(published, run):
    result = run("safety_classifier", "safety_evaluation")
    shown = {e.asset_key.path[-1]: e.materialization.metadata for e in result.get_asset_materialization_events()}
    assert {"student", "megabytes", "latency_ms", "agreement_with_torch", "receipts"} <= set(shown["safety_classifier"])
    assert {"precision", "recall", "missed", "calibration_error"} <= set(shown["safety_evaluation"])


def test_without_a_passing_verdict_nothing_is_trained(published, run, store, failure_of):
    corpus, table = store.latest("small", "corpus"), store.latest("small", "synthetic")
    verdict = json.loads((store.latest("small", "verdict").folder / "verdict.json").read_text())
    verdict["passed"] = False
    next(rule for rule in verdict["results"] if rule["blocking"])["passed"] = False
    with store.draft("small", "verdict") as draft:
        (draft.folder / "verdict.json").write_text(json.dumps(verdict))
        failed = store.seal(draft, made_from={"corpus": corpus})
    with store.draft("small", "synthetic") as draft:
        (draft.folder / "release.json").write_text("{}")
        about = table.receipt["about"] | {"verdict": failed.id}
        store.seal(draft, made_from={"corpus": corpus}, about=about)
    assert "no passing quality verdict" in why(run("safety_classifier"), failure_of)
    assert store.find("small", "safety_classifier") is None


@pytest.mark.parametrize("trained", ["classifier", "safety_classifier"])
def test_a_verdict_on_another_corpus_is_none(published, run, store, failure_of, trained):
    corpus, table = store.latest("small", "corpus"), store.latest("small", "synthetic")
    with store.draft("small", "corpus") as draft:
        shutil.copy(corpus.folder / "corpus.parquet", draft.folder)
        other = store.seal(draft, made_from={"candidates": store.latest("small", "candidates")})
    with store.draft("small", "synthetic") as draft:
        (draft.folder / "release.json").write_text("{}")
        store.seal(draft, made_from={"corpus": other}, about=table.receipt["about"] | {"corpus": other.id})
    assert "no passing quality verdict" in why(run(trained), failure_of, trained)


def test_what_was_changed_since_it_was_sealed_is_refused(published, run, store, failure_of):
    """Of the table itself and of everything that it was made from; what was damaged is put right again each time."""
    for kind in ("synthetic", "corpus", "verdict", "candidates", "adapter", "label_histogram"):
        artifact = store.latest("small", kind)
        file, more = artifact.folder / "receipt.json", artifact.folder / "more.txt"
        whole = file.read_text(encoding="utf-8")
        for damage in ("receipt", "files"):
            if damage == "receipt":
                file.write_text(json.dumps({**json.loads(whole), "charges": []}), encoding="utf-8")
            else:
                more.write_text("more")
            said = why(run("safety_classifier"), failure_of)
            assert "not what was sealed" in said, (kind, damage)
            assert ("receipt.json was changed" if damage == "receipt" else "more.txt was added") in said, (kind, damage)
            file.write_text(whole, encoding="utf-8")
            more.unlink(missing_ok=True)
    table = Path(store.latest("small", "synthetic").receipt["about"]["parquet"])
    table.chmod(0o644)
    table.write_bytes(table.read_bytes() + b" ")
    assert f"{table.name} was changed" in why(run("safety_classifier"), failure_of)
    assert store.find("small", "safety_classifier") is None


@pytest.mark.parametrize("trained", ["classifier", "safety_classifier"])
def test_a_tampered_ledger_is_refused(published, run, home, failure_of, trained):
    import duckdb

    with duckdb.connect(str(home.ledger_file)) as connection:
        for (trigger,) in connection.execute("select trigger_name from duckdb_triggers()").fetchall():
            connection.execute(f'drop trigger "{trigger}" on entries' if "entries" in trigger else "select 1")
        connection.execute("update entries set body = replace(body, 'customer', 'consumer') where kind = 'registered'")
    assert "was changed after it was written" in why(run(trained), failure_of, trained)


@pytest.mark.parametrize("contract_path", ["validation: test_split"], indirect=True)
def test_public_rows_set_thresholds_or_test_and_never_both(published, run, store, home, contract):
    validation, tested, whole = public_halves(
        contract, public_rows.test_rows(contract, SensitiveStore(home=str(home.root)))
    )
    assert not set(validation.texts) & set(tested.texts)
    assert len(validation) + len(tested) == 60
    assert whole["text"].tolist() == tested.texts
    assert run("safety_classifier", "safety_evaluation").success
    manifest = Screener(store.latest("small", "safety_classifier").folder / "word_cnn").manifest
    thresholds = manifest["thresholds"]
    assert thresholds["calibration_rows"] + thresholds["certification_rows"] == len(validation)
    evaluation = store.latest("small", "safety_evaluation")
    assert json.loads((evaluation.folder / comparison.FIGURES).read_text())[0]["n"] == len(tested)


@pytest.fixture
def mixed_in(contract):
    """Public rows to mix in, there before anything is charged."""
    (contract.path.parent / "mix.jsonl").write_text(
        "\n".join(json.dumps({"text": f"a public word about a loan {row}", "topic": "loan"}) for row in range(9))
    )


@pytest.mark.parametrize(
    "contract_path", ["mix: {path: mix.jsonl, declared_public_by: owner@example.org}"], indirect=True
)
def test_declared_public_rows_are_mixed_in_and_need_two_signatures(mixed_in, published, run, store, contract):
    from dpsynth_assets.contract.diff import changes, terms_for_approval

    assert run("safety_classifier").success
    facts = json.loads((store.latest("small", "safety_classifier").folder / FACTS).read_text())
    assert sum(facts["rows"].values()) == 309
    after = terms_for_approval(contract)
    unmixed = {name: value for name, value in after["safety_classifier"].items() if name != "mix"}
    before = after | {"safety_classifier": unmixed}
    assert {change.weakens.removeprefix("nobody has signed for it yet: ") for change in changes(before, after)} == {
        "other rows are declared public"
    }
    assert changes(after, before)[0].weakens is None


@pytest.fixture
def learned(monkeypatch):
    """What students were given to learn, one entry a student."""
    given, train = [], students.train
    monkeypatch.setattr(
        students, "train", lambda name, rows, *more: (given.append(rows.targets), train(name, rows, *more))[1]
    )
    return given


@pytest.mark.parametrize("contract_path", ["teacher: minilm"], indirect=True)
def test_a_head_on_the_same_rows_teaches_the_students(published, run, store, learned):
    assert run("safety_classifier").success
    manifest = Screener(store.latest("small", "safety_classifier").folder / "word_cnn").manifest
    assert manifest["trained_on"]["taught_by"] == "minilm"
    [targets] = learned
    assert len(targets) == manifest["trained_on"]["texts"]
    assert ((targets > 0) & (targets < 1)).all()


@pytest.mark.parametrize("contract_path", [TAUGHT_BY_LABELLER], indirect=True)
def test_the_labeller_of_the_corpus_teaches_the_students(contract, run, store, monkeypatch, learned, failure_of):
    def train_with_dp(plan, rows, folder, progress, checkpoints, encoder):
        rows = [f"my {topic} number {row} is lost" for row, topic in enumerate(("card", "loan") * 40)]
        RECIPES["word_cnn"].train(TrainingSet(rows, ["card", "loan"] * 40, plan.classes), 0).save(folder)
        return SimpleNamespace(steps=plan.mechanism.steps, attempts=(plan.mechanism.steps,))

    monkeypatch.setattr(dp_training, "train_with_dp", train_with_dp)
    made = ("source", "adapter", "label_histogram", "labeller", "candidates", "corpus", "synthetic")
    result = run(*made, "safety_classifier")
    assert result.success, [event.message for event in result.all_events if event.is_failure]
    exported = store.latest("small", "safety_classifier")
    manifest = Screener(exported.folder / "word_cnn").manifest
    assert manifest["trained_on"]["taught_by"] == "labeller"
    [targets] = learned
    assert len(targets) == manifest["trained_on"]["texts"]
    assert ((targets > 0) & (targets < 1)).all()
    assert "small/labeller" in {charge["release"] for charge in exported.receipts}, "it is paid for"

    corpus = store.latest("small", "corpus")
    receipt = json.loads((corpus.folder / "receipt.json").read_text())
    del receipt["about"]["labeller"]
    (corpus.folder / "receipt.json").write_text(json.dumps(receipt))
    assert "receipt.json was changed" in why(run("safety_classifier"), failure_of)


@pytest.mark.parametrize("useful", [True, False])
def test_what_it_is_compared_with(contract_path, home, rooms, instance, store, monkeypatch, useful):
    """A contract with a baseline, whose source is public: the exported model, the baseline, and one on real rows."""

    def train_with_dp(plan, rows, folder, progress, checkpoints, encoder):
        frame = pd.concat(rows, ignore_index=True)
        labels = frame["topic"] if useful else frame["topic"].map({"card": "loan", "loan": "card"})
        RECIPES["word_cnn"].train(TrainingSet(frame["text"].tolist(), labels.tolist(), plan.classes), 0).save(folder)
        return SimpleNamespace(steps=plan.mechanism.steps, attempts=(plan.mechanism.steps,))

    monkeypatch.setattr(dp_training, "train_with_dp", train_with_dp)
    from dpsynth_assets.contract import load_contract
    from dpsynth_assets.factory import build_contract_defs
    from dpsynth_assets.gate.approval import sign
    from ledger import Ledger
    from resources.platform import platform_resources

    text = contract_path.read_text(encoding="utf-8").replace(
        "          generation:", CLASSIFIER + "          generation:"
    )
    text = text.replace("classification: confidential", "classification: public")
    text = text.replace("classification: restricted", "classification: public")
    text = text.replace("          base_model:", "          source_is_public: true\n          base_model:")
    contract_path.write_text(text, encoding="utf-8")
    contract = load_contract(contract_path)
    for actor in ("owner@example.org", "privacy@example.org"):
        sign(contract, Ledger(home.ledger_file), actor=actor, reason="for tests")
    defs = dg.Definitions.merge(
        build_contract_defs(contract), dg.Definitions(resources=platform_resources(str(home.root)))
    )
    job = defs.resolve_implicit_global_asset_job_def()
    result = job.execute_in_process(instance=instance, raise_on_error=False)
    assert result.success, [event.message for event in result.all_events if event.is_failure]
    evaluation = store.latest("small", "safety_evaluation")
    results = json.loads((evaluation.folder / comparison.FIGURES).read_text())
    compared = ["synthetic rows", "real rows with DP-SGD", "real rows"] if useful else ["synthetic rows", "real rows"]
    assert [(each["classifier"], each["trained_on"]) for each in results] == [("word_cnn", kind) for kind in compared]
    [made] = [e for e in result.get_asset_materialization_events() if e.asset_key.path[-1] == "safety_evaluation"]
    assert list(made.materialization.metadata["left_out"].value) == ([] if useful else ["real rows with DP-SGD"])
    releases = {charge["release"] for charge in evaluation.receipts}
    assert "small/dp_baseline" in releases, "its figures rest on that charge too"
    exported = store.latest("small", "safety_classifier")
    assert "small/dp_baseline" not in {charge["release"] for charge in exported.receipts}


def test_rows_of_every_part_are_what_the_contract_says(contract):
    import pandas as pd

    frame = pd.DataFrame({"text": [f"t {i}" for i in range(90)], "topic": ["loan", "card", "card"] * 30})
    rows = prepared(contract, labelled_rows(contract, frame), None, None, None)
    assert rows.train.unsafe.sum() + rows.validation.unsafe.sum() == 30


def test_a_contract_without_the_terms_has_no_such_assets(contract_path):
    from dpsynth_assets.contract import load_contract
    from dpsynth_assets.factory import asset_names

    with_it = set(asset_names(load_contract(contract_path)))
    text = contract_path.read_text(encoding="utf-8")
    start = text.index("          safety_classifier:")
    contract_path.write_text(text[:start] + text[text.index("    quality:") :], encoding="utf-8")
    assert with_it - set(asset_names(load_contract(contract_path))) == {"safety_classifier", "safety_evaluation"}
