"""The ledger itself: scopes, and the life of a charge.

    reserve ──> activate ──> redeem ──> commit       the release was made; its artifact's digest is recorded
       │            └───────────┴─────> forfeit      it failed, or nobody knows: the charge stays in full
       └──> void                                     it never started; the only step that gives budget back

*reserve* decides and charges in one transaction; *activate* makes the charge permanent and hands out a secret token,
once; *redeem* spends the token, right before rows are read; *commit* closes the release. A charge counts from its
reservation on and in every state but voided, because a failure is an output too. Runs that died stay where they were:
safe, since they stay charged. Each step is one durable transaction; order is by entry number, clocks decide nothing.

Nothing here depends on data, and nothing here may: no batch sizes that were realised, no true counts, no exception
texts.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from ledger import accounting, chain, events, renyi_filter
from ledger.audit import Statement, problems_of, statement_of
from ledger.chain import Draft
from ledger.errors import LedgerBroken, ProtocolError, TermsConflict
from ledger.events import Event
from ledger.journal import (
    charges_of,
    cost_of,
    entry_of,
    histories,
    reservation_of,
    rule_of,
    standing,
    sums_of,
)
from ledger.protocol import (
    append_step,
    carried,
    demand_grant,
    history_of,
    newest_of,
    open_reservation,
    registration_of,
    require_grant,
    require_registration,
    require_same_request,
    require_same_terms,
)
from ledger.quoting import quote, quote_unregistered, refusal
from ledger.records import Balance, Entry, Grant, Quote, Reservation, Scope, State, opaque, words
from ledger.renyi_filter import RenyiFilter
from ledger.store import DuckDBStore, Store


class Ledger:
    """A privacy ledger at a path. Holds nothing open; any number of processes and threads may use one file."""

    def __init__(self, path: Path | str, *, store: Store | None = None) -> None:
        self._store: Store = store or DuckDBStore(path)
        self._store.require()  # everything else is checked anew in every transaction
        self._rules: dict[str, RenyiFilter] = {}  # immutable once registered; compared again where it decides

    @classmethod
    def create(cls, path: Path | str) -> Ledger:
        """A new, empty ledger. Always an explicit act; an existing one is never replaced."""
        ledger_id = secrets.token_hex(6)
        DuckDBStore(path).create(ledger_id, Draft(kind="created", payload={"ledger": ledger_id}))
        return cls(path)

    @property
    def id(self) -> str:
        """Random, fixed at creation. It stands in every reservation's id, so receipts name the ledger they are from."""
        with self._store.transaction() as book:
            return book.ledger_id

    # Scopes ---------------------------------------------------------------------------------------------------------

    def register(self, scope: Scope, *, actor: str) -> None:
        """Fix a population's terms. The same terms again change nothing; other terms raise TermsConflict.

        The weights of the filter's orders are derived from `scope.planned` the first time and never move after that;
        a later scope with other planned releases is the same scope.
        """
        words("actor", actor)
        with self._store.transaction() as book:
            registration = registration_of(book, scope.population)
            if registration is not None:
                return require_same_terms(scope, registration)
        order = accounting.planned_order(scope.planned, scope.delta)
        with self._store.transaction() as book:
            registration = registration_of(book, scope.population)
            if registration is not None:  # somebody was quicker
                return require_same_terms(scope, registration)
            rule = RenyiFilter.planned(scope.epsilon, scope.delta, order)
            book.append(
                Draft(
                    kind="registered",
                    population=scope.population,
                    owner=actor,
                    payload={
                        "unit": scope.unit,
                        "neighbouring_relation": scope.neighbouring_relation,
                        "epsilon": rule.epsilon,
                        "delta": rule.delta,
                        "planned": [event.to_json() for event in scope.planned],
                        "planned_order": order,
                        "orders": list(rule.orders),
                        "weights": list(rule.weights),
                        "caps": list(rule.caps),
                        **standing(renyi_filter.zeros(rule.orders), 0),
                    },
                )
            )

    def bind_source(self, population: str, fingerprint: str) -> None:
        """Say that a data set, by its keyed fingerprint, belongs to a population. It can never belong to another:
        the same records under a second name would have a second budget."""
        opaque("fingerprint", fingerprint)
        with self._store.transaction() as book:
            newest = newest_of(book, population)
            bound = book.find(kind="source_bound", key=fingerprint)
            if not bound:
                book.append(
                    Draft(
                        kind="source_bound",
                        population=population,
                        key=fingerprint,
                        payload=carried(newest),
                    )
                )
            elif bound[0].population != population:
                raise TermsConflict(
                    f"this data set was bound to population {bound[0].population!r} by entry {bound[0].seq}, so it "
                    f"cannot be read as {population!r}: its charges would start anew. Use the contract of "
                    f"{bound[0].population!r}, or set this contract's population to it"
                )

    def quote(self, scope: Scope, events: Iterable[Event]) -> Quote:
        """What releases, made in this order, would cost the scope as it stands. Writes nothing."""
        with self._store.transaction() as book:
            registration = registration_of(book, scope.population)
            sums = sums_of(newest_of(book, scope.population)) if registration else None
        if registration is None:
            return quote_unregistered(scope, events)
        require_same_terms(scope, registration)
        rule = rule_of(registration)
        assert sums is not None
        return quote(scope.population, rule, sums, events, registered=True)

    # The life of a charge -------------------------------------------------------------------------------------------

    def reserve(
        self, population: str, event: Event, *, release: str, key: str, owner: str, plan_digest: str
    ) -> Reservation:
        """Charge an event, or raise BudgetRefused; either way it is an entry.

        `key` names what is made (asset, partition, hash of the plan), `owner` the run that makes it. The same key by
        the same owner while still reserved is the same reservation (a retry after a lost answer); anything else is a
        new charge, because a second release is a second release.
        """
        events.check_known(event)
        for what, value in (("release", release), ("key", key), ("owner", owner)):
            words(what, value)
        opaque("plan_digest", plan_digest)
        rule = self._rule(population)
        # Outside the lock: the rule is immutable, and a vector can take a second.
        charge = accounting.renyi_vector(event, rule.orders)
        alone = accounting.epsilon(event, rule.delta)
        with self._store.transaction() as book:
            if rule_of(require_registration(book, population)) != rule:
                raise LedgerBroken(f"the terms of {population!r} are not those they were; run `dpsynth audit verify`")
            open_one = open_reservation(book, population, key, owner)
            if open_one is not None:
                reservation = reservation_of(book.ledger_id, [open_one])
                require_same_request(reservation, release, event, plan_digest)
                return reservation
            newest = newest_of(book, population)
            before, count = sums_of(newest), charges_of(newest)
            after = renyi_filter.add(before, charge)
            admitted = rule.admits(after)
            payload: dict[str, Any] = {
                "event": event.to_json(),
                "plan_digest": plan_digest,
                "epsilon_alone": chain.number(alone),
                "epsilon_spent": chain.number(rule.spent(before)),
                "epsilon_would_be": chain.number(rule.spent(after)),
            }
            if admitted:
                payload |= {"cost": chain.numbers(charge), **standing(after, count + 1)}
            else:
                payload |= carried(newest)
            entry = book.append(
                Draft(
                    kind="reserved" if admitted else "refused",
                    population=population,
                    release=release,
                    owner=owner,
                    key=key,
                    payload=payload,
                )
            )
            ledger_id = book.ledger_id
        if not admitted:  # raised after the commit: the refusal must be in the ledger
            raise refusal(population, release, event, rule, before, after, alone, entry.seq)
        return reservation_of(ledger_id, [entry])

    def activate(self, reservation: Reservation) -> Grant:
        """Make the charge permanent and hand out the grant. Once per reservation."""
        if not isinstance(reservation, Reservation):
            raise ProtocolError(f"a reservation is needed, not {type(reservation).__name__}: reserve to get one")
        token = secrets.token_urlsafe(32)
        with self._store.transaction() as book:
            history = history_of(book, reservation.id)
            stored = reservation_of(book.ledger_id, history)
            if replace(reservation, state=stored.state) != stored:
                raise ProtocolError(f"reservation {reservation.id} was handed back with other contents than it holds")
            append_step(book, history, "activated", {"token_sha256": chain.digest(token)})
        return Grant(
            reservation_id=stored.id,
            population=stored.population,
            release=stored.release,
            event=stored.event,
            owner=stored.owner,
            plan_digest=stored.plan_digest,
            token=token,
        )

    def redeem(self, grant: Grant, *, population: str, fingerprint: str) -> None:
        """Spend the grant's token for reading one population's rows. The caller hands out rows only after this
        returned, and only of the data set with this fingerprint."""
        opaque("fingerprint", fingerprint)
        with self._store.transaction() as book:
            history = require_grant(book, grant)
            if grant.population != population:
                raise ProtocolError(
                    f"the grant {grant.reservation_id} is for population {grant.population!r}, the rows asked for "
                    f"belong to {population!r}: reserve against {population!r}"
                )
            bound = book.find(kind="source_bound", key=fingerprint)
            if not bound or bound[0].population != population:
                raise ProtocolError(
                    f"this data set is not bound to population {population!r} in the ledger; snapshot and bind the "
                    "source first (materialize its `source` asset)"
                )
            append_step(book, history, "redeemed", {"fingerprint": fingerprint})

    def commit(self, grant: Grant, *, artifact_digest: str, event: Event) -> Entry:
        """Close a release. `event` is what truly ran: the planned event, or the same mechanism with fewer steps.

        With fewer steps the charge drops to them. That is sound because all parameters were public and fixed before;
        the caller owes that the moment of stopping was chosen from public things or from earlier noisy outputs, never
        from the rows. A grant that was never redeemed cannot be committed: its artifact came from rows that did not
        pass the gate.
        """
        events.check_known(event)
        opaque("artifact_digest", artifact_digest)
        demand_grant(grant)
        planned, actual = grant.event, None  # that the grant is what was reserved is checked below
        shorter = event != planned and events.within(event, planned)
        if shorter:
            rule = self._rule(grant.population)
            actual = accounting.renyi_vector(event, rule.orders)
            alone = accounting.epsilon(event, rule.delta)
        with self._store.transaction() as book:
            history = require_grant(book, grant)
            if event != planned and not shorter:
                raise ProtocolError(
                    f"what ran ({event.describe()}) is not what was reserved ({planned.describe()}); only fewer steps "
                    f"of the same mechanism may be committed. Forfeit {grant.reservation_id}: its charge stands, and "
                    "if more was released than was charged, tell the population's owners"
                )
            charged = cost_of(history[0])
            actual = tuple(map(min, actual, charged)) if actual else charged
            newest = newest_of(book, grant.population)
            sums = renyi_filter.replace(sums_of(newest), charged, actual)
            facts = {
                "event": event.to_json(),
                "artifact_digest": artifact_digest,
                "cost": chain.numbers(actual),
                "epsilon_alone": chain.number(alone) if shorter else history[0].payload["epsilon_alone"],
            }
            record = append_step(book, history, "committed", facts, (sums, charges_of(newest)))
            return entry_of(book.ledger_id, record)

    def forfeit(self, reservation_id: str, *, reason: str) -> None:
        """Close an activated charge without a release. It stays in full: that something failed is an output too."""
        words("reason", reason)
        with self._store.transaction() as book:
            append_step(book, history_of(book, reservation_id), "forfeited", {"reason": reason})

    def void(self, reservation_id: str, *, reason: str) -> None:
        """Give back a charge that was never activated. Nothing was read for it, so nothing was spent."""
        words("reason", reason)
        with self._store.transaction() as book:
            history = history_of(book, reservation_id)
            newest = newest_of(book, str(history[0].population))
            count = charges_of(newest) - 1
            charged = cost_of(history[0])
            # Where nothing stands any more the exact sum is known, free of the rounding that refunds leave behind.
            zero = renyi_filter.zeros(charged)
            sums = renyi_filter.replace(sums_of(newest), charged, zero) if count else zero
            append_step(book, history, "voided", {"reason": reason}, (sums, count))

    # Reading --------------------------------------------------------------------------------------------------------

    def balance(self, population: str, *, with_pld: bool = True) -> Balance:
        """What stands charged. `with_pld=False` leaves the reported PLD epsilon out, which can take a second."""
        return self.statement(population, with_pld=with_pld).balance

    def statement(self, population: str, *, with_pld: bool = True) -> Statement:
        """Everything a reader of `dpsynth audit` asks about a population."""
        with self._store.transaction() as book:
            require_registration(book, population)
            records = book.find(population=population)
            ledger_id = book.ledger_id
        return statement_of(ledger_id, records, with_pld=with_pld)

    def populations(self) -> list[str]:
        with self._store.transaction() as book:
            return sorted(str(record.population) for record in book.find(kind="registered"))

    def entries(self, population: str | None = None) -> list[Entry]:
        with self._store.transaction() as book:
            return [entry_of(book.ledger_id, record) for record in book.find(population=population)]

    def reservations(self, state: State | None = None) -> list[Reservation]:
        """All reservations, or those in one state: the reserved ones of runs that died may be voided."""
        with self._store.transaction() as book:
            records, ledger_id = book.find(), book.ledger_id
        found = [reservation_of(ledger_id, history) for history in histories(records).values()]
        return [reservation for reservation in found if state is None or reservation.state == state]

    def verify(self) -> list[str]:
        """Everything wrong with the ledger, the first bad entry first; empty if it is intact."""
        try:
            contents = self._store.everything()
        except LedgerBroken as error:  # not even readable
            return [str(error)]
        return problems_of(*contents)

    def _rule(self, population: str) -> RenyiFilter:
        """The population's filter; read once, as it never changes. Every decision compares it with the entry again."""
        if population not in self._rules:
            with self._store.transaction() as book:
                self._rules[population] = rule_of(require_registration(book, population))
        return self._rules[population]
