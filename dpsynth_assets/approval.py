"""What a contract needs from two people before anything of its source may be read, and whether it has it.

A population's budget and a contract's privacy terms take effect in the ledger: one of the contract's owners asks, one
of its approvers, who is somebody else, agrees. The gate lets nothing run on terms that are weaker than those approved.
Used by the gate and by `dpsynth approve`; knows no Dagster.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from ledger import AddPopulation, LedgerError, RaiseCap, Scope, SetTerms

if TYPE_CHECKING:
    from dpsynth_assets.contract import Contract
    from dpsynth_assets.contract.diff import Change
    from ledger import Balance, Event, Ledger


class ApprovalNeededError(LedgerError):
    """The contract asks for something that nobody has approved; the message says what, and how to have it approved."""


@dataclass(frozen=True)
class Need:
    """One change of the ledger that a contract needs. `change` is None where lowering a cap takes one person only."""

    what: str
    change: AddPopulation | RaiseCap | SetTerms | None
    cap: float | None = None
    weaker: tuple[Change, ...] = ()


class ReleasePlan(Protocol):
    """What one release is going to do, in public constants."""

    def event(self) -> Event: ...

    def describe(self) -> dict[str, Any]: ...


def release_plans(contract: Contract, size: float = 1.0) -> dict[str, ReleasePlan]:
    """The releases that the contract plans, by the names that they are charged under, in the order they are made."""
    from dpsynth_assets.privacy.histogram import HistogramPlan
    from dpsynth_assets.privacy.plan import TrainingPlan

    plans: dict[str, ReleasePlan] = {
        f"{contract.id}/adapter": TrainingPlan.from_contract(contract, size=size),
        f"{contract.id}/label_histogram": HistogramPlan.from_contract(contract),
    }
    for name in optional_releases(contract):
        if name == "votes":
            plans[f"{contract.id}/{name}"] = HistogramPlan.of_votes(contract)
            continue
        from dpsynth_assets.classify.dp_training import DpClassifierPlan

        plans[f"{contract.id}/{name}"] = DpClassifierPlan.from_contract(contract, name, size=size)
    return plans


def optional_releases(contract: Contract) -> tuple[str, ...]:
    """The releases that a contract may plan beside adapter and histogram and does, in the order they are made."""
    releases = contract.privacy.releases
    planned = {"labeller": releases.labeller, "votes": releases.votes, "dp_baseline": releases.dp_baseline}
    return tuple(name for name, release in planned.items() if release is not None)


def planned_releases(contract: Contract, size: float = 1.0) -> tuple[tuple[str, Event], ...]:
    """What each of the contract's releases is charged, by their names, in the order they are made."""
    return tuple((release, plan.event()) for release, plan in release_plans(contract, size).items())


def scope_of(contract: Contract, *, planned: bool = True, size: float = 1.0) -> Scope:
    """The scope that a contract's budget is held in. Without `planned` only what is compared later: cheaper."""
    terms = contract.privacy
    closed = terms.budget.rule == "closed_plan"
    items = planned_releases(contract, size) if planned or closed else ()
    return Scope(
        population=terms.population,
        unit=terms.unit.name,
        neighbouring_relation=terms.unit.neighbouring_relation,
        epsilon=terms.budget.epsilon,
        delta=terms.budget.delta,
        planned=tuple(event for _, event in items),
        closed_plan=items if closed else None,
        blocks_by=f"column {terms.blocks.column}" if terms.blocks else None,
    )


def needs(contract: Contract, book: Ledger) -> list[Need]:
    """What the ledger lacks for this contract, in the order to be agreed on; empty if it may run."""
    from dpsynth_assets.contract.diff import changes, terms_for_approval

    contract = contract.declared
    terms, found = contract.privacy, []
    if terms.population not in book.populations():
        cap = f"ε {terms.budget.epsilon:g} at δ {terms.budget.delta:g}"
        what = f"a budget of {cap} for population {terms.population}, protecting one {terms.unit.name}"
        found.append(Need(what, AddPopulation(scope_of(contract))))
    else:
        found += _cap_needs(terms.budget.epsilon, book.balance(terms.population, with_pld=False))
    asked, approved = terms_for_approval(contract.seen_from(book.folder)), book.terms(contract.id)
    weaker = tuple(change for change in changes(approved or {}, asked) if change.weakens)
    if approved is None:
        found.append(Need(f"the privacy terms of contract {contract.id}", _terms(contract, asked)))
    elif weaker:
        what = f"weaker terms of contract {contract.id}: {'; '.join(map(str, weaker))}"
        found.append(Need(what, _terms(contract, asked), weaker=weaker))
    return found


def _terms(contract: Contract, asked: dict[str, Any]) -> SetTerms:
    return SetTerms(contract.id, asked, contract.privacy.population)


def _cap_needs(epsilon: float, balance: Balance) -> list[Need]:
    if epsilon > balance.epsilon_cap:
        what = f"the cap of population {balance.population} raised from ε {balance.epsilon_cap:g} to {epsilon:g}"
        return [Need(what, RaiseCap(balance.population, epsilon))]
    if epsilon < balance.epsilon_cap:
        what = f"the cap of population {balance.population} lowered from ε {balance.epsilon_cap:g} to {epsilon:g}"
        return [Need(what, None, cap=epsilon)]
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
            f"contract {contract.id} needs approval of {listed}. An owner asks for it and an approver of the contract "
            f"agrees, each with `dpsynth approve {contract.path.name} --as NAME --reason TEXT`. Nothing was read, "
            "nothing was charged"
        )
    book.require(scope_of(contract, planned=False))


def sign(contract: Contract, book: Ledger, *, actor: str, reason: str) -> list[str]:
    """Give one person's signature to everything that the contract needs; says what came of each.

    A first signature asks; a second one by somebody else makes it so. Owners may ask, approvers may ask and agree.

    Raises:
        ApprovalNeededError: this person may not sign, or not the second time.
        LedgerError: the ledger refuses the change.
    """
    owners, approvers = (tuple(map(str.casefold, people)) for people in (contract.owners, contract.approvers))
    person = actor.strip().casefold()
    if person not in (*owners, *approvers):
        raise ApprovalNeededError(
            f"{actor} is neither an owner of contract {contract.id} ({', '.join(contract.owners)}) nor an approver "
            f"({', '.join(contract.approvers)})"
        )
    said = []
    for need in needs(contract, book):
        if need.change is None:
            assert need.cap is not None
            entry = book.lower_cap(contract.privacy.population, need.cap, actor=actor, reason=reason)
            said.append(f"done (entry {entry.seq}): {need.what}")
            continue
        stated = need.change.to_json()
        waiting = [each for each in book.proposals() if each.effect is None and each.change == stated]
        theirs = next((each for each in waiting if each.actor.strip().casefold() != person), None)
        if theirs is not None and person in approvers:
            entry = book.approve(theirs.seq, actor=actor, reason=reason)
            said.append(f"approved (entry {entry.seq}, asked for by {theirs.actor}): {need.what}")
        elif waiting:
            said.append(f"asked for by {waiting[0].actor} (entry {waiting[0].seq}), waits for an approver: {need.what}")
        else:
            number = book.propose(need.change, actor=actor, reason=reason)
            said.append(f"asked for (entry {number}), waits for an approver: {need.what}")
    return said
