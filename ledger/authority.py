"""Who stands for what, as the entries before say: the one judge of proposals and approvals, for admission and audit.

Each population has its people from its registration on, and only they can change it: its cap, its contracts' terms,
its people. What also holds records of another population is changed by those who stand there too. A ledger that was
created with people of its own lets only these register a population; one without trusts whoever comes first.

Somebody who has a key signs a *statement*: this ledger, the act, the exact change, the reason, and the last entry
about the same subject (or the proposal that is agreed to). So a signature is good for one place in one ledger. A key
is asked for wherever its name acts, and stands wherever the name is listed anew; it is changed place by place.

`read` takes the entries one after the other. Entries of before are read as they were meant: of before people stood in
the ledger, those two who registered a population stand for it, or the people of the first terms that the same two
signed; of before entries stated what they follow on (`after`), a key was asked for only where it had been enrolled.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from ledger.acts import Signer, Subject, change_alone, signer_of, statement, subject_decided, subject_of
from ledger.chain import Record
from ledger.errors import LedgerError, ProtocolError, TermsConflict
from ledger.journal import EFFECTS
from ledger.people import People, person
from ledger.scopes import population_of
from ledger.signatures import SignatureRefused, require_signature

KINDS = (
    "created",
    "proposed",
    "bound",
    *EFFECTS.values(),
    "external_charge",
    "restored",
)  # the entries that this reads


class Authority:
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
        """The statement under a proposal, or under what one person does alone."""
        return statement(self.ledger_id, change, actor, reason, after=self.after(change))

    def to_approve(self, asked: Record, actor: str, reason: str) -> str:
        return statement(self.ledger_id, asked.payload["change"], actor, reason, after=asked.hash, proposal=asked.seq)

    def after(self, change: Mapping[str, Any]) -> str | None:
        """The hash of the entry that a proposal, or an act of one person, follows on."""
        return self._last.get(subject_of(change))

    def keys_of(self, actor: str, people: People | None) -> set[str]:
        """By what somebody signs where these people stand: the key that stands there, else the one that stands for
        the name elsewhere in the ledger. Several only where places disagree, which no signature satisfies."""
        if people is not None and (own := people.key_of(actor)):
            return {own}
        everywhere = [each.key_of(actor) for each in (self.whole, *self.populations.values()) if each is not None]
        return set(filter(None, everywhere))

    def keys_for(self, change: Mapping[str, Any], actor: str) -> set[str]:
        """By what somebody signs for a change."""
        places = self.concerned(change, actor).values()
        return {key for people in places or (None,) for key in self.keys_of(actor, people)}

    def require_proposal(
        self, change: Mapping[str, Any], actor: str, reason: str, signature: str | None, *, earlier: bool = False
    ) -> None:
        """ProtocolError unless this person may ask for the change, and has signed for it if there is a key.

        `earlier`: judged as before entries stated what they follow on. The same below.
        """
        under = self.to_propose(change, actor, reason)
        self._require(change, actor, signature, under, approves=False, earlier=earlier)

    def require_approval(
        self, asked: Record, actor: str, reason: str, signature: str | None, *, earlier: bool = False
    ) -> None:
        """ProtocolError unless who asked still may, nothing was decided about the same since, and this person,
        somebody else, may agree and has signed."""
        change, proposer = asked.payload["change"], str(asked.said["owner"])
        if person(proposer) == person(actor):
            raise ProtocolError(f"proposal {asked.seq} is by {proposer!r}: a second, different person must approve it")
        given, under = asked.payload.get("signature"), self._asked[asked.seq][1]
        try:
            if not earlier and (since := self._decided.get(subject_of(change), 0)) > asked.seq:
                raise ProtocolError(f"entry {since} decided about the same since")
            self._require(change, proposer, given, under, approves=False, earlier=earlier)
        except ProtocolError as error:
            raise ProtocolError(f"proposal {asked.seq} no longer holds ({error}): ask for the change anew") from None
        under = self.to_approve(asked, actor, reason)
        self._require(change, actor, signature, under, approves=True, earlier=earlier)

    def require_shareable(self, population: str, others: Iterable[str], *, earlier: bool = False) -> None:
        """TermsConflict unless all that was decided about a population was decided by people of these others too, the
        records of which it is going to hold, and by the keys that they had there: else strangers' terms would reach
        them under a new name."""
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
            for by in sorted(self._signers.get(population, ()), key=lambda by: (by.name, by.agreed, by.seq)):
                wrong = None
                if not (people.may_approve(by.name) if by.agreed else people.may_ask(by.name)):
                    wrong = f"is {'no approver' if by.agreed else 'none'} of its people ({people})"
                elif not earlier and self._key_then(other, by) not in (None, by.key):
                    wrong = "had a key there and did not sign by it"
                if wrong:
                    raise TermsConflict(
                        f"these records are held by {other!r} too, and {by.name} "
                        f"{'agreed to' if by.agreed else 'asked for'} what holds for {population!r} but {wrong}. Use "
                        f"the contract of {other!r}, or have its people register a population for them"
                    )

    def check(self, record: Record) -> None:
        """ProtocolError or TermsConflict if the entry, which is next, is by somebody who may not."""
        said, payload, earlier = record.said, record.payload, "after" not in record.payload
        if record.kind == "bound":
            if self.current:
                others = map(population_of, payload["overlaps"])
                self.require_shareable(str(record.population), others, earlier=not self.follows)
            return
        actor, reason = str(said["owner"]), str(payload.get("reason"))
        if record.kind == "restored":
            if self.follows:
                self.require_keyless(actor)
            return
        if earlier and self.follows:
            raise ProtocolError("it does not say what it follows on, which all entries of its kind do by then")
        if "signature" not in payload:
            if self.current and record.kind != "external_charge":
                raise ProtocolError("it says nothing of a signature, as entries did before people stood in the ledger")
            return
        if record.kind == "terms_set":
            self._require_same_type(str(record.population), payload["terms"])
        signature, after = payload["signature"], None
        if record.kind not in ("proposed", "external_charge") and payload["proposal"] is not None:
            if payload["proposal"] in self._asked:
                asked = self._asked[payload["proposal"]][0]
                after = asked.hash
                self.require_approval(asked, actor, reason, signature, earlier=earlier)
        else:
            change = payload["change"] if record.kind == "proposed" else change_alone(record)
            after = self.after(change)
            self.require_proposal(change, actor, reason, signature, earlier=earlier)
        if not earlier and payload["after"] != after:
            raise ProtocolError("it follows on another entry than it says")

    def require_keyless(self, actor: str) -> None:
        """ProtocolError if somebody with a key is to be named for what nobody signs."""
        if self.keys_of(actor, None):
            raise ProtocolError(
                f"{actor} has a key in this ledger, and a restoration is not signed: name whoever works the machine, "
                "under a name without a key"
            )

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
        if kind == "external_charge":  # spent already: where nobody stands, anybody may say so
            stand = self.populations.get(str(population))
            return {} if stand is None else {f"population {population}": stand}
        if population not in self.units:
            if kind != "set_terms":
                raise ProtocolError(f"population {population!r} has no budget in this ledger: ask for it first")
            return self._expected(str(population), actor)  # asked for together with the population, which comes first
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
        self,
        change: Mapping[str, Any],
        actor: str,
        signature: str | None,
        under: str,
        *,
        approves: bool,
        earlier: bool,
    ) -> None:
        places = self.concerned(change, actor)
        for place, people in places.items():
            if not (people.may_approve(actor) if approves else people.may_ask(actor)):
                raise ProtocolError(
                    f"{actor} {'is no approver of' if approves else 'does not stand for'} {place} in this ledger "
                    f"({people}). A contract's file does not decide that; `dpsynth people` shows and changes it"
                )
        if earlier:
            keys = {key for people in places.values() if (key := people.key_of(actor))}
        else:
            keys = self.keys_for(change, actor)
            self._require_consistent(change)
        if signature is None and keys:
            raise ProtocolError(
                f"{actor} has a key in this ledger, and this is not signed by it: `dpsynth approve` with --key, or "
                "--signature, signs"
            )
        if signature is not None and not keys:
            raise ProtocolError(f"no key stands for {actor} in this ledger: enrol it first (`dpsynth people key`)")
        for key in sorted(keys):
            try:
                require_signature(key, under, signature or "")
            except SignatureRefused as error:
                raise ProtocolError(f"{actor} has not signed for this: {error}") from None

    def _require_consistent(self, change: Mapping[str, Any]) -> None:
        """ProtocolError where terms are about another population than they are set for, or people are listed without
        the key that stands for them elsewhere. A key that stands at this very place may be changed or taken away."""
        population = change.get("population")
        if change["kind"] == "set_terms" and change["terms"].get("population", population) != population:
            raise ProtocolError(f"the terms of contract {change['contract']} name another population than {population}")
        if "people" not in change:
            return
        people = People.from_json(change["people"])
        here = self.people_of(population) if change["kind"] == "set_people" else None
        others = [each for each in (self.whole, *self.populations.values()) if each is not here]
        for name in people.names:
            known = {key for each in others if each and (key := each.key_of(name))}
            if known and known != {people.key_of(name)} and not (here and here.key_of(name)):
                raise ProtocolError(
                    f"{name} has a key in this ledger, and would stand for "
                    f"{f'population {population}' if population else 'the ledger'} without it or by another one: list "
                    "the key that stands (`dpsynth people` shows it; where places disagree, `dpsynth people key`)"
                )

    # What stands ----------------------------------------------------------------------------------------------------

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
            self._asked[record.seq] = record, self.to_propose(change, owner, payload["reason"])
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

    def _key_then(self, population: str, by: Signer) -> str | None:
        """The key that stood for a signer's name at a population when what was signed took effect."""
        stood = [people for seq, people in self._stood.get(population, ()) if seq <= by.seq]
        return stood[-1].key_of(by.name) if stood else None

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

    def _require_same_type(self, population: str, terms: Mapping[str, Any]) -> None:
        known, told = self.units.get(population, ("", None))[1], told_by(terms.get("unit"))
        if is_typed(known) and is_typed(told) and known != told:
            raise TermsConflict(f"its terms tell units apart by {told}, and population {population!r} by {known}")


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
    typed, untyped = (one, other) if is_typed(one) else (other, one)
    return typed.rpartition(" as ")[0] == untyped


def unit_in_words(unit: tuple[str, str | None] | None) -> str:
    if unit is None:
        return "nobody known"
    return f"a {unit[0]}" + (f" (by {unit[1]})" if unit[1] else " (each record is one)")
