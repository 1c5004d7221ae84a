"""Rules on a corpus: what passes, what blocks, what only warns, and that no text ever leaves."""

import json
import logging
import re

import pandas as pd
import pytest

from dpsynth_assets.contract.model import QualityRule
from dpsynth_assets.contract.source_terms import PersonalData
from dpsynth_assets.quality.expectations import SENSITIVE_PATTERNS
from dpsynth_assets.quality.rules import check_rules, evaluate, rules_of
from dpsynth_assets.quality.verdict import QualityError

MARKER = "ZANZIBAR"


def rule(name, expectation, kwargs, *, blocking=True):
    return QualityRule(name, expectation, kwargs, blocking, "as the contract says")


def named(verdict, name):
    (found,) = [result for result in verdict.results if result.name == name]
    return found


def test_a_clean_corpus_passes_every_rule(contract, corpus):
    verdict = evaluate(corpus, contract())
    assert verdict.passed
    assert all(result.passed for result in verdict.results)
    assert verdict.contract_digest == "c" * 64
    assert verdict.rows == 200


@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        ("columns_as_declared", lambda frame: frame.assign(customer=7)),
        ("columns_as_declared", lambda frame: frame.drop(columns="safety")),
        ("some_rows", lambda frame: frame.iloc[:0]),
        ("no_null_message", lambda frame: frame.assign(message=frame.message.where(frame.index > 0))),
        ("no_null_topic", lambda frame: frame.assign(topic=frame.topic.where(frame.index > 0))),
        ("declared_topic", lambda frame: frame.assign(topic=frame.topic.where(frame.index > 0, "pony"))),
        ("text_not_blank", lambda frame: frame.assign(message=frame.message.where(frame.index > 9, " \n"))),
        ("text_distinct", lambda frame: frame.assign(message="the same words again")),
        ("no_account_numbers", lambda frame: frame.assign(message=frame.message + " 4111 1111 1111 1111")),
    ],
)
def test_each_platform_rule_blocks_what_it_is_for(contract, corpus, name, spoil):
    verdict = evaluate(spoil(corpus), contract())
    assert not verdict.passed
    assert name in [result.name for result in verdict.failures]


@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        ("every_topic", lambda frame: frame.assign(topic="card")),
        ("text_length", lambda frame: frame.assign(message=[f"{i:03}" for i in range(len(frame))])),
        (
            "text_mostly_distinct",
            lambda frame: frame.assign(message=frame.message.where(frame.index > 19, "twin words")),
        ),
        ("no_addresses", lambda frame: frame.assign(message="write to a@b.example " + frame.message)),
    ],
)
def test_softer_platform_rules_only_warn(contract, corpus, name, spoil):
    verdict = evaluate(spoil(corpus), contract())
    assert verdict.passed
    assert name in [result.name for result in verdict.warnings]


def test_a_contract_rule_blocks_or_warns_as_it_says(contract, corpus):
    kwargs = {"min_value": 1_000}
    for blocking in (True, False):
        verdict = evaluate(
            corpus, contract(rule("large", "expect_table_row_count_to_be_between", kwargs, blocking=blocking))
        )
        assert verdict.passed is not blocking
        assert named(verdict, "large").observed == {"observed_value": 200}


def test_rules_of_one_expectation_keep_their_own_results(contract, corpus):
    lengths = "expect_column_value_lengths_to_be_between"
    verdict = evaluate(
        corpus,
        contract(
            rule("short", lengths, {"column": "message", "max_value": 10}),
            rule("long", lengths, {"column": "message", "max_value": 100}),
            rule("long_again", lengths, {"column": "message", "max_value": 100}),
        ),
    )
    assert [named(verdict, name).passed for name in ("short", "long", "long_again")] == [False, True, True]


def test_a_rule_that_cannot_be_evaluated_has_failed(contract, corpus):
    verdict = evaluate(corpus, contract(rule("of_text", "expect_column_mean_to_be_between", {"column": "message"})))
    result = named(verdict, "of_text")
    assert (result.raised, result.passed, dict(result.observed)) == (True, False, {})
    assert not verdict.passed


# One rule for each way in which the engine reports: sets, regular expressions, aggregates, partitions, exceptions.
LEAKY = (
    rule("set", "expect_column_values_to_be_in_set", {"column": "topic", "value_set": ["card"]}),
    rule("distinct", "expect_column_distinct_values_to_be_in_set", {"column": "topic", "value_set": ["card"]}),
    rule("common", "expect_column_most_common_value_to_be_in_set", {"column": "safety", "value_set": ["safe"]}),
    rule("regex", "expect_column_values_to_not_match_regex", {"column": "message", "regex": "(ZANZ)IBAR"}),
    rule("length", "expect_column_value_lengths_to_be_between", {"column": "message", "max_value": 5}),
    rule("unique", "expect_column_values_to_be_unique", {"column": "message"}),
    rule("maximum", "expect_column_max_to_be_between", {"column": "message", "max_value": 1}),
    rule("between", "expect_column_values_to_be_between", {"column": "message", "max_value": 1}),
    rule("mean", "expect_column_mean_to_be_between", {"column": "message", "max_value": 1}),
    rule("date", "expect_column_values_to_match_strftime_format", {"column": "message", "strftime_format": "%Y"}),
    rule("json", "expect_column_values_to_be_json_parseable", {"column": "message"}),
    rule("parse", "expect_column_values_to_be_dateutil_parseable", {"column": "message"}),
    rule("missing", "expect_column_values_to_be_unique", {"column": "nowhere"}),
    rule("columns", "expect_table_columns_to_match_ordered_list", {"column_list": ["message"]}),
    rule("pair", "expect_column_pair_values_to_be_equal", {"column_A": "message", "column_B": "topic"}),
    rule(
        "divergence",
        "expect_column_kl_divergence_to_be_less_than",
        {"column": "topic", "partition_object": {"values": ["card"], "weights": [1.0]}, "threshold": 0.1},
    ),
    rule("patterns", SENSITIVE_PATTERNS, {"column": "message"}),
)


def test_no_raw_text_leaves_whatever_the_rule(contract, corpus, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    spoilt = f"{MARKER} 4111 1111 1111 1111 at a@{MARKER}.example"
    frame = corpus.assign(
        message=[spoilt] * len(corpus),
        topic=corpus.topic.where(corpus.index > 0, MARKER),
        safety=MARKER,
        **{MARKER: 1},
    )
    verdict = evaluate(frame, contract(*LEAKY))
    assert {result.name for result in verdict.results if result.passed} & {r.name for r in LEAKY} == set()
    written = json.dumps(verdict.to_json()) + verdict.summary() + repr(verdict)
    assert MARKER.lower() not in written.lower()
    assert "4111" not in written
    streams = capfd.readouterr()
    assert MARKER.lower() not in (streams.out + streams.err + caplog.text).lower()


def test_a_column_that_mixes_types_is_refused_without_quoting_it(contract, corpus):
    frame = corpus.assign(message=pd.Series([MARKER, 3] * 100, dtype=object))
    with pytest.raises(TypeError, match="mixes types") as caught:
        evaluate(frame, contract())
    assert MARKER not in str(caught.value)
    assert caught.value.__suppress_context__


def test_an_unknown_expectation_is_named_before_any_row_is_read(contract):
    broken = contract(rule("odd", "expect_column_values_to_be_uniqe", {"column": "message"}))
    with pytest.raises(
        QualityError, match=r"'odd': unknown expectation 'expect_column_values_to_be_uniqe'; did you mean"
    ):
        evaluate(None, broken)


def test_check_rules_finds_every_problem_without_data(contract):
    unique = "expect_column_values_to_be_unique"
    problems = check_rules(
        contract(
            rule("typo", "expect_nothing_at_all", {}),
            rule("sql", "unexpected_rows_expectation", {"unexpected_rows_query": "select 1"}),
            rule("no_column", unique, {}),
            rule("extra", unique, {"column": "message", "colour": "red"}),
            rule("unpublished", unique, {"column": "customer_id"}),
            rule("pattern", SENSITIVE_PATTERNS, {"column": "message", "patterns": ["shoe_size"]}),
            rule("fine", unique, {"column": "message"}),
        )
    )
    assert len(problems) == 6
    for problem, name in zip(problems, ("typo", "sql", "no_column", "extra", "unpublished", "pattern"), strict=True):
        assert f"'{name}'" in problem
    assert check_rules(contract()) == ()


# The rules that protect people


def spoilt(corpus, count):
    """The corpus with a card number in so many texts."""
    return corpus.assign(message=corpus.message.where(corpus.index >= count, corpus.message + " 4111 1111 1111 1111"))


@pytest.mark.parametrize(
    "weaker",
    [
        rule("cards", SENSITIVE_PATTERNS, {"column": "message", "mostly": 0.0}, blocking=False),
        rule("cards", SENSITIVE_PATTERNS, {"column": "message", "patterns": ["card_number", "iban"], "mostly": 0.0}),
        rule("cards", SENSITIVE_PATTERNS, {"column": "message", "patterns": ["iban"]}),
        rule(
            "cards",
            SENSITIVE_PATTERNS,
            {"column": "message", "patterns": ["card_number", "iban"], "mostly": 0.995},
            blocking=False,
        ),
    ],
    ids=("all patterns", "blocking, of none", "one pattern", "the same as a warning"),
)
def test_no_rule_of_a_contract_stands_for_the_platform_s_limit_on_account_numbers(contract, corpus, weaker):
    verdict = evaluate(spoilt(corpus, 4), contract(weaker))
    assert not verdict.passed
    assert named(verdict, "no_account_numbers").blocking
    assert [r.name for r in verdict.failures] == ["no_account_numbers"]
    assert named(evaluate(corpus, contract(weaker)), "no_addresses").passed


@pytest.mark.parametrize("name", ["no_account_numbers", "no_addresses"])
def test_no_rule_of_a_contract_takes_their_names(contract, name):
    with pytest.raises(QualityError, match="always applies"):
        rules_of(contract(rule(name, SENSITIVE_PATTERNS, {"column": "message", "mostly": 0.0}, blocking=False)))


def test_a_contract_may_be_stricter_about_them(contract, corpus):
    stricter = rule("no_cards", SENSITIVE_PATTERNS, {"column": "message", "patterns": ["card_number"]})
    assert evaluate(spoilt(corpus, 1), contract()).passed
    verdict = evaluate(spoilt(corpus, 1), contract(stricter))
    assert [r.name for r in verdict.failures] == ["no_cards"]
    lower = contract()
    lower.privacy.personal_data = PersonalData(account_numbers=0.0)
    assert not evaluate(spoilt(corpus, 1), lower).passed


def test_a_higher_limit_is_a_term_and_says_that_two_people_signed(contract, corpus):
    looser = contract()
    looser.privacy.personal_data = PersonalData(account_numbers=0.02)
    verdict = evaluate(spoilt(corpus, 4), looser)
    assert verdict.passed
    assert "At most 2 % of the texts" in named(verdict, "no_account_numbers").description
    assert "Two people signed for more than the usual 0.5 %" in named(verdict, "no_account_numbers").description
    assert "signed" not in named(evaluate(corpus, contract()), "no_account_numbers").description


def test_rules_about_content_are_replaced_by_name_and_rules_about_shape_are_not(contract):
    unique = "expect_column_proportion_of_unique_values_to_be_between"
    replaced = contract(rule("text_distinct", unique, {"column": "message", "min_value": 0.2}))
    (found,) = [r for r in rules_of(replaced) if r.name == "text_distinct"]
    assert found.kwargs["min_value"] == 0.2
    with pytest.raises(QualityError, match="always applies"):
        rules_of(contract(rule("no_null_topic", unique, {"column": "topic"})))
    twice = rule("twice", unique, {"column": "topic"})
    with pytest.raises(QualityError, match="declared twice"):
        rules_of(contract(twice, twice))


def test_a_rule_that_repeats_a_platform_rule_is_judged_once(contract):
    same = rule(
        "topics", "expect_column_values_to_be_in_set", {"column": "topic", "value_set": ["loan", "app", "card"]}
    )
    names = [r.name for r in rules_of(contract(same))]
    assert "topics" in names
    assert "declared_topic" not in names
    # A weaker copy does not stand for it.
    for weaker in (
        rule("topics", same.expectation, {**same.kwargs, "mostly": 0.5}),
        rule("topics", same.expectation, same.kwargs, blocking=False),
        rule("topics", same.expectation, {**same.kwargs, "value_set": ["loan", "app", "card", "pony"]}),
    ):
        assert "declared_topic" in [r.name for r in rules_of(contract(weaker))]


def test_rule_names_can_be_names_of_checks(contract):
    odd = contract()
    odd.privacy.labels[0].column = "main topic-id"
    assert all(re.fullmatch(r"[A-Za-z0-9_]+", r.name) for r in rules_of(odd))
