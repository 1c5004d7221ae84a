"""The ledger itself: one file, its creation and restoration, and everything one may ask of it.

What changes it stands in `admission` and `charging` (the life of a charge), `elsewhere` (what was spent without it),
`governing` (budgets and approvals), `sealing` (what left) and `incidents` (what an audit refuted). Nothing here depends
on data, and nothing here may: no batch sizes that were realised, no true counts, no exception texts.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from ledger import chain
from ledger.addresses import Address
from ledger.admission import Admission
from ledger.authority import Authority
from ledger.chain import Draft, Record
from ledger.charging import Charging
from ledger.checkpoints import Checkpoint, new_key, problems_with, public_key, sign
from ledger.elsewhere import Elsewhere
from ledger.errors import LedgerBroken, LedgerError, LedgerUnsure
from ledger.governing import Governing
from ledger.incidents import Incidents
from ledger.journal import entry_of, histories, reservation_of, state_of
from ledger.people import People
from ledger.places import begun_at, begun_note, key_at, store_at, write_address, write_durably
from ledger.postgresql import PostgreSQLStore
from ledger.protocol import (
    binding_of,
    blocks_of,
    budget_of,
    history_of,
    public_key_of,
    require_budget,
    require_same_terms,
    standings_of,
)
from ledger.quoting import quote, quote_unregistered
from ledger.records import Balance, Entry, Item, Quote, Reservation, Scope, Spending, State, words
from ledger.scopes import population_of
from ledger.sealing import Sealing
from ledger.statements import Statement, spending_of, statement_of
from ledger.store import DuckDBStore, Store
from ledger.transaction import now
from ledger.verification import problems_of


class Ledger(Admission, Charging, Elsewhere, Governing, Incidents, Sealing):
    """A privacy ledger at a path. Holds nothing open; any number of processes and threads may use one file."""

    def __init__(self, path: Path | str, *, store: Store | None = None) -> None:
        self._store = store or store_at(path)
        self._key = key_at(path)
        self._store.require()  # everything else is checked anew in every transaction

    @property
    def folder(self) -> Path:
        """Where the ledger lies. Approved terms name relative places as seen from here."""
        return Path(self._key).parent

    @classmethod
    def create(
        cls,
        path: Path | str,
        people: People | None = None,
        *,
        address: Address | None = None,
        told: Callable[[str, Record], None] = lambda ledger_id, first: None,
    ) -> Ledger:
        """A new, empty ledger and its signing key. Always an explicit act; an existing one is never replaced.

        Args:
            people: those who alone may register populations in it; without them whoever comes first may.
            address: of the server that keeps it; without it the file at `path` does.
            told: of the ledger's id and its first entry, before anybody can open it there.
        """
        DuckDBStore(path).require_absent()
        store = DuckDBStore(path) if address is None else PostgreSQLStore(address)
        key = key_at(path)
        store.require_absent()
        ledger_id = secrets.token_hex(6)
        again = address is not None and begun_at(path) == str(address)  # was cut off: nothing was signed with its key
        if address is not None:
            write_durably(begun_note(path), str(address))
        public = (public_key(key) if again else None) or new_key(key)
        first = first_record(ledger_id, public, store.schema_digest(), people)
        try:
            store.create(ledger_id, [first])
        except LedgerUnsure:
            raise
        except BaseException as error:
            certain = address is None or isinstance(error, LedgerError)  # stopped, a server may still make it
            if certain and not store.exists():  # the key of no ledger would say that one was here, for good
                key.unlink(missing_ok=True)
                begun_note(path).unlink(missing_ok=True)
            raise
        told(ledger_id, first)
        if address is not None:
            write_address(path, address)
        begun_note(path).unlink(missing_ok=True)
        return cls(path)

    @classmethod
    def restore(cls, path: Path | str, lines: Iterable[str], *, actor: str, reason: str, missing: int | None) -> Ledger:
        """A ledger from its journal, with an entry that says that, by whom and why it was restored.

        `missing` is how many later entries are known to be lost (by checkpoints elsewhere), None if nobody knows. What
        they charged stays spent: write it down with `external_charge`.

        Raises:
            LedgerBroken: the journal itself does not hold; nothing was written.
            ProtocolError: `actor` has a key in it, by which nobody signs for this.
            LedgerError: the ledger's signing key does not lie beside `path`; a new one would be another ledger's.
        """
        words("actor", actor)
        words("reason", reason)
        if missing is not None and (type(missing) is not int or missing < 0):
            raise LedgerError(f"the number of missing entries is {missing!r}: give a whole number, or none")
        records = [record_from(line, number) for number, line in enumerate(lines, 1)]
        ledger_id = str(records[0].payload.get("ledger")) if records else ""
        if problems := problems_of(ledger_id, records, []):
            raise LedgerBroken(f"this journal cannot be restored: {problems[0]}")
        Authority.of(records).require_keyless(actor)
        store, key = store_at(path), key_at(path)
        store.require_absent()
        if public_key(key) != _public_key(records):
            raise LedgerError(
                f"{key} is not the key that signed this ledger's checkpoints: put it back from a backup, or "
                "every artifact's checkpoint would seem forged"
            )
        head = records[-1]
        facts = {"reason": reason, "head": {"seq": head.seq, "hash": head.hash}, "missing": missing}
        draft = Draft(kind="restored", owner=actor, payload=facts)
        store.create(ledger_id, [*records, chain.seal(draft, seq=head.seq + 1, time=now(), previous=head.hash)])
        return cls(path)

    @property
    def id(self) -> str:
        """Random, fixed at creation. It stands in every reservation's id, so receipts name the ledger they are from."""
        with self._store.transaction() as book:
            return book.ledger_id

    @contextmanager
    def reading(self) -> Iterator[Ledger]:
        """The ledger as it stands now, for several questions in one transaction. Nothing can be written to it."""
        with self._store.transaction() as book:
            yield self._as_it_stands_in(book)

    # Prices ---------------------------------------------------------------------------------------------------------

    def quote(self, scope: Scope, items: Iterable[Item], *, source: str | None = None) -> Quote:
        """What releases, made in this order, would cost the scope as it stands: its most charged block, or that of
        the data set with this fingerprint. Under the scope's epsilon, approved or not. Writes nothing."""
        with self._store.transaction() as book:
            budget = budget_of(book, scope.population)
            if budget is not None:
                known = blocks_of(book, scope.population)
                if source is not None:
                    known = tuple(binding_of(book, scope.population, source).payload["blocks"])
                standings = list(standings_of(book, known).values())
        if budget is None:
            return quote_unregistered(scope, items)
        require_same_terms(scope, budget)
        budget = replace(budget, rule=budget.rule.with_cap(scope.epsilon))
        tightest = min(standings, key=budget.remaining, default=budget.empty())
        return quote(budget, tightest, items, registered=True)

    # Reading --------------------------------------------------------------------------------------------------------

    def balance(self, population: str, *, with_pld: bool = True) -> Balance:
        """What stands charged. `with_pld=False` leaves the reported PLD epsilon out, which can take a second."""
        return self.statement(population, with_pld=with_pld).balance

    def spending(self, population: str) -> Spending:
        """The balance's figures as admission reads them: off the newest entry of each block, and what is merely
        reserved. Other entries are not read."""
        with self._store.transaction() as book:
            budget = require_budget(book, population)
            standings = standings_of(book, blocks_of(book, population))
            return spending_of(budget, standings, book.waiting())

    def statement(self, population: str, *, with_pld: bool = True) -> Statement:
        """Everything a reader of `dpsynth audit` asks about a population."""
        with self._store.transaction() as book:
            budget = require_budget(book, population)
            records, ledger_id, head = book.find(), book.ledger_id, book.head
        touching = {r.seq for r in records if r.kind == "reserved" and population in map(population_of, r.blocks)}
        about = [
            r for r in records if (r.population == population if r.reservation is None else r.reservation in touching)
        ]
        return statement_of(ledger_id, budget, about, head, with_pld=with_pld)

    def cap(self, population: str) -> float:
        """The epsilon of a population's budget as it stands."""
        with self._store.transaction() as book:
            return require_budget(book, population).rule.epsilon

    def populations(self) -> list[str]:
        with self._store.transaction() as book:
            return sorted(str(record.population) for record in book.find(kinds=("registered",)))

    def entries(self, population: str | None = None) -> list[Entry]:
        with self._store.transaction() as book:
            return [entry_of(book.ledger_id, record) for record in book.find(population=population)]

    def reservations(self, state: State | None = None, *, key: str | None = None) -> list[Reservation]:
        """All reservations, or those in one state or by one key: the reserved ones of runs that died may be voided."""
        with self._store.transaction() as book:
            ledger_id = book.ledger_id
            if state == "reserved" and key is None:
                paths = [[record] for record in book.waiting()]
            elif key is None:
                paths = list(histories(book.find()).values())
            else:
                paths = [book.find(reservation=record.seq) for record in book.find(kinds=("reserved",), key=key)]
        found = [reservation_of(ledger_id, path) for path in paths]
        return [reservation for reservation in found if state is None or reservation.state == state]

    def state(self, reservation_id: str) -> State:
        """How far a charge has come."""
        with self._store.transaction() as book:
            return state_of(history_of(book, reservation_id))

    def was_redeemed(self, reservation_id: str) -> bool:
        """Whether the right to read a charge's rows was ever used."""
        with self._store.transaction() as book:
            return any(record.kind == "redeemed" for record in history_of(book, reservation_id))

    # Integrity ------------------------------------------------------------------------------------------------------

    def require_known(self) -> None:
        """Pass if the ledger is what is known of it elsewhere.

        Raises:
            LedgerBroken: it is not, so nothing would be entered.
        """
        with self._store.transaction() as book:
            book.require_known()

    def checkpoint(self) -> Checkpoint:
        """The ledger's head, signed: to be kept where whoever can change the ledger cannot."""
        with self._store.transaction() as book:
            ledger_id, head, public = book.ledger_id, book.head, public_key_of(book)
        return sign(self._key, ledger_id, head, now(), public)

    def export(self) -> Iterator[str]:
        """The journal, a line of JSON for each entry, as docs/journal.md describes it."""
        _, records, _ = self._store.everything()
        for record in records:
            yield json.dumps({"body": record.body, "hash": record.hash}, ensure_ascii=True)

    def verify(self, checkpoints: Iterable[Checkpoint] = ()) -> list[str]:
        """Everything wrong with the ledger, the first bad entry first; empty if it is intact. Checkpoints that lie
        elsewhere show a rollback and a recomputed chain, which a ledger cannot see by itself."""
        try:
            ledger_id, records, shape = self._store.everything()
        except LedgerBroken as error:  # not even readable
            return [str(error)]
        problems = problems_of(ledger_id, records, shape)
        key = _public_key(records)
        return problems + list(problems_with(checkpoints, ledger_id, key, records))


def first_record(ledger_id: str, public_key: str, schema: str, people: People | None = None) -> Record:
    """The entry that every ledger begins with."""
    stated = None if people is None else people.to_json()
    payload = {"ledger": ledger_id, "public_key": public_key, "schema": schema, "people": stated}
    return chain.seal(Draft(kind="created", payload=payload), seq=1, time=now(), previous=chain.GENESIS)


def record_from(line: str, number: int) -> Record:
    """A journal's line as the record it was."""
    try:
        stated: Any = json.loads(line)
        body, digest = stated["body"], stated["hash"]
        said = json.loads(body)
        payload = said["payload"]
        return Record(
            said["seq"],
            said["kind"],
            said["population"],
            said["reservation"],
            payload.get("key"),
            tuple(sorted(payload.get("standing", ()))),
            body,
            str(digest),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise LedgerError(
            f"line {number} is not one of a journal: give the file that `dpsynth audit export` wrote"
        ) from None


def _public_key(records: list[Record]) -> str:
    if records and chain.check(records[0]) is None:
        return str(records[0].payload.get("public_key"))
    return ""
