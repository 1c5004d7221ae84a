"""What a contract needs from two people before anything of its source may be read, and whether it has it.

A population's budget and a contract's privacy terms take effect in the ledger: one of the population's people asks, an
approver, who is somebody else, agrees. The gate lets nothing run on terms that are weaker than those approved. Who the
people are stands in the ledger from the registration on; a contract's file only proposes them, for a new population.
Used by the gate and by `dpsynth approve`; knows no Dagster.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from dpsynth_assets.contract.diff import changes, terms_for_approval
from dpsynth_assets.releases.registry import place_in_scope, plans
from ledger import (
    AddPopulation,
    LedgerError,
    People,
    ProtocolError,
    RaiseCap,
    Scope,
    SetPeople,
    SetTerms,
    person,
)

if TYPE_CHECKING:
    from dpsynth_assets.contract import Contract
    from dpsynth_assets.contract.diff import Change
    from ledger import Event, Ledger, Proposal

Signer = Callable[[str, str], str]  # from a statement and the public key that must sign it to the signature


class ApprovalNeededError(LedgerError):
    """The contract asks for something that nobody has approved; the message says what, and how to have it approved."""


@dataclass(frozen=True)
class Need:
    """One change of the ledger that is needed. `change` is None where lowering a cap takes one person only."""

    what: str
    change: AddPopulation | RaiseCap | SetTerms | SetPeople | None
    population: str
    cap: float | None = None
    weaker: tuple[Change, ...] = ()


@dataclass(frozen=True)
class Act:
    """What one person can do about a need: ask for it, agree to what `asked` asked for, lower a cap, or (None) wait.

    `statement` is what is signed for it, by `key`; None where this person has none.
    """

    need: Need
    does: str | None
    asked: Proposal | None
    statement: str
    key: str | None


def planned_releases(contract: Contract, size: float = 1.0) -> tuple[tuple[str, Event], ...]:
    """What each of the contract's releases is charged, by their names, in the order they are made."""
    return tuple((release, plan.event()) for release, plan in plans(contract, size).items())


def scope_of(contract: Contract, *, planned: bool = True, size: float = 1.0) -> Scope:
    """The scope that a contract's budget is held in. Without `planned` only what is compared later: cheaper."""
    terms = contract.privacy
    closed = terms.budget.rule == "closed_plan"
    items = planned_releases(contract, size) if planned or closed else ()
    items = tuple(sorted(items, key=lambda item: place_in_scope(item[0].rpartition("/")[2])))
    return Scope(
        population=terms.population,
        unit=terms.unit.name,
        neighbouring_relation=terms.unit.neighbouring_relation,
        epsilon=terms.budget.epsilon,
        delta=terms.budget.delta,
        planned=tuple(event for _, event in items),
        closed_plan=items if closed else None,
        blocks_by=f"column {terms.blocks.column}" if terms.blocks else None,
        unit_by=contract.unit_by,
    )


def people_of(contract: Contract, book: Ledger) -> People:
    """Whom the contract proposes for its population, with the keys that stand in the ledger for them already."""
    return with_known_keys(People(contract.owners, contract.approvers), book, contract.privacy.population)


def with_known_keys(people: People, book: Ledger, population: str | None) -> People:
    """The people with the keys that stand for their names already, at this population or elsewhere in the ledger."""
    for name in people.names:
        if key := book.key_of(name, population):
            people = people.with_key(name, key)
    return people


def people_differ(contract: Contract, book: Ledger) -> str | None:
    """How the people whom the contract names differ from those who stand in the ledger, and what to do; None if not."""
    stand = book.people(contract.privacy.population)
    if stand is None:
        return None
    named = people_of(contract, book)
    groups = [({*map(person, a)}, {*map(person, b)}) for a, b in zip(_groups(named), _groups(stand), strict=True)]
    if all(here == there for here, there in groups):
        return None
    return (
        f"contract {contract.id} names {named}. For population {contract.privacy.population} stand {stand}: only they "
        "sign. Correct the contract, or have them change who stands (`dpsynth people set`)"
    )


def _groups(people: People) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return people.owners, people.approvers


def needs(contract: Contract, book: Ledger) -> list[Need]:
    """What the ledger lacks for this contract, in the order to be agreed on; empty if it may run.

    Raises:
        TermsConflict: the population stands registered under terms that never change, and the contract has others: no
            signature would let it run.
    """
    contract = contract.declared
    terms, found = contract.privacy, []
    if terms.population not in book.populations():
        cap = f"ε {terms.budget.epsilon:g} at δ {terms.budget.delta:g}"
        what = f"a budget of {cap} for population {terms.population}, protecting one {terms.unit.name}"
        people = people_of(contract, book)
        found.append(
            Need(f"{what}, signed for by {people}", AddPopulation(scope_of(contract), people), terms.population)
        )
    else:
        book.require(scope_of(contract, planned=False), cap=False)
        found += _cap_needs(terms.population, terms.budget.epsilon, book.cap(terms.population))
    asked, approved = terms_for_approval(contract.seen_from(book.folder)), book.terms(contract.id)
    weaker = tuple(_set_right(change) for change in changes(approved or {}, asked) if change.weakens)
    if approved is None:
        found.append(_need_of_terms(contract, f"the privacy terms of contract {contract.id}", asked))
    elif weaker:
        what = f"weaker terms of contract {contract.id}: {'; '.join(map(str, weaker))}"
        found.append(_need_of_terms(contract, what, asked, weaker))
    return found


def _set_right(change: Change) -> Change:
    """A change of what never changes, in a contract that agrees with its population: terms that do not were approved
    before that was asked, and are set right."""
    return replace(change, weakens="agrees with the registered population") if change.refused else change


def _need_of_terms(contract: Contract, what: str, asked: dict[str, Any], weaker: tuple[Change, ...] = ()) -> Need:
    population = contract.privacy.population
    return Need(what, SetTerms(contract.id, asked, population), population, weaker=weaker)


def _cap_needs(population: str, epsilon: float, cap: float) -> list[Need]:
    if epsilon > cap:
        what = f"the cap of population {population} raised from ε {cap:g} to {epsilon:g}"
        return [Need(what, RaiseCap(population, epsilon), population)]
    if epsilon < cap:
        what = f"the cap of population {population} lowered from ε {cap:g} to {epsilon:g}"
        return [Need(what, None, population, cap=epsilon)]
    return []


def require_approved(contract: Contract, book: Ledger) -> None:
    """Pass if the contract's population and terms are approved as they stand.

    Raises:
        ApprovalNeededError: something is not; says what.
        TermsConflict: the population stands registered under terms that never change, and the contract has others.
    """
    if lacking := needs(contract, book):
        listed = "; ".join(need.what for need in lacking)
        raise ApprovalNeededError(
            f"contract {contract.id} needs approval of {listed}. One of the population's people asks for it and an "
            f"approver agrees, each with `dpsynth approve {contract.file} --as NAME --reason TEXT`. Nothing was "
            "read, nothing was charged"
        )
    book.require(scope_of(contract, planned=False))


def require_terms(contract: Contract, book: Ledger) -> None:
    """Pass if what is made of the contract's releases is made under terms that two people signed: for what is published
    and exported, which reads no sensitive row and may follow long after the release.

    Raises:
        ApprovalNeededError: the terms were never approved, or have been made weaker since.
    """
    declared = contract.declared
    weaker = [need.what for need in needs(declared, book) if isinstance(need.change, SetTerms)]
    if weaker:
        raise ApprovalNeededError(
            f"nothing is published of contract {declared.id} before its terms are approved: {'; '.join(weaker)}. An "
            f"owner asks and an approver agrees, each with `dpsynth approve {declared.file} --as NAME --reason "
            "TEXT`, or the terms are set back"
        )


def sign(contract: Contract, book: Ledger, *, actor: str, reason: str, signer: Signer | None = None) -> list[str]:
    """Give one person's signature to everything that the contract needs; what came of each.

    A first signature asks; a second one by somebody else makes it so. Owners may ask, approvers may ask and agree.

    Raises:
        TermsConflict: the contract changes what never changes; nothing is signed then.
        LedgerError: the ledger refuses the change, or this person's signature under it.
    """
    return list(carry_out(needs(contract, book), book, actor=actor, reason=reason, signer=signer))


def carry_out(
    changes: Sequence[Need], book: Ledger, *, actor: str, reason: str, signer: Signer | None = None
) -> Iterator[str]:
    """Do what one person can do about each change, and say what came of it as soon as it is done: the next may be
    refused. `signer` is asked where a key stands."""
    for need in changes:
        act = _act(need, book, actor, reason)
        signature = signer(act.statement, act.key) if act.does and act.key and signer else None
        if act.does == "lower":
            assert need.cap is not None
            entry = book.lower_cap(need.population, need.cap, actor=actor, reason=reason, signature=signature)
            yield f"done (entry {entry.seq}): {need.what}"
        elif act.does == "agree":
            assert act.asked is not None
            entry = book.approve(act.asked.seq, actor=actor, reason=reason, signature=signature)
            yield f"approved (entry {entry.seq}, asked for by {act.asked.actor}): {need.what}"
        elif act.does == "ask":
            assert need.change is not None
            number = book.propose(need.change, actor=actor, reason=reason, signature=signature)
            yield f"asked for (entry {number}), waits for an approver: {need.what}"
        else:
            assert act.asked is not None
            waits = f"asked for by {act.asked.actor} (entry {act.asked.seq}), waits for an approver"
            yield f"{waits}: {need.what}"


def to_sign(changes: Sequence[Need], book: Ledger, *, actor: str, reason: str) -> Iterator[Act]:
    """What this person would do about each change that takes a signature by a key."""
    for need in changes:
        with suppress(ProtocolError):  # what nobody asked for yet has nobody's key
            act = _act(need, book, actor, reason)
            if act.does and act.key:
                yield act


def _act(need: Need, book: Ledger, actor: str, reason: str) -> Act:
    if need.change is None:
        assert need.cap is not None
        statement = book.to_lower_cap(need.population, need.cap, actor=actor, reason=reason)
        return Act(need, "lower", None, statement, book.key_of(actor, need.population))
    stated, concerned = need.change.to_json(), book.concerned(need.change, actor)
    key = book.key_for(need.change, actor)
    waiting = [each for each in book.proposals() if each.waits and each.change == stated]
    theirs = [each for each in waiting if person(each.actor) != person(actor)]
    if theirs and all(people.may_approve(actor) for people in concerned):
        return Act(need, "agree", theirs[-1], book.to_approve(theirs[-1].seq, actor=actor, reason=reason), key)
    # What only approvers asked for, the owner asks for too: one who asked cannot agree, and may be the only approver.
    settled = [
        each
        for each in waiting
        if each not in theirs or not all(people.may_approve(each.actor) for people in concerned)
    ]
    if settled and all(people.may_ask(actor) for people in concerned):
        return Act(need, None, settled[-1], "", key)
    return Act(need, "ask", None, book.to_propose(need.change, actor=actor, reason=reason), key)
