"""Verdicts and digests: what they bind, what they refuse, and that they survive storage."""

import dataclasses
import json

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dpsynth_assets.quality.digest import digest_of_frame, digest_of_table
from dpsynth_assets.quality.verdict import QualityError, RuleResult, Verdict


def result(name="r", *, blocking=True, passed=True, observed=None):
    return RuleResult(name, "expect_x", blocking, passed, observed or {}, "")


def verdict(*results, passed=True):
    return Verdict(passed, results or (result(),), "a" * 64, "b" * 64, 3)


def test_round_trip(tmp_path):
    one = verdict(result(observed={"observed_value": 0.5}), result("soft", blocking=False, passed=False))
    one.save(tmp_path / "verdict.json")
    assert Verdict.load(tmp_path / "verdict.json") == one
    assert [path.name for path in tmp_path.iterdir()] == ["verdict.json"]
    assert one.summary() == "passed: 1 of 2 rules held on 3 rows; warnings: soft"


@pytest.mark.parametrize("value", ["text", None, True, float("nan"), float("inf"), ["text"]])
def test_only_finite_numbers_are_observations(value):
    with pytest.raises(QualityError, match="not a finite number") as caught:
        result(observed={"observed_value": value})
    assert "text" not in str(caught.value)


def test_a_verdict_cannot_contradict_its_results():
    failed = result("hard", passed=False)
    assert verdict(failed, passed=False).failures == (failed,)
    with pytest.raises(QualityError, match="contradicts"):
        verdict(failed, passed=True)
    with pytest.raises(QualityError, match="contradicts"):
        verdict(passed=False)
    with pytest.raises(QualityError, match="says nothing"):
        Verdict(True, (), "a" * 64, "b" * 64, 3)
    with pytest.raises(QualityError, match="cannot have passed"):
        dataclasses.replace(result(), raised=True)


def test_a_stored_verdict_that_was_edited_or_cut_is_refused(tmp_path):
    path = tmp_path / "verdict.json"
    verdict(result(passed=False), passed=False).save(path)
    data = json.loads(path.read_text())
    for edit in (
        {"passed": True},
        {"format": 2},
        {"corpus_digest": "short"},
        {"surprise": 1},
        {"results": [{"name": "r"}]},
        {"results": None},
    ):
        path.write_text(json.dumps({**data, **edit}))
        with pytest.raises(QualityError):
            Verdict.load(path)
    path.write_text(json.dumps(data)[:-5])
    with pytest.raises(QualityError, match="not JSON"):
        Verdict.load(path)
    with pytest.raises(QualityError, match="no verdict at"):
        Verdict.load(tmp_path / "nothing.json")


def test_the_digest_is_of_the_rows_not_of_the_file(tmp_path):
    texts, labels = ["a", "b", None, "\N{SNOWMAN}"], ["x", "y", "x", "y"]
    frame = pd.DataFrame({"text": texts, "label": labels})
    paths = [tmp_path / "plain.parquet", tmp_path / "coded.parquet"]
    pq.write_table(pa.Table.from_pandas(frame), paths[0], compression="none")
    coded = pa.table({"text": pa.array(texts, pa.large_string()), "label": pa.array(labels).dictionary_encode()})
    pq.write_table(coded.replace_schema_metadata({"k": "v"}), paths[1], compression="zstd", row_group_size=2)
    assert {digest_of_frame(frame), *(digest_of_table(pq.read_table(path)) for path in paths)} == {
        digest_of_frame(frame.copy())
    }


@pytest.mark.parametrize(
    "change",
    [
        lambda frame: frame.iloc[::-1],
        lambda frame: frame.iloc[:-1],
        lambda frame: frame.rename(columns={"label": "topic"}),
        lambda frame: frame[["label", "text"]],
        lambda frame: frame.assign(text=frame.text.str.upper()),
        lambda frame: frame.assign(text=frame.text.where(frame.index > 0)),
    ],
)
def test_any_change_of_the_rows_changes_the_digest(change):
    frame = pd.DataFrame({"text": ["a", "b", "c"], "label": ["x", "y", "x"]})
    assert digest_of_frame(change(frame)) != digest_of_frame(frame)


def test_a_null_is_not_the_word_null_and_cells_do_not_run_together():
    assert digest_of_frame(pd.DataFrame({"t": [None, "a"]})) != digest_of_frame(pd.DataFrame({"t": ["null", "a"]}))
    one, other = pd.DataFrame({"t": ["ab"], "l": ["c"]}), pd.DataFrame({"t": ["a"], "l": ["bc"]})
    assert digest_of_frame(one) != digest_of_frame(other)
