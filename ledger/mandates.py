"""Who stands for what, as the entries before say: people, keys, units and terms of each population.

`read` takes the entries one after the other and believes what they claim to be; `authority` judges them. Entries of
before are read as they were meant: of before people stood in the ledger, those two who registered a population stand
for it, or the people of the first terms that the same two signed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, Self

from ledger.acts import Signer, Subject, signer_of, statement, subject_decided, subject_of
from ledger.chain import Record
from ledger.errors import LedgerError
from ledger.journal import EFFECTS
from ledger.people import People, person
from ledger.scopes import population_of
from ledger.units import is_typed, same_unit_by, told_by

KINDS = (
    "created",
    "proposed",
    "bound",
    *EFFECTS.values(),
    "external_charge",
    "restored",
)  # the entries that this reads


class Mandates:
    """What stands after the entries that were read."""

    def __init__(self) -> None:
        self.ledger_id = ""
        self.whole: People | None = None  # who may register populations; None: whoever comes first
        self.populations: dict[str, People] = {}
        self.units: dict[str, tuple[str, str | None]] = {}  # name, and by which column: of each population
        self.terms: dict[str, dict[str, Any]] = {}  # of each contract, as they stand
        self.current = False  # whether people stand in this ledger's entries; what follows must obey them
        self.follows = False  # whether entries state what they follow on; all that come after must, and obey its rules
        self._contracts: dict[str, str] = {}  # contract to population
        self._signers: dict[str, set[Signer]] = {}  # by population: under all that was decided about it
        self._stood: dict[str, list[tuple[int, People]]] = {}  # by population: its people from each entry on
        self._shared: dict[str, set[str]] = {}  # by population: whose records it holds too
        self._asked: dict[int, tuple[Record, str]] = {}  # proposals and the statements under them
        self._last: dict[Subject, str] = {}  # the hash of the last entry about each subject
        self._decided: dict[Subject, int] = {}  # the last entry that decided about each subject
        self._founders: dict[str, set[str]] = {}  # of populations of before: the two who registered them

    @classmethod
    def of(cls, records: Iterable[Record]) -> Self:
        found = cls()
        for record in records:
            found.read(record)
        return found

    def knows_unit_of(self, population: str) -> bool:
        """Whether it stands which column tells the population's units apart: in one of before, its first terms say."""
        return population not in self._founders

    def people_of(self, population: str | None) -> People | None:
        """Who may sign for a population, or for the ledger as a whole; None where nobody stands there."""
        return self.whole if population is None else self.populations.get(population)

    def after(self, change: Mapping[str, Any]) -> str | None:
        """The hash of the entry that a proposal, or an act of one person, follows on."""
        return self._last.get(subject_of(change))

    def read(self, record: Record) -> None:
        """Take in the next entry, as it claims to be; entries of other kinds change nothing here."""
        if record.kind not in KINDS:
            return
        payload, population = record.payload, str(record.population)
        self.follows = self.follows or "after" in payload
        if record.kind == "created":
            self.ledger_id = str(payload["ledger"])
            self.current = "people" in payload
            self.whole = People.from_json(payload["people"]) if payload.get("people") is not None else None
        elif record.kind == "bound":
            self._shared.setdefault(population, set()).update(map(population_of, payload["overlaps"]))
        elif record.kind == "proposed":
            change, owner = payload["change"], str(record.said["owner"])
            self._asked[record.seq] = (
                record,
                statement(self.ledger_id, change, owner, payload["reason"], after=self.after(change)),
            )
            self._last[subject_of(change)] = record.hash
        elif record.kind == "external_charge":
            if "after" in payload:  # so that a signature is not good for the same a second time
                self._last["population", population] = record.hash
        elif record.kind != "restored":
            self._take_effect(record, payload)
            self._last[subject_decided(record)] = record.hash
            self._decided[subject_decided(record)] = record.seq
        self.current = self.current or "signature" in payload

    def _take_effect(self, record: Record, payload: dict[str, Any]) -> None:
        population = str(record.population)
        asked = self._asked.pop(payload["proposal"], (None, ""))[0] if payload["proposal"] is not None else None
        signers = [signer_of(asked, record.seq, agreed=False)] if asked else []
        signers.append(signer_of(record, record.seq, agreed=asked is not None))
        earlier = "signature" not in payload
        if record.kind == "terms_set":
            self._set_terms(record, payload, signers, earlier=earlier)
        elif record.kind == "registered":
            self.units[population] = payload["unit"], payload.get("unit_by")
            if earlier:
                names = tuple(by.name for by in signers)
                self._founders[population] = set(map(person, names))
                with suppress(LedgerError):  # names that cannot stand
                    self._stand(population, People(names[:1], names[-1:]), record)
            else:
                self._stand(population, People.from_json(payload["people"]), record)
                signers = signers if self.whole is None else []  # who stands for the ledger is no stranger anywhere
        elif record.kind == "people_set":
            if record.population is None:
                self.whole = People.from_json(payload["people"])
            else:
                self._stand(population, People.from_json(payload["people"]), record)
        if record.kind != "terms_set":
            self._signers.setdefault(population, set()).update(signers)

    def _set_terms(self, record: Record, payload: dict[str, Any], signers: list[Signer], *, earlier: bool) -> None:
        contract, terms = str(payload["contract"]), payload["terms"]
        population = str(terms.get("population") if earlier else record.population)
        if earlier and self._founders.get(population) == {person(by.name) for by in signers}:
            self._found(population, terms, record)
        if earlier and population in self.populations:
            people = self.populations[population]
            if not all(people.may_approve(by.name) if by.agreed else people.may_ask(by.name) for by in signers):
                return  # by people whom only a file named: it does not stand any more
        if terms.get("population", population) != population:
            return  # about the records of others, who were not asked
        self._learn_type(population, terms)
        self.terms[contract] = dict(terms)
        self._contracts[contract] = population
        self._signers.setdefault(population, set()).update(signers)

    def _stand(self, population: str, people: People, record: Record) -> None:
        self.populations[population] = people
        self._stood.setdefault(population, []).append((record.seq, people))

    def _found(self, population: str, terms: Mapping[str, Any], record: Record) -> None:
        """People and unit of a population of before, off the first terms that the two who registered it signed."""
        founders = self._founders.pop(population)
        owners, approvers = terms.get("owners"), terms.get("approvers")
        if isinstance(owners, list) and isinstance(approvers, list):
            with suppress(LedgerError):
                people = People(tuple(map(str, owners)), tuple(map(str, approvers)))
                if all(map(people.may_ask, founders)):
                    self._stand(population, people, record)
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
