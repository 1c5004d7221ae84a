"""Changes that give people less protection take two: one asks with a reason, another one agrees with a reason.

    propose ──> approve ──> registered, cap_changed, terms_set or people_set, which names its proposal

A population begins, a cap is raised, a contract's terms are set (or weakened) and people change this way. Lowering a
cap takes one person; below what is spent it freezes the population, since nothing fits any more. Who may do so stands
in the ledger (`authority`), from a population's registration on.

The guarantee of a budget whose cap was raised is that of the highest cap that would ever have been approved. Names
without a key are what people say they are: the ledger records who signed, and cannot know who sat at the keyboard.
Every act takes a `signature` then, which `ssh-keygen` makes of the statement that `to_propose`, `to_approve` or
`to_lower_cap` gives.
"""

from __future__ import annotations

import json
from typing import Any

from ledger import chain
from ledger.acts import lowered
from ledger.chain import Draft, Record
from ledger.errors import ProtocolError, SourceTaken, TermsConflict
from ledger.events import from_json
from ledger.journal import EFFECTS, entry_of, proposals_of
from ledger.people import People
from ledger.protocol import (
    authority_of,
    budget_of,
    require_budget,
    require_possible_terms,
    require_same_cap,
    require_same_terms,
    stated,
)
from ledger.quoting import budget_of as planned_budget
from ledger.records import (
    AddPopulation,
    Change,
    Entry,
    Proposal,
    RaiseCap,
    Scope,
    SetPeople,
    SetTerms,
    block,
    name,
    opaque,
    words,
)
from ledger.renyi_filter import checked_budget
from ledger.scopes import EVERYTHING, block_name, population_of
from ledger.signatures import unarmored
from ledger.store import Store
from ledger.transaction import Transaction


class Governing:
    """Populations, caps, contract terms, and which data set is made of which blocks."""

    _store: Store

    def to_propose(self, change: Change, *, actor: str, reason: str) -> str:
        """What somebody with a key signs to ask for a change."""
        with self._store.transaction() as book:
            return authority_of(book).to_propose(_canonical(change.to_json()), actor, reason)

    def to_approve(self, proposal: int, *, actor: str, reason: str) -> str:
        """What somebody with a key signs to agree to a proposal."""
        with self._store.transaction() as book:
            return authority_of(book).to_approve(_open_proposal(book, proposal), actor, reason)

    def to_lower_cap(self, population: str, epsilon: float, *, actor: str, reason: str) -> str:
        """What somebody with a key signs to lower a cap."""
        with self._store.transaction() as book:
            return authority_of(book).to_propose(_lowered(population, epsilon), actor, reason)

    def propose(self, change: Change, *, actor: str, reason: str, signature: str | None = None) -> int:
        """Ask for a change; returns the number to approve. A change that could not be made is refused right away.

        Raises:
            ProtocolError: this person may not ask, has not signed, or there is nothing to change.
        """
        words("actor", actor)
        words("reason", reason)
        signature = None if signature is None else unarmored(signature)
        asked = _canonical(change.to_json())
        _effect_of(change)  # a closed plan over budget, an epsilon out of range: found before anybody is bothered
        with self._store.transaction() as book:
            _require_possible(book, change, registered=False)
            judge = authority_of(book)
            judge.require_proposal(asked, actor, reason, signature)
            draft = Draft(
                kind="proposed",
                population=change.population,
                owner=actor,
                key=change.contract if isinstance(change, SetTerms) else None,
                payload={"change": asked, "reason": reason, "signature": signature, "after": judge.after(asked)},
            )
            return book.append(draft).seq

    def approve(self, proposal: int, *, actor: str, reason: str, signature: str | None = None) -> Entry:
        """Agree to a change that somebody else asked for. It holds from this entry on.

        Raises:
            ProtocolError: there is no such proposal, it has taken effect, something was decided about the same since,
                the same person asked for it, this person may not agree or has not signed, or who asked may no longer.
        """
        words("actor", actor)
        words("reason", reason)
        signature = None if signature is None else unarmored(signature)
        with self._store.transaction() as book:
            asked = _open_proposal(book, proposal)
            authority_of(book).require_approval(asked, actor, reason, signature)
            change = change_from(asked.payload["change"])
        kind, facts = _effect_of(change)
        with self._store.transaction() as book:
            asked = _open_proposal(book, proposal)
            authority_of(book).require_approval(asked, actor, reason, signature)
            _require_possible(book, change, registered=True)
            if isinstance(change, RaiseCap):  # caps follow from weights that stand in the ledger
                rule = require_budget(book, change.population).rule.with_cap(change.epsilon)
                facts = {"epsilon": rule.epsilon, "caps": list(rule.caps)}
            draft = Draft(
                kind=kind,
                population=change.population,
                owner=actor,
                key=change.contract if isinstance(change, SetTerms) else None,
                payload={
                    "proposal": asked.seq,
                    "reason": reason,
                    "signature": signature,
                    "after": asked.hash,
                    **facts,
                },
            )
            return entry_of(book.ledger_id, book.append(draft))

    def lower_cap(
        self, population: str, epsilon: float, *, actor: str, reason: str, signature: str | None = None
    ) -> Entry:
        """Lower a population's epsilon. Takes one of its people: it gives nobody less protection."""
        words("actor", actor)
        words("reason", reason)
        signature = None if signature is None else unarmored(signature)
        with self._store.transaction() as book:
            budget = require_budget(book, population)
            rule = budget.rule.with_cap(epsilon)
            if not rule.epsilon < budget.rule.epsilon:
                raise ProtocolError(
                    f"the cap of population {population!r} is ε = {budget.rule.epsilon:g}; {epsilon:g} would raise it, "
                    "which one person proposes and another one approves"
                )
            judge, change = authority_of(book), _lowered(population, rule.epsilon)
            judge.require_proposal(change, actor, reason, signature)
            facts: dict[str, Any] = {"proposal": None, "reason": reason, "signature": signature}
            facts |= {"after": judge.after(change)}
            facts |= {"epsilon": rule.epsilon, "caps": list(rule.caps)}
            draft = Draft(kind="cap_changed", population=population, owner=actor, payload=facts)
            return entry_of(book.ledger_id, book.append(draft))

    def proposals(self) -> list[Proposal]:
        """All that was ever asked for, oldest first; those without `effect` wait for a second person."""
        with self._store.transaction() as book:
            return proposals_of(book.find(kinds=("proposed", *EFFECTS.values())))

    def require(self, scope: Scope, *, cap: bool = True) -> None:
        """LedgerError unless the population stands registered with these very terms, and with this cap if `cap`."""
        with self._store.transaction() as book:
            budget = require_budget(book, scope.population)
        require_same_terms(scope, budget)
        if cap:
            require_same_cap(scope, budget)

    def terms(self, contract: str) -> dict[str, Any] | None:
        """What was approved about a contract last; None if nothing ever was."""
        name("contract", contract)
        with self._store.transaction() as book:
            return authority_of(book).terms.get(contract)

    def people(self, population: str | None = None) -> People | None:
        """Who may sign for a population, or for the ledger as a whole; None where nobody stands there."""
        with self._store.transaction() as book:
            return authority_of(book).people_of(population)

    def key_of(self, actor: str, population: str | None) -> str | None:
        """The key by which somebody signs for a population (or for the ledger as a whole): the one that stands there,
        or else for this name anywhere in the ledger. None where there is none, or where places disagree."""
        with self._store.transaction() as book:
            judge = authority_of(book)
            keys = judge.keys_of(actor, judge.people_of(population))
        return keys.pop() if len(keys) == 1 else None

    def key_for(self, change: Change, actor: str) -> str | None:
        """The key by which somebody signs for a change; None as above."""
        with self._store.transaction() as book:
            keys = authority_of(book).keys_for(_canonical(change.to_json()), actor)
        return keys.pop() if len(keys) == 1 else None

    def concerned(self, change: Change, actor: str) -> list[People]:
        """All of those who stand wherever this person would need leave for the change (see `authority`)."""
        with self._store.transaction() as book:
            return list(authority_of(book).concerned(_canonical(change.to_json()), actor).values())

    def bind_source(
        self,
        population: str,
        fingerprint: str,
        *,
        blocks: tuple[str, ...] = (EVERYTHING,),
        overlaps: tuple[str, ...] = (),
    ) -> None:
        """Say of which of a population's blocks a data set, by its keyed fingerprint, is made. Once for all: it can
        never belong to another population, nor lose a block.

        `overlaps` are blocks of other populations (as `population/block`) that hold the same records under another
        name: they are charged too, so that a new name is no new budget. They must protect the same unit.

        Raises:
            SourceTaken: the data set was bound to another population before.
            TermsConflict: the blocks are not the population's, or an overlap protects another unit, or its people are
                not those who signed for this population, by the keys that they had there.
        """
        opaque("fingerprint", fingerprint)
        own = tuple(sorted(block_name(population, block(each)) for each in set(blocks)))
        with self._store.transaction() as book:
            budget = require_budget(book, population)
            if (budget.blocks_by is None and own != (block_name(population, EVERYTHING),)) or not own:
                raise TermsConflict(
                    f"population {population!r} is one block, {EVERYTHING!r}; it was not registered as divided"
                )
            if budget.blocks_by is not None and block_name(population, EVERYTHING) in own:
                raise TermsConflict(f"population {population!r} is divided by {budget.blocks_by!r}: name the blocks")
            for other in sorted(set(overlaps)):
                _require_shareable(book, population, other)
            authority_of(book).require_shareable(population, map(population_of, overlaps))
            bound = book.find(kinds=("bound",), key=fingerprint)
            if bound and bound[0].population != population:
                raise SourceTaken(
                    f"this data set was bound to population {bound[0].population!r} by entry {bound[0].seq}, so it "
                    f"cannot be read as {population!r}: its charges would start anew. Use the contract of "
                    f"{bound[0].population!r}, or set this contract's population to it"
                )
            touched = set(own) | set(overlaps)
            before = {*bound[-1].payload["blocks"], *bound[-1].payload["overlaps"]} if bound else set()
            if bound and touched <= before:
                return
            touched |= before
            new = {each: budget.empty() for each in own if book.newest(each) is None}
            payload = {
                "blocks": sorted(each for each in touched if population_of(each) == population),
                "overlaps": sorted(each for each in touched if population_of(each) != population),
                "standing": stated(new),
            }
            book.append(Draft(kind="bound", population=population, key=fingerprint, payload=payload))


def change_from(stated_change: dict[str, Any]) -> Change:
    """The change that a proposal's JSON describes."""
    match stated_change["kind"]:
        case "add_population":
            plan = stated_change["plan"]
            return AddPopulation(
                Scope(
                    population=stated_change["population"],
                    unit=stated_change["unit"],
                    neighbouring_relation=stated_change["neighbouring_relation"],
                    epsilon=stated_change["epsilon"],
                    delta=stated_change["delta"],
                    planned=tuple(map(from_json, stated_change["planned"])),
                    closed_plan=None if plan is None else tuple((r, from_json(event)) for r, event in plan),
                    blocks_by=stated_change["blocks_by"],
                    unit_by=stated_change["unit_by"],
                ),
                People.from_json(stated_change["people"]),
            )
        case "raise_cap":
            return RaiseCap(stated_change["population"], stated_change["epsilon"])
        case "set_terms":
            return SetTerms(stated_change["contract"], stated_change["terms"], stated_change["population"])
        case "set_people":
            return SetPeople(stated_change["population"], People.from_json(stated_change["people"]))
    raise ProtocolError(f"a change of kind {stated_change['kind']!r} is unknown")


def _effect_of(change: Change) -> tuple[str, dict[str, Any]]:
    """The kind of entry that a change becomes, and what stands in it; of a raised cap only what needs no ledger."""
    kind = EFFECTS[change.to_json()["kind"]]
    if isinstance(change, RaiseCap):
        name("population", change.population)
        checked_budget(change.epsilon, 0.5)
        return kind, {}
    if isinstance(change, SetTerms):
        name("contract", change.contract)
        name("population", change.population)
        terms = _canonical(change.terms)
        return kind, {"contract": change.contract, "terms": terms, "digest": chain.digest(chain.canonical(terms))}
    if isinstance(change, SetPeople):
        return kind, {"people": change.people.to_json()}
    scope, budget = change.scope, planned_budget(change.scope)
    whole = {block_name(scope.population, EVERYTHING): budget.empty()} if scope.blocks_by is None else {}
    return kind, {
        "unit": scope.unit,
        "neighbouring_relation": scope.neighbouring_relation,
        "epsilon": budget.rule.epsilon,
        "delta": budget.rule.delta,
        "blocks_by": scope.blocks_by,
        "unit_by": scope.unit_by,
        "people": change.people.to_json(),
        "rule": "renyi_filter" if budget.plan is None else "closed_plan",
        "planned": [event.to_json() for event in scope.planned],
        "planned_order": budget.planned_order,
        "orders": list(budget.rule.orders),
        "weights": list(budget.rule.weights),
        "caps": list(budget.rule.caps),
        "plan": budget.plan.to_json() if budget.plan else None,
        "plan_epsilon": budget.plan.epsilon if budget.plan else None,
        "standing": stated(whole),
    }


def _require_possible(book: Transaction, change: Change, *, registered: bool) -> None:
    if isinstance(change, SetTerms):
        require_possible_terms(book, change.population, change.terms, registered=registered)
        return
    if isinstance(change, SetPeople):
        if authority_of(book).people_of(change.population) == change.people:
            raise ProtocolError("these people stand there already, with these keys")
        return
    budget = budget_of(book, change.population)
    if isinstance(change, AddPopulation) and budget is not None:
        raise TermsConflict(f"population {change.population!r} was registered by entry {budget.registered} already")
    if isinstance(change, RaiseCap):
        budget = require_budget(book, change.population)
        if not change.epsilon > budget.rule.epsilon:
            raise ProtocolError(
                f"the cap of population {change.population!r} is ε = {budget.rule.epsilon:g}; {change.epsilon:g} does "
                "not raise it. To lower it needs no approval"
            )


def _open_proposal(book: Transaction, proposal: int) -> Record:
    records = book.find(kinds=("proposed", *EFFECTS.values()))
    asked = next((each for each in proposals_of(records) if each.seq == proposal), None)
    if asked is None:
        raise ProtocolError(f"entry {proposal} is not a proposal; `dpsynth approve --list` shows those that wait")
    if asked.effect is not None:
        raise ProtocolError(f"proposal {proposal} took effect by entry {asked.effect}")
    return next(record for record in records if record.seq == proposal)


def _lowered(population: str, epsilon: float) -> dict[str, Any]:
    return lowered(population, checked_budget(epsilon, 0.5)[0])


def _require_shareable(book: Transaction, population: str, shared: str) -> None:
    other = population_of(shared)
    if other == population:
        raise TermsConflict(f"{shared!r} is a block of {population!r} itself, not of another population")
    if budget_of(book, other) is None or book.newest(shared) is None:
        raise TermsConflict(f"there is no block {shared!r} in this ledger")


def _canonical(value: dict[str, Any]) -> dict[str, Any]:
    """A copy in plain JSON, or LedgerError."""
    copied: dict[str, Any] = json.loads(chain.canonical(value))
    return copied
