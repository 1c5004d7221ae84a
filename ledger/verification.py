"""Reading the ledger with distrust: everything that the admission path relied on, computed again from the entries.

The chain, the caps, every charge from its event, every standing, every admission and refusal, every step, every
approval. It uses the ledger's own accounting; `replay.py` is the checker that does not. Someone who rewrites the
whole file with valid hashes is found only by checkpoints kept elsewhere (`checkpoints`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from ledger import accounting, chain, renyi_filter
from ledger.authority import Authority
from ledger.chain import GENESIS, Record
from ledger.closed_plan import ClosedPlan
from ledger.errors import LedgerError, ProtocolError, TermsConflict
from ledger.events import within
from ledger.governing import change_from
from ledger.incidents import incident_of
from ledger.journal import EFFECTS, REFUTABLE, STEPS, Costs, costs_of, event_of, released_as, standing_of
from ledger.mandates import KINDS
from ledger.people import person
from ledger.protocol import require_agreeing_terms
from ledger.records import NEIGHBOURING_RELATION, SetTerms
from ledger.scopes import EVERYTHING, Budget, Standings, block_name, population_of, spent
from ledger.sealing import SealReview

# Two machines' logarithms may differ in the last digits; a charge that was tampered with differs by more.
TOLERANCE = 1e-6


def problems_of(ledger_id: str, records: list[Record], shape: list[str]) -> list[str]:
    """Everything wrong, in the order of entries; what is wrong with the tables themselves comes last."""
    replay = _Replay(ledger_id)
    for record in records:
        replay.read(record)
    if not records:
        replay.problems.append("the ledger holds no entries, not even the one of its creation")
    return replay.problems + [f"database: {problem}" for problem in shape]


@dataclass
class _Open:
    """One reservation as recomputed: how far it is, and what stands charged for it in first place."""

    first: Record
    costs: Costs
    state: str = "reserved"
    owner: str = ""


@dataclass
class _Replay:
    """Walks the entries once, holding what each of them must agree with. After a bad entry it goes on from what the
    entry claims, so that one bad entry is one problem and not a flood."""

    ledger_id: str
    authority: Authority = field(default_factory=Authority)
    problems: list[str] = field(default_factory=list)
    seq: int = 0
    previous: str = GENESIS
    budgets: dict[str, Budget] = field(default_factory=dict)
    standings: Standings = field(default_factory=dict)
    open: dict[int, _Open] = field(default_factory=dict)
    proposals: dict[int, Record] = field(default_factory=dict)
    sources: dict[str, tuple[str, ...]] = field(default_factory=dict)  # fingerprint to all its blocks
    populations: dict[str, str] = field(default_factory=dict)  # fingerprint to its population
    seals: SealReview = field(init=False)

    def __post_init__(self) -> None:
        self.seals = SealReview(self.ledger_id, self.authority)

    def read(self, record: Record) -> None:
        wrong = chain.check(record)
        if type(record.seq) is not int:  # of a journal; a database has only whole numbers
            record = replace(record, seq=self.seq + 1)
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
        count = len(self.problems)
        for judge in (self._content, self._authority, self.authority.read):
            try:
                if judge != self._authority or len(self.problems) == count:
                    judge(record)
            except (LedgerError, KeyError, TypeError, ValueError, AttributeError, ArithmeticError, AssertionError) as e:
                if len(self.problems) == count:
                    self._add(record, f"its contents cannot be right ({type(e).__name__}: {e})")
        self._keep_what_is_claimed(record)

    def _authority(self, record: Record) -> None:
        if record.kind in KINDS:
            try:
                self.authority.check(record)
            except (ProtocolError, TermsConflict) as error:
                self._add(record, str(error))

    def _content(self, record: Record) -> None:
        if record.seq == 1 or record.kind == "created":
            if record.seq != 1 or record.kind != "created" or record.payload.get("ledger") != self.ledger_id:
                self._add(record, "a ledger begins with exactly one entry of its creation, under its own id")
            return
        handle: Callable[[Record], None] = {
            "proposed": self._proposed,
            "registered": self._effect,
            "cap_changed": self._effect,
            "terms_set": self._effect,
            "people_set": self._effect,
            "bound": self._bound,
            "reserved": self._asked,
            "refused": self._asked,
            "external_charge": self._external,
            "restored": self._restored,
            "sealed": self._sealed,
            "incident": self._incident,
        }.get(record.kind, self._stepped)
        handle(record)
        self.seals.note(record)

    def _sealed(self, record: Record) -> None:
        for problem in self.seals.problems(record):
            self._add(record, problem)

    def _incident(self, record: Record) -> None:
        held, said = self._reservation_of(record), record.said
        if held.state not in REFUTABLE:
            self._add(record, f"an incident cannot follow on a reservation that is {held.state}")
            return
        if (held.first.population, held.first.said["release"], held.owner) != (
            record.population,
            said["release"],
            said["owner"],
        ):
            self._add(record, "its population, release or owner is not that of its reservation")
        stated = incident_of(self.ledger_id, record).artifact_digest
        if stated != released_as(self.seals.histories[held.first.seq]):
            self._add(record, "its artifact_digest is not what its charge was committed with by then")

    def _restored(self, record: Record) -> None:
        head = {"seq": record.seq - 1, "hash": record.said["previous"]}
        if record.payload["head"] != head:
            self._add(record, "the journal it names did not end where this one does")

    # Budgets --------------------------------------------------------------------------------------------------------

    def _proposed(self, record: Record) -> None:
        if "signature" in record.payload:  # those of before have fewer fields, and the same ones as their effects
            change = change_from(record.payload["change"])
            about = change.contract if isinstance(change, SetTerms) else None
            if (record.population, record.key) != (change.population, about):
                self._add(record, "it is filed under another population or contract than its change is about")
        self.proposals[record.seq] = record

    def _effect(self, record: Record) -> None:
        payload = record.payload
        asked = self.proposals.pop(payload["proposal"], None) if payload["proposal"] is not None else None
        if asked is not None:
            people = {person(str(each.said["owner"])) for each in (asked, record)}
            if len(people) < 2:
                self._add(record, "it was approved by whoever asked for it")
            if EFFECTS[asked.payload["change"]["kind"]] != record.kind or not _as_asked(asked, record):
                self._add(record, f"it is not what proposal {asked.seq} asked for")
        elif record.kind != "cap_changed" or payload["proposal"] is not None:
            self._add(record, "no open proposal asked for it: it lacks a second person")
        if record.kind == "registered":
            self._registered(record)
        elif record.kind == "cap_changed":
            self._cap_changed(record, lowered=payload["proposal"] is None)
        elif record.kind == "terms_set":
            self._terms_set(record)

    def _terms_set(self, record: Record) -> None:
        terms, population = record.payload["terms"], str(record.population)
        if chain.digest(chain.canonical(terms)) != record.payload["digest"]:
            self._add(record, "its digest is not that of its terms")
        if "after" in record.payload:  # of before, terms may stand that contradict their population
            unit, unit_by = self.authority.units[population]
            budget = replace(self.budgets[population], unit=unit, unit_by=unit_by)
            require_agreeing_terms(terms, budget, unit_known=self.authority.knows_unit_of(population))

    def _registered(self, record: Record) -> None:
        population = str(record.population)
        if population in self.budgets:
            self._add(record, f"population {population!r} was registered before")
            return
        budget = Budget.from_records([record])
        if budget.neighbouring_relation != NEIGHBOURING_RELATION:
            self._add(record, f"its neighbouring relation is {budget.neighbouring_relation!r}")
        if (budget.plan is None) != (record.payload["plan"] is None):
            self._add(record, "its rule is not that of its plan")
        if budget.plan is not None:
            again = ClosedPlan.of(budget.plan.items, budget.rule.epsilon, budget.rule.delta)
            if not math.isclose(again.epsilon, budget.plan.epsilon, rel_tol=TOLERANCE):
                self._add(record, "its plan_epsilon is not what its plan costs")
        self.budgets[population] = budget
        whole = {block_name(population, EVERYTHING): budget.empty()} if budget.blocks_by is None else {}
        self._compare(record, whole)

    def _cap_changed(self, record: Record, *, lowered: bool) -> None:
        budget, payload = self.budgets[str(record.population)], record.payload
        # Building the rule checks the caps against epsilon, delta and the weights that stand.
        rule = replace(budget.rule, epsilon=payload["epsilon"], caps=chain.vector(payload["caps"]))
        if (rule.epsilon < budget.rule.epsilon) != lowered:
            self._add(record, "a cap is raised with approval and lowered without; this is neither")
        highest = max(budget.highest_cap, rule.epsilon)
        self.budgets[budget.population] = replace(budget, rule=rule, highest_cap=highest)

    def _bound(self, record: Record) -> None:
        payload, source = record.payload, str(record.key)
        population = self.populations.setdefault(source, str(record.population))
        if population != record.population:
            self._add(record, f"its data set already belongs to population {population!r}")
        budget = self.budgets[str(record.population)]
        blocks, overlaps = payload["blocks"], payload["overlaps"]
        if any(population_of(block) != record.population for block in blocks) or not blocks:
            self._add(record, "its blocks are not its population's")
        whole = block_name(str(record.population), EVERYTHING)
        if (budget.blocks_by is None) != (whole in blocks) or (whole in blocks and len(blocks) > 1):
            self._add(record, "its blocks are not of the division that was registered")
        for block in overlaps:
            earlier = not self.authority.current  # else `authority` compares units, by the column too
            if block not in self.standings or (earlier and self.budgets[population_of(block)].unit != budget.unit):
                self._add(record, f"it overlaps with {block!r}, which does not exist or protects another unit")
        if not set(self.sources.get(source, ())) <= {*blocks, *overlaps}:
            self._add(record, "its data set has lost a block")
        self.sources[source] = tuple(sorted({*blocks, *overlaps}))
        self._compare(record, {block: budget.empty() for block in blocks if block not in self.standings})

    # Charges --------------------------------------------------------------------------------------------------------

    def _asked(self, record: Record) -> None:
        if record.kind == "refused" and record.reservation is not None:
            self._refused_resumption(record)
            return
        payload, event = record.payload, event_of(record)
        if self.populations.get(payload["source"]) != record.population:
            self._add(record, "its data set is not bound to its population")
        blocks = self.sources[payload["source"]]
        costs = self._costs(record, blocks)
        before = {block: self.standings[block] for block in blocks}
        after, admitted = {}, True
        for block, standing in before.items():
            budget = self.budgets[population_of(block)]
            after[block], why = budget.charge(standing, costs[budget.population], str(record.said["release"]), event)
            admitted = admitted and why is None
        self._compare_figures(record, before, after)
        if record.kind == "refused":
            if admitted:
                self._add(record, "it was refused although the budget allowed it")
            return
        if not admitted:
            self._add(record, "it was admitted although the budget did not allow it")
        self.open[record.seq] = _Open(record, costs, owner=str(record.said["owner"]))
        self._compare(record, after)

    def _refused_resumption(self, record: Record) -> None:
        held = self._reservation_of(record)
        if held.state not in ("activated", "redeemed"):
            self._add(record, "its reservation could not have been resumed")
            return
        before = {block: self.standings[block] for block in held.first.blocks}
        after, admitted = self._replayed(before, self._costs(record, tuple(before)))
        self._compare_figures(record, before, after)
        if admitted:
            self._add(record, "it was refused although the budget allowed it")

    def _stepped(self, record: Record) -> None:
        held = self._reservation_of(record)
        if held.first.population != record.population or record.kind not in STEPS.get(held.state, ()):
            self._add(record, f"{record.kind} cannot follow on a reservation that is {held.state}")
            return
        owner = str(record.said["owner"])
        if record.kind == "resumed":
            held.owner = owner
        if held.first.said["release"] != record.said["release"] or held.owner != owner:
            self._add(record, "its release or owner is not that of its reservation")
        held.state = "activated" if record.kind == "resumed" else record.kind
        before = {block: self.standings[block] for block in held.first.blocks}
        if record.kind == "redeemed":
            if record.payload["source"] != held.first.payload["source"]:
                self._add(record, "rows of another data set were read than were charged")
            if not set(self.sources[record.payload["source"]]) <= set(held.first.blocks):
                self._add(record, "rows of blocks were read to which nothing was charged")
        if record.kind == "voided":
            self._compare(record, self._voided(held, before))
        elif record.kind == "resumed":
            self._resumed(record, held, before)
        elif record.kind == "committed":
            self._committed(record, held, before)

    def _voided(self, held: _Open, before: Standings) -> Standings:
        release, event = str(held.first.said["release"]), event_of(held.first)
        return {
            block: self.budgets[population_of(block)].uncharge(
                standing, held.costs[population_of(block)], release, event
            )
            for block, standing in before.items()
        }

    def _resumed(self, record: Record, held: _Open, before: Standings) -> None:
        if record.payload["event"] is None:
            if record.payload["cost"]:
                self._add(record, "it repeats nothing, and that costs something")
            self._compare(record, before)
            return
        if not within(event_of(record), event_of(held.first)):
            self._add(record, "what it repeats is no part of what was reserved")
        self._compare_alone(record)
        after, admitted = self._replayed(before, self._costs(record, tuple(before)))
        if not admitted:
            self._add(record, "steps were run again although the budget did not allow it")
        self._compare(record, after)

    def _replayed(self, before: Standings, costs: Costs) -> tuple[Standings, bool]:
        after, admitted = {}, True
        for block, standing in before.items():
            budget = self.budgets[population_of(block)]
            after[block] = budget.charge_outside(standing, costs[budget.population], charges=0)
            admitted = admitted and budget.plan is None and budget.rule.admits(after[block].sums)
        return after, admitted

    def _committed(self, record: Record, held: _Open, before: Standings) -> None:
        event, planned = event_of(record), event_of(held.first)
        if not within(event, planned):
            self._add(record, "what ran is not what was reserved, nor fewer steps of it")
        self._compare_alone(record)
        actual = costs_of(record) if event != planned else held.costs
        if event != planned:
            self._compare_costs(record, actual, floor_only=True)
        elif costs_of(record) != held.costs:
            self._add(record, "it is charged otherwise than it was reserved")
        after = {
            block: replace(
                standing,
                sums=renyi_filter.replace(
                    standing.sums, held.costs[population_of(block)], actual[population_of(block)]
                ),
            )
            for block, standing in before.items()
        }
        self._compare(record, after)

    def _external(self, record: Record) -> None:
        self._compare_alone(record)
        blocks = record.payload["blocks"]
        own = all(population_of(block) == record.population and block in self.standings for block in blocks)
        if not blocks or not own or len({*blocks}) < len(blocks):
            self._add(record, "its blocks are not some of its population's, each once")
        costs = self._costs(record, tuple(blocks))
        after = {
            block: self.budgets[population_of(block)].charge_outside(self.standings[block], costs[population_of(block)])
            for block in record.payload["blocks"]
        }
        self._compare(record, after)

    # Comparisons ----------------------------------------------------------------------------------------------------

    def _reservation_of(self, record: Record) -> _Open:
        return self.open.get(record.reservation or 0) or _Open(record, {}, "missing")

    def _costs(self, record: Record, blocks: tuple[str, ...]) -> Costs:
        """The stated costs, compared with what the event costs; of a refusal, which states none, the event's."""
        names = {str(record.population), *map(population_of, blocks)}
        due = {name: accounting.renyi_vector(event_of(record), self.budgets[name].rule.orders) for name in names}
        if record.kind == "refused":
            return due
        stated = costs_of(record)
        if set(stated) != names:
            self._add(record, "its cost is not stated for the populations that it touches")
        self._compare_costs(record, stated)
        return due | stated

    def _compare_costs(self, record: Record, stated: Costs, *, floor_only: bool = False) -> None:
        for name, cost in stated.items():
            due = accounting.renyi_vector(event_of(record), self.budgets[name].rule.orders)
            low = any(found < right * (1 - TOLERANCE) for found, right in zip(cost, due, strict=True))
            high = any(found > right * (1 + TOLERANCE) for found, right in zip(cost, due, strict=True))
            if low or (high and not floor_only):
                self._add(record, f"it was charged {'less' if low else 'more'} than its event costs")

    def _compare_figures(self, record: Record, before: Standings, after: Standings) -> None:
        """The epsilons that people were told: of the request alone, before it and after it."""
        self._compare_alone(record)
        due = {
            "epsilon_spent": spent(self.budgets, before),
            "epsilon_would_be": spent(self.budgets, after),
        }
        for name, value in due.items():
            self._compare_figure(record, name, value)

    def _compare_alone(self, record: Record) -> None:
        delta = self.budgets[str(record.population)].rule.delta
        self._compare_figure(record, "epsilon_alone", accounting.epsilon(event_of(record), delta))

    def _compare_figure(self, record: Record, name: str, value: float) -> None:
        stated = record.payload[name]
        if not math.isclose(chain.real(stated), value, rel_tol=TOLERANCE, abs_tol=TOLERANCE):
            self._add(record, f"its {name} is {stated!r}, by its event and the charges before it {value!r}")

    def _compare(self, record: Record, due: Standings) -> None:
        stated = {block: standing_of(record, block) for block in record.blocks}
        if stated != due:
            self._add(record, "what it says stands charged is not what the charges before it add up to")

    def _keep_what_is_claimed(self, record: Record) -> None:
        for block in record.blocks:
            try:
                self.standings[block] = standing_of(record, block)
            except (LedgerError, KeyError, TypeError, ValueError, AttributeError):
                continue  # reported already

    def _add(self, record: Record, problem: str) -> None:
        self.problems.append(f"entry {record.seq} ({record.kind}): {problem}")


def _as_asked(asked: Record, record: Record) -> bool:
    """Whether an effect has the contents that its proposal asked for."""
    change, payload = asked.payload["change"], record.payload
    if change["kind"] == "set_terms":
        same = change["contract"] == payload["contract"] == record.key and change["terms"] == payload["terms"]
        return bool(same and ("population" not in change or change["population"] == record.population))
    fields = ("epsilon",) if change["kind"] == "raise_cap" else tuple(set(change) - {"kind", "population"})
    same = all(json.dumps(change[name], sort_keys=True) == json.dumps(payload[name], sort_keys=True) for name in fields)
    return bool(same and change["population"] == record.population)
