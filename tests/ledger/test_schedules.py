"""Random schedules: whatever is asked for in whatever order, what stands never exceeds the cap by exact arithmetic.

The reference shares nothing with the ledger: closed forms and integrals in forty digits, over what was granted.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import cache
from typing import Any

import mpmath
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledger import (
    BudgetRefused,
    DiscreteLaplace,
    Event,
    Gaussian,
    Grant,
    Laplace,
    Ledger,
    PoissonSampledGaussian,
    ProtocolError,
    Reservation,
)

FINGERPRINT = "hmac-sha256:6f1ed002ab5595859014ebf0951522d9"
PLAN, ARTIFACT = "a" * 64, "b" * 64
EPSILON, DELTA = 3.0, 1e-6
EVENTS: list[Event] = [
    Gaussian(2.0),
    Gaussian(4.0),
    Gaussian(30.0),
    Laplace(6.0, 2.0),
    DiscreteLaplace(8.0, 2),
    PoissonSampledGaussian(0.01, 1.0, 40),
    PoissonSampledGaussian(0.01, 1.0, 400),
]
STEPS = [*["reserve"] * 5, "again", "activate", "redeem", "commit", "commit fewer", "commit other", "forfeit", "void"]


@cache
def exact_cost(event: Event, order: float) -> mpmath.mpf:
    """The Renyi cost of one release, or of one step of DP-SGD, written down anew."""
    with mpmath.workdps(40):
        a = mpmath.mpf(order)
        if isinstance(event, Gaussian):
            return a / (2 * mpmath.mpf(event.noise_multiplier) ** 2)
        if isinstance(event, Laplace | DiscreteLaplace):
            e = mpmath.mpf(event.sensitivity) / mpmath.mpf(event.scale)
            if isinstance(event, DiscreteLaplace):
                return mpmath.log(mpmath.cosh((a - 0.5) * e) / mpmath.cosh(e / 2)) / (a - 1)
            moment = (a * mpmath.exp((a - 1) * e) + (a - 1) * mpmath.exp(-a * e)) / (2 * a - 1)
            return mpmath.log(moment) / (a - 1)
        assert isinstance(event, PoissonSampledGaussian)
        q, s = mpmath.mpf(event.sampling_rate), mpmath.mpf(event.noise_multiplier)

        def integrand(x: mpmath.mpf) -> mpmath.mpf:
            return mpmath.npdf(x, 0, s) * (1 - q + q * mpmath.exp((2 * x - 1) / (2 * s**2))) ** a

        points = sorted({mpmath.mpf(x) for x in (-20, 0, 1, order / 2, order, order + 10, order + 20)})
        with mpmath.workdps(20):
            return mpmath.log(mpmath.quad(integrand, points)) / (a - 1)


def exact_total(event: Event, order: float) -> mpmath.mpf:
    if isinstance(event, PoissonSampledGaussian):
        return event.steps * exact_cost(replace(event, steps=1), order)
    return exact_cost(event, order)


def exactly_within_the_cap(standing: list[Event], orders: list[float], weights: list[float]) -> bool:
    with mpmath.workdps(40):
        for order, weight in zip(orders, weights, strict=True):
            a, share = mpmath.mpf(order), mpmath.mpf(weight) * mpmath.mpf(DELTA)
            cap = mpmath.mpf(EPSILON) - mpmath.log(1 - 1 / a) + mpmath.log(share * a) / (a - 1)
            if sum((exact_total(event, order) for event in standing), mpmath.mpf(0)) <= cap:
                return True
    return False


class Run:
    """A ledger under a schedule, and beside it the plain list of what it granted."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.reservations: list[Reservation] = []
        self.grants: dict[str, Grant] = {}
        self.standing: dict[str, Event] = {}
        self.permanent: set[str] = set()
        terms = ledger.entries("inbox")[0].payload
        self.orders, self.weights = terms["orders"], terms["weights"]

    def step(self, what: str, pick: int) -> None:
        """One request; whatever the ledger refuses is fine, whatever it grants is written down."""
        with suppress(BudgetRefused, ProtocolError):
            getattr(self, what.split()[0])(what, pick)
        assert exactly_within_the_cap(list(self.standing.values()), self.orders, self.weights)

    def reserve(self, what: str, pick: int) -> None:
        event = EVENTS[pick % len(EVENTS)]
        key = f"key {len(self.reservations)}"
        reservation = self.ledger.reserve(
            "inbox", event, source=FINGERPRINT, release="r", key=key, owner="run", plan_digest=PLAN
        )
        self.reservations.append(reservation)
        self.standing[reservation.id] = event

    def again(self, what: str, pick: int) -> None:
        """A retry of an earlier request: the same reservation, or, where that went on, a new charge."""
        if earlier := self._picked(pick):
            again = self.ledger.reserve(
                "inbox", earlier.event, source=FINGERPRINT, release="r", key=earlier.key, owner="run", plan_digest=PLAN
            )
            assert again.id == earlier.id or again.id not in self.standing
            if again.id not in self.standing:
                self.reservations.append(again)
                self.standing[again.id] = again.event

    def activate(self, what: str, pick: int) -> None:
        if picked := self._picked(pick):
            self.grants[picked.id] = self.ledger.activate(picked)
            assert picked.id not in self.permanent, "activated twice"
            self.permanent.add(picked.id)

    def redeem(self, what: str, pick: int) -> None:
        if picked := self._picked(pick):
            grant = self.grants.get(picked.id) or Grant(picked.id, "inbox", "r", picked.event, "run", PLAN, "guess")
            self.ledger.redeem(grant, population="inbox", fingerprint=FINGERPRINT)
            assert picked.id in self.permanent

    def commit(self, what: str, pick: int) -> None:
        picked = self._picked(pick)
        if picked is None or picked.id not in self.grants:
            return
        event = picked.event
        if isinstance(event, PoissonSampledGaussian) and what == "commit fewer":
            event = replace(event, steps=1 + pick % event.steps)
        if what == "commit other":
            event = Gaussian(1000.0)
        self.ledger.commit(self.grants[picked.id], artifact_digest=ARTIFACT, event=event)
        assert what != "commit other"
        self.standing[picked.id] = event

    def forfeit(self, what: str, pick: int) -> None:
        if picked := self._picked(pick):
            self.ledger.forfeit(picked.id, reason="failed")
            assert picked.id in self.permanent

    def void(self, what: str, pick: int) -> None:
        if picked := self._picked(pick):
            self.ledger.void(picked.id, reason="died")
            assert picked.id not in self.permanent, "a permanent charge was given back"
            del self.standing[picked.id]

    def _picked(self, pick: int) -> Reservation | None:
        return self.reservations[pick % len(self.reservations)] if self.reservations else None


schedules = st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 400)), max_size=60)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(schedule=schedules)
def test_no_schedule_exceeds_the_cap_or_loses_a_charge(
    new_ledger: Callable[[], Ledger], schedule: list[tuple[str, int]]
) -> None:
    run = Run(new_ledger())
    for what, pick in schedule:
        run.step(what, pick)
    stands: dict[str, Any] = {r.id: r for r in run.ledger.reservations() if r.state != "voided"}
    assert set(stands) == set(run.standing)
    assert run.permanent <= set(stands)
    balance = run.ledger.balance("inbox", with_pld=False)
    assert 0.0 <= balance.epsilon_spent <= EPSILON
    assert (balance.epsilon_spent > 0) == bool(stands)
    assert balance.charges == len(stands)
    assert math.isclose(balance.epsilon_remaining, EPSILON - balance.epsilon_spent)
    assert run.ledger.verify() == []


def test_a_greedy_schedule_fills_the_cap_to_within_a_percent(new_ledger: Callable[[], Ledger]) -> None:
    """The property above would hold for a ledger that admits nothing."""
    run = Run(new_ledger())
    for pick in (0, 1, 2, 2):
        for _ in range(30):
            run.step("reserve", pick)
    assert run.ledger.balance("inbox", with_pld=False).epsilon_spent > 0.97 * EPSILON
    assert not exactly_within_the_cap([*run.standing.values(), Gaussian(4.0)], run.orders, run.weights)
