"""Closed plans: everything was listed before the first access, and nothing else is admitted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from ledger import (
    AddPopulation,
    BudgetRefused,
    Event,
    Gaussian,
    InvalidEvent,
    Ledger,
    LedgerError,
    People,
    PoissonSampledGaussian,
    RaiseCap,
    RepeatAndSelect,
    Reservation,
    Scope,
    TermsConflict,
    quote_unregistered,
)
from ledger.accounting import pld_epsilon

FINGERPRINT = "hmac-sha256:6f1ed002ab5595859014ebf0951522d9"
PLAN, ARTIFACT = "a" * 64, "b" * 64
ALICE, BOB = "alice@example.org", "bob@example.org"
PEOPLE = People((ALICE,), (ALICE, BOB))
TRAINING = PoissonSampledGaussian(0.01, 1.0, 200)
ITEMS: tuple[tuple[str, Event], ...] = (
    ("count", Gaussian(8.0)),
    ("adapter", TRAINING),
    ("count", Gaussian(8.0)),
    ("head", Gaussian(5.0)),
)
FIVE = tuple(
    (f"release-{number}", PoissonSampledGaussian(0.01, sigma, 2000))
    for number, sigma in enumerate((2.061, 1.513, 1.2464, 1.0924, 0.993))
)
Register = Callable[[Ledger, Scope], None]


@pytest.fixture
def closed(scope: Scope) -> Scope:
    return replace(scope, closed_plan=ITEMS)


@pytest.fixture
def book(blank: Ledger, closed: Scope, register: Register) -> Ledger:
    register(blank, closed)
    blank.bind_source("inbox", FINGERPRINT)
    return blank


def reserve(book: Ledger, release: str, event: Event) -> Reservation:
    key = f"key {len(book.entries())}"
    return book.reserve("inbox", event, source=FINGERPRINT, release=release, key=key, owner="run", plan_digest=PLAN)


def used(book: Ledger) -> list[int]:
    newest = [e for e in book.entries() if "inbox/everything" in e.payload.get("standing", {})][-1]
    places: list[int] = newest.payload["standing"]["inbox/everything"]["used"]
    return places


def refused(book: Ledger, release: str, event: Event) -> str:
    with pytest.raises(BudgetRefused) as error:
        reserve(book, release, event)
    assert error.value.why in str(error.value)
    return error.value.why


def test_the_five_releases_of_the_design() -> None:
    """What the filter takes for five training runs chosen as one goes, and what a plan takes that was fixed before."""
    scope = Scope("five", "customer", "add_or_remove_one_unit", 8.0, 1e-6, tuple(event for _, event in FIVE))
    open_ended = quote_unregistered(scope, FIVE)
    assert open_ended.admitted
    assert open_ended.lines[-1].epsilon_spent == pytest.approx(5.36, abs=0.01)
    planned = quote_unregistered(replace(scope, closed_plan=FIVE), FIVE)
    assert planned.admitted
    assert planned.lines[-1].epsilon_spent == pytest.approx(4.95, abs=0.01)
    assert planned.lines[0].epsilon_spent == planned.lines[-1].epsilon_spent  # a plan is spent as a whole
    assert planned.plan_epsilon == pytest.approx(4.95, abs=0.01)
    with pytest.raises(LedgerError, match=r"the closed plan costs ε = 4\.9"):
        quote_unregistered(replace(scope, epsilon=4.9, closed_plan=FIVE), FIVE)


def test_a_plan_costs_by_its_privacy_loss_distributions(book: Ledger, closed: Scope) -> None:
    stated = book.entries()[2].payload
    due = pld_epsilon([event for _, event in ITEMS], closed.delta, interval=1e-4)
    assert (stated["rule"], stated["plan_epsilon"]) == ("closed_plan", due)
    assert [release for release, _ in stated["plan"]] == [release for release, _ in ITEMS]
    assert book.balance("inbox").epsilon_spent == 0.0
    reserve(book, *ITEMS[3])
    balance = book.balance("inbox")
    assert (balance.rule, balance.epsilon_spent, balance.charges) == ("closed_plan", due, 1)
    assert "privacy loss distributions" in book.statement("inbox").guarantee


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (2, 0, 3, 1)])
def test_items_are_usable_once_each_in_any_order(book: Ledger, order: tuple[int, ...]) -> None:
    for place in order:
        reserve(book, *ITEMS[place])
    for item in ITEMS:
        assert "not in the closed plan, or was used already" in refused(book, *item)
    assert used(book) == [0, 1, 2, 3]
    assert book.balance("inbox", with_pld=False).charges == 4
    assert book.verify() == []


def test_items_may_be_dropped(book: Ledger) -> None:
    reserve(book, *ITEMS[1])
    assert used(book) == [1]
    assert 0.0 < book.balance("inbox").epsilon_spent <= 3.0
    assert book.verify() == []


@pytest.mark.parametrize(
    ("release", "event"),
    [
        ("other", Gaussian(8.0)),
        ("count", Gaussian(8.0001)),
        ("count", Gaussian(1e9)),
        ("head", Gaussian(8.0)),
        ("adapter", replace(TRAINING, steps=199)),
        ("adapter", replace(TRAINING, steps=201)),
        ("adapter", replace(TRAINING, sampling_rate=0.005)),
    ],
)
def test_nothing_can_be_added_or_changed(book: Ledger, release: str, event: Event) -> None:
    refused(book, release, event)
    assert book.balance("inbox").epsilon_spent == 0.0
    assert book.verify() == []


def test_fewer_steps_may_run_than_were_planned(book: Ledger) -> None:
    grant = book.activate(reserve(book, "adapter", TRAINING))
    book.redeem(grant, population="inbox", fingerprint=FINGERPRINT)
    book.commit(grant, artifact_digest=ARTIFACT, event=replace(TRAINING, steps=20))
    refused(book, "adapter", TRAINING)
    refused(book, "adapter", replace(TRAINING, steps=180))  # what was left over is not another release
    assert book.verify() == []


def test_a_voided_item_comes_back(book: Ledger) -> None:
    first, second = reserve(book, *ITEMS[0]), reserve(book, *ITEMS[0])
    refused(book, *ITEMS[0])
    book.void(first.id, reason="its run died")
    assert len(used(book)) == 1
    reserve(book, *ITEMS[0])
    refused(book, *ITEMS[0])
    book.activate(second)
    book.forfeit(second.id, reason="failed")
    refused(book, *ITEMS[0])  # what was activated never comes back
    assert book.verify() == []


def test_spending_elsewhere_ends_a_plan(book: Ledger) -> None:
    grant = book.activate(reserve(book, "adapter", TRAINING))
    book.external_charge("inbox", Gaussian(1e6), actor=ALICE, reason="a figure given by telephone")
    for item in (ITEMS[0], ITEMS[3]):
        assert "outside the closed plan" in refused(book, *item)
    balance = book.balance("inbox")
    assert balance.epsilon_spent == float("inf")
    assert (balance.frozen, balance.epsilon_remaining) == (True, 0.0)
    assert "from outside it" in book.statement("inbox").guarantee
    book.redeem(grant, population="inbox", fingerprint=FINGERPRINT)  # what was admitted before goes on
    book.commit(grant, artifact_digest=ARTIFACT, event=TRAINING)
    assert book.verify() == []


def test_a_plan_cannot_be_reopened_by_a_larger_cap(book: Ledger) -> None:
    book.external_charge("inbox", Gaussian(1e6), actor=ALICE, reason="a figure given by telephone")
    book.approve(book.propose(RaiseCap("inbox", 9.0), actor=ALICE, reason="more"), actor=BOB, reason="agreed")
    refused(book, *ITEMS[0])
    assert book.verify() == []


def test_a_cap_below_the_plan_freezes_it_and_a_larger_cap_adds_nothing(book: Ledger) -> None:
    reserve(book, *ITEMS[0])
    book.lower_cap("inbox", 0.5, actor=ALICE, reason="a complaint")
    assert book.balance("inbox").frozen
    assert "cap was lowered" in refused(book, *ITEMS[1])
    book.approve(book.propose(RaiseCap("inbox", 9.0), actor=ALICE, reason="more"), actor=BOB, reason="agreed")
    reserve(book, *ITEMS[1])
    refused(book, "other", Gaussian(100.0))
    assert book.verify() == []


def test_steps_are_not_run_again_under_a_plan(book: Ledger) -> None:
    reservation = reserve(book, "adapter", TRAINING)
    book.activate(reservation)
    with pytest.raises(BudgetRefused, match="not in the closed plan"):
        book.resume(reservation.id, owner="run-2", replayed=replace(TRAINING, steps=1))
    grant = book.resume(reservation.id, owner="run-2", replayed=None)  # from a checkpoint that lost nothing
    book.redeem(grant, population="inbox", fingerprint=FINGERPRINT)
    book.commit(grant, artifact_digest=ARTIFACT, event=TRAINING)
    assert used(book) == [1]
    assert book.verify() == []


def test_what_costs_too_much_is_refused_before_anybody_is_asked(blank: Ledger, closed: Scope) -> None:
    costly = replace(closed, closed_plan=(*ITEMS, ("more", Gaussian(1.0))))
    with pytest.raises(LedgerError, match="more than the budget's 3"):
        blank.propose(AddPopulation(costly, PEOPLE), actor=ALICE, reason="please")
    assert len(blank.entries()) == 1


@pytest.mark.parametrize(
    ("plan", "error"),
    [
        ((), LedgerError),
        ((("tuned", RepeatAndSelect(Gaussian(9.0), 5.0, 1.0)),), LedgerError),
        ((("", Gaussian(9.0)),), LedgerError),
        ((("count", "gaussian"),), InvalidEvent),
        ((("count", None),), InvalidEvent),
    ],
)
def test_plans_are_whole(blank: Ledger, closed: Scope, plan: Any, error: type[LedgerError]) -> None:
    with pytest.raises(error):
        blank.propose(AddPopulation(replace(closed, closed_plan=plan), PEOPLE), actor=ALICE, reason="please")
    assert len(blank.entries()) == 1


def test_a_registered_plan_never_changes(book: Ledger, closed: Scope) -> None:
    book.require(closed)
    for plan in (ITEMS[:3], (*ITEMS, ITEMS[0]), ITEMS[::-1], None):
        with pytest.raises(TermsConflict, match="another closed_plan"):
            book.require(replace(closed, closed_plan=plan))


def test_a_quote_says_what_the_plan_admits(book: Ledger, closed: Scope) -> None:
    reserve(book, *ITEMS[0])
    quote = book.quote(closed, [ITEMS[0], ITEMS[0], ITEMS[3], ("other", Gaussian(9.0))])
    assert [line.admitted for line in quote.lines] == [True, False, True, False]
    assert used(book) == [0]


def test_blocks_use_the_plan_separately(blank: Ledger, closed: Scope, register: Register) -> None:
    """Each unit lies in one block, so each sees the plan once."""
    register(blank, replace(closed, blocks_by="month of joining"))
    blank.bind_source("inbox", FINGERPRINT, blocks=("january",))
    blank.bind_source("inbox", "hmac-sha256:february", blocks=("february",))
    reserve(blank, *ITEMS[3])
    refused(blank, *ITEMS[3])
    blank.reserve(
        "inbox",
        ITEMS[3][1],
        source="hmac-sha256:february",
        release="head",
        key="key",
        owner="run",
        plan_digest=PLAN,
    )
    assert blank.verify() == []
