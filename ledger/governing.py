"""Changes that give people less protection take two: one asks with a reason, another one agrees with a reason.

    propose ──> approve ──> registered, cap_changed or terms_set, which names its proposal

A population begins, a cap is raised and a contract's terms are set (or weakened) this way. Lowering a cap takes
nobody's leave; below what is spent it freezes the population, since nothing fits any more.

The guarantee of a budget whose cap was raised is that of the highest cap that would ever have been approved. Names
are what people say they are: the ledger records who signed, and cannot know who sat at the keyboard.
"""

from __future__ import annotations

import json
from typing import Any

from ledger import chain
from ledger.chain import Draft
from ledger.errors import ProtocolError, SourceTaken, TermsConflict
from ledger.events import from_json
from ledger.journal import EFFECTS, entry_of, proposals_of
from ledger.protocol import (
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
    SetTerms,
    block,
    name,
    opaque,
    person,
    words,
)
from ledger.renyi_filter import checked_budget
from ledger.scopes import EVERYTHING, block_name, population_of
from ledger.store import Store, Transaction


class Governing:
    """Populations, caps, contract terms, and which data set is made of which blocks."""

    _store: Store

    def propose(self, change: Change, *, actor: str, reason: str) -> int:
        """Ask for a change; returns the number to approve. A change that could not be made is refused right away."""
        words("actor", actor)
        words("reason", reason)
        asked = _canonical(change.to_json())
        _effect_of(change)  # a closed plan over budget, an epsilon out of range: found before anybody is bothered
        with self._store.transaction() as book:
            _require_possible(book, change, registered=False)
            draft = Draft(
                kind="proposed",
                population=change.population,
                owner=actor,
                key=change.contract if isinstance(change, SetTerms) else None,
                payload={"change": asked, "reason": reason},
            )
            return book.append(draft).seq

    def approve(self, proposal: int, *, actor: str, reason: str) -> Entry:
        """Agree to a change that somebody else asked for. It holds from this entry on.

        Raises:
            ProtocolError: there is no such proposal, it has taken effect, or the same person asked for it.
        """
        words("actor", actor)
        words("reason", reason)
        with self._store.transaction() as book:
            change = change_from(_open_proposal(book, proposal, actor).change)
        kind, facts = _effect_of(change)
        with self._store.transaction() as book:
            asked = _open_proposal(book, proposal, actor)
            _require_possible(book, change, registered=True)
            if isinstance(change, RaiseCap):  # caps follow from weights that stand in the ledger
                rule = require_budget(book, change.population).rule.with_cap(change.epsilon)
                facts = {"epsilon": rule.epsilon, "caps": list(rule.caps)}
            draft = Draft(
                kind=kind,
                population=change.population,
                owner=actor,
                key=change.contract if isinstance(change, SetTerms) else None,
                payload={"proposal": asked.seq, "reason": reason, **facts},
            )
            return entry_of(book.ledger_id, book.append(draft))

    def lower_cap(self, population: str, epsilon: float, *, actor: str, reason: str) -> Entry:
        """Lower a population's epsilon. Takes one person: it gives nobody less protection."""
        words("actor", actor)
        words("reason", reason)
        with self._store.transaction() as book:
            budget = require_budget(book, population)
            rule = budget.rule.with_cap(epsilon)
            if not rule.epsilon < budget.rule.epsilon:
                raise ProtocolError(
                    f"the cap of population {population!r} is ε = {budget.rule.epsilon:g}; {epsilon:g} would raise it, "
                    "which one person proposes and another one approves"
                )
            facts = {"proposal": None, "reason": reason, "epsilon": rule.epsilon, "caps": list(rule.caps)}
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
        with self._store.transaction() as book:
            found = book.find(kinds=("terms_set",), key=name("contract", contract))
        return dict(found[-1].payload["terms"]) if found else None

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
            TermsConflict: the blocks are not the population's, or an overlap protects another unit.
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
                _require_shareable(book, budget.unit, population, other)
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
                )
            )
        case "raise_cap":
            return RaiseCap(stated_change["population"], stated_change["epsilon"])
        case "set_terms":
            return SetTerms(stated_change["contract"], stated_change["terms"])
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
        terms = _canonical(change.terms)
        return kind, {"contract": change.contract, "terms": terms, "digest": chain.digest(chain.canonical(terms))}
    scope, budget = change.scope, planned_budget(change.scope)
    whole = {block_name(scope.population, EVERYTHING): budget.empty()} if scope.blocks_by is None else {}
    return kind, {
        "unit": scope.unit,
        "neighbouring_relation": scope.neighbouring_relation,
        "epsilon": budget.rule.epsilon,
        "delta": budget.rule.delta,
        "blocks_by": scope.blocks_by,
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
        require_possible_terms(book, change.terms, registered=registered)
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


def _open_proposal(book: Transaction, proposal: int, actor: str) -> Proposal:
    found = proposals_of(book.find(kinds=("proposed", *EFFECTS.values())))
    asked = next((each for each in found if each.seq == proposal), None)
    if asked is None:
        raise ProtocolError(f"entry {proposal} is not a proposal; `dpsynth approve --list` shows those that wait")
    if asked.effect is not None:
        raise ProtocolError(f"proposal {proposal} took effect by entry {asked.effect}")
    if person(asked.actor) == person(actor):
        raise ProtocolError(f"proposal {proposal} is by {asked.actor!r}: a second, different person must approve it")
    return asked


def _require_shareable(book: Transaction, unit: str, population: str, shared: str) -> None:
    other = population_of(shared)
    if other == population:
        raise TermsConflict(f"{shared!r} is a block of {population!r} itself, not of another population")
    budget = budget_of(book, other)
    if budget is None or book.newest(shared) is None:
        raise TermsConflict(f"there is no block {shared!r} in this ledger")
    if budget.unit != unit:
        raise TermsConflict(
            f"these records are held by {shared!r}, which protects a {budget.unit}, while {population!r} protects a "
            f"{unit}: what would be charged there cannot be told. Use the contract of {other!r}"
        )


def _canonical(value: dict[str, Any]) -> dict[str, Any]:
    """A copy in plain JSON, or LedgerError."""
    copied: dict[str, Any] = json.loads(chain.canonical(value))
    return copied
