"""Scopes: terms that stand, data sets that belong to one population, and quotes that say what reserving would do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from ledger import (
    AddPopulation,
    BudgetRefused,
    DiscreteLaplace,
    Gaussian,
    Ledger,
    LedgerError,
    People,
    PoissonSampledGaussian,
    ProtocolError,
    Reservation,
    Scope,
    TermsConflict,
    quote_unregistered,
)
from ledger.accounting import epsilon

FINGERPRINT = "hmac-sha256:6f1ed002ab5595859014ebf0951522d9"
OTHER = "hmac-sha256:the-next-version"
PLAN, ARTIFACT = "a" * 64, "b" * 64
EVENT = Gaussian(4.0)
PEOPLE = People(("owner@example.org",), ("privacy@example.org",))
Register = Callable[[Ledger, Scope], None]
TRAINING = PoissonSampledGaussian(0.01, 1.0, 200)


def reserve(book: Ledger, event: Any = EVENT, **other: Any) -> Reservation:
    asked = {"source": FINGERPRINT, "release": "adapter", "key": "key", "owner": "run-1", "plan_digest": PLAN, **other}
    return book.reserve("inbox", event, **asked)


def try_reserve(book: Ledger, event: Any, key: str) -> BudgetRefused | None:
    try:
        reserve(book, event, key=key)
    except BudgetRefused as refused:
        return refused
    return None


def test_terms_are_fixed_at_registration(book: Ledger, scope: Scope) -> None:
    count = len(book.entries())
    book.require(scope)
    book.require(replace(scope, planned=(TRAINING,)))  # weights stay where they are
    assert len(book.entries()) == count
    changes = {"delta": 1e-5, "unit": "message", "blocks_by": "month", "closed_plan": (("adapter", EVENT),)}
    for change in ({"epsilon": 4.0}, *({name: value} for name, value in changes.items())):
        with pytest.raises(TermsConflict, match="cap" if "epsilon" in change else next(iter(change))):
            book.require(replace(scope, **change))
        with pytest.raises(TermsConflict, match="registered by entry 3 already"):
            book.propose(AddPopulation(replace(scope, **change), PEOPLE), actor="owner@example.org", reason="anew")
    for name, value in changes.items():
        with pytest.raises(TermsConflict, match=name):
            book.quote(replace(scope, **{name: value}), [("adapter", EVENT)])
    assert len(book.entries()) == count


def test_a_cap_that_nobody_approved_yet_is_quoted_on_what_stands_charged(book: Ledger, scope: Scope) -> None:
    reserve(book)
    spent = book.balance("inbox", with_pld=False).epsilon_spent
    higher = book.quote(replace(scope, epsilon=5.0), [("adapter", EVENT)])
    assert (higher.epsilon_cap, higher.epsilon_spent) == (5.0, pytest.approx(spent))
    assert higher.lines[0].epsilon_remaining == pytest.approx(5.0 - higher.lines[0].epsilon_spent)
    lower = book.quote(replace(scope, epsilon=spent / 2), [("adapter", EVENT)])
    assert not lower.admitted


@pytest.mark.parametrize(
    "change",
    [
        {"population": "In Box"},
        {"unit": ""},
        {"neighbouring_relation": "replace_one"},
        {"epsilon": 0.0},
        {"epsilon": float("nan")},
        {"epsilon": float("inf")},
        {"epsilon": True},
        {"delta": 0.0},
        {"delta": 1.0},
        {"delta": float("nan")},
        {"planned": ("gaussian",)},
    ],
)
def test_scopes_that_would_protect_nobody_are_refused(scope: Scope, change: dict[str, Any]) -> None:
    with pytest.raises(LedgerError):
        replace(scope, **change)


def test_without_registration_there_is_no_budget(book: Ledger, scope: Scope) -> None:
    for step in (
        lambda: book.bind_source("other", FINGERPRINT),
        lambda: book.require(replace(scope, population="other")),
        lambda: book.external_charge("other", EVENT, actor="owner@example.org", reason="elsewhere"),
        lambda: book.lower_cap("other", 1.0, actor="owner@example.org", reason="less"),
        lambda: book.balance("other"),
    ):
        with pytest.raises(LedgerError, match="'other' has no budget"):
            step()
    with pytest.raises(ProtocolError, match="not bound to population 'other'"):
        book.reserve("other", EVENT, source=FINGERPRINT, release="r", key="k", owner="o", plan_digest=PLAN)


def test_one_data_set_has_one_population(book: Ledger, scope: Scope, register: Register) -> None:
    count = len(book.entries())
    book.bind_source("inbox", FINGERPRINT)
    assert len(book.entries()) == count
    book.bind_source("inbox", OTHER)
    register(book, replace(scope, population="renamed"))
    with pytest.raises(TermsConflict, match="bound to population 'inbox'"):
        book.bind_source("renamed", FINGERPRINT)
    assert book.populations() == ["inbox", "renamed"]


def test_populations_do_not_share_a_budget(book: Ledger, scope: Scope, register: Register) -> None:
    register(book, replace(scope, population="other"))
    reserve(book)
    assert book.balance("other").epsilon_spent == 0.0
    assert book.balance("inbox").epsilon_spent > 0.0


def test_a_quote_is_what_reserving_then_does(book: Ledger, scope: Scope) -> None:
    plan = [DiscreteLaplace(20.0, 4), EVENT, EVENT, EVENT, TRAINING, Gaussian(50.0)]
    quote = book.quote(scope, [("adapter", event) for event in plan])
    for number, line in enumerate(quote.lines):
        refused = try_reserve(book, line.event, f"key {number}")
        admitted = refused is None
        assert refused is None or refused.would_be == line.epsilon_spent
        assert admitted == line.admitted
        assert admitted == (line.epsilon_spent <= 3.0)
        assert book.balance("inbox", with_pld=False).epsilon_remaining == line.epsilon_remaining
    assert {line.admitted for line in quote.lines} == {True, False}
    assert not quote.admitted


def test_quotes_need_no_registration_and_write_nothing(book: Ledger, scope: Scope) -> None:
    fresh = replace(scope, population="fresh")
    count = len(book.entries())
    asked = [("adapter", EVENT)]
    assert book.quote(fresh, asked) == quote_unregistered(fresh, asked)
    assert len(book.entries()) == count
    assert book.quote(scope, asked).registered
    assert [line.epsilon_alone for line in book.quote(fresh, asked).lines] == [epsilon(EVENT, 1e-6)]
