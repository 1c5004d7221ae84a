"""Spending that was done elsewhere, written down afterwards by one of a population's people.

It happened, so no budget refuses it. What it takes is somebody who stands for the population, by the key if there is
one: else anybody could spend a budget for good, in anybody's name.
"""

from __future__ import annotations

from collections.abc import Iterable

from ledger import accounting, chain, events
from ledger.acts import spent_elsewhere
from ledger.chain import Draft
from ledger.errors import ProtocolError
from ledger.events import Event
from ledger.journal import entry_of
from ledger.protocol import authority_of, blocks_of, require_budget, standings_of, stated, stated_costs
from ledger.records import Entry, words
from ledger.signatures import unarmored
from ledger.store import Store
from ledger.transaction import Transaction


class Elsewhere:
    """Write down what was spent elsewhere."""

    _store: Store

    def to_charge_elsewhere(
        self, population: str, event: Event, *, actor: str, reason: str, blocks: Iterable[str] | None = None
    ) -> str:
        """What somebody with a key signs to write down spending that was done elsewhere."""
        with self._store.transaction() as book:
            require_budget(book, population)
            change = spent_elsewhere(population, events.intact(event).to_json(), _named(book, population, blocks))
            return authority_of(book).to_propose(change, actor, reason)

    def external_charge(
        self,
        population: str,
        event: Event,
        *,
        actor: str,
        reason: str,
        blocks: Iterable[str] | None = None,
        signature: str | None = None,
    ) -> Entry:
        """Write down spending that was done elsewhere, on some of a population's blocks or (unless said) on all.

        It happened, so no budget refuses it; where it goes beyond the cap, nothing further is admitted. A closed plan
        no longer holds after it. So it takes one of the population's people, where anybody stands for it.

        Raises:
            ProtocolError: this person does not stand for the population or has not signed, or it has no such blocks.
        """
        event = events.intact(event)
        words("actor", actor)
        words("reason", reason)
        signature = None if signature is None else unarmored(signature)
        with self._store.transaction() as book:
            budget = require_budget(book, population)
            touched, judge = _named(book, population, blocks), authority_of(book)
            change = spent_elsewhere(population, event.to_json(), touched)
            judge.require_proposal(change, actor, reason, signature)
            costs = {population: accounting.renyi_vector(event, budget.rule.orders)}
            after = {
                block: budget.charge_outside(standing, costs[population])
                for block, standing in standings_of(book, tuple(touched)).items()
            }
            facts = {
                "event": event.to_json(),
                "reason": reason,
                "signature": signature,
                "after": judge.after(change),
                "blocks": touched,
                "epsilon_alone": chain.number(accounting.epsilon(event, budget.rule.delta)),
                "cost": stated_costs(costs),
                "standing": stated(after),
            }
            draft = Draft(kind="external_charge", population=population, owner=actor, payload=facts)
            return entry_of(book.ledger_id, book.append(draft))


def _named(book: Transaction, population: str, blocks: Iterable[str] | None) -> list[str]:
    """Some of a population's own blocks, or all; ProtocolError where it has no such."""
    known = blocks_of(book, population)
    named = sorted(known if blocks is None else set(blocks))
    if not named or not set(named) <= set(known):
        listed = ", ".join(block.split("/", 1)[1] for block in known)
        raise ProtocolError(
            f"population {population!r} has {f'the blocks {listed}: name one of these' if known else 'no block yet'}, "
            "so nothing was written down"
        )
    return named
