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
from ledger.renyi_filter import checked_budget

NEIGHBOURING_RELATION = "add_or_remove_one_unit"
State = Literal["reserved", "activated", "redeemed", "committed", "forfeited", "voided"]

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_OPAQUE = re.compile(r"[A-Za-z0-9:._+/=-]{8,200}")


@dataclass(frozen=True)
class Scope:
    """What a budget covers: a population, the unit protected in it, and the cap on everything ever released about it.

    All of it is fixed at registration. `planned` are the releases one intends to make; they only choose how the
    filter weighs its orders (a bad plan costs utility, never privacy) and may differ in later calls.
    """

    population: str
    unit: str
    neighbouring_relation: str
    epsilon: float
    delta: float
    planned: tuple[Event, ...] = ()

    def __post_init__(self) -> None:
        name("population", self.population)
        name("unit", self.unit)
        if self.neighbouring_relation != NEIGHBOURING_RELATION:
            raise LedgerError(
                f"neighbouring relation {self.neighbouring_relation!r} is not supported; the accounting holds for "
                f"{NEIGHBOURING_RELATION!r}, from which replace-one follows as (2 ε, (1 + e^ε) δ)"
            )
        epsilon, delta = checked_budget(self.epsilon, self.delta)
        object.__setattr__(self, "epsilon", epsilon)
        object.__setattr__(self, "delta", delta)
        object.__setattr__(self, "planned", tuple(map(check_known, self.planned)))


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
    epsilon_alone: float
    state: State = "reserved"


@dataclass(frozen=True)
class Grant:
    """The right to read a population's rows once, for one release. The token is a secret of the run that holds it;
    the ledger keeps its hash only."""

    reservation_id: str
    population: str
    release: str
    event: Event
    owner: str
    plan_digest: str
    token: str = field(repr=False)


@dataclass(frozen=True)
class Balance:
    """What stands charged against a population.

    `epsilon_spent` counts every charge that was not voided, reserved ones included, by the filter that enforces;
    `epsilon_reserved` is the part of it that voiding all merely reserved charges would give back. Reported beside it,
    enforced nowhere: `pld_epsilon` at the same delta (holds for a plan fixed in advance; None if not asked for) and
    `basic_sum_epsilon`, each release's own epsilon added up, which holds at `basic_sum_delta`.
    """

    population: str
    unit: str
    neighbouring_relation: str
    epsilon_cap: float
    delta: float
    epsilon_spent: float
    epsilon_reserved: float
    epsilon_remaining: float
    charges: int
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
