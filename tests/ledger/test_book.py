"""The life of a charge: every step, its order, and what each of them refuses."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from ledger import (
    BudgetRefused,
    Gaussian,
    Grant,
    InvalidEvent,
    Ledger,
    LedgerError,
    PoissonSampledGaussian,
    ProtocolError,
    Reservation,
    Scope,
)
from ledger.accounting import epsilon, renyi_vector

FINGERPRINT = "hmac-sha256:6f1ed002ab5595859014ebf0951522d9"
OTHER = "hmac-sha256:the-next-version"
PLAN, ARTIFACT = "a" * 64, "b" * 64
EVENT = Gaussian(4.0)
Register = Callable[[Ledger, Scope], None]
TRAINING = PoissonSampledGaussian(0.01, 1.0, 200)


def reserve(book: Ledger, event: Any = EVENT, **other: Any) -> Reservation:
    asked = {"source": FINGERPRINT, "release": "adapter", "key": "key", "owner": "run-1", "plan_digest": PLAN, **other}
    return book.reserve("inbox", event, **asked)


def redeem(book: Ledger, grant: Grant) -> None:
    book.redeem(grant, population="inbox", fingerprint=FINGERPRINT)


def kinds(book: Ledger) -> list[str]:
    return [entry.kind for entry in book.entries("inbox")]


def test_a_release_from_reservation_to_commit(book: Ledger) -> None:
    reservation = reserve(book)
    assert (reservation.state, reservation.event, reservation.owner) == ("reserved", EVENT, "run-1")
    grant = book.activate(reservation)
    redeem(book, grant)
    entry = book.commit(grant, artifact_digest=ARTIFACT, event=EVENT)
    assert kinds(book) == ["proposed", "registered", "bound", "reserved", "activated", "redeemed", "committed"]
    assert (entry.kind, entry.event, entry.release, entry.reservation_id) == (
        "committed",
        EVENT,
        "adapter",
        reservation.id,
    )
    assert entry == book.entries()[-1]
    balance = book.balance("inbox")
    assert (balance.charges, balance.epsilon_reserved) == (1, 0.0)
    assert 0 < balance.epsilon_spent == balance.epsilon_cap - balance.epsilon_remaining
    assert balance.pld_epsilon is not None
    assert 0 < balance.pld_epsilon < balance.epsilon_spent
    assert balance.basic_sum_epsilon == epsilon(EVENT, 1e-6)
    assert book.verify() == []


def test_an_untouched_budget(book: Ledger) -> None:
    balance = book.balance("inbox")
    assert (balance.epsilon_spent, balance.epsilon_remaining, balance.epsilon_reserved) == (0.0, 3.0, 0.0)
    assert (balance.pld_epsilon, balance.basic_sum_epsilon, balance.charges) == (0.0, 0.0, 0)
    assert (balance.population, balance.unit, balance.delta) == ("inbox", "customer", 1e-6)


def test_a_refusal_says_everything_and_is_an_entry(book: Ledger) -> None:
    reserve(book)
    before = book.balance("inbox")
    with pytest.raises(BudgetRefused) as refused:
        reserve(book, Gaussian(1.0), release="second", key="other")
    error = refused.value
    assert error.spent == before.epsilon_spent
    assert error.left == before.epsilon_remaining
    assert error.asked == epsilon(Gaussian(1.0), 1e-6)
    assert error.would_be > error.cap == 3.0
    assert (error.population, error.block) == ("inbox", "inbox/everything")
    for part in (
        "'second'",
        "'inbox/everything'",
        "asks ε = 5.",
        "spent",
        "left",
        "δ = 1e-06",
        "entry 6",
        "Ask for less",
    ):
        assert part in str(error)
    entry = book.entries()[-1]
    assert (entry.kind, entry.seq, entry.event, entry.release) == ("refused", error.entry, Gaussian(1.0), "second")
    assert book.balance("inbox") == before
    assert [refusal.seq for refusal in book.statement("inbox").refusals] == [error.entry]
    assert book.verify() == []


def test_a_refusal_survives_pickling(book: Ledger) -> None:
    with pytest.raises(BudgetRefused) as refused:
        reserve(book, Gaussian(0.5))
    again = pickle.loads(pickle.dumps(refused.value))
    assert (str(again), again.spent, again.asked) == (str(refused.value), refused.value.spent, refused.value.asked)


def try_reserve(book: Ledger, event: Any, key: str) -> BudgetRefused | None:
    try:
        reserve(book, event, key=key)
    except BudgetRefused as refused:
        return refused
    return None


def test_the_cap_is_filled_and_never_exceeded(book: Ledger) -> None:
    refused = [try_reserve(book, EVENT, f"key {attempt}") is not None for attempt in range(8)]
    assert refused == [False] * 5 + [True] * 3
    spent = book.balance("inbox", with_pld=False).epsilon_spent
    assert spent <= 3.0
    reserve(book, Gaussian(1000.0), key="small")  # what still fits is still admitted
    assert spent < book.balance("inbox", with_pld=False).epsilon_spent <= 3.0


@pytest.mark.parametrize("end", ["forfeit", "abandon", "redeemed and forfeit"])
def test_from_activation_on_the_charge_stays(book: Ledger, granted: Callable[..., Grant], end: str) -> None:
    grant = granted(book)
    spent = book.balance("inbox").epsilon_spent
    if end != "abandon":
        if end.startswith("redeemed"):
            redeem(book, grant)
        book.forfeit(grant.reservation_id, reason="cancelled")
    with pytest.raises(ProtocolError):
        book.void(grant.reservation_id, reason="mistake")
    assert book.balance("inbox").epsilon_spent == spent > 0
    assert book.verify() == []


def test_voiding_gives_everything_back(book: Ledger) -> None:
    reservation = reserve(book)
    balance = book.balance("inbox")
    assert balance.epsilon_reserved == balance.epsilon_spent > 0
    book.void(reservation.id, reason="its run died")
    assert book.balance("inbox").epsilon_spent == 0.0
    assert book.reservations("voided")[0].id == reservation.id
    with pytest.raises(ProtocolError, match="is voided"):
        book.activate(reservation)
    assert book.verify() == []


def test_voiding_one_of_two_leaves_the_other(book: Ledger) -> None:
    first = reserve(book)
    alone = book.balance("inbox").epsilon_spent
    second = reserve(book, TRAINING, key="other")
    book.void(second.id, reason="not needed")
    assert book.balance("inbox").epsilon_spent == pytest.approx(alone)
    assert book.balance("inbox").epsilon_spent >= alone
    assert [r.id for r in book.reservations("reserved")] == [first.id]


def test_the_same_request_again_is_the_same_reservation_until_it_is_activated(book: Ledger) -> None:
    first = reserve(book)
    assert reserve(book) == first
    assert reserve(book, owner="run-2").id != first.id  # another run is another release
    assert reserve(book, key="other").id != first.id
    book.activate(first)
    assert reserve(book).id != first.id
    assert kinds(book).count("reserved") == 4


@pytest.mark.parametrize(
    "change", [{"event": Gaussian(5.0)}, {"release": "other"}, {"plan_digest": "c" * 64}, {"source": OTHER}]
)
def test_one_key_cannot_mean_two_things(book: Ledger, change: dict[str, Any]) -> None:
    book.bind_source("inbox", OTHER)
    reserve(book)
    with pytest.raises(ProtocolError, match="for other contents"):
        reserve(book, **change)


def test_each_step_works_once(book: Ledger) -> None:
    reservation = reserve(book)
    grant = book.activate(reservation)
    with pytest.raises(ProtocolError, match="is activated, so it cannot be activated"):
        book.activate(reservation)
    with pytest.raises(ProtocolError, match="redeemed"):  # nothing was read, so nothing can have been made
        book.commit(grant, artifact_digest=ARTIFACT, event=EVENT)
    redeem(book, grant)
    with pytest.raises(ProtocolError, match="is redeemed, so it cannot be redeemed"):
        redeem(book, grant)
    book.commit(grant, artifact_digest=ARTIFACT, event=EVENT)
    for step in (
        lambda: book.commit(grant, artifact_digest=ARTIFACT, event=EVENT),
        lambda: redeem(book, grant),
        lambda: book.activate(reservation),
        lambda: book.forfeit(reservation.id, reason="late"),
        lambda: book.void(reservation.id, reason="late"),
    ):
        with pytest.raises(ProtocolError, match="is committed"):
            step()
    assert book.verify() == []


def test_a_reservation_cannot_be_forfeited_before_it_was_activated(book: Ledger) -> None:
    with pytest.raises(ProtocolError, match="activated or voided can follow"):
        book.forfeit(reserve(book).id, reason="cancelled")


@pytest.mark.parametrize(
    "change",
    [
        {"token": "guessed"},
        {"event": Gaussian(100.0)},
        {"population": "other"},
        {"release": "other"},
        {"owner": "run-2"},
        {"plan_digest": "c" * 64},
        {"source": OTHER},
    ],
)
def test_a_grant_is_what_was_handed_out_or_nothing(
    book: Ledger, granted: Callable[..., Grant], change: dict[str, Any]
) -> None:
    forged = replace(granted(book), **change)
    with pytest.raises(ProtocolError, match="not one this ledger handed out"):
        redeem(book, forged)
    with pytest.raises(ProtocolError, match="not one this ledger handed out"):
        book.commit(forged, artifact_digest=ARTIFACT, event=forged.event)


@pytest.mark.parametrize("nothing", [None, "token", object()])
def test_without_a_grant_there_is_nothing(book: Ledger, nothing: Any) -> None:
    with pytest.raises(ProtocolError, match="reserve to get one"):
        book.activate(nothing)
    with pytest.raises(ProtocolError, match="a grant is needed"):
        redeem(book, nothing)
    with pytest.raises(ProtocolError, match="a grant is needed"):
        book.commit(nothing, artifact_digest=ARTIFACT, event=EVENT)


def test_the_token_is_kept_nowhere(book: Ledger, granted: Callable[..., Grant]) -> None:
    grant = granted(book)
    assert grant.token not in repr(grant)
    assert all(grant.token not in repr(entry) for entry in book.entries())


def test_a_grant_made_before_activation_is_worthless(book: Ledger) -> None:
    reservation = reserve(book)
    forged = Grant(reservation.id, "inbox", "adapter", EVENT, "run-1", PLAN, FINGERPRINT, token="")
    with pytest.raises(ProtocolError):
        redeem(book, forged)


def test_a_grant_reads_only_data_bound_to_its_population(book: Ledger, granted: Callable[..., Grant]) -> None:
    grant = granted(book)
    with pytest.raises(ProtocolError, match="population 'inbox', the rows asked for belong to 'elsewhere'"):
        book.redeem(grant, population="elsewhere", fingerprint=FINGERPRINT)
    with pytest.raises(ProtocolError, match="for another data set than the one asked for"):
        book.redeem(grant, population="inbox", fingerprint="hmac-sha256:unknown")
    book.bind_source("inbox", OTHER)  # also where it is bound to the same population
    with pytest.raises(ProtocolError, match="for another data set than the one asked for"):
        book.redeem(grant, population="inbox", fingerprint=OTHER)
    redeem(book, grant)  # refused attempts did not use it up


def test_a_reservation_handed_back_with_other_contents_is_refused(book: Ledger) -> None:
    reservation = reserve(book)
    with pytest.raises(ProtocolError, match="other contents"):
        book.activate(replace(reservation, event=Gaussian(9.0)))
    book.activate(copy.deepcopy(reservation))


@pytest.mark.parametrize(
    "identifier", ["nonsense", "memory-99", "memory-1", "other-5", "memory--5", "memory-5e0", "", None]
)
def test_reservations_of_other_ledgers_are_unknown(book: Ledger, identifier: Any) -> None:
    reserve(book)
    with pytest.raises(ProtocolError):
        book.void(identifier, reason="?")


def test_fewer_steps_cost_what_they_cost(book: Ledger) -> None:
    ran = replace(TRAINING, steps=50)
    reservation = reserve(book, TRAINING)
    grant = book.activate(reservation)
    redeem(book, grant)
    planned = book.balance("inbox").epsilon_spent
    entry = book.commit(grant, artifact_digest=ARTIFACT, event=ran)
    balance = book.balance("inbox")
    assert balance.epsilon_spent < planned
    orders = book.entries("inbox")[1].payload["orders"]
    sums, due = entry.payload["standing"]["inbox/everything"]["sums"], renyi_vector(ran, orders)
    assert all(want <= had <= want * (1 + 1e-6) for had, want in zip(sums, due, strict=True))
    assert balance.basic_sum_epsilon == epsilon(ran, 1e-6)
    assert book.verify() == []


@pytest.mark.parametrize(
    "ran",
    [
        replace(TRAINING, steps=201),
        replace(TRAINING, noise_multiplier=0.9),
        replace(TRAINING, sampling_rate=0.005),
        EVENT,
    ],
)
def test_what_ran_must_be_what_was_reserved(book: Ledger, ran: Any) -> None:
    grant = book.activate(reserve(book, TRAINING))
    redeem(book, grant)
    with pytest.raises(ProtocolError, match="is not what was reserved"):
        book.commit(grant, artifact_digest=ARTIFACT, event=ran)
    book.forfeit(grant.reservation_id, reason="something else ran")


@pytest.mark.parametrize("event", ["gaussian", None, 1.0, {"event": "gaussian", "version": 1, "noise_multiplier": 1.0}])
def test_only_events_are_charged(book: Ledger, event: Any) -> None:
    with pytest.raises(InvalidEvent):
        reserve(book, event)


@pytest.mark.parametrize("noise", [0.0, -1.0, 1e300, 1e-300, float("nan"), float("inf"), True, "4"])
def test_an_event_tampered_with_after_it_was_made_is_refused_unwritten(
    book: Ledger, granted: Callable[..., Grant], noise: Any
) -> None:
    """What cannot be decoded again must not be stored: it would stop every later reader, and the audit."""
    grant = granted(book)
    redeem(book, grant)
    event = Gaussian(4.0)
    object.__setattr__(event, "noise_multiplier", noise)
    before = book.entries()
    for step in (
        lambda: reserve(book, event, key="other"),
        lambda: book.external_charge("inbox", event, actor="owner@example.org", reason="elsewhere"),
        lambda: book.resume(grant.reservation_id, owner="run-2", replayed=event),
        lambda: book.commit(grant, artifact_digest=ARTIFACT, event=event),
    ):
        with pytest.raises(LedgerError):
            step()
    assert book.entries() == before
    assert book.verify() == []


@pytest.mark.parametrize(
    "change",
    [
        {"source": "short"},
        {"release": ""},
        {"key": "a\nb"},
        {"owner": "x" * 301},
        {"plan_digest": "some text"},
        {"release": None},
    ],
)
def test_texts_are_short_and_printable(book: Ledger, change: dict[str, Any]) -> None:
    with pytest.raises(LedgerError, match=next(iter(change))):
        reserve(book, **change)


def test_a_statement_says_what_is_promised(book: Ledger, granted: Callable[..., Grant]) -> None:
    granted(book)
    statement = book.statement("inbox")
    assert "(3, 1e-06)-differentially private" in statement.guarantee
    assert "one customer contributed" in statement.guarantee
    assert "is used by 1 charge." in statement.guarantee
    assert [r.state for r in statement.reservations] == ["activated"]
    assert statement.head == book.entries("inbox")[-1]
    assert statement.balance == book.balance("inbox")
