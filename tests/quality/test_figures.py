"""Figures as rules of a contract: what is measured, that bounds decide, and what happens where something is missing."""

from __future__ import annotations

import json
import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from dpsynth_assets.contract.expectations import FIGURES
from dpsynth_assets.contract.model import QualityRule
from dpsynth_assets.quality.metrics import distances, diversity
from dpsynth_assets.quality.metrics.materials import TEXTS, Materials
from dpsynth_assets.quality.metrics.mauve import mauve
from dpsynth_assets.quality.metrics.measuring import Needs, needs_of
from dpsynth_assets.quality.metrics.vectors import frechet_distance, nearest_neighbour_similarity
from dpsynth_assets.quality.metrics.words import MetricError
from dpsynth_assets.quality.pictures import portrait
from dpsynth_assets.quality.rules import check_rules, evaluate, judge

MARKER = "ZANZIBAR"


def rule(figure, name=None, *, column="message", blocking=False, **kwargs):
    return QualityRule(
        name=name or figure,
        expectation=f"expect_column_{figure}_to_be_between",
        kwargs={"column": column, **kwargs},
        blocking=blocking,
        description="",
    )


@pytest.fixture
def reference():
    return pd.DataFrame(
        {
            "message": [f"please look into request {i} of ours and theirs" for i in range(100)],
            "topic": ["card"] * 50 + ["loan"] * 50,
            "safety": "safe",
        }
    )


@pytest.fixture
def encoder():
    """A stand-in that counts its calls: vectors that depend on the text alone."""

    def encode(texts, of):
        encode.asked.append((len(texts), of))
        return np.array([np.random.default_rng(len(text)).normal(size=8) for text in texts])

    encode.asked = []
    return encode


def observed(materials, contract, *rules):
    results = {result.name: result for result in judge(materials, contract(*rules)).results}
    return {r.name: results[r.name] for r in rules}


@pytest.mark.slow
def test_each_figure_reaches_the_verdict_as_it_was_measured(contract, corpus, reference, encoder):
    materials = Materials(corpus, "message", {"test_split": reference}, encode=encoder, score=lambda texts: 12.5)
    ours, theirs = list(corpus.message), list(reference.message)
    vectors = encoder(ours, None), encoder(theirs, "test_split")
    expected = {
        "distinct_ngrams": diversity.distinct_ngrams(ours),
        "self_bleu": diversity.self_bleu(ours),
        "near_duplicates": diversity.near_duplicates(ours),
        "word_count_quantile": 7,
        "perplexity": 12.5,
        "length_distance": distances.length_distance(ours, theirs),
        "label_distance": distances.label_distance(list(corpus.topic), list(reference.topic)),
        "ngram_overlap": distances.ngram_overlap(ours, theirs),
        "mauve": mauve(*vectors),
        "frechet_distance": frechet_distance(*vectors),
        "nearest_neighbour_similarity": nearest_neighbour_similarity(*vectors),
    }
    rules = []
    for name in expected:
        against = {"reference": "test_split"} if FIGURES[f"expect_column_{name}_to_be_between"].compares else {}
        rules.append(rule(name, column="topic" if name == "label_distance" else "message", min_value=-1, **against))
    found = observed(materials, contract, *rules)
    assert {name: result.observed["observed_value"] for name, result in found.items()} == pytest.approx(expected)
    assert all(result.passed for result in found.values())
    assert len(expected) == len(FIGURES)


def test_bounds_decide(contract, corpus):
    bounds = {
        "below": {"max_value": 6.9},
        "at": {"max_value": 7},
        "strictly": {"max_value": 7, "strict_max": True},
        "above": {"min_value": 7.1},
        "between": {"min_value": 6, "max_value": 8},
    }
    rules = [rule("word_count_quantile", name, **bound) for name, bound in bounds.items()]
    found = observed(Materials(corpus, "message"), contract, *rules)
    assert {name: result.passed for name, result in found.items()} == {
        "below": False,
        "at": True,
        "strictly": False,
        "above": False,
        "between": True,
    }


def test_arguments_reach_the_figure(contract, corpus, reference):
    rules = [rule("distinct_ngrams", f"distinct_{n}", n=n, min_value=0) for n in (1, 3)] + [
        rule("word_count_quantile", f"quantile_{q * 100:.0f}", quantile=q, min_value=0) for q in (0.0, 1.0)
    ]
    rules += [rule("ngram_overlap", f"overlap_{n}", reference="test_split", n=n, max_value=1) for n in (4, 5)]
    longer = corpus.assign(message=corpus.message.where(corpus.index > 0, corpus.message + " now"))
    found = observed(Materials(longer, "message", {"test_split": reference}), contract, *rules)
    values = {name: result.observed["observed_value"] for name, result in found.items()}
    ours = list(longer.message)
    assert values["distinct_1"] == diversity.distinct_ngrams(ours, 1)
    assert values["distinct_3"] == diversity.distinct_ngrams(ours, 3)
    assert (values["quantile_0"], values["quantile_100"]) == (7, 8)
    assert (values["overlap_4"], values["overlap_5"]) == (1, 0.5)  # the first hundred share their number


def test_each_side_is_embedded_once_for_all_rules_of_a_run(contract, corpus, reference, encoder):
    materials = Materials(corpus, "message", {"test_split": reference, "source": reference}, encode=encoder)
    rules = [rule(name, reference="test_split", min_value=-1) for name in ("mauve", "frechet_distance")]
    rules.append(rule("mauve", "against_source", reference="source", min_value=0))
    assert all(result.passed for result in observed(materials, contract, *rules).values())
    assert sorted(encoder.asked, key=str) == [(100, "source"), (100, "test_split"), (200, None)]


def test_a_long_corpus_is_embedded_in_part(encoder):
    long = pd.DataFrame({"message": [f"number {i}" for i in range(TEXTS + 500)]})
    assert len(Materials(long, "message", encode=encoder).vectors()) == TEXTS


@pytest.mark.parametrize(
    "broken",
    [
        rule("mauve", reference="test_split", min_value=0, blocking=True),
        rule("perplexity", max_value=1e9, blocking=True),
        rule("length_distance", reference="test_split", max_value=1e9, blocking=True),
    ],
    ids=lambda r: r.name,
)
def test_a_figure_that_cannot_be_measured_has_failed(contract, corpus, broken):
    verdict = evaluate(corpus, contract(broken))
    [result] = [r for r in verdict.results if r.name == broken.name]
    assert (result.raised, result.passed, dict(result.observed)) == (True, False, {})
    assert not verdict.passed


def test_a_figure_that_is_no_number_has_failed(contract, corpus):
    materials = Materials(corpus, "message", score=lambda texts: math.nan)
    assert not observed(materials, contract, rule("perplexity", min_value=0))["perplexity"].passed


def test_missing_values_are_left_out_and_an_empty_corpus_fails(contract, corpus):
    some = corpus.assign(message=corpus.message.where(corpus.index > 5))
    wanted = rule("near_duplicates", max_value=1)
    assert observed(Materials(some, "message"), contract, wanted)["near_duplicates"].passed
    assert observed(Materials(corpus.iloc[:0], "message"), contract, wanted)["near_duplicates"].raised


def test_no_text_of_corpus_or_reference_reaches_the_verdict(contract, corpus, reference, capfd, caplog):
    spoilt, theirs = corpus.assign(message=MARKER), reference.assign(message=[MARKER] * 99 + [f"{MARKER} {MARKER}"])

    def fail(texts, of):
        raise RuntimeError(texts[0])

    materials = Materials(spoilt, "message", {"test_split": theirs}, encode=fail, score=lambda texts: fail(texts, None))
    rules = [rule(name, min_value=0) for name in ("self_bleu", "near_duplicates", "distinct_ngrams", "perplexity")]
    rules += [rule(name, reference="test_split", min_value=0) for name in ("mauve", "ngram_overlap", "length_distance")]
    verdict = judge(materials, contract(*rules))
    written = json.dumps(verdict.to_json()) + verdict.summary() + repr(verdict)
    streams = capfd.readouterr()
    assert MARKER.lower() not in (written + streams.out + streams.err + caplog.text).lower()
    assert {r.name for r in verdict.results if r.raised} >= {"mauve", "perplexity"}


def test_rules_are_checked_without_data(contract):
    problems = check_rules(
        contract(
            rule("mauve", "no_reference", min_value=0.5),
            rule("mauve", "elsewhere", reference="the_internet", min_value=0.5),
            rule("self_bleu", "extra", reference="test_split", max_value=0.5),
            rule("distinct_ngrams", "words", n="two", min_value=0.5),
            rule("mauve", "fine", reference="test_split", min_value=0.5),
        )
    )
    assert [problem.split("'")[1] for problem in problems] == ["no_reference", "elsewhere", "extra", "words"]


def test_needs_are_those_of_the_rules():
    other = SimpleNamespace(expectation="expect_column_to_exist", kwargs={"column": "message"})
    assert needs_of([other, rule("self_bleu")]) == Needs(frozenset(), encoder=False, base_model=False)
    assert needs_of([rule("ngram_overlap", reference="source"), rule("perplexity")]) == Needs(
        frozenset({"source"}), encoder=False, base_model=True
    )
    assert needs_of([rule("mauve", reference="test_split")]).encoder


def test_the_picture_is_a_small_png_that_shows_the_reference(corpus, reference):
    materials = Materials(corpus, "message", {"test_split": reference})
    alone, beside = (portrait(materials, {"topic": ("card", "loan", "app")}, name) for name in (None, "test_split"))
    assert alone != beside
    for png in (alone, beside):
        assert png.startswith(b"\x89PNG")
        assert len(png) < 40_000
    many = corpus.assign(topic=[f"t{i % 77}" for i in range(200)])
    png = portrait(Materials(many, "message"), {"topic": [f"t{i}" for i in range(77)]})
    assert png.startswith(b"\x89PNG")
    assert portrait(Materials(corpus.iloc[:0], "message"), {"topic": ("card", "loan")}).startswith(b"\x89PNG")
    without_labels = portrait(Materials(corpus, "message"), {})
    assert without_labels.startswith(b"\x89PNG")


def test_a_missing_reference_is_named():
    with pytest.raises(MetricError, match="reference source"):
        Materials(pd.DataFrame({"message": ["a"]}), "message").values("message", "source")
