"""Sealing: the chain says of everything that leaves what it is, what it was made from and what that cost.

A seal charges nothing and asks no budget: what it is about was released before, or made from releases. The ledger, not
its caller, decides which charges an artifact carries: all those of what it was made from, and its own, which must be
committed with exactly these files. So an ancestor cannot be dropped, and the guarantee follows from the entries alone.
One transaction that writes; the composed epsilon is computed before it, since entries that exist never change. That no
audit refuted one of the charges is demanded in the very transaction, since such an entry may have come meanwhile.

`SealReview` recomputes all of it for the audit.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from ledger import accounting
from ledger.authority import Authority
from ledger.chain import Draft, Record
from ledger.checkpoints import require_key, sign
from ledger.errors import LedgerError, ProtocolError, SealError
from ledger.events import Composed, Event
from ledger.incidents import Incident, against, require_unrefuted
from ledger.journal import charged_events, commitment_of, released_as, reservation_of, state_of
from ledger.protocol import history_of, public_key_of, require_budget
from ledger.scopes import Budget
from ledger.seals import Guarantee, Seal, checked_files, content_digest, identified, named, portable, seal_of
from ledger.store import Store
from ledger.transaction import Transaction, now

TOLERANCE = 1e-6  # two machines' logarithms may differ in the last digits


@dataclass(frozen=True)
class Charge:
    """One charge that an artifact carries, as its entries state it."""

    reservation: str
    release: str
    population: str
    event: Event
    plan_digest: str
    seq: int  # of the entry that committed it
    hash: str


@dataclass(frozen=True)
class NewSeal:
    """A seal that was just entered, the charges that it carries, and how it travels: None where the signing key cannot
    be used. It stands in the chain all the same."""

    seal: Seal
    charges: tuple[Charge, ...]
    portable: bytes | None


class Sealing:
    """Seal what leaves, find seals again, and say what an artifact rests on."""

    _store: Store
    _key: Any

    @property
    def public_key(self) -> str:
        """The Ed25519 key, in hex, that this ledger's checkpoints and seals are signed with."""
        with self._store.transaction() as book:
            return public_key_of(book)

    def require_signing_key(self) -> None:
        """Pass if what is released next can be signed, by the key that recipients know.

        Raises:
            LedgerError: the signing key is missing, cannot be read, or is another ledger's.
        """
        require_key(self._key, self.public_key)

    def seal(
        self,
        name: str,
        identity: str,
        files: Mapping[str, str],
        *,
        made_from: Mapping[str, Seal] | None = None,
        reservation: str | None = None,
        protected: bool = True,
        nothing_of: str | None = None,
    ) -> NewSeal:
        """Write down that these files are the artifact `identity` of `name`, and what they rest on.

        Args:
            files: SHA-256 of each file, by its name below the artifact's folder.
            made_from: the seals of what it was made from.
            reservation: the id of its own charge, committed with these files (the receipt aside).
            protected: False for what was made without privacy. Where anything that it was made from has no guarantee,
                neither has this.
            nothing_of: the population of which no row was read for it, of what was made from public things alone. Its
                guarantee is epsilon 0. The ledger has handed out nothing for it, and believes its caller that no row
                came another way.

        Raises:
            ProtocolError: what it was made from is not sealed here, its charge is not committed with these files, it
                rests on charges of several populations, or on nothing at all; or on something, where nothing was read.
            SealError: an audit refuted a release that it rests on (`incidents`), or a name or digest is none.
        """
        if nothing_of is not None and (made_from or reservation is not None or not protected):
            raise ProtocolError("nothing is said to have been read for it, and it rests on something: it is not sealed")
        name, identity, files = named(name), identified(identity), checked_files(dict(files))
        with self._store.transaction() as book:
            parents = {label: _sealed(book, seal) for label, seal in sorted((made_from or {}).items())}
            own = [] if reservation is None else [_committed(book, reservation, name, content_digest(files))]
            charges = sorted({*own, *(seq for each in parents.values() for seq in each.charges)})
            histories = [book.find(reservation=seq) for seq in charges]
            budgets = {path[0].population: require_budget(book, str(path[0].population)) for path in histories}
            unread = None if nothing_of is None else require_budget(book, nothing_of)
            ledger_id, public = book.ledger_id, public_key_of(book)
        guarantee = None
        if unread is not None:
            guarantee = Guarantee(unread.population, unread.unit, unread.neighbouring_relation, 0.0, 0.0)
        elif protected and all(each.guarantee for each in parents.values()):
            guarantee = _guarantee(histories, list(budgets.values()), parents.values())
        payload = {
            "id": identity,
            "files": files,
            "made_from": {label: each.seq for label, each in parents.items()},
            "charges": charges,
            "guarantee": None if guarantee is None else vars(guarantee),
        }
        population = guarantee.population if guarantee else None
        draft = Draft(kind="sealed", population=population, release=name, key=name, payload=payload)
        with self._store.transaction() as book:
            require_unrefuted(book, name, charges)
            record = book.append(draft)
        seal, signed = seal_of(ledger_id, record.body), None
        with suppress(LedgerError):
            signed = portable(seal, sign(self._key, ledger_id, record, now(), public))
        return NewSeal(seal, tuple(_charge(ledger_id, history) for history in histories), signed)

    def seals(self, name: str | None = None) -> list[Seal]:
        """All seals, or those of one contract's kind of artifact, oldest first."""
        with self._store.transaction() as book:
            return [seal_of(book.ledger_id, record.body) for record in book.find(kinds=("sealed",), key=name)]

    def charges_of(self, seal: Seal) -> list[Charge]:
        """What an artifact rests on, read from the entries of each charge."""
        with self._store.transaction() as book:
            sealed = _sealed(book, seal)
            return [_charge(book.ledger_id, book.find(reservation=seq)) for seq in sealed.charges]

    def incidents_against(self, seal: Seal) -> list[Incident]:
        """What audits found about the releases that an artifact rests on, before it was sealed or since, oldest first.
        Where there is anything, the guarantee in the seal does not hold."""
        with self._store.transaction() as book:
            return against(book, _sealed(book, seal).charges)

    def portable(self, seal: Seal) -> bytes:
        """A seal as it travels, signed.

        Raises:
            LedgerError: the signing key cannot be used, or is another one. The seal stands in the chain all the same.
        """
        with self._store.transaction() as book:
            record, public = _record(book, seal), public_key_of(book)
        return portable(seal, sign(self._key, seal.ledger, record, now(), public))


def _record(book: Transaction, seal: Seal) -> Record:
    if isinstance(seal, Seal) and seal.ledger == book.ledger_id:
        record = book.at(seal.seq)
        if record is not None and (record.kind, record.key, record.hash) == ("sealed", seal.name, seal.hash):
            return record
    raise ProtocolError("what it was made from is not sealed in this ledger: make that again first")


def _sealed(book: Transaction, seal: Seal) -> Seal:
    """A seal as the ledger has it."""
    return seal_of(book.ledger_id, _record(book, seal).body)


def _committed(book: Transaction, reservation: str, name: str, digest: str) -> int:
    """The number of a charge that was committed for this very release and these very files."""
    history = history_of(book, reservation)
    if state_of(history) != "committed" or released_as(history) != digest:
        raise ProtocolError(f"the charge {reservation} was not committed with these files: they are not its release")
    release = history[0].said["release"]
    if release != name:
        raise ProtocolError(f"the charge {reservation} is for {release}, not for {name}")
    return history[0].seq


def _guarantee(histories: Sequence[Sequence[Record]], budgets: Sequence[Budget], parents: Iterable[Seal]) -> Guarantee:
    """What follows from charges, all of one population; the same charges as a parent's come to what the parent's do.
    What was made only from what read nothing has read nothing."""
    if not histories:
        of_nothing = {parent.guarantee for parent in parents if parent.guarantee is not None}
        if len(of_nothing) == 1:
            return of_nothing.pop()
        raise ProtocolError(
            "it was made from nothing that was charged, and is not marked as made without privacy: nothing can be said "
            "of it, so it is not sealed"
        )
    if len(budgets) != 1:
        raise ProtocolError("it rests on charges of several populations: no one guarantee holds of it")
    charges = tuple(path[0].seq for path in histories)
    (budget,) = budgets
    for parent in parents:
        if parent.charges == charges and parent.guarantee is not None:
            return parent.guarantee
    return Guarantee(
        population=budget.population,
        unit=budget.unit,
        neighbouring_relation=budget.neighbouring_relation,
        epsilon=_epsilon(histories, budget.rule.delta),
        delta=budget.rule.delta,
    )


def _epsilon(histories: Sequence[Sequence[Record]], delta: float) -> float:
    """Everything that ran, and ran again, composed."""
    return accounting.epsilon(Composed(tuple(event for path in histories for event in charged_events(path))), delta)


def _charge(ledger_id: str, history: Sequence[Record]) -> Charge:
    held, final = reservation_of(ledger_id, history), commitment_of(history)
    assert final is not None  # what was not committed is not sealed
    ran = charged_events(history)
    return Charge(
        reservation=held.id,
        release=held.release,
        population=held.population,
        event=ran[0] if len(ran) == 1 else Composed(tuple(ran)),
        plan_digest=held.plan_digest,
        seq=final.seq,
        hash=final.hash,
    )


@dataclass
class SealReview:
    """Walks the entries and recomputes each seal: what it carries and what follows from that."""

    ledger_id: str
    authority: Authority
    seals: dict[int, Seal] = field(default_factory=dict)
    histories: dict[int, list[Record]] = field(default_factory=dict)
    registered: dict[str, Record] = field(default_factory=dict)
    committed: dict[str, set[int]] = field(default_factory=dict)  # digest to the charges committed with it
    refuted: dict[int, int] = field(default_factory=dict)  # charge to the first entry by which an audit refuted it
    computed: dict[tuple[int, ...], float] = field(default_factory=dict)

    def note(self, record: Record) -> None:
        """Remember what later seals may rest on."""
        if record.reservation is not None:
            self.histories.setdefault(record.reservation, []).append(record)
        if record.kind == "registered":
            self.registered.setdefault(str(record.population), record)
        if record.kind == "committed" and record.reservation is not None:
            self.committed.setdefault(str(record.payload["artifact_digest"]), set()).add(record.reservation)
        if record.kind == "incident" and record.reservation is not None:
            self.refuted.setdefault(record.reservation, record.seq)

    def problems(self, record: Record) -> list[str]:
        """What is wrong with a sealed entry."""
        try:
            seal = seal_of(self.ledger_id, record.body)
        except SealError as error:
            return [str(error)]
        self.seals[seal.seq] = seal
        missing = [str(seq) for seq in seal.made_from.values() if seq not in self.seals]
        if missing:
            return [f"it was made from entry {missing[0]}, which is no seal"]
        parents = [self.seals[seq] for seq in seal.made_from.values()]
        inherited = {seq for parent in parents for seq in parent.charges}
        own = set(seal.charges) - inherited
        made = self.committed.get(content_digest(seal.files), set())
        found = []
        if refuted := sorted(self.refuted.keys() & set(seal.charges)):
            said = self.refuted[refuted[0]]
            found.append(f"it carries charge {refuted[0]}, which an audit had refuted (entry {said})")
        if dropped := sorted(inherited - set(seal.charges)):
            found.append(f"it leaves out charge {dropped[0]}, which what it was made from carries")
        if len(own) > 1 or not own <= made:
            found.append("it carries a charge that was not committed with its files")
        if seal.guarantee is None:  # equal files of another contract or variant may be chance, and promise nothing here
            contract = seal.name.partition("/")[0]
            made = {seq for seq in made if self.histories[seq][0].said["release"].partition("/")[0] == contract}
        if made and not made & set(seal.charges):
            found.append("its files are those of a charge that it does not carry")
        if any(self.histories[seq][0].said["release"] != seal.name for seq in own & made):
            found.append("its charge is another release's")
        if seal.guarantee is not None:
            if any(parent.guarantee is None for parent in parents):
                found.append("it states a guarantee, and what it was made from has none")
            found += [] if found else self._promised(seal, seal.guarantee)
        return found

    def _promised(self, seal: Seal, guarantee: Guarantee) -> list[str]:
        if guarantee.of_nothing_read:
            return self._promised_of_nothing(seal, guarantee)
        if not seal.charges:
            return ["it states a guarantee, and carries no charge"]
        histories = [self.histories[seq] for seq in seal.charges]
        if {path[0].population for path in histories} != {guarantee.population}:
            return ["its guarantee is not of the population that its charges are of"]
        terms = self.registered[guarantee.population].payload
        stated = (guarantee.unit, guarantee.neighbouring_relation, guarantee.delta)
        unit, _ = self.authority.units[guarantee.population]  # of a population of before, off its first terms
        if stated != (unit, terms["neighbouring_relation"], terms["delta"]):
            return ["its unit, neighbouring relation or delta is not that of its population"]
        if seal.charges not in self.computed:
            self.computed[seal.charges] = _epsilon(histories, guarantee.delta)
        due = self.computed[seal.charges]
        if not math.isclose(guarantee.epsilon, due, rel_tol=TOLERANCE, abs_tol=TOLERANCE):
            return [f"its epsilon is {guarantee.epsilon!r}, its charges together cost {due!r}"]
        return []

    def _promised_of_nothing(self, seal: Seal, guarantee: Guarantee) -> list[str]:
        if seal.charges:
            return ["it states that nothing was read, and carries charges"]
        terms = self.registered.get(guarantee.population)
        unit = self.authority.units[guarantee.population][0] if terms else None
        stated = (guarantee.unit, guarantee.neighbouring_relation)
        if terms is None or stated != (unit, terms.payload["neighbouring_relation"]):
            return ["its unit or neighbouring relation is not that of its population"]
        parents = [self.seals[seq].guarantee for seq in seal.made_from.values()]
        if any(parent is None or parent.population != guarantee.population for parent in parents):
            return ["its guarantee is of another population than that of what it was made from"]
        return []
