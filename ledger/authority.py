"""Who stands for what, as the entries before say: the one judge of proposals and approvals, for admission and audit.

Each population has its people from its registration on, and only they can change it: its cap, its contracts' terms,
its people. What also holds records of another population is changed by those who stand there too. A ledger that was
created with people of its own lets only these register a population; one without trusts whoever comes first.

Somebody who has a key signs a *statement*: this ledger, the act, the exact change, the reason, and the last entry
about the same subject (or the proposal that is agreed to). So a signature is good for one place in one ledger.

`read` takes the entries one after the other. Entries of before people stood in the ledger are read as they were meant:
those two who registered a population stand for it, or the people of the first terms that the same two signed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from ledger.chain import Record
from ledger.errors import LedgerError, ProtocolError, TermsConflict
from ledger.people import People, person
from ledger.scopes import population_of
from ledger.signatures import SignatureRefused, require_signature

EFFECTS = ("registered", "cap_changed", "terms_set", "people_set")
KINDS = ("created", "proposed", "bound", *EFFECTS)  # the entries that this reads

Subject = tuple[str, str]


class Authority:
    """What stands after the entries that were read."""

    def __init__(self) -> None:
        self.ledger_id = ""
        self.whole: People | None = None  # who may register populations; None: whoever comes first
        self.populations: dict[str, People] = {}
        self.units: dict[str, tuple[str, str | None]] = {}  # name, and by which column: of each population
        self.terms: dict[str, dict[str, Any]] = {}  # of each contract, as they stand
        self.current = False  # whether people stand in this ledger's entries; what follows must obey them
        self._contracts: dict[str, str] = {}  # contract to population
        self._signers: dict[str, set[tuple[str, bool]]] = {}  # by population: who asked (False) or agreed (True)
        self._shared: dict[str, set[str]] = {}  # by population: whose records it holds too
        self._asked: dict[int, tuple[Record, str]] = {}  # proposals and the statements under them
        self._last: dict[Subject, str] = {}  # the hash of the last entry about each subject
        self._founders: dict[str, set[str]] = {}  # of populations of before: the two who registered them

    @classmethod
    def of(cls, records: Iterable[Record]) -> Authority:
        found = cls()
        for record in records:
            found.read(record)
        return found

    # What is asked --------------------------------------------------------------------------------------------------

    def knows_unit_of(self, population: str) -> bool:
        """Whether it stands which column tells the population's units apart: in one of before, its first terms say."""
        return population not in self._founders

    def to_propose(self, change: Mapping[str, Any], actor: str, reason: str) -> str:
        """The statement under a proposal, or under a lowered cap, which is an act of one person."""
        act = "lower the cap" if change["kind"] == "lower_cap" else "propose"
        return self._statement(act, change, actor, reason, after=self._last.get(subject_of(change)))

    def to_approve(self, asked: Record, actor: str, reason: str) -> str:
        return self._statement("approve", asked.payload["change"], actor, reason, proposal=asked.seq, after=asked.hash)

    def require_proposal(self, change: Mapping[str, Any], actor: str, reason: str, signature: str | None) -> None:
        """ProtocolError unless this person may ask for the change, and has signed for it if there is a key."""
        self._require(change, actor, signature, self.to_propose(change, actor, reason), approves=False)

    def require_approval(self, asked: Record, actor: str, reason: str, signature: str | None) -> None:
        """ProtocolError unless who asked still may, and this person, somebody else, may agree and has signed."""
        change, proposer = asked.payload["change"], str(asked.said["owner"])
        if person(proposer) == person(actor):
            raise ProtocolError(f"proposal {asked.seq} is by {proposer!r}: a second, different person must approve it")
        given, under = asked.payload.get("signature"), self._asked[asked.seq][1]
        try:
            self._require(change, proposer, given, under, approves=False)
        except ProtocolError as error:
            raise ProtocolError(f"proposal {asked.seq} no longer holds ({error}): ask for the change anew") from None
        self._require(change, actor, signature, self.to_approve(asked, actor, reason), approves=True)

    def require_shareable(self, population: str, others: Iterable[str]) -> None:
        """TermsConflict unless all that was decided about a population was decided by people of these others too, the
        records of which it is going to hold: else strangers' terms would reach them under a new name."""
        for other in sorted(set(others) - self._shared.get(population, set())):
            there, here = self.units.get(other), self.units[population]
            if there is None or there[0] != here[0] or not same_unit_by(there[1], here[1]):
                raise TermsConflict(
                    f"these records are held by {other!r}, which protects {unit_in_words(there)}, while "
                    f"{population!r} protects {unit_in_words(here)}: what would be charged there cannot be told. Use "
                    f"the contract of {other!r}"
                )
            if not self.current or other not in self.populations:
                continue
            people = self.populations[other]
            for name, agreed in sorted(self._signers.get(population, ())):
                if not (people.may_approve(name) if agreed else people.may_ask(name)):
                    raise TermsConflict(
                        f"these records are held by {other!r} too, and {name} {'agreed to' if agreed else 'asked for'} "
                        f"what holds for {population!r} but is {'no approver' if agreed else 'none'} of its people "
                        f"({people}). Use the contract of {other!r}, or have its people register a population for them"
                    )

    def check(self, record: Record) -> None:
        """ProtocolError or TermsConflict if the entry, which is next, is by somebody who may not."""
        said, payload = record.said, record.payload
        if record.kind == "bound":
            if self.current:
                self.require_shareable(str(record.population), map(population_of, payload["overlaps"]))
            return
        if "signature" not in payload:
            if self.current:
                raise ProtocolError("it says nothing of a signature, as entries did before people stood in the ledger")
            return
        if record.kind == "terms_set":
            self._require_same_type(str(record.population), payload["terms"])
        actor, reason, signature = str(said["owner"]), str(payload["reason"]), payload["signature"]
        if record.kind == "proposed":
            self.require_proposal(payload["change"], actor, reason, signature)
        elif payload["proposal"] is None:
            change = {"kind": "lower_cap", "population": record.population, "epsilon": payload["epsilon"]}
            self.require_proposal(change, actor, reason, signature)
        elif payload["proposal"] in self._asked:
            self.require_approval(self._asked[payload["proposal"]][0], actor, reason, signature)

    def people_of(self, population: str | None) -> People | None:
        """Who may sign for a population, or for the ledger as a whole; None where nobody stands there."""
        return self.whole if population is None else self.populations.get(population)

    def concerned(self, change: Mapping[str, Any], actor: str = "") -> dict[str, People]:
        """Whose leave a change takes: those who stand for the ledger, or for the populations that it is about."""
        kind, population = change["kind"], change.get("population")
        if kind == "set_people" and population is None:
            if self.whole is None:
                raise ProtocolError("this ledger was created without people of its own (`dpsynth init` names them)")
            return {"the ledger": self.whole}
        if population is None or (kind == "add_population" and "people" not in change):
            raise ProtocolError("it was asked for before people stood in the ledger: ask for it anew")
        if kind == "add_population":
            first = People.from_json(change["people"])
            return {f"population {population}": first} if self.whole is None else {"the ledger": self.whole}
        if population not in self.units:  # asked for together with the population, which must come first
            return self._expected(str(population), actor)
        names = {str(population), *self._shared.get(str(population), ())}
        if kind == "set_terms":
            names.add(self._contracts.get(change["contract"], str(population)))
        return {f"population {name}": self._standing(name) for name in sorted(names)}

    def _standing(self, population: str) -> People:
        if population not in self.populations:
            raise ProtocolError(
                f"nobody stands for population {population!r}: it was registered before people stood in the ledger, by "
                "names that cannot. What was approved goes on to hold; for changes, register its records anew"
            )
        return self.populations[population]

    def _expected(self, population: str, actor: str) -> dict[str, People]:
        if self.whole is not None:
            return {"the ledger": self.whole}
        for record, _ in reversed(self._asked.values()):
            change = record.payload["change"]
            if change["kind"] == "add_population" and change["population"] == population and "people" in change:
                people = People.from_json(change["people"])
                if people.may_ask(actor):
                    return {f"population {population}": people}
        raise ProtocolError(f"population {population!r} has no budget in this ledger: ask for it first")

    def _require(
        self, change: Mapping[str, Any], actor: str, signature: str | None, statement: str, *, approves: bool
    ) -> None:
        keys = set()
        for place, people in self.concerned(change, actor).items():
            if not (people.may_approve(actor) if approves else people.may_ask(actor)):
                raise ProtocolError(
                    f"{actor} {'is no approver of' if approves else 'does not stand for'} {place} in this ledger "
                    f"({people}). A contract's file does not decide that; `dpsynth people` shows and changes it"
                )
            keys.add(people.key_of(actor))
        keys.discard(None)
        if signature is None and keys:
            raise ProtocolError(
                f"{actor} has a key in this ledger, and this is not signed by it: `dpsynth approve` with --key, or "
                "--signature, signs"
            )
        if signature is not None and not keys:
            raise ProtocolError(f"no key stands for {actor} in this ledger: enrol it first (`dpsynth people key`)")
        for key in sorted(filter(None, keys)):
            try:
                require_signature(key, statement, signature or "")
            except SignatureRefused as error:
                raise ProtocolError(f"{actor} has not signed for this: {error}") from None

    def _statement(self, act: str, change: Mapping[str, Any], actor: str, reason: str, **place: Any) -> str:
        said = {"ledger": self.ledger_id, "act": act, "actor": actor, "reason": reason, "change": change}
        return json.dumps({"after": None, "proposal": None, **said, **place}, sort_keys=True, indent=1) + "\n"

    # What stands ----------------------------------------------------------------------------------------------------

    def read(self, record: Record) -> None:
        """Take in the next entry, as it claims to be; entries of other kinds change nothing here."""
        if record.kind not in KINDS:
            return
        payload, population = record.payload, str(record.population)
        if record.kind == "created":
            self.ledger_id = str(payload["ledger"])
            self.current = "people" in payload
            self.whole = People.from_json(payload["people"]) if payload.get("people") is not None else None
        elif record.kind == "bound":
            self._shared.setdefault(population, set()).update(map(population_of, payload["overlaps"]))
        elif record.kind == "proposed":
            change, owner = payload["change"], str(record.said["owner"])
            self._asked[record.seq] = record, self.to_propose(change, owner, payload["reason"])
            self._last[subject_of(change)] = record.hash
        else:
            self._take_effect(record, payload)
        self.current = self.current or "signature" in payload

    def _take_effect(self, record: Record, payload: dict[str, Any]) -> None:
        population = str(record.population)
        asked = self._asked.pop(payload["proposal"], (None, ""))[0] if payload["proposal"] is not None else None
        signers = [(str(asked.said["owner"]), False)] if asked else []
        signers.append((str(record.said["owner"]), asked is not None))
        earlier = "signature" not in payload
        if record.kind == "terms_set":
            self._set_terms(record, payload, signers, earlier=earlier)
        elif record.kind == "registered":
            self.units[population] = payload["unit"], payload.get("unit_by")
            if earlier:
                names = tuple(name for name, _ in signers)
                self._founders[population] = set(map(person, names))
                with suppress(LedgerError):  # names that cannot stand
                    self.populations[population] = People(names[:1], names[-1:])
            else:
                self.populations[population] = People.from_json(payload["people"])
                signers = signers if self.whole is None else []  # who stands for the ledger is no stranger anywhere
        elif record.kind == "people_set":
            if record.population is None:
                self.whole = People.from_json(payload["people"])
            else:
                self.populations[population] = People.from_json(payload["people"])
        if record.kind != "terms_set":
            self._last["population", "" if record.population is None else population] = record.hash
            self._signers.setdefault(population, set()).update(signers)

    def _set_terms(
        self, record: Record, payload: dict[str, Any], signers: list[tuple[str, bool]], *, earlier: bool
    ) -> None:
        contract, terms = str(payload["contract"]), payload["terms"]
        self._last["contract", contract] = record.hash
        population = str(terms.get("population") if earlier else record.population)
        if earlier and self._founders.get(population) == {person(name) for name, _ in signers}:
            self._found(population, terms)
        if earlier and population in self.populations:
            people = self.populations[population]
            if not all(people.may_approve(name) if agreed else people.may_ask(name) for name, agreed in signers):
                return  # by people whom only a file named: it does not stand any more
        self._learn_type(population, terms)
        self.terms[contract] = dict(terms)
        self._contracts[contract] = population
        self._signers.setdefault(population, set()).update(signers)

    def _found(self, population: str, terms: Mapping[str, Any]) -> None:
        """People and unit of a population of before, off the first terms that the two who registered it signed."""
        founders = self._founders.pop(population)
        owners, approvers = terms.get("owners"), terms.get("approvers")
        if isinstance(owners, list) and isinstance(approvers, list):
            with suppress(LedgerError):
                people = People(tuple(map(str, owners)), tuple(map(str, approvers)))
                if all(map(people.may_ask, founders)):
                    self.populations[population] = people
        unit = terms.get("unit")
        if isinstance(unit, dict) and "column" in unit:
            column = unit["column"]
            name = self.units[population][0] if column else "record"  # called what it is
            self.units[population] = name, told_by(unit)

    def _learn_type(self, population: str, terms: Mapping[str, Any]) -> None:
        """A population that was registered before its unit column's type stood in the ledger has that of the first
        terms which state it."""
        if population in self.units:
            (name, known), told = self.units[population], told_by(terms.get("unit"))
            if is_typed(told) and not is_typed(known) and same_unit_by(known, told):
                self.units[population] = name, told

    def _require_same_type(self, population: str, terms: Mapping[str, Any]) -> None:
        known, told = self.units.get(population, ("", None))[1], told_by(terms.get("unit"))
        if is_typed(known) and is_typed(told) and known != told:
            raise TermsConflict(f"its terms tell units apart by {told}, and population {population!r} by {known}")


def subject_of(change: Mapping[str, Any]) -> Subject:
    """What a change is about: the contract or the population, or the ledger itself."""
    if change["kind"] == "set_terms":
        return "contract", str(change["contract"])
    return "population", str(change["population"] or "")


def told_by(unit: object) -> str | None:
    """By what units are told apart, of the `unit` in a contract's terms: its column, and its type where that stands."""
    if not isinstance(unit, Mapping) or not unit.get("column"):
        return None
    kind = unit.get("logical_type")
    return f"column {unit['column']}" + (f" as {kind}" if kind else "")


def is_typed(unit_by: str | None) -> bool:
    return unit_by is not None and " as " in unit_by


def same_unit_by(one: str | None, other: str | None) -> bool:
    """Whether two populations, or a population and a contract, tell units apart alike. Entries of before say nothing of
    the column's type, and contradict none."""
    if one is None or other is None or is_typed(one) == is_typed(other):
        return one == other
    return one.split(" as ")[0] == other.split(" as ")[0]


def unit_in_words(unit: tuple[str, str | None] | None) -> str:
    if unit is None:
        return "nobody known"
    return f"a {unit[0]}" + (f" (by {unit[1]})" if unit[1] else " (each record is one)")
