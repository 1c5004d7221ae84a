"""A ledger under a schedule, and beside it the plain list of what it granted. Loaded by `test_schedules`.

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
import pytest

from ledger import (
    BudgetRefused,
    Checkpoint,
    DiscreteLaplace,
    Event,
    Finding,
    Gaussian,
    Grant,
    InvalidEvent,
    Laplace,
    Ledger,
    LedgerError,
    PoissonSampledGaussian,
    ProtocolError,
    RaiseCap,
    Reservation,
    TermsConflict,
)

INBOX, WINTER, SPRING, PANEL, PLANNED = (
    f"hmac-sha256:{n}-0001" for n in ("inbox", "winter", "spring", "panel", "plan")
)
HOME = {INBOX: "inbox", WINTER: "monthly", SPRING: "monthly", PANEL: "panel", PLANNED: "planned"}
PLAN, ARTIFACT = "a" * 64, "b" * 64
ALICE, BOB = "alice@example.org", "bob@example.org"
DELTA = 1e-6
ITEMS: tuple[tuple[str, Event], ...] = (("r", Gaussian(4.0)), ("r", Gaussian(4.0)), ("r", Laplace(6.0, 2.0)))
EVENTS: list[Event] = [
    Gaussian(2.0),
    Gaussian(4.0),
    Gaussian(4.0),
    Gaussian(30.0),
    Laplace(6.0, 2.0),
    DiscreteLaplace(8.0, 2),
    PoissonSampledGaussian(0.01, 1.0, 40),
    PoissonSampledGaussian(0.01, 1.0, 400),
]
WRONG: list[Any] = [math.nan, math.inf, -math.inf, 0.0, -1.0, 1e300, 10**400, True, "4", None]
TIMES = ["1970-01-01T00:00:00+00:00", "2038-01-19T03:14:08+00:00", "2026-11-25T00:00:00+00:00", "", "tomorrow"]
STEPS = [
    *["reserve"] * 7,
    *["reserve just what fits", "reserve too much", "reserve nonsense", "reserve from elsewhere", "again", "again"],
    *["activate"] * 5,
    *["redeem"] * 4,
    *["commit", "commit", "commit fewer", "commit other", "forfeit", "void", "void"],
    *["resume", "resume", "resume at no cost", "bind", "external", "lower", "clock", "incident"],
    *["propose"] * 3,
    *["approve"] * 4,
]


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


@cache
def exact_cap(epsilon: float, order: float, weight: float) -> mpmath.mpf:
    with mpmath.workdps(40):
        a, share = mpmath.mpf(order), mpmath.mpf(weight) * mpmath.mpf(DELTA)
        return mpmath.mpf(epsilon) - mpmath.log(1 - 1 / a) + mpmath.log(share * a) / (a - 1)


class World:
    """A ledger under a schedule, and beside it the plain list of what it granted, to which blocks."""

    def __init__(self, ledger: Ledger, set_time: Callable[[str], None]) -> None:
        self.ledger, self.set_time = ledger, set_time
        self.requests: list[Reservation] = []
        self.grants: dict[str, list[Grant]] = {}  # all that were ever handed out, newest last
        self.standing: dict[str, list[Event]] = {}  # by reservation, or by name of spending elsewhere
        self.blocks: dict[str, tuple[str, ...]] = {}
        self.permanent: set[str] = set()
        self.sources: dict[str, set[str]] = {}
        self.caps: dict[str, float] = {}
        self.rules: dict[str, list[tuple[float, float]]] = {}
        self.plans: set[str] = set()
        self.proposals: list[tuple[int, str, float]] = []
        self.points: list[Checkpoint] = []
        for entry in ledger.entries():
            if entry.kind == "registered":
                payload, name = entry.payload, str(entry.population)
                self.caps[name] = payload["epsilon"]
                self.rules[name] = list(zip(payload["orders"], payload["weights"], strict=True))
                self.plans |= {name} if payload["plan"] else set()
            if entry.kind == "bound":
                self.sources[entry.payload["key"]] = {*entry.payload["blocks"], *entry.payload["overlaps"]}

    def step(self, what: str, pick: int, other: int) -> None:
        """One request; whatever the ledger refuses is fine, whatever it grants is written down."""
        with suppress(BudgetRefused, ProtocolError, TermsConflict):
            getattr(self, what.split()[0])(what, pick, other)

    # What is granted ------------------------------------------------------------------------------------------------

    def charged(self, block: str, order: float) -> mpmath.mpf:
        events = (e for name, charge in self.standing.items() if block in self.blocks[name] for e in charge)
        return sum((exact_total(event, order) for event in events), mpmath.mpf(0))

    def assert_within_the_caps(self, blocks: tuple[str, ...]) -> None:
        for block in blocks:
            population = block.split("/")[0]
            if population in self.plans:
                left = [event for _, event in ITEMS]
                for name, charge in self.standing.items():
                    if block in self.blocks[name]:
                        left.remove(charge[0])  # an error where something is not in the plan, or once too often
                continue
            with mpmath.workdps(40):
                rule, cap = self.rules[population], self.caps[population]
                assert any(self.charged(block, a) <= exact_cap(cap, a, weight) for a, weight in rule), block

    def granted(self, reservation: Reservation) -> None:
        self.requests.append(reservation)
        self.standing[reservation.id] = [reservation.event]
        self.blocks[reservation.id] = tuple(sorted(self.sources[reservation.source]))
        assert reservation.blocks == self.blocks[reservation.id]
        self.assert_within_the_caps(reservation.blocks)

    # Steps ----------------------------------------------------------------------------------------------------------

    def ask(self, source: str, event: Event, key: str) -> Reservation:
        return self.ledger.reserve(
            HOME[source], event, source=source, release="r", key=key, owner="run", plan_digest=PLAN
        )

    def reserve(self, what: str, pick: int, other: int) -> None:
        source = list(HOME)[other % len(HOME)]
        event = EVENTS[pick % len(EVENTS)]
        if what.endswith("fits"):
            event = self.just_what_fits(source, pick)
        if what.endswith("much"):
            event = Gaussian(0.01)
        if what.endswith("nonsense"):
            self.nonsense(source, WRONG[pick % len(WRONG)], other)
            return
        if what.endswith("elsewhere"):
            with pytest.raises(ProtocolError):
                self.ledger.reserve("inbox", event, source=SPRING, release="r", key="k", owner="run", plan_digest=PLAN)
            return
        self.granted(self.ask(source, event, f"key {len(self.requests)} {pick}"))

    def just_what_fits(self, source: str, pick: int) -> Event:
        """Noise chosen by what is left, to the last digit or a hair less, as one who adapts would choose it."""
        blocks = [b for b in sorted(self.sources[source]) if b.split("/")[0] not in self.plans]
        if not blocks:
            return EVENTS[1]
        block = blocks[pick % len(blocks)]
        population = block.split("/")[0]
        rooms = [
            (float(exact_cap(self.caps[population], a, weight) - self.charged(block, a)) / a, a)
            for a, weight in self.rules[population]
        ]
        room, _ = max(rooms)
        noise = math.sqrt(1 / (2 * room)) if room > 1e-12 else 50.0
        return Gaussian(max(0.002, noise * (1, 1 - 1e-15, 1 - 1e-12, 1 + 1e-8, 1 - 1e-6)[pick % 5]))

    def nonsense(self, source: str, wrong: Any, other: int) -> None:
        before = self.ledger.entries()
        for make in (Gaussian, lambda x: Laplace(x, 1.0), lambda x: PoissonSampledGaussian(0.01, x, 10)):
            with pytest.raises(InvalidEvent):
                make(wrong)
        smuggled = replace((EVENTS[1], EVENTS[6])[other % 2])
        if isinstance(wrong, float) and not wrong > 0:
            object.__setattr__(smuggled, "noise_multiplier", wrong)
            with pytest.raises(LedgerError):
                self.ask(source, smuggled, "smuggled")
        with pytest.raises(LedgerError):
            self.ledger.lower_cap("inbox", wrong, actor=ALICE, reason="nonsense")
        assert self.ledger.entries() == before

    def again(self, what: str, pick: int, other: int) -> None:
        """A retry of an earlier request: the same reservation, or, where that went on, a new charge."""
        if earlier := self.picked(pick):
            again = self.ask(earlier.source, earlier.event, earlier.key)
            if again.id not in self.standing:
                assert again.id not in {request.id for request in self.requests}
                self.granted(again)

    def activate(self, what: str, pick: int, other: int) -> None:
        if picked := self.picked(pick):
            self.grants[picked.id] = [self.ledger.activate(picked)]
            assert picked.id not in self.permanent, "activated twice"
            self.permanent.add(picked.id)

    def grant(self, picked: Reservation, other: int) -> Grant:
        """Mostly the newest, sometimes one of a run that was given up, sometimes a guess."""
        held = self.grants.get(picked.id)
        if not held or other % 10 == 0:
            return Grant(picked.id, picked.population, "r", picked.event, "run", PLAN, picked.source, "guess")
        return held[other % len(held)] if other % 10 < 3 else held[-1]

    def redeem(self, what: str, pick: int, other: int) -> None:
        if picked := self.picked(pick):
            grant = self.grant(picked, other)
            source = list(HOME)[other % len(HOME)] if other % 10 == 4 else picked.source
            self.ledger.redeem(grant, population=HOME[source], fingerprint=source)
            assert grant is self.grants[picked.id][-1], "read by a run that was given up"
            assert source == picked.source
            assert self.sources[source] <= set(self.blocks[picked.id]), "rows were read that nothing was charged for"

    def commit(self, what: str, pick: int, other: int) -> None:
        if picked := self.picked(pick):
            event, grant = picked.event, self.grant(picked, other)
            if isinstance(event, PoissonSampledGaussian) and what == "commit fewer":
                event = replace(event, steps=1 + other % event.steps)
            if what == "commit other":
                event = Gaussian(1000.0)
            self.ledger.commit(grant, artifact_digest=ARTIFACT, event=event)
            assert what != "commit other"
            assert grant is self.grants[picked.id][-1], "committed by a run that was given up"
            self.standing[picked.id][0] = event

    def forfeit(self, what: str, pick: int, other: int) -> None:
        if picked := self.picked(pick):
            self.ledger.forfeit(picked.id, reason="failed")
            assert picked.id in self.permanent

    def void(self, what: str, pick: int, other: int) -> None:
        if picked := self.picked(pick):
            self.ledger.void(picked.id, reason="died")
            assert picked.id not in self.permanent, "a permanent charge was given back"
            del self.standing[picked.id]

    def resume(self, what: str, pick: int, other: int) -> None:
        if picked := self.picked(pick):
            replayed = None if what.endswith("cost") else picked.event
            if isinstance(replayed, PoissonSampledGaussian):
                replayed = replace(replayed, steps=1 + other % replayed.steps)
            grant = self.ledger.resume(picked.id, owner=f"run {other}", replayed=replayed)
            self.grants[picked.id].append(grant)
            if replayed is not None:
                self.standing[picked.id].append(replayed)
                self.assert_within_the_caps(self.blocks[picked.id])

    def incident(self, what: str, pick: int, other: int) -> None:
        """An audit refutes something that was or may be read; what stands charged stays as it was."""
        if picked := self.picked(pick):
            before, entries = self.ledger.spending(picked.population), len(self.ledger.entries())
            finding = Finding(1.0, 2.0 + other % 2, 0.95, DELTA, {"audit.json": "d" * 64})
            said = self.ledger.incident(picked.id, finding, reason="audited")
            assert picked.id in self.permanent, "nothing could have been read for it"
            assert said.seq == entries + 1 or said.seq <= entries == len(self.ledger.entries())
            assert self.ledger.spending(picked.population) == before

    def bind(self, what: str, pick: int, other: int) -> None:
        source = (WINTER, SPRING, PANEL)[pick % 3]
        if source == PANEL:
            shared = f"monthly/{('january', 'february', 'march')[other % 3]}"
            self.ledger.bind_source("panel", source, overlaps=(shared,))
            self.sources[source].add(shared)
        else:
            block = ("january", "february", "march", "april", "may")[other % 5]
            self.ledger.bind_source("monthly", source, blocks=(block,))
            self.sources[source].add(f"monthly/{block}")

    def external(self, what: str, pick: int, other: int) -> None:
        if other % 3 == 0:  # rarely: it overdraws
            event = EVENTS[3 + pick % 3]
            entry = self.ledger.external_charge("inbox", event, actor=ALICE, reason="elsewhere")
            name = f"elsewhere {entry.seq}"
            self.standing[name], self.blocks[name] = [event], ("inbox/everything",)
            self.permanent.add(name)

    def lower(self, what: str, pick: int, other: int) -> None:
        population = ("inbox", "monthly", "panel")[pick % 3]
        self.ledger.lower_cap(population, lower := (0.3, 1.0, 2.9)[other % 3], actor=ALICE, reason="less")
        assert lower < self.caps[population]
        self.caps[population] = lower

    def propose(self, what: str, pick: int, other: int) -> None:
        population, epsilon = ("inbox", "monthly", "panel")[pick % 3], (2.0, 3.1, 3.2)[other % 3]
        asked = self.ledger.propose(RaiseCap(population, epsilon), actor=ALICE, reason="more")
        self.proposals.append((asked, population, epsilon))

    def approve(self, what: str, pick: int, other: int) -> None:
        if self.proposals:
            asked, population, epsilon = self.proposals[pick % len(self.proposals)]
            actor = (BOB, BOB, ALICE, " Alice@Example.org")[other % 4]
            self.ledger.approve(asked, actor=actor, reason="agreed")
            assert actor is BOB
            assert epsilon > self.caps[population]
            self.caps[population] = epsilon

    def clock(self, what: str, pick: int, other: int) -> None:
        self.set_time(TIMES[pick % len(TIMES)])

    def picked(self, pick: int) -> Reservation | None:
        return self.requests[-1 - pick % min(6, len(self.requests))] if self.requests else None

    # In the end -----------------------------------------------------------------------------------------------------

    def assert_nothing_is_lost(self) -> None:
        assert self.ledger.verify(self.points) == []
        stands = {r.id for r in self.ledger.reservations() if r.state != "voided"}
        assert stands == {name for name in self.standing if not name.startswith("elsewhere")}
        assert self.permanent <= set(self.standing)
        newest = {b: e for e in self.ledger.entries() for b in e.payload.get("standing", {})}
        for block, entry in newest.items():
            stated, population = entry.payload["standing"][block], block.split("/")[0]
            assert stated["charges"] == sum(block in self.blocks[name] for name in self.standing)
            for (order, _), total in zip(self.rules[population], stated["sums"], strict=True):
                exact = self.charged(block, order)
                assert exact <= total <= exact * (1 + 1e-4) + 1e-6
