"""Who signs in the tests of people and keys, how, and what both checks say of the entries that come of it."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger import (
    Ledger,
    People,
)
from ledger.chain import Draft, Record
from ledger.replay import Replay
from ledger.verification import problems_of

OWNER, ALICE, BOB = "owner@example.org", "alice@example.org", "bob@example.org"
MALLORY, TRUDY = "mallory@example.org", "trudy@example.org"
PEOPLE = People((OWNER,), (ALICE, BOB))
STRANGERS = People((MALLORY,), (TRUDY,))
TERMS = {"source_is_public": False}
ASKS: dict[str, Any] = {"actor": OWNER, "reason": "please"}


def field(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


class Key:
    """An SSH key pair, and signatures as `ssh-keygen -Y sign` makes them."""

    def __init__(self, number: int) -> None:
        self.private = Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32)
        self.blob = field(b"ssh-ed25519") + field(self.private.public_key().public_bytes_raw())
        self.public = "ssh-ed25519 " + base64.b64encode(self.blob).decode()

    def sign(self, statement: str, purpose: bytes = b"dpsynth-approval", algorithm: str = "sha512") -> str:
        digest = hashlib.new(algorithm, statement.encode()).digest()
        head = field(purpose) + field(b"") + field(algorithm.encode())
        made = self.private.sign(b"SSHSIG" + head + field(digest))
        signature = field(field(b"ssh-ed25519") + field(made))
        return base64.b64encode(b"SSHSIG\0\0\0\1" + field(self.blob) + head + signature).decode()


ALICES, BOBS, OTHER = Key(1), Key(2), Key(3)


def agree(book: Ledger, change: Any, asker: str = OWNER, approver: str = ALICE) -> None:
    book.approve(book.propose(change, actor=asker, reason="please"), actor=approver, reason="agreed")


def signed_approval(book: Ledger, proposal: int, key: Key = ALICES, actor: str = ALICE) -> Any:
    signature = key.sign(book.to_approve(proposal, actor=actor, reason="agreed"))
    return book.approve(proposal, actor=actor, reason="agreed", signature=signature)


def found_by_both(book: Ledger, records: list[Record]) -> tuple[list[str], list[str]]:
    replay = Replay()
    for record in records:
        replay.read(json.dumps({"body": record.body, "hash": record.hash}).encode())
    return problems_of(book.id, records, []), replay.problems


def records_of(book: Ledger) -> list[Record]:
    return list(book._store.everything()[1])


def say(**values: Any) -> Callable[[dict[str, Any]], object]:
    return lambda said: said["payload"].update(values)


def restored(book: Ledger, actor: str) -> None:
    head, store = records_of(book)[-1], book._store
    facts = {"reason": "the disk", "head": {"seq": head.seq, "hash": head.hash}, "missing": None}
    with store.transaction() as transaction:
        transaction.append(Draft("restored", owner=actor, payload=facts))
