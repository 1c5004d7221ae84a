"""Publishing: what is let in, what analysts see, and that readers and writers do not disturb each other."""

import json
import shutil
import threading
from dataclasses import replace
from datetime import datetime

import duckdb
import pandas as pd
import pyarrow as pa
import pytest

from dpsynth_assets.contract import QualityRule
from dpsynth_assets.publish import parquet
from dpsynth_assets.publish.release import PublishError, PublishRefused, QueryError
from dpsynth_assets.publish.sql import literal
from dpsynth_assets.publish.warehouse import differences, left_out, put_right, rebuild, releases
from dpsynth_assets.quality.rules import evaluate
from dpsynth_assets.quality.verdict import Verdict
from tests.duckdb_files import UNUSABLE, held
from tests.publish.conftest import Tables, publish, query

pytestmark = pytest.mark.slow


def test_analysts_see_the_table_its_guarantee_and_its_papers(home, put):
    path = put()
    assert query(home, "SELECT * FROM inbox.messages ORDER BY message") == (
        ["message", "topic"],
        [("good bye", "card"), ("hello there", "loan")],
    )
    columns, (row,) = query(home, "SELECT * FROM releases")
    entry = dict(zip(columns, row, strict=True))
    assert (entry["epsilon"], entry["delta"], entry["unit"], entry["latest"]) == (8.0, 1e-6, "customer", True)
    assert entry["created"] == datetime(2030, 1, 1)
    assert json.loads(entry["receipts"]) == [{"event": "poisson_sampled_gaussian", "entry": 7, "hash": "ab12"}]
    assert home / "parquet" / entry["parquet"] == path
    assert query(home, f"SELECT count(*) FROM {entry['view_name']}")[1] == [(2,)]
    assert query(home, "SELECT bool_and(passed), count(*) > 5 FROM quality")[1] == [(True, True)]


def test_comments_state_the_guarantee_in_words(home, put):
    put()
    ((comment,),) = query(home, "SELECT comment FROM duckdb_views() WHERE view_name = 'messages'")[1]
    assert "What customers write to their bank." in comment
    for words in ("no row is a real record", "epsilon = 8 ", "delta = 1e-06", "one customer with all its records"):
        assert words in comment
    assert query(home, "SELECT column_name, comment FROM duckdb_columns() WHERE table_name = 'messages'")[1] == [
        ("message", "Synthetic. In the source: The customer's words"),
        ("topic", "Synthetic. In the source: What it's about"),
    ]


def test_the_parquet_file_carries_its_papers_and_is_not_writable(put):
    path = put()
    metadata = parquet.read(path)
    assert metadata.release.receipts[0]["entry"] == 7
    assert metadata.verdict.passed
    assert "epsilon = 8" in metadata.guarantee
    assert path.stat().st_mode & 0o222 == 0
    assert pd.read_parquet(path).columns.tolist() == ["message", "topic"]


def test_the_latest_release_is_shown_and_older_ones_remain(home, put):
    put("old words", "old again", created="2030-01-01T00:00:00+00:00")
    put("new words", "new again", id="R-2", created="2030-02-01T00:00:00+00:00")
    put("late words", "published late", id="r0", created="2029-01-01T00:00:00+00:00")
    assert query(home, "SELECT min(message) FROM inbox.messages")[1] == [("new again",)]
    rows = query(home, "SELECT release_id, view_name FROM releases ORDER BY created")[1]
    assert rows == [("r0", "inbox.messages__r0"), ("r1", "inbox.messages__r1"), ("R-2", "inbox.messages__r_2")]
    for _, view in rows:
        assert query(home, f"SELECT count(*) FROM {view}")[1] == [(2,)]
    assert [record.id for record in releases(home, Tables())] == ["r0", "r1", "R-2"]


def test_two_contracts_share_a_warehouse_and_may_share_release_ids(home, put, contract):
    put()
    put("another table", "of another contract", under=replace(contract, id="claims-eu"))
    assert query(home, 'SELECT min(message) FROM "claims-eu".messages')[1] == [("another table",)]
    assert query(home, "SELECT count(*) FROM inbox.messages")[1] == [(2,)]
    view = query(home, "SELECT view_name FROM releases WHERE contract = 'claims-eu'")[1][0][0]
    assert query(home, f"SELECT count(*) FROM {view}")[1] == [(2,)]


def test_a_variant_has_a_schema_that_needs_no_quotes(home, put, contract):
    put()
    put("a text", "of a variant", under=replace(contract, id="inbox--lora-0.5"))
    assert query(home, "SELECT min(message) FROM inbox__lora_0_5.messages")[1] == [("a text",)]
    ((view,),) = query(home, "SELECT view_name FROM releases WHERE contract = 'inbox--lora-0.5'")[1]
    assert view == "inbox__lora_0_5.messages__r1"
    assert query(home, f"SELECT count(*) FROM {view}")[1] == [(2,)]
    with pytest.raises(QueryError, match=r"Published: inbox\.messages, inbox__lora_0_5\.messages"):
        query(home, "SELECT * FROM nothing.at_all")


def test_two_contracts_cannot_have_one_schema(home, put, contract):
    put(under=replace(contract, id="inbox--lora-3"))
    with pytest.raises(PublishRefused, match="would share the SQL schema inbox__lora_3"):
        put(under=replace(contract, id="inbox__lora_3"))
    assert query(home, "SELECT contract FROM releases")[1] == [("inbox--lora-3",)]


def test_a_release_without_guarantee_has_no_epsilon_and_says_so(home, put):
    put(epsilon=None, delta=None, receipts=())
    ((epsilon, delta, said),) = query(home, "SELECT epsilon, delta, guarantee FROM releases")[1]
    assert (epsilon, delta) == (None, None)
    assert "no privacy guarantee at all" in said
    assert "Differentially private" not in said
    ((comment,),) = query(home, "SELECT comment FROM duckdb_views() WHERE view_name = 'messages'")[1]
    assert said in comment


def test_quotes_in_descriptions_and_names_are_only_text(home, put, contract):
    odd = replace(contract, description="It's \"fine\"'; DROP TABLE releases; --")
    put(under=odd)
    assert query(home, "SELECT count(*) FROM releases")[1] == [(1,)]
    ((comment,),) = query(home, "SELECT comment FROM duckdb_views() WHERE view_name = 'messages'")[1]
    assert odd.description in comment


# What must not get in


def test_a_failing_verdict_is_refused_and_leaves_nothing(home, corpus, judged, release, contract):
    path = corpus("a", "b")
    verdict = judged(path, fails=("text_distinct",))
    with pytest.raises(PublishRefused, match="text_distinct"):
        publish(home, path, contract=contract, release=release(), verdict=verdict)
    assert not home.exists()


def test_warnings_alone_do_not_stop_publication(home, corpus, judged, release, contract):
    path = corpus("a", "b")
    publish(home, path, contract=contract, release=release(), verdict=judged(path, fails=("text_length",)))
    ((passed, summary),) = query(home, "SELECT quality_passed, quality_summary FROM releases")[1]
    assert passed
    assert summary.endswith("warnings: text_length")


def test_a_corpus_edited_after_its_verdict_is_refused(home, corpus, judged, release, contract):
    path = corpus("a", "b")
    verdict = judged(path)
    corpus("a", "c")
    with pytest.raises(PublishRefused, match="rows have changed"):
        publish(home, path, contract=contract, release=release(), verdict=verdict)


def test_a_verdict_under_another_contract_text_is_refused(home, corpus, judged, release, contract):
    path = corpus("a", "b")
    edited = replace(contract, digest="d" * 64)
    with pytest.raises(PublishRefused, match="another version of contract inbox"):
        publish(home, path, contract=edited, release=release(), verdict=judged(path))


def test_a_verdict_that_skipped_a_rule_is_refused(home, corpus, judged, release, contract):
    path = corpus("a", "b")
    lenient = judged(path)
    rule = QualityRule("large", "expect_table_row_count_to_be_between", {"min_value": 1}, True, "")
    with pytest.raises(PublishRefused, match="does not cover the rules large"):
        publish(home, path, contract=replace(contract, quality=(rule,)), release=release(), verdict=lenient)


@pytest.mark.parametrize(
    "wrong",
    [{"rows": 3}, {"unit": "row"}, {"population": "others"}, {"contract": "claims"}, {"contract_version": "2.0.0"}],
)
def test_a_record_that_contradicts_contract_or_corpus_is_refused(home, corpus, judged, release, contract, wrong):
    path = corpus("a", "b")
    with pytest.raises(PublishRefused, match=f"record's {next(iter(wrong))} is"):
        publish(home, path, contract=contract, release=release(**wrong), verdict=judged(path))


def test_no_corpus_or_no_parquet_is_refused(home, corpus, judged, release, contract, tmp_path):
    verdict = judged(corpus("a", "b"))
    with pytest.raises(PublishRefused, match="generate it first"):
        publish(home, tmp_path / "nowhere.parquet", contract=contract, release=release(), verdict=verdict)
    (tmp_path / "odd.parquet").write_text("no parquet")
    with pytest.raises(PublishRefused, match="cannot be read as Parquet"):
        publish(home, tmp_path / "odd.parquet", contract=contract, release=release(), verdict=verdict)


@pytest.mark.parametrize(
    "wrong",
    [
        {"id": "../../escape"},
        {"id": ".hidden"},
        {"epsilon": float("nan")},
        {"epsilon": float("inf")},
        {"epsilon": 0.0},
        {"epsilon": None},
        {"delta": None},
        {"delta": 1.0},
        {"created": "2030-01-01"},
        {"created": "2030-01-01T00:00:00+02:00"},
        {"receipts": ({"loss": float("nan")},)},
    ],
)
def test_a_malformed_record_cannot_be_made(release, wrong):
    with pytest.raises(PublishError):
        release(**wrong)


def test_a_release_never_changes_and_publishing_it_again_is_harmless(home, put):
    first = put("a", "b")
    before = first.stat().st_mtime_ns
    assert put("a", "b", created="2031-01-01T00:00:00+00:00") == first
    assert first.stat().st_mtime_ns == before
    assert query(home, "SELECT count(*) FROM releases")[1] == [(1,)]
    with pytest.raises(PublishRefused, match="already published"):
        put("a", "c")
    with pytest.raises(PublishRefused, match="already published"):
        put("a", "b", epsilon=9.0)


def test_a_contract_edited_since_does_not_rewrite_a_release(home, put, contract):
    put("a", "b")
    put("a", "b", under=replace(contract, digest="d" * 64, description="Reworded."))
    assert query(home, "SELECT contract_digest FROM releases")[1] == [("c" * 64,)]


def test_the_real_rules_the_stored_verdict_and_the_warehouse_fit_together(home, corpus, release, contract, tmp_path):
    path = corpus(*(f"a message about matter {i}" for i in range(40)))
    evaluate(pd.read_parquet(path), contract).save(tmp_path / "verdict.json")
    verdict = Verdict.load(tmp_path / "verdict.json")
    publish(home, path, contract=contract, release=release(rows=40), verdict=verdict)
    assert query(home, "SELECT topic, count(*) FROM inbox.messages GROUP BY topic ORDER BY topic")[1] == [
        ("card", 20),
        ("loan", 20),
    ]


# Readers, writers, and what lies on disk


def where(home):
    """What a reader of the database says of the folder that it lies in."""
    return f"SET VARIABLE warehouse_folder = {literal(str(home))}"


def test_the_database_file_is_not_writable(home, put):
    put()
    assert (home / "warehouse.duckdb").stat().st_mode & 0o222 == 0


def test_a_publication_does_not_wait_for_whoever_has_the_database_open(home, put):
    put()
    with held(home / "warehouse.duckdb"):
        put(id="r2")
        assert query(home, "SELECT count(*) FROM releases")[1] == [(2,)]


def test_a_reader_that_keeps_its_connection_open_survives_a_publication(home, put):
    put("first words", "of the first")
    with duckdb.connect(str(home / "warehouse.duckdb"), read_only=True) as reader:
        reader.execute(where(home))
        ask = "SELECT max(release_id), (SELECT min(message) FROM inbox.messages) FROM releases"
        assert reader.execute(ask).fetchall() == [("r1", "first words")]
        put("second words", "of the second", id="r2", created="2030-02-01T00:00:00+00:00")
        assert reader.execute(ask).fetchall() == [("r1", "first words")]
        # Others, this process included, see the new state at once.
        assert query(home, ask)[1] == [("r2", "of the second")]
    with duckdb.connect(str(home / "warehouse.duckdb"), read_only=True) as reader:
        reader.execute(where(home))
        assert reader.execute(ask).fetchall() == [("r2", "of the second")]


def test_queries_during_publications_never_see_half_a_warehouse(home, put):
    put("a 0", "b 0", id="r0")
    done, seen, faults = threading.Event(), set(), []

    def read():
        while not done.is_set():
            try:
                seen.add(query(home, "SELECT count(*), sum(row_count) FROM releases")[1][0])
            except Exception as error:
                faults.append(error)

    thread = threading.Thread(target=read)
    thread.start()
    try:
        for i in range(1, 4):
            put(f"a {i}", f"b {i}", id=f"r{i}")
    finally:
        done.set()
        thread.join()
    assert faults == []
    assert all(rows == 2 * count for count, rows in seen)


def test_publishers_at_the_same_moment_do_not_lose_each_others_release(home, corpus, judged, release, contract):
    path = corpus("a", "b")
    verdict = judged(path)
    threads = [
        threading.Thread(
            target=publish,
            args=(home, path),
            kwargs={"contract": contract, "release": release(id=i), "verdict": verdict},
        )
        for i in ("x", "y", "z")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert query(home, "SELECT release_id FROM releases ORDER BY ALL")[1] == [("x",), ("y",), ("z",)]


def test_the_database_is_rebuilt_from_the_files_alone_also_elsewhere(home, put, tmp_path):
    put()
    moved = tmp_path / "elsewhere"
    home.rename(moved)
    assert left_out(moved, Tables())  # known by place: elsewhere it has to be sealed
    for path in (moved / "parquet").glob("*/*/*.parquet"):
        Tables().seal(path)
    assert query(moved, "SELECT count(*) FROM inbox.messages")[1] == [(2,)]
    (moved / "warehouse.duckdb").unlink()
    with duckdb.connect(str(rebuild(moved, Tables())), read_only=True) as reader:
        reader.execute(where(moved))
        assert reader.execute("SELECT count(*) FROM inbox.messages").fetchall() == [(2,)]
    leftovers = {path.name for path in moved.iterdir()} - {"warehouse.duckdb", "parquet", ".publish.lock"}
    assert leftovers == set()


def test_a_copy_of_a_warehouse_serves_its_own_files_and_never_the_other_one_s(home, put, tmp_path, monkeypatch):
    put("of the copy too", "and of the first")
    copy = tmp_path / "a, copy"
    shutil.copytree(home, copy)
    for path in (copy / "parquet").glob("*/*/*.parquet"):
        Tables().seal(path)
    put("of the first alone", "and nobody else's", id="r2", created="2030-02-01T00:00:00+00:00")
    ask = "SELECT min(message) FROM inbox.messages"
    assert query(copy, ask)[1] == [("and of the first",)]
    assert differences(copy, Tables()) == []
    (home / "parquet/inbox/messages/r1.parquet").unlink()
    for told in (True, False):
        with duckdb.connect(str(copy / "warehouse.duckdb"), read_only=True) as reader:
            if told:
                reader.execute(where(copy))
                assert reader.execute(ask).fetchall() == [("and of the first",)]
                continue
            with pytest.raises(duckdb.IOException, match="No files found"):
                reader.execute(ask)
            monkeypatch.chdir(copy)
            assert reader.execute(ask).fetchall() == [("and of the first",)]


def test_verify_finds_rows_edited_in_place_and_foreign_files(home, put):
    good, bad = put("a", "b"), put("c", "d", id="r2")
    folder = home / "parquet"
    assert parquet.verify(folder) == []
    table = pd.read_parquet(bad)
    metadata = parquet.read(bad)
    bad.unlink()
    parquet.write(folder, pa.Table.from_pandas(table.assign(message="forged"), preserve_index=False), metadata)
    (problem,) = parquet.verify(folder)
    assert str(bad) in problem
    with pytest.raises(PublishError, match="not those that passed"):
        parquet.load(bad)
    assert parquet.load(good).message.tolist() == ["a", "b"]
    assert "not those that passed" in problem
    table.to_parquet(good.with_name("stray.parquet"))
    assert any("not a release of this platform" in problem for problem in parquet.verify(folder))
    rebuild(home, Tables())  # neither has a view
    with pytest.raises(QueryError, match=r"r2\.parquet is not the table that was sealed"):
        query(home, "SELECT release_id FROM releases")
    assert left_out(home, Tables()) == [bad, good.with_name("stray.parquet")]


def test_a_table_that_was_changed_is_not_published_over_and_an_unsealed_one_is(home, put):
    path = put("a", "b")
    whole = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(whole + b" ")
    with pytest.raises(PublishRefused, match="changed after it was published"):
        put("a", "b")
    del Tables.digests[path]  # as a kill between file and seal leaves it
    assert put("a", "b").read_bytes() == whole


def test_a_warehouse_that_was_tampered_with_differs_from_what_its_tables_make(home, put):
    put()
    assert differences(home, Tables()) == []
    file = home / "warehouse.duckdb"
    file.chmod(0o644)
    for tampering, named in (
        ("CREATE OR REPLACE VIEW inbox.messages AS SELECT 'forged' AS message", "view inbox.messages"),
        ("UPDATE releases SET epsilon = 0.5", "the rows of main.releases"),
        ("CREATE MACRO inbox.lower(x) AS 'forged'", "macro inbox.lower"),
        ("COMMENT ON VIEW inbox.messages IS 'epsilon = 0.1'", "view inbox.messages"),
    ):
        with duckdb.connect(str(file)) as connection:
            connection.execute(tampering)
        assert any(named in each for each in differences(home, Tables())), tampering
        rebuild(home, Tables())
        assert differences(home, Tables()) == []


@pytest.mark.parametrize("kind", UNUSABLE)
def test_a_warehouse_that_duckdb_cannot_use_is_called_what_it_is(home, put, kind):
    put()
    spoil, said = UNUSABLE[kind]
    file = home / "warehouse.duckdb"
    file.chmod(0o644)
    file.write_bytes(spoil(file.read_bytes()))
    (problem,) = differences(home, Tables())
    assert f"{file} {said}" in problem
    assert "`dpsynth audit seal` makes it anew" in problem
    assert query(home, "SELECT count(*) FROM inbox.messages")[1] == [(2,)], "it is for other tools"
    assert put_right(home, Tables()) == file
    assert differences(home, Tables()) == []


def test_a_warehouse_that_another_program_has_open_is_called_that(home, put):
    put()
    file = home / "warehouse.duckdb"
    file.chmod(0o644)
    with held(file):
        (problem,) = differences(home, Tables())
    assert f"{file} is open in another program" in problem


def test_a_warehouse_for_which_there_is_no_space_is_a_sentence(home, put, monkeypatch):
    put()
    before = sorted(home.iterdir())

    def full(*_, **__):
        raise duckdb.IOException('IO Error: Could not write file "x": No space left on device')

    monkeypatch.setattr(duckdb, "connect", full)
    with pytest.raises(PublishError, match=r"lies on a disk without space.*`dpsynth audit seal`"):
        rebuild(home, Tables())
    assert sorted(home.iterdir()) == before
