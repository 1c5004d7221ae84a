"""What has left, as the chain states it: a seal, how it travels, and how a recipient checks it with a public key alone.

A seal is an entry of the ledger about the files of one artifact: their digests, what it was made from, the charges
that it rests on, and the guarantee that follows, or that there is none. Its *portable* form is that entry's exact text
with a checkpoint of it, whose signature covers the text's hash: nothing else is needed to check the files, no ledger
and no network. Everything that a recipient is told is read from the signed text.

Nothing here depends on data beyond what was released: digests of released files are post-processing of the release.
This module reads and checks; it neither writes entries (`sealing`) nor looks at files (`resources.seals`).

    {"format": 1, "entry": "<body of the sealed entry>", "checkpoint": {...}}
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from ledger import chain
from ledger.checkpoints import Checkpoint
from ledger.errors import LedgerError, SealError

RECEIPT = "receipt.json"  # written after a release was committed: not part of the digest that the charge names
_FORMAT = 1
_MOST_BYTES = 1 << 20  # of a portable seal: what is larger is none
_PAYLOAD = frozenset({"key", "id", "files", "made_from", "charges", "guarantee"})
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}/[a-z][a-z0-9_]{0,62}")
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_HEX = re.compile(r"[0-9a-f]{64}")  # a SHA-256, a public key
_SIGNATURE = re.compile(r"[0-9a-f]{128}")


@dataclass(frozen=True)
class Guarantee:
    """What is promised of an artifact: (epsilon, delta)-differential privacy for its unit, all its charges composed.

    Both are 0 where it rests on no charge because no row of the population was read for it.
    """

    population: str
    unit: str
    neighbouring_relation: str
    epsilon: float
    delta: float

    def __post_init__(self) -> None:
        for said in (self.population, self.unit, self.neighbouring_relation):
            if not isinstance(said, str) or not said or not said.isprintable():
                raise SealError(f"{said!r} names no population, unit or relation")
        for name, high in (("epsilon", math.inf), ("delta", 1.0)):
            value = getattr(self, name)
            if type(value) is not float or not 0.0 <= value < high:
                raise SealError(f"{name} of a guarantee is {value!r}: it must be a finite number, and not below 0")
        if (self.epsilon == 0.0) != (self.delta == 0.0):
            raise SealError("a guarantee's epsilon and delta are both 0, where nothing was read, or neither is")

    @property
    def of_nothing_read(self) -> bool:
        return self.epsilon == 0.0


@dataclass(frozen=True)
class Seal:
    """What the chain says of one artifact.

    Attributes:
        name: contract and kind, as `inbox--lora-3/corpus`.
        files: SHA-256 of each file, by its name below the artifact's folder.
        made_from: the entries that seal what it was made from, by what it is to this artifact.
        charges: the entries that reserved what it cost, its own and those of everything that it was made from.
        guarantee: None where there is none at all.
    """

    ledger: str
    seq: int
    hash: str
    time: str
    name: str
    id: str
    files: Mapping[str, str]
    made_from: Mapping[str, int]
    charges: tuple[int, ...]
    guarantee: Guarantee | None
    body: str

    @property
    def contract(self) -> str:
        return self.name.partition("/")[0]

    @property
    def kind(self) -> str:
        return self.name.partition("/")[2]


def seal_of(ledger_id: str, body: str) -> Seal:
    """The seal that an entry's body states.

    Raises:
        SealError: it is no seal, or not exactly as the format says (docs/journal.md).
    """
    try:
        said = json.loads(body)
        # Its text is the canonical one: no key stands twice, no number is NaN, nothing was spelled in another way.
        exact = chain.canonical(said) == body and said["kind"] == "sealed" and set(said["payload"]) == _PAYLOAD
        seal = _seal(ledger_id, said, said["payload"], body) if exact else None
    except SealError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, LedgerError) as error:
        raise SealError(f"this is not a seal of a ledger ({type(error).__name__})") from None
    if seal is None:
        raise SealError("this is not a seal of a ledger: its text is not as the format says")
    return seal


def _seal(ledger_id: str, said: dict[str, Any], payload: dict[str, Any], body: str) -> Seal:
    given, made_from, charges = payload["guarantee"], payload["made_from"], payload["charges"]
    guarantee = None if given is None else Guarantee(**given)
    if said["population"] != (guarantee.population if guarantee else None) or said["release"] != payload["key"]:
        raise SealError("a seal's population and release are not those of its guarantee and name")
    if not isinstance(said["time"], str) or not said["time"].isprintable():
        raise SealError("a seal says when it was made")
    if said["reservation"] is not None or said["owner"] is not None:
        raise SealError("a seal belongs to no single charge and to no person")
    earlier = [*made_from.values(), *charges]
    if not all(type(seq) is int and 0 < seq < said["seq"] for seq in earlier) or charges != sorted(set(charges)):
        raise SealError("a seal names entries that do not come before it, or not in their order")
    return Seal(
        ledger=ledger_id,
        seq=said["seq"],
        hash=chain.digest(body),
        time=said["time"],
        name=named(payload["key"]),
        id=identified(payload["id"]),
        files=checked_files(payload["files"]),
        made_from={str(name): seq for name, seq in made_from.items()},
        charges=tuple(charges),
        guarantee=guarantee,
        body=body,
    )


def named(name: object) -> str:
    """An artifact's contract and kind; SealError if it is not one."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise SealError(f"{name!r} is not a contract's id and a kind of artifact, such as inbox/corpus")
    return name


def identified(identity: object) -> str:
    """An artifact's id; SealError if it is not one."""
    if not isinstance(identity, str) or not _ID.fullmatch(identity):
        raise SealError(f"{identity!r} is not an artifact's id: use letters, digits, dot, dash and underscore")
    return identity


def checked_files(files: object) -> dict[str, str]:
    """Digests by name, in the order of names; SealError if a name could lead out of the artifact's folder."""
    if not isinstance(files, dict) or not files:
        raise SealError("a seal is about at least one file")
    for name, digest in files.items():
        path = PurePosixPath(name) if isinstance(name, str) else PurePosixPath("/")
        inside = path.parts and not path.is_absolute() and ".." not in path.parts and str(path) == name
        if not inside or not name.isprintable() or "\\" in name:
            raise SealError(f"{name!r} is not a file's name below its folder")
        if not isinstance(digest, str) or not _HEX.fullmatch(digest):
            raise SealError(f"the digest of {name!r} is not a SHA-256 in hex")
    return {name: files[name] for name in sorted(files)}


def content_digest(files: Mapping[str, str]) -> str:
    """SHA-256 over names and digests of an artifact's files, its receipt aside: what a charge is committed with."""
    digest = hashlib.sha256()
    for name in sorted(files, key=lambda name: name.split("/")):
        if name != RECEIPT:
            digest.update(f"{name}\0{files[name]}\n".encode())
    return digest.hexdigest()


def portable(seal: Seal, checkpoint: Checkpoint) -> bytes:
    """The seal as it travels beside its files."""
    stated = {"format": _FORMAT, "entry": seal.body, "checkpoint": checkpoint.to_json()}
    return (json.dumps(stated, indent=1, ensure_ascii=True) + "\n").encode()


def read_portable(data: bytes) -> tuple[Seal, Checkpoint]:
    """A seal that travelled and its checkpoint, whose signature is yet to be checked.

    Raises:
        SealError: it is not one, byte for byte, or its two parts are not about the same entry.
    """
    try:
        stated = json.loads(data, object_pairs_hook=_unique) if len(data) <= _MOST_BYTES else None
    except (ValueError, RecursionError):
        stated = None
    if not isinstance(stated, dict) or set(stated) != {"format", "entry", "checkpoint"}:
        raise SealError("this is not a seal: it must hold exactly format, entry and checkpoint, each once")
    if type(stated["format"]) is not int or stated["format"] != _FORMAT or not isinstance(stated["entry"], str):
        raise SealError(f"this seal has a format that is unknown here (known: {_FORMAT})")
    try:
        checkpoint = Checkpoint.from_json(stated["checkpoint"])
    except LedgerError as error:
        raise SealError(f"this seal's checkpoint is none: {error}") from None
    seal = seal_of(checkpoint.ledger, stated["entry"])
    if (checkpoint.seq, checkpoint.hash) != (seal.seq, seal.hash):
        raise SealError("this seal's text is not the entry that was signed: it was edited, or is another seal's")
    if data != portable(seal, checkpoint) or not _SIGNATURE.fullmatch(checkpoint.signature):
        raise SealError("this seal is not written as the ledger writes one: it was written anew by something else")
    return seal, checkpoint


def check_portable(data: bytes, public_key: str) -> Seal:
    """A seal that travelled, once its signature was found to be by this key.

    Raises:
        SealError: it is no seal, or another key signed it.
    """
    seal, checkpoint = read_portable(data)
    if not checkpoint.is_signed_by(public_key):
        raise SealError(
            f"the seal was not signed by the key {fingerprint(public_key)}: it was forged, or is another publisher's"
        )
    return seal


def public_key_in(text: str) -> str:
    """A public key in hex, as `dpsynth audit key` prints it; SealError if it is none."""
    key = text.strip().lower()
    if not _HEX.fullmatch(key):
        raise SealError("this is not a public key: give the 64 hex digits that `dpsynth audit key` prints")
    return key


def fingerprint(public_key: str) -> str:
    """A key's short name, for people to compare, in the form that OpenSSH uses."""
    digest = hashlib.sha256(bytes.fromhex(public_key)).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a key stands twice in one object, so that readers would disagree")
    return dict(pairs)
