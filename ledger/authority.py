"""The one judge of proposals and approvals, for admission and audit.

Each population has its people from its registration on, and only they can change it: its cap, its contracts' terms,
its people. What also holds records of another population is changed by those who stand there too. A ledger that was
created with people of its own lets only these register a population; one without trusts whoever comes first.

Somebody who has a key signs a *statement*: this ledger, the act, the exact change, the reason, and the last entry
about the same subject (or the proposal that is agreed to). So a signature is good for one place in one ledger. A key
is asked for wherever its name acts, and stands wherever the name is listed anew; it is changed place by place. Of
entries made before they stated what they follow on (`after`), a key was asked for only where it had been enrolled.

What stands is read by `mandates`; nothing here changes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ledger.acts import Signer, change_alone, statement, subject_of
from ledger.chain import Record
from ledger.errors import ProtocolError, TermsConflict
from ledger.mandates import Mandates
from ledger.people import People, person
from ledger.scopes import population_of
from ledger.signatures import SignatureRefused, key_of, require_signature
from ledger.units import is_typed, same_unit_by, told_by, unit_in_words


class Authority(Mandates):
    """What stands after the entries that were read, and whether the next one may follow."""

    def to_propose(self, change: Mapping[str, Any], actor: str, reason: str) -> str:
        """The statement under a proposal, or under what one person does alone."""
        return statement(self.ledger_id, change, actor, reason, after=self.after(change))

    def to_approve(self, asked: Record, actor: str, reason: str) -> str:
        return statement(self.ledger_id, asked.payload["change"], actor, reason, after=asked.hash, proposal=asked.seq)

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
        if not earlier and given and signature and key_of(given) == key_of(signature):
            raise ProtocolError(
                f"{proposer} and {actor} signed by one key, which is one person's: a second one must approve it by "
                "another (`dpsynth people` shows whose key stands where)"
            )

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
                who = f"{actor} {'is no approver of' if approves else 'does not stand for'} {place}"
                if self.whole is None and change.get("population") not in self.units:
                    raise ProtocolError(f"{who}: its first budget is signed for by those whom it names ({people})")
                raise ProtocolError(
                    f"{who} in this ledger ({people}). A contract's file does not decide that; `dpsynth people` shows "
                    "and changes it"
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
                raise ProtocolError(
                    f"{actor} has not signed for this: {error}. Sign with the key that is theirs (`dpsynth people` "
                    "shows its fingerprint), or have their key replaced (`dpsynth people key`)"
                ) from None

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

    def _require_same_type(self, population: str, terms: Mapping[str, Any]) -> None:
        known, told = self.units.get(population, ("", None))[1], told_by(terms.get("unit"))
        if is_typed(known) and is_typed(told) and known != told:
            raise TermsConflict(f"its terms tell units apart by {told}, and population {population!r} by {known}")

    def _key_then(self, population: str, by: Signer) -> str | None:
        """The key that stood for a signer's name at a population when what was signed took effect."""
        stood = [people for seq, people in self._stood.get(population, ()) if seq <= by.seq]
        return stood[-1].key_of(by.name) if stood else None
