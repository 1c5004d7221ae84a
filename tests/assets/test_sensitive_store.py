"""The one door to the rows: who gets through, and that everything behind it is done unit by unit."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from dpsynth_assets.gate.binding import bind
from dpsynth_assets.gate.sources import source_of
from ledger import Grant, LedgerError, PoissonSampledGaussian
from resources.sensitive_store import GrantRequiredError, SensitiveStore
from resources.tabular import SourceError

MARKER = "XYZZY-4471-PLUGH"
EVENT = PoissonSampledGaussian(0.2, 3.0, 3)


@pytest.fixture
def store(home):
    return SensitiveStore(home=str(home.root))


def grant_from(reservation, token="t" * 43) -> Grant:
    return Grant(
        reservation_id=reservation.id,
        population=reservation.population,
        release=reservation.release,
        event=reservation.event,
        owner=reservation.owner,
        plan_digest=reservation.plan_digest,
        source=reservation.source,
        token=token,
    )


def test_an_activated_grant_opens_the_door_once(reserve, book, store, contract):
    grant = book.activate(reserve(EVENT))
    rows = store.read(grant, source_of(contract))
    assert list(rows.columns) == ["unit", "text", "topic"]
    assert len(rows) == 60
    with pytest.raises(LedgerError):
        store.read(grant, source_of(contract))


def test_nothing_else_does(reserve, book, store, contract):
    reserved = reserve(EVENT)
    for forged in (None, object(), "a token", reserved):
        with pytest.raises(GrantRequiredError, match="activated grant"):
            store.read(forged, source_of(contract))
    with pytest.raises(LedgerError):
        store.read(grant_from(reserved), source_of(contract))  # reserved, never activated
    real = book.activate(reserved)
    with pytest.raises(LedgerError):
        store.read(grant_from(reserved), source_of(contract))  # activated, but the token is made up
    with pytest.raises(LedgerError):
        store.read(replace(real, reservation_id="nobody-1"), source_of(contract))
    book.forfeit(reserved.id, reason="test")
    with pytest.raises(LedgerError):
        store.read(real, source_of(contract))  # finished


def test_a_grant_of_another_population_does_not(reserve, book, store, contract):
    from ledger import AddPopulation, People, Scope

    scope = Scope("others", "customer", "add_or_remove_one_unit", 8.0, 1e-5, (EVENT,))
    asked = book.propose(AddPopulation(scope, People(("one",), ("two",))), actor="one", reason="test")
    book.approve(asked, actor="two", reason="test")
    book.bind_source("others", "e" * 64)
    theirs = book.reserve(
        "others", EVENT, source="e" * 64, release="small/adapter", key="key", owner="run", plan_digest="d" * 64
    )
    with pytest.raises(LedgerError, match="others"):
        store.read(book.activate(theirs), source_of(contract))


def test_a_source_that_was_never_bound_is_not_read(book, store, contract, reserve, contract_path):
    grant = book.activate(reserve(EVENT))
    source = contract_path.parent / "train.jsonl"
    source.write_text(json.dumps({"customer": "c", "text": "else", "topic": "card"}), encoding="utf-8")
    store.ingest(source_of(contract))
    assert "else" not in set(store.read(grant, source_of(contract)).text), (
        "the grant is for the snapshot that was bound"
    )
    assert store.latest(source_of(contract)).identity == grant.source


def test_a_grant_reads_what_it_was_given_for_though_another_snapshot_stands(book, store, contract, reserve):
    grant = book.activate(reserve(EVENT))
    source = contract.path.parent / "train.jsonl"
    source.write_text(json.dumps({"customer": "c", "text": "newer", "topic": "card"}), encoding="utf-8")
    bind(contract, store.ingest(source_of(contract)), book, store)
    assert store.latest(source_of(contract)).identity != grant.source
    assert len(store.read(grant, source_of(contract))) == 60


def test_a_changed_contract_needs_a_new_snapshot(book, store, contract, reserve):
    grant = book.activate(reserve(EVENT))
    with pytest.raises(SourceError, match="materialize small/source again"):
        store.read(grant, source_of(replace(contract, digest="0" * 64)))


def rows_of(store, contract, records, **options):
    """What a grant would give for these records."""
    path = contract.path.parent / "some.jsonl"
    path.write_text("\n".join(json.dumps(record) for record in records), encoding="utf-8")
    snapshot = store.ingest(source_of(replace(contract, source=str(path))), **options)
    return store._rows(snapshot, source_of(contract))


def record(unit, text, topic="card"):
    return {"customer": unit, "text": text, "topic": topic}


def test_records_the_contract_does_not_describe_are_left_out_one_by_one(store, contract):
    rows = rows_of(
        store,
        contract,
        [
            record("a", "kept"),
            record("a", "other label", "mortgage"),
            record(None, "no unit"),
            record("b", None),
            record("b", "  "),
            record("b", "no label", None),
        ],
    )
    assert rows.values.tolist() == [["a", "kept", "card"]]


def test_a_unit_keeps_at_most_its_bound_and_the_same_records_whoever_else_is_there(store, contract):
    many = [record("a", f"text {i}") for i in range(9)]
    alone = rows_of(store, contract, many)
    assert len(alone) == 2
    beside = rows_of(store, contract, [record("b", "x"), *many, record("c", "text 3")])
    assert set(beside[beside.unit == "a"].text) == set(alone.text)
    assert set(beside.unit) == {"a", "b", "c"}


def test_thinning_keeps_whole_units_and_decides_each_alone(store, contract):
    everyone = [record(f"u{i}", f"{i} {j}") for i in range(300) for j in range(2)]
    half = rows_of(store, contract, everyone, size=0.5)
    assert 90 < half.unit.nunique() < 210
    assert (half.groupby("unit").size() == 2).all()
    fewer = rows_of(store, contract, everyone[:-20], size=0.5)
    assert set(fewer.unit) == {unit for unit in half.unit if unit not in {f"u{i}" for i in range(290, 300)}}


def test_nothing_that_is_shown_says_whether_two_snapshots_hold_the_same_rows(store, contract, snapshotted, home):
    """Else whoever knows all records but one would try out what the last one is."""
    first = store.latest(source_of(contract))
    again = store.ingest(source_of(contract))
    bind(contract, again, snapshotted, store)
    assert again.identity != first.identity
    assert again.content is first.content is None
    assert [entry.kind for entry in snapshotted.entries()].count("bound") == 2, "the same rows are bound anew"


def test_a_public_source_is_known_again(store, contract):
    """By it, unfinished work without privacy is found; whoever may read the rows may compare them."""
    public = replace(contract, privacy=contract.privacy.model_copy(update={"source_is_public": True}))
    assert store.ingest(source_of(public)).content == store.ingest(source_of(public), size=0.3).content


def test_the_manifest_holds_no_figure_of_the_rows(store, contract, home):
    store.ingest(source_of(contract))
    [manifest] = (home.sensitive / "small").glob("*/manifest.json")
    assert set(json.loads(manifest.read_text(encoding="utf-8"))) == {
        "contract", "id", "identity", "source", "copy", "size", "contract_digest", "seen_at", "created", "kept_until",
        "blocks", "overlaps", "content",
    }  # fmt: skip


def test_what_was_left_out_is_counted_by_the_rows_and_for_their_owner_alone(store, contract, home):
    path = contract.path.parent / "some.jsonl"
    path.write_text(f'{{"customer": "a", "text": "{MARKER}", "topic": "card"}}\n{{\n{{"text": 5}}', encoding="utf-8")
    snapshot = store.ingest(source_of(replace(contract, source=str(path))))
    [counted] = home.sensitive.rglob("source.json")
    assert counted.parent.parent.name == snapshot.id
    assert counted.stat().st_mode & 0o777 == 0o600
    assert json.loads(counted.read_text(encoding="utf-8")) == {
        "records": 3, "without text": 2, "without customer": 2, "without a declared topic": 2,
    }  # fmt: skip
    store.forget("small")
    assert not counted.exists()


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".jsonl"])
def test_formats_and_stored_codes(store, contract, suffix):
    import pandas as pd

    coded = contract.privacy.labels[0].model_copy(update={"codes": (7, 9), "spellings": ("Card!", "Loan!")})
    contract = replace(contract, privacy=contract.privacy.model_copy(update={"labels": (coded,)}))
    frame = pd.DataFrame({"customer": ["a", "b", "c"], "text": ["x, y", 'say "no"', "z\nz"], "topic": [7, 9, 8]})
    path = contract.path.parent / f"data{suffix}"
    if suffix == ".parquet":
        frame.to_parquet(path)
    elif suffix == ".csv":
        frame.to_csv(path, index=False)
    else:
        frame.to_json(path, orient="records", lines=True)
    rows = store._rows(store.ingest(source_of(replace(contract, source=str(path)))), source_of(contract))
    assert rows.values.tolist() == [["a", "x, y", "card"], ["b", 'say "no"', "loan"]]


def test_row_filters_choose_rows_one_by_one(store, contract):
    privacy = contract.privacy.model_copy(update={"source_where": {"customer": "a"}})
    rows = rows_of(store, replace(contract, privacy=privacy), [record("a", "in"), record("b", "out")])
    assert rows.text.tolist() == ["in"]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("gone.jsonl", None, "does not exist"),
        ("text.doc", MARKER, "is not one of"),
        ("torn.parquet", MARKER, "could not be parsed as .parquet"),
        ("less.csv", f"text\n{MARKER}", "lacks the columns customer, topic"),
        ("twice.csv", f"customer,text,topic,text\na,{MARKER},card,b", "has the columns text twice"),
        ("nothing.csv", "", "is empty and has no header"),
        ("unclosed.csv", f'"{MARKER}', "has no header that can be read"),
        ("some.duckdb", MARKER, "is no DuckDB file"),
        ("some.sqlite", MARKER, "is no SQLite file"),
        ("some.xlsx", MARKER, "could not be parsed as .xlsx"),
        ("some.csv.gz", MARKER, "could not be parsed as .csv"),
        ("some.parquet.gz", MARKER, "is not one of"),
    ],
)
def test_a_source_that_does_not_fit_is_refused_without_quoting_it(store, contract, name, content, says):
    path = contract.path.parent / name
    if content is not None:
        path.write_text(content, encoding="utf-8")
    with pytest.raises(SourceError, match=says) as caught:
        store.ingest(source_of(replace(contract, source=str(path))))
    assert MARKER not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_a_hub_dataset_is_fetched_by_split(store, contract, monkeypatch, tmp_path):
    import huggingface_hub
    import pandas as pd

    asked = {}

    def snapshot_download(name, repo_type, allow_patterns):
        asked.update(name=name, repo_type=repo_type, patterns=allow_patterns)
        (tmp_path / "hub" / "data").mkdir(parents=True)
        for split in ("train", "test"):
            frame = pd.DataFrame({"customer": ["a"], "text": [split], "topic": ["card"]})
            frame.to_parquet(tmp_path / "hub" / "data" / f"{split}-00000.parquet")
        return str(tmp_path / "hub")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    privacy = contract.privacy.model_copy(update={"source_where": {"split": "train"}})
    contract = replace(contract, privacy=privacy)
    rows = store._rows(store.ingest(source_of(replace(contract, source="hub:bank/inbox"))), source_of(contract))
    assert rows.text.tolist() == ["train"]
    assert asked == {"name": "bank/inbox", "repo_type": "dataset", "patterns": ["*train*.parquet"]}


SPLITS = {
    "train": ["data/train-00000-of-00002", "data/train-00001-of-00002", "more/train"],
    "untrained": ["data/untrained-00000"],
    "test": ["train/test-00000", "data/test.0"],
    "validation": ["default/validation/0000"],
}


@pytest.mark.parametrize("split", [*SPLITS, "t", "rain", "", "*", "[!x]", "0000", "default", "data", "Train"])
def test_a_split_on_the_hub_is_chosen_by_its_whole_name_and_each_file_is_of_one(
    store, contract, monkeypatch, tmp_path, split
):
    import huggingface_hub
    import pandas as pd

    for names in SPLITS.values():
        for name in names:
            path = tmp_path / "hub" / f"{name}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            pd.DataFrame({"customer": ["a"], "text": [name], "topic": ["card"]}).to_parquet(path)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_, **__: str(tmp_path / "hub"))
    unit = contract.privacy.unit.model_copy(update={"max_records": 9})
    privacy = contract.privacy.model_copy(update={"source_where": {"split": split}, "unit": unit})
    contract = replace(contract, privacy=privacy, source="hub:bank/inbox")
    if split in SPLITS:
        assert sorted(store._rows(store.ingest(source_of(contract)), source_of(contract)).text) == sorted(SPLITS[split])
    else:
        with pytest.raises(SourceError, match=r"holds no Parquet file of the split.*NAME-\*\.parquet"):
            store.ingest(source_of(contract))


def test_an_unreachable_hub_says_what_to_do(store, contract, monkeypatch):
    import huggingface_hub

    def offline(*_, **__):
        raise ConnectionError("no route")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", offline)
    with pytest.raises(SourceError, match="give a local copy with --source"):
        store.ingest(source_of(replace(contract, source="hub:bank/inbox")))
