"""Only what two people signed for is read, at the places that they signed; and as public what is nobody's secret."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest

from dpsynth_assets.contract import SourcePlaceError, load_contract
from dpsynth_assets.contract.classifiers import PublicRows, SafetyClassifier
from dpsynth_assets.contract.diff import changes, terms_for_approval
from dpsynth_assets.gate.approval import ApprovalNeededError, require_approved
from dpsynth_assets.gate.binding import bind
from dpsynth_assets.gate.public_rows import mixed_rows, public_rows, test_rows
from dpsynth_assets.gate.sources import source_of
from ledger import LedgerError, TermsConflict
from resources.sensitive_store import ProtectedRowsError, SensitiveStore
from resources.tabular import SourceError

test_rows.__test__ = False  # a reader of rows, no test


@pytest.fixture
def store(home):
    return SensitiveStore(home=str(home.root))


def edited(contract, *changes, name="small.odcs.yaml"):
    """The contract with its file edited."""
    text = contract.path.read_text(encoding="utf-8")
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    path = contract.path.with_name(name)
    path.write_text(text, encoding="utf-8")
    return load_contract(path)


def with_copies(contract, *places):
    named = f"          source_copies: [{', '.join(places)}]\n          generation:"
    return edited(contract, ("          generation:", named))


PUBLIC = (
    ("confidential", "public"),
    ("restricted", "public"),
    ("          generation:", "          source_is_public: true\n          generation:"),
)


def published(contract, *changes):
    """Another population's contract, whose source is declared public: other records, in a file of their own."""
    made = edited(
        contract,
        *PUBLIC,
        ("id: small", "id: published"),
        ("population: small-bank", "population: readers"),
        ("train.jsonl", "published.jsonl"),
        *changes,
        name="published.odcs.yaml",
    )
    write(made, "published.jsonl", [f"a letter to the editor, number {i}" for i in range(40)])
    return made


def write(contract, name, texts, **more):
    rows = [{"customer": f"x{i}", "text": text, "topic": "card", **more} for i, text in enumerate(texts)]
    path = contract.path.parent / name
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return path


def secrets_of(contract):
    lines = contract.path.with_name("train.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["text"] for line in lines]


def bound(contract, book, store, copy=None):
    snapshot = store.ingest(source_of(contract, copy))
    bind(contract, snapshot, book, store)
    return snapshot


# What is signed is what is read.


def test_another_place_takes_two_signatures(contract, book, agree):
    require_approved(contract, book)
    moved = edited(contract, ("path: train.jsonl", "path: payroll.jsonl"))
    with pytest.raises(ApprovalNeededError, match=r"payroll\.jsonl \(what lies at another place is read\)"):
        require_approved(moved, book)
    agree(moved, book)
    require_approved(moved, book)


def test_a_copy_of_the_contract_in_another_folder_names_other_places(contract, book, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(contract.path.parent, elsewhere)
    with pytest.raises(ApprovalNeededError, match="what lies at another place is read"):
        require_approved(load_contract(elsewhere / contract.path.name), book)


def test_every_place_that_a_contract_names_is_signed_as_seen_from_the_ledger(contract, home, tmp_path):
    mix = PublicRows(path="mix.jsonl", declared_public_by="owner@example.org")
    terms = {
        "source_copies": ("copy.jsonl",),
        "classifier": contract.privacy.classifier.model_copy(update={"mix": mix}),
        "safety_classifier": SafetyClassifier(target="topic", unsafe="loan", mix=mix),
    }
    made = replace(contract, source="/exports/train.jsonl", privacy=contract.privacy.model_copy(update=terms))
    copied = replace(made, path=tmp_path / "elsewhere" / made.path.name)
    signed, asked = (terms_for_approval(each.seen_from(home.root / "ledger")) for each in (made, copied))
    assert {change.term for change in changes(signed, asked) if change.weakens} == {
        "source_copies",
        "test_split.path",
        "classifier.mix.path",
        "safety_classifier.mix.path",
    }


def test_free_assets_do_not_follow_the_contract_into_another_folder(contract, snapshotted, store, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(contract.path.parent, elsewhere)
    with pytest.raises(SourceError, match="lies in another folder"):
        test_rows(load_contract(elsewhere / contract.path.name), store)


def test_a_deployment_that_is_moved_as_a_whole_needs_no_new_signature(contract, snapshotted, home, tmp_path):
    from ledger import Ledger

    moved = tmp_path / "moved"
    shutil.copytree(contract.path.parent, moved / "contracts")
    shutil.copytree(home.root, moved / "home")
    there = load_contract(moved / "contracts" / contract.path.name)
    require_approved(there, Ledger(moved / "home" / "ledger" / "ledger.duckdb"))
    assert len(test_rows(there, SensitiveStore(home=str(moved / "home")))) == 60


def test_what_lies_at_the_place_may_change(contract, snapshotted, store):
    write(contract, "train.jsonl", ["a new export"])
    assert bound(contract, snapshotted, store) == store.latest(source_of(contract))


@pytest.mark.parametrize("given", ["elsewhere.jsonl", "copies/../elsewhere.jsonl", "hub:bank/inbox", "."])
def test_a_place_that_the_contract_does_not_name_is_not_read(contract, store, monkeypatch, given):
    monkeypatch.chdir(contract.path.parent)
    write(contract, "elsewhere.jsonl", ["else"])
    monkeypatch.setattr("resources.ingestion.batches_at", lambda *asked: pytest.fail("it was read"))
    with pytest.raises(
        SourceError, match=r"Add the place to privacy\.source_copies .*dpsynth approve small\.odcs\.yaml"
    ):
        store.ingest(source_of(with_copies(contract, "copies/c*.csv", "copies/a.jsonl"), given))
    assert store.copies() == []


def test_copies_are_signed_for_and_then_read(contract, book, store, agree, monkeypatch):
    copying = with_copies(contract, "exports/inbox-*.jsonl")
    with pytest.raises(ApprovalNeededError, match=r"source_copies: nothing -> .*exports/inbox-"):
        require_approved(copying, book)
    agree(copying, book)
    require_approved(copying, book)
    (contract.path.parent / "exports" / "inbox-a").mkdir(parents=True)
    copy = write(contract, "exports/inbox-2.jsonl", ["text"])
    monkeypatch.chdir(contract.path.parent / "exports")
    assert bound(copying, book, store, "inbox-2.jsonl").source == str(copy)
    for other in ("inbox-a/b.jsonl", "inbox-2.csv", "x-inbox-2.jsonl"):
        with pytest.raises(SourcePlaceError):
            copying.with_source(other)


def test_fewer_copies_need_nobody(contract, book, agree):
    agree(with_copies(contract, "a*.jsonl", "b.jsonl"), book)
    text = contract.path.read_text(encoding="utf-8")
    contract.path.write_text(text.replace("[a*.jsonl, b.jsonl]", "[b.jsonl]"), encoding="utf-8")
    require_approved(load_contract(contract.path), book)


@pytest.mark.parametrize("pattern", ['"*"', '"*.jsonl"', '"../**/a.jsonl"', "hub:bank", "hub:bank/*", '"a[bc].jsonl"'])
def test_a_pattern_that_says_little_is_refused(contract, pattern):
    from dpsynth_assets.contract import ContractError

    with pytest.raises(ContractError, match=r"privacy\.source_copies"):
        with_copies(contract, pattern)


def test_public_rows_are_not_declared_at_a_place_of_the_source(contract):
    from dpsynth_assets.contract import ContractError

    with pytest.raises(ContractError, match="the public test split is the sensitive source itself"):
        with_copies(contract, '"te*.jsonl"')


def test_rows_to_mix_in_are_not_declared_at_a_place_of_a_copy(contract):
    from dpsynth_assets.contract import ContractError

    mix = "mix: {path: exports/a1.jsonl, declared_public_by: owner@example.org}"
    with pytest.raises(ContractError, match=r"classifier\.mix\.path: these public rows are the sensitive source"):
        edited(
            contract,
            ("          generation:", "          source_copies: [exports/a*.jsonl]\n          generation:"),
            ("classifier: {target: topic}", f"classifier: {{target: topic, {mix}}}"),
        )


def test_no_launch_reads_a_place_that_was_not_signed(run, rooms, contract, store):
    other = write(contract, "other.jsonl", ["text"])
    result = run("source", run_config={"ops": {"small__source": {"config": {"source": str(other)}}}})
    assert not result.success
    [failure] = [each for each in result.all_events if each.is_step_failure]
    assert "privacy.source_copies" in failure.step_failure_data.user_failure_data.description
    assert store.copies() == []


# A snapshot stands only when it is bound.


def test_a_refused_snapshot_never_stands_and_the_former_one_does(contract, snapshotted, store, home, agree):
    private = store.latest(source_of(contract))
    unit = contract.privacy.unit.model_copy(update={"name": "household"})
    privacy = contract.privacy.model_copy(update={"population": "households", "unit": unit})
    other = replace(contract, id="other", privacy=privacy)
    agree(other, snapshotted)
    write(contract, "mine.jsonl", [f"mine {i}" for i in range(40)])
    former = bound(replace(other, source="mine.jsonl"), snapshotted, store)
    refused = store.ingest(source_of(other))  # now the bank's very file
    assert store.latest(source_of(other)) == former
    with pytest.raises(TermsConflict):
        bind(other, refused, snapshotted, store)
    assert store.latest(source_of(other)) == former
    assert store.latest(source_of(contract)) == private
    assert not (home.sensitive / "other" / refused.id).exists()


def test_a_snapshot_that_was_never_bound_goes_with_the_next_one(contract, snapshotted, store, home):
    former, left = store.latest(source_of(contract)), store.ingest(source_of(contract))
    assert store.latest(source_of(contract)) == former
    new = bound(contract, snapshotted, store)
    assert not (home.sensitive / "small" / left.id).exists()
    assert store.latest(source_of(contract)) == new
    with pytest.raises(SourceError, match="another snapshot of small was taken before this one was bound"):
        bind(contract, left, snapshotted, store)
    assert store.latest(source_of(contract)) == new


def test_whatever_the_ledger_raises_the_snapshot_does_not_stand(contract, snapshotted, store, monkeypatch):
    former, new = store.latest(source_of(contract)), store.ingest(source_of(contract))

    def busy(*_, **__):
        raise LedgerError("busy")

    monkeypatch.setattr(type(snapshotted), "bind_source", busy)
    with pytest.raises(LedgerError, match="busy"):
        bind(contract, new, snapshotted, store)
    assert store.latest(source_of(contract)) == former
    assert [copy.snapshot for copy in store.copies()] == [former.id]


def test_a_manifest_of_an_earlier_version_asks_for_a_new_snapshot(contract, snapshotted, store, home):
    manifest = home.sensitive / "small" / store.latest(source_of(contract)).id / "manifest.json"
    stated = json.loads(manifest.read_text(encoding="utf-8"))
    manifest.write_text(json.dumps({**stated, "fingerprint": stated.pop("identity")}), encoding="utf-8")
    with pytest.raises(SourceError, match="another version of the platform: materialize small/source again"):
        store.latest(source_of(contract))


# A public declaration covers what is nobody's secret.


@pytest.mark.parametrize("left_out", [0, 1, 40])
def test_a_public_declaration_does_not_cover_anothers_records(contract, snapshotted, store, agree, left_out):
    public = published(contract)
    agree(public, snapshotted)
    former = bound(public, snapshotted, store)
    write(public, "published.jsonl", [*secrets_of(contract)[left_out:], *(f"of our own {i}" for i in range(500))])
    with pytest.raises(ProtectedRowsError, match="records of a source that is protected"):
        store.ingest(source_of(public))
    assert store.latest(source_of(public)) == former
    assert "of our own" not in " ".join(store.read_public(source_of(public)).text)
    with pytest.raises(ProtectedRowsError):  # the file, which is read anew
        public_rows(public, store)


def test_what_became_protected_later_is_not_read_as_public_any_more(contract, book, store, agree):
    public = published(contract)
    agree(public, book)
    write(public, "published.jsonl", secrets_of(contract))
    bound(public, book, store)
    assert len(store.read_public(source_of(public))) == 60
    bound(contract, book, store)
    with pytest.raises(ProtectedRowsError):
        store.read_public(source_of(public))


def test_other_contracts_of_the_population_do_not_make_it_public_either(contract, snapshotted, store, agree):
    public = published(contract, ("population: readers", "population: small-bank"))
    agree(public, snapshotted)
    write(public, "published.jsonl", secrets_of(contract))
    with pytest.raises(ProtectedRowsError):
        store.ingest(source_of(public))


def test_two_people_may_declare_public_what_was_protected(contract, snapshotted, store, agree):
    public = edited(contract, *PUBLIC)
    agree(public, snapshotted)
    bound(public, snapshotted, store)
    assert len(store.read_public(source_of(public))) == len(public_rows(public, store)) == 60


def test_a_release_without_privacy_asks_the_ledger_like_any_other(contract, book, store, agree, home):
    """Of a home whose ledger was put back to an earlier state, say."""
    from dpsynth_assets.gate.passage import Stores
    from dpsynth_assets.gate.uncharged import uncharged

    public = published(contract)
    agree(public, book)
    bound(public, book, store)
    asked = []
    book_of = type(book)
    original = book_of.bind_source
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(book_of, "bind_source", lambda *a, **k: asked.append(k) or original(*a, **k))
        stores = Stores(_Opens(book), store, _Artifacts())
        with uncharged(public, _Plan(), stores, _Draft(), lambda snapshot: None, None) as passage:
            assert sum(len(frame) for frame in passage.rows()) == 40
    assert asked


class _Opens:
    def __init__(self, book):
        self.open = lambda: book


class _Plan:
    def digest(self):
        return "d" * 64


class _Draft:
    kind, folder = "adapter", None


class _Artifacts:
    from contextlib import contextmanager

    @contextmanager
    def unfinished(self, *_):
        yield None

    def seal(self, *_, **__):
        return None


def test_a_benchmark_in_homes_of_its_own_does_not_read_them_either(contract, snapshotted, store, agree, monkeypatch):
    from dpsynth_assets.cli.console import BadInput
    from dpsynth_assets.cli.utility import compare

    public = published(contract)
    compare._require_unprotected(public, None)
    write(public, "published.jsonl", secrets_of(contract))
    with pytest.raises(BadInput, match="records of a source that is protected"):
        compare._require_unprotected(public, None)


# Test splits and rows to mix in.


def test_the_test_split_does_not_follow_to_rows_that_were_protected(contract, book, store, agree):
    column = "      - {name: split, logicalType: string, required: true, classification: internal, description: S.}\n"
    split = edited(
        contract,
        ("    customProperties:", f"{column}    customProperties:"),
        ("          generation:", "          source_where: {split: train}\n          generation:"),
        ("{path: test.jsonl,", "{path: source, where: {split: test},"),
        ("          budget:", "          source_copies: [newer*.jsonl]\n          budget:"),
    )
    agree(split, book)
    rows = [{"customer": f"c{i}", "text": f"secret {i}", "topic": "card"} for i in range(100)]

    def dump(name, first, second):
        said = [first] * 80 + [second] * 20
        lines = [json.dumps(row | {"split": part}) for row, part in zip(rows, said, strict=True)]
        path = split.path.with_name(name)
        path.write_text("\n".join(lines), encoding="utf-8")
        return path

    dump("train.jsonl", "train", "test")
    bound(split, book, store)
    assert len(test_rows(split, store)) == 20
    newer = dump("newer.jsonl", "test", "train")
    bound(split, book, store, str(newer))
    with pytest.raises(ProtectedRowsError, match="the public test split of small is declared public, but"):
        test_rows(split, store)


@pytest.mark.parametrize(
    "rewrite",
    [str, str.upper, lambda text: f" {text} ", lambda text: text.replace(" ", "\n\t")],
    ids=["as it is", "capitals", "blanks", "lines"],
)
def test_a_test_split_that_holds_protected_rows_is_refused(contract, snapshotted, store, rewrite):
    """As they are, or as programs write them on their way."""
    assert len(test_rows(contract, store)) == 60
    secrets = map(rewrite, secrets_of(contract)[:10])
    write(contract, "test.jsonl", [*secrets, *(f"our own {i}" for i in range(500))])
    with pytest.raises(ProtectedRowsError):
        test_rows(contract, store)


def test_a_few_texts_in_common_are_coincidence(contract, snapshotted, store):
    """Else a test split would say whether one record is in the source."""
    write(contract, "test.jsonl", [*secrets_of(contract)[:9], "our own"])
    assert len(test_rows(contract, store)) == 10


def test_rows_to_mix_in_that_are_protected_are_refused(contract, snapshotted, store):
    mix = PublicRows(path="mix.jsonl", declared_public_by="owner@example.org")
    write(contract, "mix.jsonl", [f"our own {i}" for i in range(20)])
    assert len(mixed_rows(contract, mix, store)) == 20
    write(contract, "mix.jsonl", secrets_of(contract))
    with pytest.raises(ProtectedRowsError, match="the public rows to mix in of small"):
        mixed_rows(contract, mix, store)


def test_rows_to_mix_in_are_read_under_terms_that_were_approved_alone(contract, snapshotted, store):
    mix = PublicRows(path="mix.jsonl", declared_public_by="owner@example.org")
    write(contract, "mix.jsonl", ["text"])
    with pytest.raises(SourceError, match="has changed since"):
        mixed_rows(replace(contract, digest="0" * 64), mix, store)
