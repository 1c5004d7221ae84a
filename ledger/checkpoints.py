"""Signed checkpoints: what an artifact carries away to prove later which ledger it came from, and how far that was.

A checkpoint is the number and hash of a ledger's last entry under an Ed25519 signature. The private key lies beside
the ledger, readable by its owner only; the public key stands in the ledger's first entry. A ledger that was rolled
back to an older copy, or whose chain was computed anew, disagrees with some checkpoint that lies outside it. Whoever
holds the key and every place where checkpoints lie can still forge both: this is detection, not prevention.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ledger.chain import Record
from ledger.errors import LedgerError


@dataclass(frozen=True)
class Checkpoint:
    """The head of a ledger at some moment, signed."""

    ledger: str
    seq: int
    hash: str
    time: str
    signature: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, stated: object) -> Checkpoint:
        """From a receipt; LedgerError if it is not one."""
        kinds = {"ledger": str, "seq": int, "hash": str, "time": str, "signature": str}
        if not isinstance(stated, Mapping) or set(stated) != set(kinds):
            raise LedgerError(f"a checkpoint has exactly the fields {', '.join(kinds)}")
        for name, kind in kinds.items():
            if type(stated[name]) is not kind:
                raise LedgerError(f"{name} of a checkpoint must be of type {kind.__name__}")
        return cls(**stated)

    def message(self) -> bytes:
        return f"dpsynth checkpoint\n{self.ledger}\n{self.seq}\n{self.hash}\n{self.time}".encode()

    def is_signed_by(self, public_key: str) -> bool:
        """Whether the signature is by this key (hex)."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        try:
            key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_key))
            key.verify(bytes.fromhex(self.signature), self.message())
        except (InvalidSignature, ValueError):
            return False
        return True


def new_key(path: Path) -> str:
    """Make a signing key at `path`, for its owner only; returns the public key in hex.

    Raises:
        LedgerError: there is one already. A key without its ledger means that a ledger was here and is gone.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise LedgerError(
            f"{path} is the signing key of a ledger that was here and is gone (or whose creation was cut off). Restore "
            "that ledger: what it charged stays spent. A new one would have every budget anew"
        ) from None
    with os.fdopen(descriptor, "wb") as file:
        file.write(key.private_bytes_raw())
    return key.public_key().public_bytes_raw().hex()


def public_key(path: Path) -> str | None:
    """The public key, in hex, of the signing key at `path`; None where there is none that can be read."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    try:
        return Ed25519PrivateKey.from_private_bytes(path.read_bytes()).public_key().public_bytes_raw().hex()
    except (OSError, ValueError):
        return None


def require_key(path: Path, public: str) -> None:
    """Pass if the signing key at `path` is the one whose public key (hex) the ledger was created with.

    Raises:
        LedgerError: it is missing, unreadable or another one.
    """
    found = public_key(path)
    if (found or "") != public:
        raise LedgerError(
            f"the signing key {path} {'cannot be read' if found is None else 'is not the one of this ledger'}: restore "
            "it from a backup. What is made without it carries no seal that anybody could check"
        )


def sign(path: Path, ledger_id: str, head: Record, time: str, public: str) -> Checkpoint:
    """The signed checkpoint of a head, by the key at `path`, which must be the one of `public` (hex).

    Raises:
        LedgerError: the key is missing, unreadable or another one; nothing that was charged is affected.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    require_key(path, public)
    unsigned = Checkpoint(ledger_id, head.seq, head.hash, time, "")
    key = Ed25519PrivateKey.from_private_bytes(path.read_bytes())
    return Checkpoint(ledger_id, head.seq, head.hash, time, key.sign(unsigned.message()).hex())


def problems_with(
    checkpoints: Iterable[Checkpoint], ledger_id: str, public_key: str, records: Sequence[Record]
) -> Iterator[str]:
    """What checkpoints from outside say against a ledger's records."""
    for point in sorted(set(checkpoints), key=lambda point: (point.seq, point.hash, point.signature)):
        where = f"checkpoint of entry {point.seq} ({point.time})"
        if point.ledger != ledger_id:
            yield f"{where}: it is of another ledger, {point.ledger!r}: this one was put in its place"
            continue
        if not point.is_signed_by(public_key):
            yield f"{where}: its signature is not by this ledger's key: one of the two was forged"
            continue
        if point.seq > len(records):
            yield f"{where}: the ledger ends at entry {len(records)}: it was rolled back, and later charges are missing"
        elif point.seq < 1 or records[point.seq - 1].hash != point.hash:
            yield f"{where}: the ledger has another entry in that place: its chain was computed anew"
