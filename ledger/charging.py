"""The life of a charge.

    reserve ──> activate ──> redeem ──> commit       the release was made; its artifact's digest is recorded
       │            │ ↑         │ └───> forfeit      it failed, or nobody knows: the charge stays in full
       └──> void    └─┴─resume──┘                    another run goes on from a checkpoint; repeated steps cost again

How it comes to be reserved and activated, one after the other or both in one transaction, stands in `admission`.
*redeem* spends its token, right before rows are read; *commit* closes the release. A charge counts from its reservation
on and in every state but voided, because a failure is an output too. Runs that died stay where they were: safe, since
they stay charged. Each step is one durable transaction; order is by entry number, clocks decide nothing.
"""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import Any

from ledger import accounting, chain, events, renyi_filter
from ledger.chain import Draft
from ledger.checkpoints import require_key
from ledger.errors import ProtocolError
from ledger.events import Event
from ledger.journal import Costs, costs_of, entry_of, reservation_of
from ledger.protocol import (
    append_step,
    budgets_of,
    demand_grant,
    grant_of,
    history_of,
    public_key_of,
    require_grant,
    require_step,
    standings_of,
    stated_costs,
    touched_by,
)
from ledger.quoting import refusal
from ledger.records import Entry, Grant, opaque, words
from ledger.scopes import Budgets, Standings, population_of, spent, tightest
from ledger.store import Store
from ledger.transaction import Transaction


class Charging:
    """Redeem, resume, commit, forfeit, void."""

    _store: Store
    _key: Any

    def redeem(self, grant: Grant, *, population: str, fingerprint: str) -> None:
        """Spend the grant's token for reading one data set. The caller hands out rows only after this returned, and
        only of the data set with this fingerprint."""
        opaque("fingerprint", fingerprint)
        with self._store.transaction() as book:
            history = require_grant(book, grant)
            if grant.population != population:
                raise ProtocolError(
                    f"the grant {grant.reservation_id} is for population {grant.population!r}, the rows asked for "
                    f"belong to {population!r}: reserve against {population!r}"
                )
            if grant.source != fingerprint:
                raise ProtocolError(
                    f"the grant {grant.reservation_id} is for another data set than the one asked for: it was charged "
                    "to that one's blocks. Reserve for the data set that is to be read"
                )
            if not set(touched_by(book, population, fingerprint)) <= set(history[0].blocks):
                raise ProtocolError(
                    f"since {grant.reservation_id} was reserved, its data set was found to hold records of further "
                    "blocks, which were not charged: forfeit it, and reserve anew"
                )
            append_step(book, history, "redeemed", {"source": fingerprint})

    def resume(self, reservation_id: str, *, owner: str, replayed: Event | None) -> Grant:
        """Take a release over from a run that died, going on from its checkpoint, under the same reservation.

        `replayed` is what is computed from rows a second time: the steps that had run since the checkpoint, or at
        least as many. It is charged on top, or refused (which leaves the release as it was). The caller owes that the
        first run has ended, and that the checkpoint holds nothing but what the reserved event covers. The first run's
        grant is void from here on. Under a closed plan nothing may be replayed: it is not in the plan.
        """
        words("owner", owner)
        token = secrets.token_urlsafe(32)
        with self._store.transaction() as book:
            require_key(self._key, public_key_of(book))
            stored = reservation_of(book.ledger_id, history_of(book, reservation_id))
            budgets = budgets_of(book, stored.population, stored.blocks)
        costs, alone = {}, 0.0
        if replayed is not None:
            replayed = events.intact(replayed)
            if not events.within(replayed, stored.event):
                raise ProtocolError(
                    f"{replayed.describe()} is not a part of what was reserved ({stored.event.describe()}): only its "
                    "own steps can be replayed"
                )
            costs = {name: accounting.renyi_vector(replayed, budget.rule.orders) for name, budget in budgets.items()}
            alone = accounting.epsilon(replayed, budgets[stored.population].rule.delta)
        with self._store.transaction() as book:
            history = history_of(book, reservation_id)
            require_step(book, history, "resumed")
            budgets = budgets_of(book, stored.population, stored.blocks)
            before = standings_of(book, stored.blocks)
            after, refused = before, None
            if replayed is not None:
                after, refused = _replay(budgets, before, costs)
            facts: dict[str, Any] = {
                "event": None if replayed is None else replayed.to_json(),
                "epsilon_alone": chain.number(alone),
            }
            if refused is None:
                facts |= {"token_sha256": chain.digest(token), "cost": stated_costs(costs)}
                append_step(book, history, "resumed", facts, standings=after, owner=owner)
                stored = reservation_of(book.ledger_id, history_of(book, reservation_id))
            else:
                entry = book.append(
                    Draft(
                        kind="refused",
                        population=stored.population,
                        release=stored.release,
                        owner=owner,
                        reservation=history[0].seq,
                        payload={
                            **facts,
                            "plan_digest": stored.plan_digest,
                            "source": stored.source,
                            "epsilon_spent": chain.number(spent(budgets, before)),
                            "epsilon_would_be": chain.number(spent(budgets, after)),
                            **dict(zip(("block", "why"), refused, strict=True)),
                        },
                    )
                )
        if refused is not None:
            assert replayed is not None
            raise refusal(*refused, stored.release, replayed, budgets, before, after, alone, entry.seq)
        return grant_of(stored, token)

    def commit(self, grant: Grant, *, artifact_digest: str, event: Event) -> Entry:
        """Close a release. `event` is what truly ran: the planned event, or the same mechanism with fewer steps.

        With fewer steps the charge drops to them. That is sound because all parameters were public and fixed before;
        the caller owes that the moment of stopping was chosen from public things or from earlier noisy outputs, never
        from the rows. What was replayed after a resumption stays charged on top. A grant that was never redeemed
        cannot be committed: its artifact came from rows that did not pass the gate.
        """
        event = events.intact(event)
        opaque("artifact_digest", artifact_digest)
        demand_grant(grant)
        planned = grant.event  # that the grant is what was reserved is checked below
        shorter = event != planned and events.within(event, planned)
        if event != planned and not shorter:
            raise ProtocolError(
                f"what ran ({event.describe()}) is not what was reserved ({planned.describe()}); only fewer steps "
                f"of the same mechanism may be committed. Forfeit {grant.reservation_id}: its charge stands, and "
                "if more was released than was charged, tell the population's owners"
            )
        costs: Costs | None = None
        if shorter:
            with self._store.transaction() as book:
                budgets = budgets_of(book, grant.population, require_grant(book, grant)[0].blocks)
            costs = {name: accounting.renyi_vector(event, budget.rule.orders) for name, budget in budgets.items()}
            alone = accounting.epsilon(event, budgets[grant.population].rule.delta)
        with self._store.transaction() as book:
            history = require_grant(book, grant)
            first = costs_of(history[0])
            actual = first if costs is None else {name: tuple(map(min, costs[name], first[name])) for name in first}
            before = standings_of(book, history[0].blocks)
            after = {
                block: replace(
                    standing,
                    sums=renyi_filter.replace(standing.sums, first[population_of(block)], actual[population_of(block)]),
                )
                for block, standing in before.items()
            }
            facts = {
                "event": event.to_json(),
                "artifact_digest": artifact_digest,
                "cost": stated_costs(actual),
                "epsilon_alone": chain.number(alone) if shorter else history[0].payload["epsilon_alone"],
            }
            return entry_of(book.ledger_id, append_step(book, history, "committed", facts, standings=after))

    def forfeit(self, reservation_id: str, *, reason: str) -> None:
        """Close an activated charge without a release. It stays in full: that something failed is an output too."""
        words("reason", reason)
        with self._store.transaction() as book:
            append_step(book, history_of(book, reservation_id), "forfeited", {"reason": reason})

    def void(self, reservation_id: str, *, reason: str) -> None:
        """Give back a charge that was never activated. Nothing was read for it, so nothing was spent."""
        words("reason", reason)
        with self._store.transaction() as book:
            give_back(book, reservation_id, reason)


def give_back(book: Transaction, reservation_id: str, reason: str) -> None:
    """Void a charge in this transaction."""
    history = history_of(book, reservation_id)
    require_step(book, history, "voided")
    stored, costs = reservation_of(book.ledger_id, history), costs_of(history[0])
    budgets = budgets_of(book, stored.population, stored.blocks)
    after = {}
    for block, standing in standings_of(book, stored.blocks).items():
        budget = budgets[population_of(block)]
        after[block] = budget.uncharge(standing, costs[budget.population], stored.release, stored.event)
    append_step(book, history, "voided", {"reason": reason}, standings=after)


def _replay(budgets: Budgets, before: Standings, costs: Costs) -> tuple[Standings, tuple[str, str] | None]:
    """As when it was reserved (`admission`), for steps that run a second time under a reservation that stands."""
    after, refusals = {}, {}
    for block, standing in before.items():
        budget = budgets[population_of(block)]
        after[block] = budget.charge_outside(standing, costs[budget.population], charges=0)
        if budget.plan is not None:
            refusals[block] = "steps that run again are not in the closed plan"
        elif not budget.rule.admits(after[block].sums):
            refusals[block] = "the steps that would run again do not fit into what is left"
    return after, tightest(budgets, before, refusals)
