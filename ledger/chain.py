"""The hash chain: how an entry becomes bytes, and how bytes are tied to everything before them.

An entry's *body* is one line of canonical JSON that holds everything the entry says, including its number and the
hash of the entry before it. Its hash is the SHA-256 of exactly that line. So one needs nothing but the bodies to
check a chain: no field order, no number formatting, no code of this package. Infinity is written as the text "inf";
NaN has no form.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from ledger.errors import LedgerBroken, LedgerError
from ledger.renyi_filter import Vector

GENESIS = "0" * 64  # what the first entry names as the hash before it
KINDS = (
    "created",
    "proposed",
    "registered",
    "cap_changed",
    "terms_set",
    "people_set",
    "bound",
    "reserved",
    "refused",
    "activated",
    "redeemed",
    "resumed",
    "committed",
    "forfeited",
    "voided",
    "external_charge",
    "restored",
    "sealed",
    "incident",
)
# The kinds that say what stands charged. Any other one must not: `newest` would believe it.
CHARGING = frozenset({"registered", "bound", "reserved", "resumed", "committed", "voided", "external_charge"})
_BODY_KEYS = frozenset({"seq", "time", "kind", "previous", "population", "release", "owner", "reservation", "payload"})


@dataclass(frozen=True)
class Draft:
    """What is to be appended; the store gives it its number, time and place in the chain."""

    kind: str
    population: str | None = None
    release: str | None = None
    owner: str | None = None
    reservation: int | None = None  # number of the entry that reserved; its own number where it reserves
    key: str | None = None  # what a kind is looked up by: idempotency key, source fingerprint
    payload: dict[str, Any] | None = None


@dataclass(frozen=True)
class Record:
    """One stored line, its columns as they stand beside it, and what the line says."""

    seq: int
    kind: str
    population: str | None
    reservation: int | None
    key: str | None
    blocks: tuple[str, ...]  # whose standing the entry states
    body: str
    hash: str

    @property
    def said(self) -> MappingProxyType[str, Any]:
        """The body, decoded. Only call it on a record that `check` passed."""
        return MappingProxyType(json.loads(self.body))

    @property
    def payload(self) -> dict[str, Any]:
        payload = json.loads(self.body)["payload"]
        assert isinstance(payload, dict)
        return payload


def seal(draft: Draft, *, seq: int, time: str, previous: str) -> Record:
    """The record of a draft at its place in the chain."""
    reservation = seq if draft.kind == "reserved" else draft.reservation
    payload = dict(draft.payload or {})
    if draft.key is not None:
        payload["key"] = draft.key
    body = canonical(
        {
            "seq": seq,
            "time": time,
            "kind": draft.kind,
            "previous": previous,
            "population": draft.population,
            "release": draft.release,
            "owner": draft.owner,
            "reservation": reservation,
            "payload": payload,
        }
    )
    return Record(seq, draft.kind, draft.population, reservation, draft.key, _blocks(payload), body, digest(body))


def _blocks(payload: dict[str, Any]) -> tuple[str, ...]:
    return tuple(sorted(payload.get("standing", ())))


def check(record: Record) -> str | None:
    """What is wrong with a record by itself, or None: its hash, its form, its columns against its body."""
    if digest(record.body) != record.hash:
        return "its body does not match its hash"
    try:
        said = json.loads(record.body)
    except (ValueError, RecursionError):
        return "its body is not JSON"
    if not isinstance(said, dict) or set(said) != _BODY_KEYS or not isinstance(said["payload"], dict):
        return "its body does not have the fields of an entry"
    try:
        if canonical(said) != record.body:  # a key that stands twice, say: readers would differ
            return "its body is not in the one form that entries have"
    except LedgerError as error:
        return str(error)
    if said["kind"] not in KINDS:
        return f"its kind {said['kind']!r} is unknown"
    payload = said["payload"]
    if not isinstance(payload.get("standing", {}), dict):
        return "its standing is not an object"
    if "standing" in payload and said["kind"] not in CHARGING:
        return f"an entry of kind {said['kind']!r} says nothing of what stands charged, this one does"
    if type(said["seq"]) is not int:
        return "its number is not a whole number"
    columns = (record.seq, record.kind, record.population, record.reservation, record.key, record.blocks)
    stated = (said["seq"], said["kind"], said["population"], said["reservation"], payload.get("key"), _blocks(payload))
    if columns != stated:
        return "its columns differ from its body"
    return None


def trusted(record: Record) -> Record:
    """The record, or LedgerBroken: what the admission path reads, it reads through here."""
    problem = check(record)
    if problem:
        raise LedgerBroken(
            f"entry {record.seq} was changed after it was written: {problem}. Nothing is admitted; "
            "run `dpsynth audit verify` and restore the ledger from a trusted copy"
        )
    return record


def canonical(value: object) -> str:
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise LedgerError(f"an entry must be plain JSON without NaN or infinity: {error}") from None


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def numbers(vector: Sequence[float]) -> list[float | str]:
    """A vector in JSON. Python writes the shortest text that reads back as the same float."""
    return [number(value) for value in vector]


def number(value: float) -> float | str:
    if math.isnan(value) or value == -math.inf:
        raise LedgerError(f"{value!r} cannot be written to the ledger")
    return "inf" if value == math.inf else float(value)


def real(value: object) -> float:
    """A stored number, as `number` wrote it."""
    if value == "inf":
        return math.inf
    if isinstance(value, float) and math.isfinite(value):
        return value
    raise LedgerBroken(f"a stored number is {value!r}")


def vector(values: object) -> Vector:
    """A stored vector, exactly as it was written. Whole numbers, booleans, other texts and NaN are refused."""
    if not isinstance(values, list):
        raise LedgerBroken("a stored vector is not a list")
    return tuple(map(real, values))
