"""The nouns of the ledger's face: what callers hand in and what they get back. Frozen, without behaviour.

Everything here is public: names, numbers and digests. Fingerprints of sources must arrive keyed (an HMAC under a key
the ledger never sees), so that the ledger cannot be used to test whether some data is the data.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Literal

from ledger.errors import LedgerError
from ledger.events import Event, check_known
from ledger.people import People
from ledger.renyi_filter import checked_budget

NEIGHBOURING_RELATION = "add_or_remove_one_unit"
State = Literal["reserved", "activated", "redeemed", "committed", "forfeited", "voided"]
Item = tuple[str, Event]  # a release and its event, in a closed plan

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_BLOCK = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_OPAQUE = re.compile(r"[A-Za-z0-9:._+/=-]{8,200}")


@dataclass(frozen=True)
class Scope:
    """What a budget covers: a population, the unit protected in it, and the cap on everything ever released about it.

    Unit, relation, delta, `blocks_by`, `unit_by` and the rule are fixed at registration; the cap may be changed with
    approval.
    `planned` are the releases one intends to make; they only choose how the filter weighs its orders (a bad plan costs
    utility, never privacy) and may differ in later calls. `closed_plan`, in its place, lists *all* releases with all
    their parameters: then the plan is enforced, by its privacy loss distributions, and nothing outside it is admitted.

    `blocks_by` says by which rule each unit belongs to exactly one of several blocks with a budget each; without it
    the population is one block. The rule must not look at other units' data: an attribute that a unit has for good.

    `unit_by` says by what a record's unit is told, such as a column; without it each record is a unit of its own.
    """

    population: str
    unit: str
    neighbouring_relation: str
    epsilon: float
    delta: float
    planned: tuple[Event, ...] = ()
    closed_plan: tuple[Item, ...] | None = None
    blocks_by: str | None = None
    unit_by: str | None = None

    def __post_init__(self) -> None:
        name("population", self.population)
        name("unit", self.unit)
        if self.neighbouring_relation != NEIGHBOURING_RELATION:
            raise LedgerError(
                f"neighbouring relation {self.neighbouring_relation!r} is not supported; the accounting holds for "
                f"{NEIGHBOURING_RELATION!r}, from which replace-one follows as (2 ε, (1 + e^ε) δ)"
            )
        if self.blocks_by is not None:
            words("blocks_by", self.blocks_by)
        if self.unit_by is not None:
            words("unit_by", self.unit_by)
        epsilon, delta = checked_budget(self.epsilon, self.delta)
        object.__setattr__(self, "epsilon", epsilon)
        object.__setattr__(self, "delta", delta)
        object.__setattr__(self, "planned", tuple(map(check_known, self.planned)))
        if self.closed_plan is not None:
            items = tuple((words("release", release), check_known(event)) for release, event in self.closed_plan)
            object.__setattr__(self, "closed_plan", items)
            object.__setattr__(self, "planned", tuple(event for _, event in items))


@dataclass(frozen=True)
class AddPopulation:
    """A change that needs two people: a population begins, with the people who may sign for it from then on."""

    scope: Scope
    people: People

    @property
    def population(self) -> str:
        return self.scope.population

    def to_json(self) -> dict[str, Any]:
        scope, plan = self.scope, self.scope.closed_plan
        return {
            "kind": "add_population",
            "population": scope.population,
            "unit": scope.unit,
            "neighbouring_relation": scope.neighbouring_relation,
            "epsilon": scope.epsilon,
            "delta": scope.delta,
            "blocks_by": scope.blocks_by,
            "unit_by": scope.unit_by,
            "people": self.people.to_json(),
            "planned": [event.to_json() for event in scope.planned],
            "plan": None if plan is None else [[release, event.to_json()] for release, event in plan],
        }


@dataclass(frozen=True)
class RaiseCap:
    """A change that needs two people: a population's epsilon goes up."""

    population: str
    epsilon: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "epsilon", checked_budget(self.epsilon, 0.5)[0])

    def to_json(self) -> dict[str, Any]:
        return {"kind": "raise_cap", "population": self.population, "epsilon": float(self.epsilon)}


@dataclass(frozen=True)
class SetTerms:
    """A change that needs two people: what a contract may say. `terms` is plain JSON; its meaning is the caller's."""

    contract: str
    terms: dict[str, Any]
    population: str

    def to_json(self) -> dict[str, Any]:
        change = {"contract": self.contract, "population": self.population, "terms": self.terms}
        return {"kind": "set_terms", **change}


@dataclass(frozen=True)
class SetPeople:
    """A change that needs two people: who may sign for a population, or (None) for the ledger as a whole."""

    population: str | None
    people: People

    def to_json(self) -> dict[str, Any]:
        return {"kind": "set_people", "population": self.population, "people": self.people.to_json()}


Change = AddPopulation | RaiseCap | SetTerms | SetPeople


@dataclass(frozen=True)
class Proposal:
    """A change that somebody asked for; `effect` is the entry that made it so, once a second person has agreed.
    `overtaken` is a later entry that decided about the same; what was asked for before it can be agreed to no more."""

    seq: int
    change: dict[str, Any]
    actor: str
    reason: str
    time: str
    effect: int | None
    overtaken: int | None = None
    signed: bool = False  # by a key; where not, the name is what somebody typed

    @property
    def waits(self) -> bool:
        return self.effect is None and self.overtaken is None


@dataclass(frozen=True)
class Reservation:
    """A charge that stands, and how far it has come. It counts in full in every state but `voided`."""

    id: str
    population: str
    release: str
    event: Event
    key: str
    owner: str
    plan_digest: str
    source: str
    blocks: tuple[str, ...]
    epsilon_alone: float
    state: State = "reserved"
    replayed: tuple[Event, ...] = ()  # steps that ran a second time after a kill, charged on top
    redeemed: bool = False  # whether the right to read its rows was ever used


@dataclass(frozen=True)
class Grant:
    """The right to read one data set of a population once, for one release. The token is a secret of the run that
    holds it; the ledger keeps its hash only."""

    reservation_id: str
    population: str
    release: str
    event: Event
    owner: str
    plan_digest: str
    source: str
    token: str = field(repr=False)


@dataclass(frozen=True)
class BlockBalance:
    """What stands charged to one block."""

    block: str
    epsilon_spent: float
    epsilon_remaining: float
    charges: int


@dataclass(frozen=True)
class Spending:
    """What of a population's epsilon is spent: the figures of its most charged block, as in its `Balance`."""

    epsilon_cap: float
    epsilon_spent: float
    epsilon_reserved: float
    epsilon_remaining: float
    delta: float


@dataclass(frozen=True)
class Balance:
    """What stands charged against a population: the figures of its most charged block, and each block's own.

    `epsilon_spent` counts every charge that was not voided, reserved ones included, by the rule that enforces;
    `epsilon_reserved` is the part of it that voiding all merely reserved charges would give back. `frozen` says that
    the cap was lowered below what is spent. Reported beside it, enforced nowhere: `pld_epsilon` at the same delta
    (holds for a plan fixed in advance; None if not asked for, or not to be had) and `basic_sum_epsilon`, each
    release's own epsilon added up, which holds at `basic_sum_delta`.
    """

    population: str
    unit: str
    neighbouring_relation: str
    rule: str
    epsilon_cap: float
    delta: float
    epsilon_spent: float
    epsilon_reserved: float
    epsilon_remaining: float
    frozen: bool
    charges: int
    blocks: tuple[BlockBalance, ...]
    pld_epsilon: float | None
    basic_sum_epsilon: float
    basic_sum_delta: float


@dataclass(frozen=True)
class Line:
    """One planned release in a quote: its own epsilon, and the scope after it. A release that would be refused
    leaves the scope as it was."""

    event: Event
    epsilon_alone: float
    epsilon_spent: float
    epsilon_remaining: float
    admitted: bool


@dataclass(frozen=True)
class Quote:
    """What a sequence of releases would cost, with nothing written."""

    population: str
    registered: bool
    epsilon_cap: float
    delta: float
    epsilon_spent: float
    lines: tuple[Line, ...]
    plan_epsilon: float | None = None  # of all lines together by PLD, if they were a closed plan

    @property
    def admitted(self) -> bool:
        return all(line.admitted for line in self.lines)


@dataclass(frozen=True)
class Entry:
    """One line of the ledger, decoded. Order is `seq`; `time` is what some clock said and decides nothing."""

    seq: int
    time: str
    kind: str
    population: str | None
    release: str | None
    event: Event | None
    reservation_id: str | None
    owner: str | None
    prev_hash: str
    hash: str
    payload: dict[str, Any] = field(compare=False)


def name(what: str, value: object) -> str:
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise LedgerError(
            f"{what} is {value!r}: it must start with a small letter and hold at most 63 small letters, digits, - and _"
        )
    return value


def block(value: object) -> str:
    if not isinstance(value, str) or not _BLOCK.fullmatch(value):
        raise LedgerError(f"a block is {value!r}: it must be 1 to 63 letters, digits, dots, dashes and underscores")
    return value


def opaque(what: str, value: object) -> str:
    """A digest or fingerprint: letters and digits, nothing that could be somebody's sentence."""
    if not isinstance(value, str) or not _OPAQUE.fullmatch(value):
        raise LedgerError(f"{what} must be a digest of 8 to 200 letters, digits or any of :._+/=-")
    return value


def words(what: str, value: object) -> str:
    """A short line of text by a person or a program. Callers must not put exception texts or data into it."""
    if not isinstance(value, str) or not 1 <= len(value) <= 300 or not value.isprintable() or not value.strip():
        raise LedgerError(f"{what} must be one printable line of 1 to 300 characters")
    return value
