"""How a charge is admitted.

*reserve* decides and charges in one transaction, every touched block or none; *activate* makes the charge permanent and
hands out a secret token, once. *charge* does both in one transaction: its two entries are appended together or not at
all, so a process that dies leaves both or neither.

What fits is decided by a budget (`scopes`), and what becomes of a charge afterwards is in `charging`.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress
from copy import copy
from dataclasses import dataclass, replace
from typing import Any, Self

from ledger import accounting, chain, events
from ledger.chain import Draft
from ledger.charging import give_back
from ledger.checkpoints import require_key
from ledger.errors import BudgetRefused, LedgerBroken, ProtocolError
from ledger.events import Event
from ledger.journal import Costs, reservation_of
from ledger.protocol import (
    append_step,
    budgets_of,
    grant_of,
    history_of,
    open_reservation,
    public_key_of,
    require_same_request,
    standings_of,
    stated,
    stated_costs,
    touched_by,
)
from ledger.quoting import refusal
from ledger.records import Grant, Reservation, opaque, words
from ledger.scopes import Budgets, Standings, population_of, spent, tightest
from ledger.store import Store
from ledger.transaction import Transaction
from ledger.view import OneView


@dataclass(frozen=True)
class Request:
    """What is asked for, each part of the form that an entry takes; `Admission.reserve` says what they are."""

    population: str
    event: Event
    source: str
    release: str
    key: str
    owner: str
    plan_digest: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "event", events.intact(self.event))
        events.intact(events.Composed((self.event,)))  # as a seal states it: what could not be sealed is not charged
        for what in ("release", "key", "owner"):
            words(what, getattr(self, what))
        for what in ("plan_digest", "source"):
            opaque(what, getattr(self, what))


@dataclass(frozen=True)
class _Price:
    """What a request costs each population that it touches, at the orders of its budget, and what it is alone."""

    budgets: Budgets
    costs: Costs
    alone: float


class _OnlyAsked(Exception):  # noqa: N818 - no error: it rolls back what was only tried
    pass


class Admission:
    """Reserve, activate, or both in one."""

    _store: Store
    _key: Any

    def reserve(
        self, population: str, event: Event, *, source: str, release: str, key: str, owner: str, plan_digest: str
    ) -> Reservation:
        """Charge an event to all blocks of a data set, or raise BudgetRefused; either way it is an entry.

        `source` is the data set's fingerprint as it was bound, `key` names what is made (asset, partition, hash of
        the plan), `owner` the run that makes it. The same key by the same owner while still reserved is the same
        reservation (a retry after a lost answer); anything else is a new charge, because a second release is a second
        release. Without the ledger's signing key nothing is charged: what was paid for could not be sealed.
        """
        return self._admit(Request(population, event, source, release, key, owner, plan_digest), lambda: None, None)

    def charge(
        self,
        population: str,
        event: Event,
        *,
        source: str,
        release: str,
        key: str,
        owner: str,
        plan_digest: str,
        ready: Callable[[], None],
        permitted: Callable[[Self], None] | None = None,
    ) -> Grant:
        """Reserve and activate in one transaction, or raise BudgetRefused: the charge is permanent once it stands.

        `ready` is called before a charge that would be admitted, once, with no lock held. If it raises, nothing is
        charged; if meanwhile the budget went elsewhere, the charge is refused all the same. It is not called for a
        charge that is refused. What this owner only reserved, under this key, is activated and not charged again.

        `permitted` looks at the ledger in the very transaction that charges, so that what it found still holds then.
        If it raises, nothing is charged and nothing is entered. `ready` may take minutes, in which people sign.
        """
        asked, token = Request(population, event, source, release, key, owner, plan_digest), secrets.token_urlsafe(32)
        return grant_of(self._admit(asked, ready, token, permitted), token)

    def reserve_all(self, requests: Sequence[Request], *, reason: str, hold: bool = True) -> None:
        """Reserve all of these, as if one after the other, or none. Without `hold` it is only asked whether all fit.

        It is one transaction. Where one does not fit, it writes down what was reserved before it, the refusal, and what
        was given back for this `reason`: so a process that dies leaves all of it or nothing. `charge` activates each.

        Raises:
            BudgetRefused: one of them does not fit.
        """
        words("reason", reason)
        prices = [self._priced(asked)[0] for asked in requests]
        refused: BudgetRefused | None = None
        with suppress(_OnlyAsked), self._store.transaction() as book:
            reserved = []
            for asked, price in zip(requests, prices, strict=True):
                outcome = _decide(book, asked, price, None, admit=True)
                if isinstance(outcome, BudgetRefused):
                    refused = outcome
                    break
                assert outcome is not None
                reserved.append(outcome.id)
            if refused is None and not hold:
                raise _OnlyAsked  # nothing of this transaction stays
            for each in reserved if refused is not None else ():
                give_back(book, each, reason)
        if refused is not None:
            raise refused

    def activate(self, reservation: Reservation) -> Grant:
        """Make the charge permanent and hand out the grant. Once per reservation."""
        if not isinstance(reservation, Reservation):
            raise ProtocolError(f"a reservation is needed, not {type(reservation).__name__}: reserve to get one")
        token = secrets.token_urlsafe(32)
        with self._store.transaction() as book:
            require_key(self._key, public_key_of(book))
            history = history_of(book, reservation.id)
            stored = reservation_of(book.ledger_id, history)
            if replace(reservation, state=stored.state, redeemed=stored.redeemed) != stored:
                raise ProtocolError(f"reservation {reservation.id} was handed back with other contents than it holds")
            _activate(book, history, token)
        return grant_of(stored, token)

    def _as_it_stands_in(self, book: Transaction) -> Self:
        """This ledger as one transaction sees it. Nothing can be written to it."""
        view = copy(self)
        view._store = OneView(book)
        return view

    def _admit(
        self,
        asked: Request,
        ready: Callable[[], None],
        token: str | None,
        permitted: Callable[[Self], None] | None = None,
    ) -> Reservation:
        """The charge, activated if there is a `token`; BudgetRefused where it does not fit."""
        price, standings = self._priced(asked)
        _, refused = _with_charge(price.budgets, standings, price, asked)
        checked = refused is None
        if checked:
            ready()
        while True:
            with self._store.transaction() as book:
                require_key(self._key, public_key_of(book))
                if permitted is not None:
                    permitted(self._as_it_stands_in(book))
                outcome = _decide(book, asked, price, token, admit=checked)
            if isinstance(outcome, BudgetRefused):
                raise outcome  # after the transaction: the refusal must be in the ledger
            if outcome is not None:
                return outcome
            ready()  # what stood in the way was given back meanwhile
            checked = True

    def _priced(self, asked: Request) -> tuple[_Price, Standings]:
        """What a request costs, and what stands charged where it would be charged."""
        with self._store.transaction() as book:
            require_key(self._key, public_key_of(book))
            touched = touched_by(book, asked.population, asked.source)
            budgets, standings = budgets_of(book, asked.population, touched), standings_of(book, touched)
        # Outside the lock: orders are immutable, and a vector can take a second.
        costs = {name: accounting.renyi_vector(asked.event, each.rule.orders) for name, each in budgets.items()}
        alone = accounting.epsilon(asked.event, budgets[asked.population].rule.delta)
        return _Price(budgets, costs, alone), standings


def _decide(
    book: Transaction, asked: Request, price: _Price, token: str | None, *, admit: bool
) -> Reservation | BudgetRefused | None:
    """Append the charge or its refusal; None, and no entry, where it would be admitted and must not be yet."""
    touched = touched_by(book, asked.population, asked.source)
    budgets = budgets_of(book, asked.population, touched)
    if {name: each.rule.orders for name, each in budgets.items()} != {
        name: each.rule.orders for name, each in price.budgets.items()
    }:
        raise LedgerBroken("the terms of a population changed that never change; run `dpsynth audit verify`")
    entry = open_reservation(book, asked.population, asked.key, asked.owner)
    if entry is not None:
        require_same_request(
            reservation_of(book.ledger_id, [entry]), asked.release, asked.event, asked.plan_digest, asked.source
        )
    before = standings_of(book, touched)
    after, refused = _with_charge(budgets, before, price, asked)
    if not admit and (entry is not None or refused is None):
        return None
    if entry is None:
        facts: dict[str, Any] = {
            "event": asked.event.to_json(),
            "plan_digest": asked.plan_digest,
            "source": asked.source,
            "epsilon_alone": chain.number(price.alone),
            "epsilon_spent": chain.number(spent(budgets, before)),
            "epsilon_would_be": chain.number(spent(budgets, after)),
        }
        if refused is None:
            facts |= {"cost": stated_costs(price.costs), "standing": stated(after)}
        else:
            facts |= dict(zip(("block", "why"), refused, strict=True))
        entry = book.append(
            Draft(
                kind="refused" if refused else "reserved",
                population=asked.population,
                release=asked.release,
                owner=asked.owner,
                key=asked.key,
                payload=facts,
            )
        )
        if refused is not None:
            return refusal(*refused, asked.release, asked.event, budgets, before, after, price.alone, entry.seq)
    history = [entry]
    if token is not None:
        history.append(_activate(book, history, token))
    return reservation_of(book.ledger_id, history)


def _activate(book: Transaction, history: list[chain.Record], token: str) -> chain.Record:
    return append_step(book, history, "activated", {"token_sha256": chain.digest(token)})


def _with_charge(
    budgets: Budgets, before: Standings, price: _Price, asked: Request
) -> tuple[Standings, tuple[str, str] | None]:
    """Every block's standing with the charge, and which block refuses it and why (None if all admit it)."""
    after, refusals = {}, {}
    for block, standing in before.items():
        budget = budgets[population_of(block)]
        after[block], why = budget.charge(standing, price.costs[budget.population], asked.release, asked.event)
        if why is not None:
            refusals[block] = why
    return after, tightest(budgets, before, refusals)
