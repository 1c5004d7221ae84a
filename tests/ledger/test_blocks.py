"""Blocks: which records a charge is made to, what new records bring, and what the same records elsewhere share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from ledger import (
    EVERYTHING,
    BudgetRefused,
    Gaussian,
    Ledger,
    LedgerError,
    PoissonSampledGaussian,
    ProtocolError,
    Reservation,
    Scope,
    TermsConflict,
)

FIRST, SECOND, THIRD, ELSEWHERE = (f"hmac-sha256:{what}" for what in ("first", "second", "third0", "elsewhere"))
PLAN, ARTIFACT = "a" * 64, "b" * 64
EVENT = Gaussian(4.0)
Register = Callable[[Ledger, Scope], None]


@pytest.fixture
def monthly(scope: Scope) -> Scope:
    return replace(scope, population="monthly", blocks_by="month of joining")


@pytest.fixture
def book(blank: Ledger, monthly: Scope, register: Register) -> Ledger:
    """A population by months: two of them in the first data set, a third one in the second."""
    register(blank, monthly)
    blank.bind_source("monthly", FIRST, blocks=("january", "february"))
    blank.bind_source("monthly", SECOND, blocks=("february", "march"))
    return blank


def reserve(book: Ledger, source: str, event: Any = EVENT, population: str = "monthly", key: str = "") -> Reservation:
    key = key or f"key {len(book.entries())}"
    return book.reserve(population, event, source=source, release="r", key=key, owner="run", plan_digest=PLAN)


def charges(book: Ledger, population: str = "monthly") -> dict[str, int]:
    return {b.block: b.charges for b in book.balance(population, with_pld=False).blocks}


def spent(book: Ledger, population: str = "monthly") -> dict[str, float]:
    return {b.block: b.epsilon_spent for b in book.balance(population, with_pld=False).blocks}


def fill(book: Ledger, source: str, population: str = "monthly") -> int:
    for count in range(20):
        try:
            reserve(book, source, population=population)
        except BudgetRefused:
            return count
    raise AssertionError("a budget without end")


def test_an_undivided_population_is_one_block(blank: Ledger, scope: Scope, register: Register) -> None:
    register(blank, scope)
    assert charges(blank, "inbox") == {f"inbox/{EVERYTHING}": 0}  # before any data set is bound
    blank.bind_source("inbox", FIRST)
    blank.bind_source("inbox", SECOND)
    assert reserve(blank, FIRST, population="inbox").blocks == ("inbox/everything",)
    reserve(blank, SECOND, population="inbox")
    assert charges(blank, "inbox") == {"inbox/everything": 2}  # another data set of it has no budget of its own
    for blocks in ((), ("january",), ("everything", "january")):
        with pytest.raises(TermsConflict, match="is one block, 'everything'"):
            blank.bind_source("inbox", THIRD, blocks=blocks)
    assert blank.verify() == []


def test_a_divided_population_has_the_blocks_that_data_sets_bring(
    blank: Ledger, monthly: Scope, register: Register
) -> None:
    register(blank, monthly)
    balance = blank.balance("monthly")
    assert (balance.blocks, balance.epsilon_spent, balance.epsilon_remaining) == ((), 0.0, 3.0)
    with pytest.raises(TermsConflict, match="divided by 'month of joining': name the blocks"):
        blank.bind_source("monthly", FIRST)
    with pytest.raises(TermsConflict):
        blank.bind_source("monthly", FIRST, blocks=())
    blank.bind_source("monthly", FIRST, blocks=("january",))
    assert charges(blank) == {"monthly/january": 0}


@pytest.mark.parametrize("bad", ["", "a/b", "../x", "a b", "a\nb", "x" * 64, None, 3, True])
def test_block_names_are_names(book: Ledger, bad: Any) -> None:
    with pytest.raises(LedgerError):
        book.bind_source("monthly", THIRD, blocks=(bad,))


def test_a_charge_touches_all_blocks_of_its_data_set_and_no_other(book: Ledger) -> None:
    reservation = reserve(book, FIRST)
    assert reservation.blocks == ("monthly/february", "monthly/january")
    assert charges(book) == {"monthly/february": 1, "monthly/january": 1, "monthly/march": 0}
    reserve(book, SECOND)
    assert charges(book) == {"monthly/february": 2, "monthly/january": 1, "monthly/march": 1}
    by_block = spent(book)
    assert by_block["monthly/february"] > by_block["monthly/january"] == by_block["monthly/march"] > 0.0
    assert book.balance("monthly").epsilon_spent == by_block["monthly/february"]  # the most charged block speaks
    book.void(reservation.id, reason="its run died")
    assert charges(book) == {"monthly/february": 1, "monthly/january": 0, "monthly/march": 1}
    assert spent(book)["monthly/january"] == 0.0
    assert book.verify() == []


def test_one_full_block_refuses_the_whole_charge(book: Ledger) -> None:
    fill(book, FIRST)
    before = charges(book)
    with pytest.raises(BudgetRefused) as refused:
        reserve(book, SECOND)
    assert refused.value.block == "monthly/february"
    assert charges(book) == before
    assert before["monthly/march"] == 0
    assert book.verify() == []


def test_new_blocks_bring_new_budget_and_old_ones_keep_their_charges(book: Ledger) -> None:
    admitted = fill(book, FIRST)
    before = spent(book)
    book.bind_source("monthly", THIRD, blocks=("april",))
    assert fill(book, THIRD) == admitted  # as much as the first ones had
    after = spent(book)
    assert {block: after[block] for block in before} == before
    book.bind_source("monthly", ELSEWHERE, blocks=("january", "may"))
    with pytest.raises(BudgetRefused):
        reserve(book, ELSEWHERE)
    assert book.verify() == []


def test_a_data_set_cannot_lose_a_block_nor_change_its_population(
    book: Ledger, monthly: Scope, register: Register
) -> None:
    count = len(book.entries())
    book.bind_source("monthly", FIRST, blocks=("january",))  # fewer: it still has both
    book.bind_source("monthly", FIRST, blocks=("february", "january"))
    assert len(book.entries()) == count
    assert reserve(book, FIRST).blocks == ("monthly/february", "monthly/january")
    book.bind_source("monthly", FIRST, blocks=("march",))
    assert reserve(book, FIRST).blocks == ("monthly/february", "monthly/january", "monthly/march")
    register(book, replace(monthly, population="renamed"))
    with pytest.raises(TermsConflict, match="was bound to population 'monthly' by entry 4"):
        book.bind_source("renamed", FIRST, blocks=("january",))
    with pytest.raises(ProtocolError, match="not bound to population 'renamed'"):
        reserve(book, FIRST, population="renamed")
    assert book.verify() == []


def test_a_grant_from_before_its_data_set_gained_a_block_reads_nothing(book: Ledger) -> None:
    """Its charge was made to the old blocks; the rows that would be read lie in the new one too."""
    grant = book.activate(reserve(book, FIRST))
    book.bind_source("monthly", FIRST, blocks=("march",))
    with pytest.raises(ProtocolError):
        book.redeem(grant, population="monthly", fingerprint=FIRST)


def test_a_grant_from_before_its_data_set_gained_an_overlap_reads_nothing(
    book: Ledger, scope: Scope, register: Register
) -> None:
    register(book, scope)
    grant = book.activate(reserve(book, FIRST))
    book.bind_source("monthly", FIRST, blocks=("january",), overlaps=("inbox/everything",))
    with pytest.raises(ProtocolError):
        book.redeem(grant, population="monthly", fingerprint=FIRST)


def test_a_request_repeated_after_its_data_set_gained_a_block_is_charged_there_too(book: Ledger) -> None:
    reserve(book, FIRST, key="key")
    book.bind_source("monthly", FIRST, blocks=("march",))
    with pytest.raises(LedgerError):
        book.redeem(book.activate(reserve(book, FIRST, key="key")), population="monthly", fingerprint=FIRST)


# The same records under another population's name ---------------------------------------------------------------------


@pytest.fixture
def shared(book: Ledger, scope: Scope, register: Register) -> Ledger:
    """A second population, whose data set holds records that lie in January too."""
    register(book, replace(scope, population="panel", epsilon=2.0))
    book.bind_source("panel", ELSEWHERE, overlaps=("monthly/january",))
    return book


def test_overlapping_records_are_charged_in_both_populations(shared: Ledger) -> None:
    reservation = reserve(shared, ELSEWHERE, population="panel")
    assert reservation.blocks == ("monthly/january", "panel/everything")
    assert charges(shared) == {"monthly/february": 0, "monthly/january": 1, "monthly/march": 0}
    assert charges(shared, "panel") == {"panel/everything": 1}
    cost = shared.entries()[-1].payload["cost"]
    assert set(cost) == {"monthly", "panel"}
    shared.void(reservation.id, reason="its run died")
    assert set(charges(shared).values()) == set(charges(shared, "panel").values()) == {0}
    assert shared.verify() == []


def test_an_overlap_refuses_by_its_own_budget(shared: Ledger) -> None:
    fill(shared, FIRST)
    with pytest.raises(BudgetRefused) as refused:
        reserve(shared, ELSEWHERE, population="panel")
    assert (refused.value.population, refused.value.block) == ("monthly", "monthly/january")
    assert charges(shared, "panel") == {"panel/everything": 0}
    assert shared.verify() == []


def test_a_new_name_brings_no_new_budget(shared: Ledger) -> None:
    """However requests alternate, the records in January lose no more than January's epsilon."""
    for number in range(12):
        source, population = ((FIRST, "monthly"), (ELSEWHERE, "panel"))[number % 2]
        try:
            reserve(shared, source, population=population)
        except BudgetRefused:
            continue
    assert 0.0 < spent(shared)["monthly/january"] <= 3.0
    assert charges(shared)["monthly/january"] == 5  # as many as one name alone would get
    assert shared.verify() == []


def test_a_commit_of_fewer_steps_drops_the_charge_in_both(shared: Ledger) -> None:
    planned = PoissonSampledGaussian(0.01, 2.0, 100)
    grant = shared.activate(reserve(shared, ELSEWHERE, planned, population="panel"))
    shared.redeem(grant, population="panel", fingerprint=ELSEWHERE)
    before = spent(shared)["monthly/january"], spent(shared, "panel")["panel/everything"]
    shared.commit(grant, artifact_digest=ARTIFACT, event=replace(planned, steps=20))
    after = spent(shared)["monthly/january"], spent(shared, "panel")["panel/everything"]
    assert after[0] < before[0]
    assert after[1] < before[1]
    assert shared.verify() == []


def test_an_overlap_is_seen_in_the_statement_of_the_population_it_charges(shared: Ledger) -> None:
    reservation = reserve(shared, ELSEWHERE, population="panel")
    statement = shared.statement("monthly")
    assert [r.id for r in statement.reservations] == [reservation.id]
    assert statement.balance.charges == 1
    assert statement.balance.basic_sum_epsilon > 0.0


def test_overlaps_must_exist_elsewhere_and_protect_the_same_unit(
    shared: Ledger, scope: Scope, register: Register
) -> None:
    for overlap in ("monthly/december", "nobody/everything", "nobody", "panel/everything"):
        with pytest.raises(TermsConflict):
            shared.bind_source("panel", THIRD, overlaps=(overlap,))
    register(shared, replace(scope, population="messages", unit="message"))
    with pytest.raises(TermsConflict, match=r"protects a customer .*, while 'messages' protects a message"):
        shared.bind_source("messages", THIRD, overlaps=("monthly/january",))
    with pytest.raises(ProtocolError):
        reserve(shared, THIRD, population="messages")  # a refused binding binds nothing
    assert shared.verify() == []


def test_an_overlap_cannot_be_lost(shared: Ledger) -> None:
    count = len(shared.entries())
    shared.bind_source("panel", ELSEWHERE)
    assert len(shared.entries()) == count
    assert "monthly/january" in reserve(shared, ELSEWHERE, population="panel").blocks


def test_a_closed_plan_elsewhere_admits_nothing_through_an_overlap(
    blank: Ledger, scope: Scope, register: Register
) -> None:
    register(blank, replace(scope, population="closed", closed_plan=(("r", EVENT),)))
    register(blank, replace(scope, population="open"))
    blank.bind_source("open", FIRST, overlaps=("closed/everything",))
    with pytest.raises(BudgetRefused, match="not in the closed plan"):
        reserve(blank, FIRST, Gaussian(5.0), population="open")
    assert reserve(blank, FIRST, EVENT, population="open").blocks == ("closed/everything", "open/everything")
    with pytest.raises(BudgetRefused, match="was used already"):
        reserve(blank, FIRST, EVENT, population="open")
    assert blank.verify() == []
