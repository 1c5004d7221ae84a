"""How far this home's ledger has come, remembered outside its folder: an earlier copy that is put back shows at once.

    sensitive/ledger-head.json    the ledger's id, and number and hash of its last entry

The head is remembered after every transaction that appends, while the ledger's lock is held. A charge is activated and
redeemed before a row is read, so a run that was killed while it read is remembered too. Before anything is appended the
ledger must hold the entry that is remembered: looking it up by number takes no time, and its hash stands for all before
it. Where nothing is remembered (a home of an earlier program, or the file is gone), the newest signed checkpoint of the
artifacts counts.

Whoever puts back the whole home, this file and the artifacts with it, is not found here: keep checkpoints elsewhere
(`dpsynth audit checkpoint`). A ledger that was rebuilt from its journal says so in an entry for all to see, and is what
counts from then on.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from ledger import Ledger, LedgerBroken, LedgerError, People
from ledger.book import record_from
from ledger.store import DuckDBStore
from ledger.transaction import Transaction
from resources.evidence import checkpoints
from resources.home import Home, private_folder, replace_atomically

_FILE = "ledger-head.json"


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
            LedgerBroken: it was rolled back, rewritten, or another ledger was put in its place.
        """
        if wrong := self.contradiction(book):
            raise LedgerBroken(
                f"{wrong}. What was charged since would be spent again, so nothing is admitted. Put the newest copy of "
                f"{self._home.ledger_file} back, with its .wal file. Where there is none, move the copy away, run "
                "`dpsynth audit restore` with the newest journal, and write down what is missing with `dpsynth audit "
                "external`"
            )

    def remember(self, book: Transaction) -> None:
        """Remember the ledger's head.

        Raises:
            LedgerError: the file cannot be written; what was appended stands.
        """
        self.take(Head(book.ledger_id, book.head.seq, book.head.hash))

    def take(self, head: Head) -> None:
        """Remember a head, whatever was remembered before: of a new ledger, or one that was restored openly."""
        try:
            private_folder(self._home.sensitive)
            replace_atomically(self.file, json.dumps(asdict(head)).encode(), mode=0o600)
        except OSError as error:
            raise LedgerError(
                f"{self.file} cannot be written ({error.strerror}), so an earlier copy of the ledger would not be "
                "noticed: let this account write there. What was just entered into the ledger stands"
            ) from None

    def contradiction(self, book: Transaction) -> str | None:
        """What is known against a ledger, in words."""
        first = book.at(1)
        key = str(first.payload.get("public_key")) if first else ""
        known = self.remembered() or self.newest_in_artifacts(book.ledger_id, key)
        if known is None:
            return None
        if known.ledger != book.ledger_id:
            return f"this home's ledger is {known.ledger}, and another one, {book.ledger_id}, was put in its place"
        if book.head.seq < known.seq:
            return (
                f"the ledger was rolled back: entry {known.seq} was made in it, and now it ends at entry "
                f"{book.head.seq}. An earlier copy was put in its place"
            )
        entry = book.head if book.head.seq == known.seq else book.at(known.seq)
        if entry is None or entry.hash != known.hash:
            return f"the ledger has another entry {known.seq} than the one that was made in it: it was rewritten"
        return None

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
    return Ledger(home.ledger_file, store=DuckDBStore(home.ledger_file, KnownHead(home)))


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


def create_ledger(home: Home, people: People | None = None) -> Ledger:
    """A new, empty ledger in a home that never had one; `people` are those who alone may register populations in it.

    Raises:
        LedgerError: there is one, or there was one.
    """
    known = KnownHead(home)
    if (head := known.remembered()) is not None:
        raise LedgerError(
            f"{known.file} knows of a ledger that was here, {head.ledger}, up to entry {head.seq}: restore it, since "
            "what it charged stays spent (`dpsynth audit restore`). To start over, make another home"
        )
    Ledger.create(home.ledger_file, people)
    return open_ledger(home)
