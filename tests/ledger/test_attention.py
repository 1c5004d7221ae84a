"""What stands first on the reviewers' page: each kind of thing that somebody should look at, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from ledger.events import Gaussian
from ledger.report import page
from ledger.report.attention import Point, attention
from ledger.report.facts import Facts, read_facts
from ledger.rounded import up
from tests.ledger.written_journals import ARTICLE_TERMS, INBOX_TERMS, OWNER, REVIEWER, WrittenJournal, realistic

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def facts() -> Facts:
    return read_facts(realistic().lines)


def of(points: list[Point], section: str) -> list[str]:
    return [point.said for point in points if point.section == section]


def test_everything_of_a_bad_year_is_said_and_leads_to_its_section(facts: Facts) -> None:
    points = attention(facts)
    text = page.page_of(facts, title="x", problems=[])
    assert {f'id="{point.section}"' in text for point in points} == {True}
    assert [point.section for point in points][:3] == ["incidents", "promise", "everything"]
    assert of(points, "elsewhere") == ["1 charge for spending done elsewhere: on somebody’s word."]
    raised, *_ = [said for said in of(points, "decisions") if "was raised" in said]
    assert f"raised from 3 to 8 on 2026-01-14, as {OWNER} asked and {REVIEWER} agreed" in raised


def test_records_without_a_unit_column_are_said_with_what_several_of_them_face(facts: Facts) -> None:
    [said] = of(attention(facts), "several")
    faced = {records: figure.value for records, figure in facts.budgets[1].faced}
    assert said.startswith("In articles each record is protected by itself")
    assert f"one with 2 records faces ε\xa0=\xa0{up(faced[2], 1)}" in said
    assert f"one with 8 records faces ε\xa0=\xa0{up(faced[8], 1)}" in said


def test_what_was_refused_is_counted_by_population_and_release() -> None:
    book = WrittenJournal()
    for population in ("inbox", "articles"):
        book.register(population, "customer", 3.0, 1e-6, [Gaussian(4.0)])
    assert "said no" not in " ".join(point.said for point in attention(read_facts(book.lines)))
    for release in ("inbox/adapter", "inbox/votes", "inbox/adapter"):
        book.refuse("inbox", release, Gaussian(1.0), "run", "it does not fit under the cap")
    [said] = [point.said for point in attention(read_facts(book.lines)) if "said no" in point.said]
    assert said.startswith("In inbox the ledger said no 3 times, on ")
    assert said.endswith("last: inbox/adapter (2), inbox/votes (1). Nothing was charged or read for it.")


def test_records_of_which_nothing_was_released_face_nothing_yet() -> None:
    book = WrittenJournal()
    book.register("articles", "record", 3.0, 1e-6, [Gaussian(4.0)])
    [said] = of(attention(read_facts(book.lines)), "several")
    assert said.endswith("Nothing is charged yet.")


def test_each_contract_s_terms_are_compared_with_those_before_them() -> None:
    book = WrittenJournal()
    book.register("inbox", "customer", 3.0, 1e-6, [Gaussian(4.0)])
    later = {**INBOX_TERMS, "note": "later"}
    for contract, terms in (("inbox", INBOX_TERMS), ("articles", ARTICLE_TERMS), ("inbox", later)):
        book.set_terms(contract, terms)
    asked: list[tuple[Any, Any]] = []

    def weaker(before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> list[str]:
        asked.append((before, after))
        return ["less is kept", "more is read"] if before else []

    points = attention(read_facts(book.lines), weaker)
    assert asked == [(None, INBOX_TERMS), (None, ARTICLE_TERMS), (INBOX_TERMS, later)]
    [said] = of(points, "terms")
    assert said.startswith("The terms of inbox were weakened since 2026-")
    assert said.endswith(f"as {OWNER} asked and {REVIEWER} agreed: less is kept; more is read.")


def test_names_without_a_key_are_told_with_what_they_did() -> None:
    book = WrittenJournal()
    book.register("inbox", "customer", 3.0, 1e-6, [Gaussian(4.0)])
    book.propose("more", kind="raise_cap", population="inbox", epsilon=4.0)
    *_, said = of(attention(read_facts(book.lines)), "decisions")
    assert f"{OWNER} (2), {REVIEWER} (1)" in said


def test_acts_under_a_key_are_no_matter() -> None:
    book = WrittenJournal()
    proposal = book.entry("proposed", owner=OWNER, change={"kind": "set_terms", "contract": "c"}, signature="ab")
    book.entry("terms_set", owner=REVIEWER, proposal=proposal, contract="c", terms={}, signature="cd")
    assert attention(read_facts(book.lines)) == []


def test_it_stands_before_everything_else_and_says_so_if_there_is_nothing(facts: Facts) -> None:
    text = page.page_of(facts, title="x", problems=[])
    assert text.index('id="attention"') < text.index("What a reviewer asks") < text.index('id="glance"')
    calm = page.page_of(read_facts(WrittenJournal().lines), title="x", problems=[])
    assert "Nothing: no incident, no frozen population" in calm
    assert "no weakened terms" not in calm, "nobody compared them"
    assert "no weakened terms" in page.page_of(
        read_facts(WrittenJournal().lines), title="x", problems=[], weaker=lambda before, after: []
    )
