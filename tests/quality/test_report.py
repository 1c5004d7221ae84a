"""The quality report: its figures are those of the rows, a text in it is shown as it is, and no public text is."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest

from dpsynth_assets.publish.quality import FIGURES, REPORT, page, said_of, save
from dpsynth_assets.quality.metrics.materials import Materials
from dpsynth_assets.quality.report import quality_report
from dpsynth_assets.quality.verdict import RuleResult, Verdict
from tests.publish.pages import HOSTILE, Page, hostile

PUBLIC = "a public text that nobody is shown"


def encode(texts, reference):
    vectors = np.zeros((len(texts), 8))
    vectors[:, 0] = 1.0
    vectors[:, 1:] = [[len(text) % (7 + place) for place in range(7)] for text in texts]
    return vectors


@pytest.fixture
def declared(contract):
    made = contract()
    made.title, made.version = "Small inbox", "1.0.0"
    made.privacy.test_split = SimpleNamespace(declared_public_by="owner@example.org")
    return made


@pytest.fixture
def public(corpus):
    return corpus.assign(message=[f"{PUBLIC} {number}" for number in range(len(corpus))], topic="loan")


def verdict(*results, passed=True):
    return Verdict(passed, results or (rule("some_rows"),), "a" * 64, "c" * 64, 200)


def rule(name, *, passed=True, blocking=True, description="What it says.", **observed):
    return RuleResult(name, "expect_column_to_exist", blocking, passed, observed, description)


def test_distributions_and_figures_are_those_of_the_rows(declared, corpus, public):
    report = quality_report(declared, Materials(corpus, "message", {"test_split": public}, encode), verdict())
    for drawn in (report["lengths"], report["neighbours"]):
        assert sum(drawn["synthetic"]) == pytest.approx(1)
        assert sum(drawn["public"]) == pytest.approx(1)
        assert len(drawn["from"]) == len(drawn["synthetic"]) == len(drawn["public"])
    # 7 words each, all in one bin
    assert [
        start for start, share in zip(report["lengths"]["from"], report["lengths"]["synthetic"], strict=True) if share
    ] == [7]
    [topic, safety] = report["labels"]
    assert [(each["value"], each["rows"]) for each in topic["values"]] == [("card", 67), ("loan", 67), ("app", 66)]
    assert topic["distance"] == pytest.approx(1 - 67 / 200)
    assert safety["distance"] == 0
    figures = {each["name"]: each for each in report["figures"]}
    assert figures["different texts"]["value"] == 1
    assert 0 < figures["MAUVE"]["value"] <= 1
    assert figures["MAUVE"]["of_halves"] is not None
    assert figures["median length"]["value"] == 7
    assert [each["value"] for each in report["samples"]] == ["card", "loan", "app"]
    assert all(len(each["texts"]) == 3 for each in report["samples"])
    json.dumps(report, allow_nan=False)


def test_no_public_text_is_shown(declared, corpus, public, tmp_path):
    materials = Materials(corpus, "message", {"test_split": public}, encode)
    save(quality_report(declared, materials, verdict()), tmp_path, release="r")
    for name in (REPORT, FIGURES):
        text = (tmp_path / name).read_text(encoding="utf-8")
        assert "please look into request" in text
        assert PUBLIC not in text


def test_what_failed_stands_first_the_gravest_before_all(declared, corpus):
    rules = (
        rule("fine"),
        rule("warns", passed=False, blocking=False, observed_value=0.25),
        rule("stops", passed=False),
    )
    report = quality_report(declared, Materials(corpus, "message"), verdict(*rules, passed=False))
    assert [each["name"] for each in report["rules"]] == ["stops", "warns", "fine"]
    text = " ".join(Page(page({**report, "release": "r"})).text.split())
    assert "Not published: stops." in text
    assert text.index("What failed") < text.index("Figures")
    assert "observed: 0.25" in text


def test_without_public_rows_nothing_is_compared(declared, corpus):
    report = quality_report(declared, Materials(corpus, "message"), verdict())
    assert (report["reference"], report["neighbours"], report["lengths"]["public"]) == (None, None, None)
    assert "MAUVE" not in {each["name"] for each in report["figures"]}
    shown = Page(page({**report, "release": "r"}))
    assert "nothing is compared" in shown.text
    assert "declared public by" not in shown.text


def test_a_figure_that_does_not_exist_says_why(declared, corpus, public):
    one = corpus.head(1)
    report = quality_report(declared, Materials(one, "message", {"test_split": public}, encode), verdict())
    figures = {each["name"]: each for each in report["figures"]}
    assert "at least two" in figures["MAUVE"]["why_not"]
    assert "two texts" in figures["self-BLEU"]["why_not"]
    assert report["neighbours"] is None
    assert "at least two" in Page(page({**report, "release": "r"})).text


@pytest.mark.parametrize("change", [lambda frame: frame.drop(columns="topic"), lambda frame: frame.head(0)])
def test_of_rows_that_break_the_shape_only_the_verdict_is_told(declared, corpus, change):
    report = quality_report(declared, Materials(change(corpus), "message"), verdict())
    assert report["figures"] == []
    assert "All rules" in Page(page({**report, "release": "r"})).text


def test_no_text_is_read_as_markup(declared, corpus, public):
    spoilt = corpus.assign(message=corpus["message"].where(corpus.index % 2 == 0, HOSTILE))
    materials = Materials(spoilt, "message", {"test_split": public}, encode)
    rules = (rule("stops", passed=False, description=HOSTILE),)
    report = hostile(quality_report(declared, materials, verdict(*rules, passed=False)))
    shown = Page(page({**report, "release": HOSTILE}))
    assert shown.stands_alone()
    assert "<script>alert(1)</script>" in shown.text
    assert "\u202e" not in shown.text


def test_what_a_rule_observed_is_said_in_words(declared, corpus, public):
    counts = {"element_count": 700, "missing_count": 0, "missing_percent": 0, "unexpected_count": 95}
    assert said_of(counts | {"unexpected_percent": 13.57}) == "95 of 700 rows do not meet it"
    assert said_of(counts | {"missing_count": 3}) == "95 of 700 rows do not meet it, 3 of 700 rows have no value"
    assert said_of({"observed_value": 0.25}) == "observed: 0.25"
    assert said_of({}) == ""
    judged = verdict(rule("plain", **counts))
    report = quality_report(declared, Materials(corpus, "message", {"test_split": public}, encode), judged)
    written = page({**report, "release": "r"})
    assert "95 of 700 rows do not meet it" in written
    assert "element count" not in written
