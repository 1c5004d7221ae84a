"""Contracts that other people wrote for other tools: what the standard allows is read, or refused for privacy alone."""

from __future__ import annotations

import pytest

from dpsynth_assets.contract import lint_contract, load_contract
from tests.conftest import write_contract

OWN_RULE = "    quality:\n      - name: text_is_present\n"


@pytest.fixture
def changed(tmp_path):
    """The small contract with one piece of text in place of another."""
    path = write_contract(tmp_path)

    def change(old: str, new: str):
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new, 1), encoding="utf-8")
        return path

    return change


def with_rule(changed, rule: str):
    return changed(OWN_RULE, f"    quality:\n      - {rule}\n      - name: text_is_present\n")


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        ("{type: custom, engine: montecarlo, implementation: 'a: 1'}", "written for `montecarlo`"),
        ("{type: sql, query: 'select count(*) from {object}', mustBe: 0}", "is a query"),
    ],
)
def test_a_rule_of_another_tool_is_no_rule_here_and_a_warning_says_so(changed, rule, why):
    path = with_rule(changed, rule)
    [said] = lint_contract(path)
    assert said.severity == "warning"
    assert why in said.what
    assert [each.name for each in load_contract(path).quality] == ["text_is_present"]


def test_a_rule_about_a_column_that_stays_in_the_source_is_the_sources(changed):
    column = "description: Writer."
    path = changed(column, f"{column}, quality: [{{metric: nullValues, mustBe: 0}}]")
    [said] = lint_contract(path)
    assert (said.severity, "`customer` stays in the source" in said.what) == ("warning", True)


def test_a_misspelt_engine_of_ours_is_still_refused(changed):
    path = with_rule(changed, "{type: custom, engine: greatExpectation, implementation: {type: x}}")
    assert {each.severity for each in lint_contract(path)} == {"error"}


def test_rules_are_named_by_what_they_say_where_nobody_named_them(changed):
    column = "description: What was written."
    rule = "{metric: nullValues, mustBe: 0, severity: warn}"
    path = changed(column, f"{column}, quality: [{rule}, {rule}, {{name: Row count, metric: rowCount, mustBe: 9}}]")
    assert lint_contract(path) == []
    rules = {each.name: each.blocking for each in load_contract(path).quality}
    assert rules == {"text_is_present": True, "text_nullValues": False, "text_nullValues_2": False, "Row_count": True}


def test_of_several_tables_the_one_with_privacy_terms_is_read(changed):
    path = changed(
        "schema:\n", "schema:\n  - name: orders\n    properties: [{name: 2024-total, logicalType: number}]\n"
    )
    assert lint_contract(path) == []
    contract = load_contract(path)
    assert (contract.table, contract.privacy.text.column) == ("messages", "text")
    assert [each.name for each in contract.columns] == ["customer", "text", "topic"]
    assert contract.quality


@pytest.mark.parametrize(
    ("stored", "in_sql"), [("DBO.Ticket Log", "dbo_ticket_log"), ("2024_tickets", "table_2024_tickets")]
)
def test_a_table_that_sql_cannot_call_so_is_called_nearly_so(changed, stored, in_sql):
    path = changed("  - name: messages", f"  - name: {stored}")
    assert lint_contract(path) == []
    contract = load_contract(path)
    assert (contract.table, contract.stored_as) == (in_sql, stored)


def test_examples_which_nothing_reads_may_be_of_any_form(changed):
    path = changed("description: Writer.", "description: Writer., examples: [0068]")
    assert {each.severity for each in lint_contract(path)} == {"warning"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("dataContractSpecification: 1.1.0\nid: a\nmodels: {a: {type: table}}\n", "Data Contract Specification 1.1.0"),
        ("kind: DataContract\napiVersion: v2.2.2\nuuid: a\ndataset: [{table: a}]\n", "the standard's version v2.2.2"),
    ],
)
def test_a_contract_of_another_standard_is_called_that_and_nothing_else(tmp_path, text, said):
    path = tmp_path / "other.yaml"
    path.write_text(text, encoding="utf-8")
    [problem] = lint_contract(path)
    assert said in problem.what


def test_privacy_terms_at_two_tables_take_two_contracts(changed):
    second = "  - name: orders\n    customProperties: [{property: privacy, value: {}}]\n    properties: [{name: a}]\n"
    path = changed("team:\n", f"{second}team:\n")
    [said] = lint_contract(path)
    assert (said.severity, "a second table" in said.what) == ("error", True)
