"""How far this home's ledger has come, remembered outside its folder: an earlier copy that is put back shows at once.

    sensitive/ledger-head.json        the ledger's id, and number and hash of its last entry
    sensitive/ledger-expected.json    on a server: entries that were about to be committed there, and may have been

The head is remembered after every transaction that appends, while the ledger's lock is held. A charge is activated and
redeemed before a row is read, so a run that was killed while it read is remembered too. Before anything is appended the
ledger must hold the entry that is remembered: looking it up by number takes no time, and its hash stands for all before
it. Where nothing is remembered (a home of an earlier program, or the file is gone), the newest signed checkpoint of the
artifacts counts.

On a server nothing may follow but what this home entered itself. Another home that entered something, a copy of this
one or this one as it was in a backup, has put units into blocks that are not known here: the same person could be
charged to two budgets. So the first of two that writes goes on, and the other one is turned away for good.

Whoever puts back the whole home, this file and the artifacts with it, is not found here: keep checkpoints elsewhere
(`dpsynth audit checkpoint`). A ledger that was rebuilt from its journal says so in an entry for all to see, and is what
counts from then on.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from filelock import FileLock

from ledger import Ledger, LedgerBroken, LedgerError, People
from ledger.addresses import Address
from ledger.book import record_from
from ledger.chain import Record
from ledger.checkpoints import public_key
from ledger.moving import move, moves
from ledger.places import address_at, begun_at, begun_note, key_at, moving_note, store_at, write_address
from ledger.postgresql import PostgreSQLStore
from ledger.store import DuckDBStore
from ledger.transaction import Transaction
from resources.evidence import checkpoints
from resources.home import Home, private_folder, replace_atomically

_FILE = "ledger-head.json"
_EXPECTED = "ledger-expected.json"


@dataclass(frozen=True)
class Head:
    """The last entry of a ledger, as it was once."""

    ledger: str
    seq: int
    hash: str


class KnownHead:
    """The memory of one home, and the witness (`ledger.transaction.Witness`) of its ledger."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._on_a_server = address_at(home.ledger_file) is not None

    @property
    def file(self) -> Path:
        """Where it is kept."""
        return self._home.sensitive / _FILE

    def remembered(self) -> Head | None:
        """What was remembered last.

        Raises:
            LedgerBroken: the file is there and cannot be read.
        """
        try:
            stated = json.loads(self.file.read_text(encoding="utf-8"))
            return Head(str(stated["ledger"]), int(stated["seq"]), str(stated["hash"]))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise LedgerBroken(
                f"{self.file} cannot be read ({type(error).__name__}): it says how far the ledger has come, and "
                "without it an earlier copy would not be noticed. Let this account read it. If it is damaged, move it "
                "away: the signed checkpoints of the artifacts are asked then"
            ) from None

    def require(self, book: Transaction) -> None:
        """Pass if the ledger holds what is known of it.

        Raises:
            LedgerBroken: it was rolled back, rewritten, or another ledger was put in its place; or another home wrote.
        """
        if said := self._another_home(book):
            raise LedgerBroken(
                f"{said}. The same person could be charged to two budgets, so nothing is admitted. Use the home that "
                "entered it, and no copy beside it. If that one is gone for good, so is what it knew: make a new home "
                "with a ledger of its own, and write down there what was spent here (`dpsynth audit external`)"
            )
        if wrong := self._contradiction(book):
            raise LedgerBroken(
                f"{wrong}. What was charged since would be spent again, so nothing is admitted. Put the newest copy of "
                f"{self._home.ledger_name} back, a file with its .wal file. Where there is none, move the copy away, "
                "run `dpsynth audit restore` with the newest journal, and write down what is missing with `dpsynth "
                "audit external`"
            )

    def remember(self, book: Transaction) -> None:
        """Remember the ledger's head.

        Raises:
            LedgerError: the file cannot be written; what was appended stands.
        """
        with self._reported(), self._locked():
            known = self.remembered()
            if known is None or known.ledger != book.ledger_id or known.seq < book.head.seq:
                self.take(Head(book.ledger_id, book.head.seq, book.head.hash))
                if self._on_a_server:
                    self._write_expected([each for each in self._expected() if each.seq > book.head.seq])

    def expect(self, book: Transaction) -> None:
        """Remember that this home is about to commit that head, so that it is known for its own whatever becomes of
        the process or the connection.

        Raises:
            LedgerError: the file cannot be written; nothing was entered.
        """
        with self._reported("Nothing was entered"), self._locked():
            self._write_expected([*self._expected(), Head(book.ledger_id, book.head.seq, book.head.hash)])

    def take(self, head: Head) -> None:
        """Remember a head, whatever was remembered before: of a new ledger, or one that was restored openly."""
        with self._reported():
            private_folder(self._home.sensitive)
            replace_atomically(self.file, json.dumps(asdict(head)).encode(), mode=0o600)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        lock = private_folder(self._home.sensitive) / f".{_FILE}.lock"
        with FileLock(lock, mode=0o600, fallback_to_soft=False):
            yield

    def _expected(self) -> list[Head]:
        """What was about to be committed. A file that is damaged says nothing, so that nothing is admitted on it."""
        try:
            stated = json.loads((self._home.sensitive / _EXPECTED).read_text(encoding="utf-8"))
            return [Head(str(each["ledger"]), int(each["seq"]), str(each["hash"])) for each in stated]
        except (OSError, ValueError, KeyError, TypeError):
            return []

    def _write_expected(self, heads: list[Head]) -> None:
        stated = json.dumps([asdict(each) for each in heads])
        replace_atomically(self._home.sensitive / _EXPECTED, stated.encode(), mode=0o600)

    @contextmanager
    def _reported(self, so: str = "What was just entered into the ledger stands") -> Iterator[None]:
        """In words, where the file cannot be written."""
        try:
            yield
        except (OSError, NotImplementedError) as error:
            why = getattr(error, "strerror", None) or error
            raise LedgerError(
                f"{self.file} cannot be written ({why}), so an earlier copy of the ledger would not be "
                f"noticed: let this account write there. {so}"
            ) from None

    def contradiction(self, book: Transaction) -> str | None:
        """What is known against a ledger, in words."""
        return self._contradiction(book) or self._another_home(book)

    def _contradiction(self, book: Transaction) -> str | None:
        first = book.at(1)
        key = str(first.payload.get("public_key")) if first else ""
        known = self.remembered()
        if known is None and self._on_a_server:
            return self._unknown()
        known = known or self.newest_in_artifacts(book.ledger_id, key)
        if known is None:
            return None
        if known.ledger != book.ledger_id:
            return f"this home's ledger is {known.ledger}, and another one, {book.ledger_id}, was put in its place"
        entry = book.head if book.head.seq == known.seq else book.at(known.seq)
        if book.head.seq < known.seq and entry is None:  # else others wrote since the head was read
            return (
                f"the ledger was rolled back: entry {known.seq} was made in it, and now it ends at entry "
                f"{book.head.seq}. An earlier copy was put in its place"
            )
        if entry is None or entry.hash != known.hash:
            return f"the ledger has another entry {known.seq} than the one that was made in it: it was rewritten"
        return None

    def _another_home(self, book: Transaction) -> str | None:
        """Whether a server's last entry is later than what is remembered, and none that this home was about to commit,
        in words."""
        if not self._on_a_server:
            return None
        expected, known = self._expected(), self.remembered()  # in this order: what is expected becomes known
        head = Head(book.ledger_id, book.head.seq, book.head.hash)
        if known is None or head.seq <= known.seq or head.ledger != known.ledger or head in expected:
            return None
        return (
            f"another home, a copy of this one perhaps or this one as it was before a backup was put back, has entered "
            f"something in the ledger after entry {known.seq}, and whom it put into which block is not known here"
        )

    def _unknown(self) -> str:
        """A home's file of its own is its ledger. A server can be reached from anywhere, and whom this home knows are
        not those whom another one knows."""
        return (
            f"this home does not know the ledger at {self._home.ledger_name}: {self.file} is not here. Whose records "
            "were charged to which budget is remembered by the home that made it, so all machines that use it share "
            "that home's folder"
        )

    def newest_in_artifacts(self, ledger_id: str, key: str) -> Head | None:
        """The last entry that artifacts carry a signature under, by this public key; the word of another ledger's
        artifact is taken for what is here."""
        newest = None
        for point in sorted(checkpoints(self._home), key=lambda point: point.seq):
            if point.ledger != ledger_id:
                return Head(point.ledger, point.seq, point.hash)  # its key is not here, so its word is taken
            if point.is_signed_by(key):
                newest = Head(point.ledger, point.seq, point.hash)
        return newest


def open_ledger(home: Home) -> Ledger:
    """The home's ledger, to which nothing is appended while it contradicts what is known of it.

    Raises:
        LedgerMissing: there is none.
    """
    return Ledger(home.ledger_file, store=store_at(home.ledger_file, KnownHead(home)))


def restore_ledger(home: Home, lines: Sequence[str], *, actor: str, reason: str, missing: int | None) -> Ledger:
    """A lost ledger from its journal. The entry that says so says how many later ones were made here, where that is
    known and `missing` does not say; and the ledger counts from then on as it is.

    Raises:
        LedgerError: the journal is of another ledger or another course of this one, or more is known to be missing.
    """
    known = KnownHead(home)
    records = [record_from(line, number) for number, line in enumerate(lines, 1)]
    first = records[0].payload if records else {}
    head = known.remembered() or known.newest_in_artifacts(str(first.get("ledger")), str(first.get("public_key")))
    if head is not None:
        same = bool(records) and str(first.get("ledger")) == head.ledger
        if not same or (len(records) >= head.seq and records[head.seq - 1].hash != head.hash):
            raise LedgerError(
                f"this is not the journal of the ledger that was here: {known.file}, or an artifact's seal, knows of "
                f"{head.ledger}, whose entry {head.seq} has another hash. Give the newest journal of that one"
            )
        lost = max(head.seq - len(records), 0)
        missing = lost if missing is None else missing
        if missing < lost:
            raise LedgerError(f"{lost} later entries are known to be lost, not {missing}: say so, or leave it out")
    book = Ledger.restore(home.ledger_file, lines, actor=actor, reason=reason, missing=missing)
    last = book.entries()[-1]
    known.take(Head(book.id, last.seq, last.hash))
    return open_ledger(home)


def create_ledger(home: Home, people: People | None = None, address: Address | None = None) -> Ledger:
    """A new, empty ledger in a home that never had one; `people` are those who alone may register populations in it,
    and `address` the server that keeps it.

    Raises:
        LedgerError: there is one, or there was one.
    """
    known = KnownHead(home)

    def told(ledger_id: str, first: Record) -> None:
        if address is not None:
            known.take(Head(ledger_id, first.seq, first.hash))

    home.ledger_file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with moves(home.ledger_file):
        if address is not None and _begun(home, address, people, told):
            return open_ledger(home)
        if (head := known.remembered()) is not None:
            raise LedgerError(
                f"{known.file} knows of a ledger that was here, {head.ledger}, up to entry {head.seq}: restore it, "
                "since what it charged stays spent (`dpsynth audit restore`). To start over, make another home"
            )
        Ledger.create(home.ledger_file, people, address=address, told=told)
    return open_ledger(home)


def _begun(home: Home, address: Address, people: People | None, told: Callable[[str, Record], None]) -> bool:
    """Whether a ledger of this home lies there already, of which nobody could tell it: the connection was lost while it
    was made, or the process. Then it is the home's."""
    store = PostgreSQLStore(address)
    if home.has_ledger or begun_at(home.ledger_file) != str(address) or not store.exists():
        return False
    ledger_id, records, wrong = store.everything()
    stated = None if people is None else people.to_json()
    known = KnownHead(home).remembered()
    same = len(records) == 1 and not wrong and known in (None, Head(ledger_id, 1, records[0].hash))
    made = records[0].payload if same else {}
    if made.get("public_key") != public_key(key_at(home.ledger_file)) or made.get("people") != stated:
        return False
    told(ledger_id, records[0])
    write_address(home.ledger_file, address)
    begun_note(home.ledger_file).unlink(missing_ok=True)
    return True


def move_ledger(home: Home, to: Address | None) -> str:
    """Move the home's ledger to a server, or to its file where `to` is None; gives where the old one lies now.

    Raises:
        LedgerError: it contradicts what is known of it, or as `ledger.moving.move`.
    """
    if not home.has_ledger:
        DuckDBStore(home.ledger_file).require()
    if not moving_note(home.ledger_file).exists():
        book = open_ledger(home)
        if problems := book.verify():
            raise LedgerBroken(f"the ledger was not moved, since it does not verify: {problems[0]}")
        head = book.entries()[-1]
        KnownHead(home).take(Head(book.id, head.seq, head.hash))  # a server's is known by this alone
    return move(home.ledger_file, to, KnownHead(home))
