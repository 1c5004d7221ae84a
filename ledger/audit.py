"""Reading the ledger with distrust: verification, and statements for people.

`problems_of` recomputes everything that the admission path relied on: the chain, the caps, every charge from its
event, every running sum, every admission, every step. It is the ledger's own check; someone who rewrites the whole
file with valid hashes is found only by comparing receipts kept elsewhere (an entry's number and hash in each
artifact).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from ledger import accounting, chain, events, renyi_filter
from ledger.chain import GENESIS, Record
from ledger.errors import LedgerError
from ledger.journal import (
    STEPS,
    charges_of,
    cost_of,
    entry_of,
    event_of,
    histories,
    reservation_of,
    rule_of,
    sums_of,
)
from ledger.records import NEIGHBOURING_RELATION, Balance, Entry, Reservation
from ledger.renyi_filter import RenyiFilter, Vector

# Two machines' logarithms may differ in the last digits; a charge that was tampered with differs by more.
TOLERANCE = 1e-6


@dataclass(frozen=True)
class Statement:
    """What stands about one population: for `dpsynth audit`, the budget asset, a certificate."""

    ledger_id: str
    balance: Balance
    planned_order: float | None
    guarantee: str
    reservations: tuple[Reservation, ...]
    refusals: tuple[Entry, ...]
    head: Entry


def statement_of(ledger_id: str, records: list[Record], *, with_pld: bool = True) -> Statement:
    """The statement of one population from its entries, oldest first."""
    registration, newest = records[0], records[-1]
    rule, terms = rule_of(registration), registration.payload
    paths = histories(records)
    reservations = tuple(reservation_of(ledger_id, path) for path in paths.values())
    # A committed event stands for what ran, which may be fewer steps than were reserved.
    final = [path[-1] if path[-1].kind == "committed" else path[0] for path in paths.values()]
    counted = [record for record, held in zip(final, reservations, strict=True) if held.state != "voided"]
    sums = settled = sums_of(newest)
    for path, held in zip(paths.values(), reservations, strict=True):
        if held.state == "reserved":
            settled = renyi_filter.replace(settled, cost_of(path[0]), renyi_filter.zeros(settled))
    if all(held.state in ("reserved", "voided") for held in reservations):
        settled = renyi_filter.zeros(settled)
    spent = rule.spent(sums)
    balance = Balance(
        population=str(registration.population),
        unit=terms["unit"],
        neighbouring_relation=terms["neighbouring_relation"],
        epsilon_cap=rule.epsilon,
        delta=rule.delta,
        epsilon_spent=spent,
        epsilon_reserved=max(0.0, spent - rule.spent(settled)),
        epsilon_remaining=rule.remaining(sums),
        charges=len(counted),
        pld_epsilon=accounting.pld_epsilon(map(event_of, counted), rule.delta) if with_pld else None,
        basic_sum_epsilon=math.fsum(chain.real(record.payload["epsilon_alone"]) for record in counted),
        basic_sum_delta=len(counted) * rule.delta,
    )
    return Statement(
        ledger_id=ledger_id,
        balance=balance,
        planned_order=terms["planned_order"],
        guarantee=_guarantee(balance),
        reservations=reservations,
        refusals=tuple(entry_of(ledger_id, record) for record in records if record.kind == "refused"),
        head=entry_of(ledger_id, newest),
    )


def _guarantee(balance: Balance) -> str:
    """The formal statement is about the cap: it alone holds whatever is released next. What is spent says how much of
    it is used, by the same rule."""
    return (
        f"Everything ever released about population {balance.population!r} is together ({balance.epsilon_cap:g}, "
        f"{balance.delta:g})-differentially private for adding or removing everything that one {balance.unit} "
        "contributed, also when later releases are chosen after seeing earlier ones (weighted-order Rényi filter). "
        f"Of ε = {balance.epsilon_cap:g}, {math.ceil(balance.epsilon_spent * 1e4) / 1e4:g} is used by "
        f"{balance.charges} charge{'' if balance.charges == 1 else 's'}."
    )


def problems_of(ledger_id: str, records: list[Record], shape: list[str]) -> list[str]:
    """Everything wrong, in the order of entries; what is wrong with the tables themselves comes last."""
    replay = _Replay(ledger_id)
    for record in records:
        replay.read(record)
    if not records:
        replay.problems.append("the ledger holds no entries, not even the one of its creation")
    return replay.problems + [f"database: {problem}" for problem in shape]


@dataclass
class _Account:
    """One population as recomputed from its entries."""

    rule: RenyiFilter
    sums: Vector
    charges: int = 0


@dataclass
class _Replay:
    """Walks the entries once, holding what each of them must agree with. After a bad entry it goes on from what the
    entry claims, so that one bad entry is one problem and not a flood."""

    ledger_id: str
    problems: list[str] = field(default_factory=list)
    seq: int = 0
    previous: str = GENESIS
    accounts: dict[str, _Account] = field(default_factory=dict)
    open: dict[int, tuple[str, Record, Vector]] = field(default_factory=dict)  # state, first entry, standing cost
    sources: dict[str, str] = field(default_factory=dict)

    def read(self, record: Record) -> None:
        wrong = chain.check(record)
        if record.seq != self.seq + 1:
            self._add(record, f"it should be number {self.seq + 1}: entries are missing")
        self.seq = record.seq
        if wrong:
            self._add(record, wrong)
            self.previous = record.hash
            return
        if record.said["previous"] != self.previous:
            self._add(record, "it does not follow from the entry before it: the chain is broken")
        self.previous = record.hash
        try:
            self._content(record)
        except (LedgerError, KeyError, TypeError, ValueError, AttributeError) as error:
            self._add(record, f"its contents cannot be right ({type(error).__name__}: {error})")

    def _content(self, record: Record) -> None:
        if record.seq == 1 or record.kind == "created":
            if record.seq != 1 or record.kind != "created" or record.payload != {"ledger": self.ledger_id}:
                self._add(record, "a ledger begins with exactly one entry of its creation, under its own id")
            return
        if record.kind == "registered":
            self._registered(record)
            return
        account = self.accounts.get(str(record.population))
        if account is None:
            self._add(record, f"population {record.population!r} was not registered before it")
            return
        handle: Callable[[Record, _Account], None] = {
            "source_bound": self._bound,
            "reserved": self._reserved,
            "refused": self._refused,
        }.get(record.kind, self._stepped)
        handle(record, account)
        self._compare_sums(record, account)

    def _registered(self, record: Record) -> None:
        terms, population = record.payload, str(record.population)
        if population in self.accounts:
            self._add(record, f"population {population!r} was registered before")
            return
        rule = rule_of(record)
        if terms["neighbouring_relation"] != NEIGHBOURING_RELATION:
            self._add(record, f"its neighbouring relation is {terms['neighbouring_relation']!r}")
        for event in terms["planned"]:
            events.from_json(event)
        self.accounts[population] = account = _Account(rule, renyi_filter.zeros(rule.orders))
        self._compare_sums(record, account)

    def _bound(self, record: Record, account: _Account) -> None:
        owner = self.sources.setdefault(str(record.key), str(record.population))
        if owner != record.population:
            self._add(record, f"its data set already belongs to population {owner!r}")

    def _reserved(self, record: Record, account: _Account) -> None:
        cost = cost_of(record)
        self._compare_cost(record, cost, account.rule)
        self._compare_figures(record, account, cost)
        account.sums = renyi_filter.add(account.sums, cost)
        account.charges += 1
        if not account.rule.admits(account.sums):
            self._add(record, "it was admitted although the budget did not allow it")
        self.open[record.seq] = ("reserved", record, cost)

    def _refused(self, record: Record, account: _Account) -> None:
        self._compare_figures(record, account, accounting.renyi_vector(event_of(record), account.rule.orders))

    def _stepped(self, record: Record, account: _Account) -> None:
        state, first, cost = self.open.get(record.reservation or 0, ("missing", record, ()))
        if first.population != record.population or record.kind not in STEPS.get(state, ()):
            self._add(record, f"{record.kind} cannot follow on a reservation that is {state}")
            return
        if any(first.said[name] != record.said[name] for name in ("release", "owner")):
            self._add(record, "its release or owner is not that of its reservation")
        if record.kind == "committed":
            actual = cost_of(record)
            if not events.within(event_of(record), event_of(first)):
                self._add(record, "what it says ran is not what was reserved")
            self._compare_cost(record, actual, account.rule)
            account.sums = renyi_filter.replace(account.sums, cost, actual)
        elif record.kind == "voided":
            account.charges -= 1
            zero = renyi_filter.zeros(cost)
            account.sums = renyi_filter.replace(account.sums, cost, zero) if account.charges else zero
        elif record.kind == "redeemed" and self.sources.get(record.payload["fingerprint"]) != record.population:
            self._add(record, "the data set it was redeemed for is not bound to its population")
        self.open[first.seq] = (record.kind, first, cost)

    def _compare_cost(self, record: Record, cost: Vector, rule: RenyiFilter) -> None:
        due = accounting.renyi_vector(event_of(record), rule.orders)
        if len(cost) != len(due) or any(had < want * (1 - TOLERANCE) for had, want in zip(cost, due, strict=True)):
            self._add(record, "it was charged less than its event costs")

    def _compare_figures(self, record: Record, account: _Account, cost: Vector) -> None:
        """The epsilons that people were told: of the request alone, before it and after it."""
        rule, stated = account.rule, record.payload
        due = {
            "epsilon_alone": accounting.epsilon(event_of(record), rule.delta),
            "epsilon_spent": rule.spent(account.sums),
            "epsilon_would_be": rule.spent(renyi_filter.add(account.sums, cost)),
        }
        for name, value in due.items():
            if not math.isclose(chain.real(stated[name]), value, rel_tol=TOLERANCE, abs_tol=TOLERANCE):
                self._add(record, f"its {name} is {stated[name]!r}, by its event and the charges before it {value!r}")

    def _compare_sums(self, record: Record, account: _Account) -> None:
        if sums_of(record) != account.sums or charges_of(record) != account.charges:
            self._add(record, "its running sums are not those of the charges before it")
            account.sums, account.charges = sums_of(record), charges_of(record)

    def _add(self, record: Record, problem: str) -> None:
        self.problems.append(f"entry {record.seq} ({record.kind}): {problem}")
