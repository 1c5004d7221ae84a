"""Resumption: another run goes on from a checkpoint, and what is computed twice is paid twice."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ledger import (
    BudgetRefused,
    Composed,
    Event,
    Gaussian,
    Grant,
    InvalidEvent,
    Ledger,
    LedgerError,
    PoissonSampledGaussian,
    ProtocolError,
    Reservation,
)
from ledger.accounting import renyi_vector
from ledger.renyi_filter import add

FINGERPRINT = "hmac-sha256:6f1ed002ab5595859014ebf0951522d9"
PLAN, ARTIFACT = "a" * 64, "b" * 64
TRAINING = PoissonSampledGaussian(0.01, 1.0, 400)
AGAIN = replace(TRAINING, steps=50)


def start(book: Ledger, event: Event = TRAINING, *, read: bool = True) -> tuple[Reservation, Grant]:
    """A run that has begun, and then is heard of no more."""
    key = f"key {len(book.entries())}"
    reservation = book.reserve(
        "inbox", event, source=FINGERPRINT, release="adapter", key=key, owner="run-1", plan_digest=PLAN
    )
    grant = book.activate(reservation)
    if read:
        redeem(book, grant)
    return reservation, grant


def redeem(book: Ledger, grant: Grant) -> None:
    book.redeem(grant, population="inbox", fingerprint=FINGERPRINT)


def sums(book: Ledger) -> list[float]:
    newest = [e for e in book.entries() if "standing" in e.payload][-1]
    found: list[float] = newest.payload["standing"]["inbox/everything"]["sums"]
    return found


def due(book: Ledger, *ran: Event) -> tuple[float, ...]:
    orders = book.entries()[2].payload["orders"]
    total: tuple[float, ...] = (0.0,) * len(orders)
    for event in ran:
        total = add(total, renyi_vector(event, orders))
    return total


def assert_charged(book: Ledger, *ran: Event) -> None:
    for stands, expected in zip(sums(book), due(book, *ran), strict=True):
        assert expected * (1 - 1e-12) <= stands <= expected * (1 + 1e-9)


def test_steps_that_run_again_are_charged_on_top(book: Ledger) -> None:
    reservation, _ = start(book)
    assert_charged(book, TRAINING)
    grant = book.resume(reservation.id, owner="run-2", replayed=AGAIN)
    assert_charged(book, TRAINING, AGAIN)
    assert (grant.owner, grant.event, grant.reservation_id) == ("run-2", TRAINING, reservation.id)
    (held,) = book.reservations()
    assert (held.state, held.owner, held.replayed) == ("activated", "run-2", (AGAIN,))
    assert book.balance("inbox").charges == 1
    assert book.verify() == []


@pytest.mark.parametrize("read", [True, False])
def test_the_run_of_before_can_do_nothing_any_more(book: Ledger, read: bool) -> None:
    reservation, zombie = start(book, read=read)
    grant = book.resume(reservation.id, owner="run-2", replayed=AGAIN)
    for held in (zombie, replace(zombie, owner="run-2"), replace(grant, token=zombie.token)):
        with pytest.raises(ProtocolError, match="another run has resumed"):
            redeem(book, held)
        with pytest.raises(ProtocolError, match="another run has resumed"):
            book.commit(held, artifact_digest=ARTIFACT, event=TRAINING)
    with pytest.raises(ProtocolError):
        book.activate(reservation)
    redeem(book, grant)
    with pytest.raises(ProtocolError, match="another run has resumed"):
        book.commit(zombie, artifact_digest=ARTIFACT, event=TRAINING)
    book.commit(grant, artifact_digest=ARTIFACT, event=TRAINING)
    assert book.verify() == []


def test_the_new_run_reads_anew_before_it_commits(book: Ledger) -> None:
    reservation, _ = start(book)
    grant = book.resume(reservation.id, owner="run-2", replayed=AGAIN)
    with pytest.raises(ProtocolError, match="is activated, so it cannot be committed"):
        book.commit(grant, artifact_digest=ARTIFACT, event=TRAINING)
    with pytest.raises(ProtocolError, match="cannot be voided"):
        book.void(reservation.id, reason="nothing was read by the second run")
    redeem(book, grant)
    with pytest.raises(ProtocolError, match="cannot be redeemed"):
        redeem(book, grant)


@pytest.mark.parametrize("ran", [TRAINING, replace(TRAINING, steps=200)])
def test_a_commit_keeps_what_was_charged_for_running_again(book: Ledger, ran: Event) -> None:
    reservation, _ = start(book)
    grant = book.resume(reservation.id, owner="run-2", replayed=AGAIN)
    redeem(book, grant)
    book.commit(grant, artifact_digest=ARTIFACT, event=ran)
    assert_charged(book, ran, AGAIN)
    balance = book.balance("inbox")
    assert balance.charges == 1
    alone = [e.payload["epsilon_alone"] for e in book.entries() if e.kind in ("committed", "resumed")]
    assert balance.basic_sum_epsilon == pytest.approx(sum(alone))
    assert balance.pld_epsilon is not None
    assert balance.pld_epsilon < balance.epsilon_spent
    assert book.verify() == []


def test_a_forfeit_keeps_all_of_it(book: Ledger) -> None:
    reservation, _ = start(book)
    book.resume(reservation.id, owner="run-2", replayed=AGAIN)
    book.forfeit(reservation.id, reason="failed again")
    assert_charged(book, TRAINING, AGAIN)
    with pytest.raises(ProtocolError, match="is forfeited"):
        book.resume(reservation.id, owner="run-3", replayed=None)
    assert book.verify() == []


def test_a_release_may_be_resumed_many_times_and_pays_each_time(book: Ledger) -> None:
    reservation, _ = start(book)
    for number in range(2, 5):
        grant = book.resume(reservation.id, owner=f"run-{number}", replayed=AGAIN)
    redeem(book, grant)
    assert_charged(book, TRAINING, AGAIN, AGAIN, AGAIN)
    (held,) = book.reservations()
    assert (held.owner, held.replayed) == ("run-4", (AGAIN,) * 3)
    assert book.verify() == []


def test_resuming_where_nothing_runs_again_costs_nothing(book: Ledger) -> None:
    reservation, zombie = start(book)
    before = sums(book)
    grant = book.resume(reservation.id, owner="run-1", replayed=None)
    assert sums(book) == before
    assert grant.token != zombie.token
    with pytest.raises(ProtocolError):
        redeem(book, zombie)
    assert book.verify() == []


def test_a_resumption_that_does_not_fit_leaves_the_release_as_it_was(book: Ledger) -> None:
    reservation, grant = start(book)
    start(book, Gaussian(3.0))
    before = book.balance("inbox")
    with pytest.raises(BudgetRefused) as refused:
        book.resume(reservation.id, owner="run-2", replayed=TRAINING)
    assert "would run again do not fit" in refused.value.why
    assert refused.value.would_be > 3.0 >= refused.value.spent
    entry = book.entries()[-1]
    assert (entry.kind, entry.seq, entry.owner) == ("refused", refused.value.entry, "run-2")
    assert (entry.event, entry.reservation_id) == (TRAINING, reservation.id)
    assert book.balance("inbox") == before
    assert book.reservations("redeemed")[0].owner == "run-1"
    assert [e.seq for e in book.statement("inbox").refusals] == [entry.seq]
    book.commit(grant, artifact_digest=ARTIFACT, event=TRAINING)  # had the first run lived, it could still finish
    assert book.verify() == []


def test_a_refused_resumption_can_be_followed_by_a_smaller_one(book: Ledger) -> None:
    reservation, _ = start(book)
    start(book, Gaussian(3.0))
    with pytest.raises(BudgetRefused):
        book.resume(reservation.id, owner="run-2", replayed=TRAINING)
    grant = book.resume(reservation.id, owner="run-3", replayed=replace(TRAINING, steps=1))
    redeem(book, grant)
    book.commit(grant, artifact_digest=ARTIFACT, event=TRAINING)
    assert book.verify() == []


def test_only_what_is_under_way_can_be_resumed(book: Ledger) -> None:
    waiting = book.reserve(
        "inbox", TRAINING, source=FINGERPRINT, release="adapter", key="key", owner="run-1", plan_digest=PLAN
    )
    with pytest.raises(ProtocolError, match="is reserved, so it cannot be resumed"):
        book.resume(waiting.id, owner="run-2", replayed=AGAIN)
    book.void(waiting.id, reason="its run died")
    with pytest.raises(ProtocolError, match="is voided"):
        book.resume(waiting.id, owner="run-2", replayed=AGAIN)
    reservation, grant = start(book)
    book.commit(grant, artifact_digest=ARTIFACT, event=TRAINING)
    for replayed in (None, AGAIN):
        with pytest.raises(ProtocolError, match="is committed"):
            book.resume(reservation.id, owner="run-2", replayed=replayed)
    for identifier in ("memory-99", "other-5", "", None):
        with pytest.raises(ProtocolError):
            book.resume(identifier, owner="run-2", replayed=AGAIN)  # type: ignore[arg-type]
    assert_charged(book, TRAINING)


@pytest.mark.parametrize(
    "replayed",
    [
        replace(TRAINING, steps=401),
        replace(TRAINING, noise_multiplier=9.0),
        replace(TRAINING, sampling_rate=0.001),
        Gaussian(50.0),
        Composed((AGAIN,)),
    ],
)
def test_only_steps_of_the_release_itself_run_again(book: Ledger, replayed: Event) -> None:
    reservation, grant = start(book)
    with pytest.raises(ProtocolError, match="only its own steps can be replayed"):
        book.resume(reservation.id, owner="run-2", replayed=replayed)
    assert_charged(book, TRAINING)
    book.commit(grant, artifact_digest=ARTIFACT, event=TRAINING)


@pytest.mark.parametrize("replayed", ["gaussian", 50, True, {"steps": 50}])
def test_what_runs_again_is_an_event(book: Ledger, replayed: Any) -> None:
    reservation, _ = start(book)
    with pytest.raises(LedgerError):
        book.resume(reservation.id, owner="run-2", replayed=replayed)
    assert_charged(book, TRAINING)


def test_an_event_that_was_tampered_with_does_not_run_again_for_less(book: Ledger) -> None:
    reservation, _ = start(book)
    smuggled = replace(AGAIN)
    object.__setattr__(smuggled, "steps", float("nan"))
    with pytest.raises((InvalidEvent, ProtocolError)):
        book.resume(reservation.id, owner="run-2", replayed=smuggled)
    object.__setattr__(smuggled, "steps", -50)
    with pytest.raises((InvalidEvent, ProtocolError)):
        book.resume(reservation.id, owner="run-2", replayed=smuggled)
    assert_charged(book, TRAINING)


def test_a_one_step_mechanism_runs_again_as_a_whole(book: Ledger) -> None:
    reservation, _ = start(book, Gaussian(5.0))
    book.resume(reservation.id, owner="run-2", replayed=Gaussian(5.0))
    assert_charged(book, Gaussian(5.0), Gaussian(5.0))
    assert book.verify() == []


def test_resuming_keeps_the_idempotency_of_other_requests(book: Ledger) -> None:
    """The key of a release under way names no open reservation: the same request is a new charge."""
    reservation, _ = start(book)
    book.resume(reservation.id, owner="run-2", replayed=None)
    for owner in ("run-1", "run-2"):
        again = book.reserve(
            "inbox",
            Gaussian(30.0),
            source=FINGERPRINT,
            release="adapter",
            key=reservation.key,
            owner=owner,
            plan_digest=PLAN,
        )
        assert again.id != reservation.id
    assert book.balance("inbox").charges == 3
