"""What people do, and the text that somebody with a key signs for it.

Values and words only; who may do what is judged by `authority`, and both read the same from an entry.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ledger.chain import Record
from ledger.signatures import key_of

Subject = tuple[str, str]

# What takes one person, and how a statement calls it.
ALONE = {"lower_cap": "lower the cap", "external_charge": "write down what was spent elsewhere"}


@dataclass(frozen=True)
class Signer:
    """Who asked for something or (`agreed`) agreed to it, by which key if by one, and the entry by which it held."""

    name: str
    agreed: bool
    key: str | None
    seq: int


def subject_of(change: Mapping[str, Any]) -> Subject:
    """What a change is about: the contract or the population, or the ledger itself."""
    if change["kind"] == "set_terms":
        return "contract", str(change["contract"])
    return "population", str(change["population"] or "")


def subject_decided(effect: Record) -> Subject:
    """What an entry decided about, in the same words."""
    if effect.kind == "terms_set":
        return "contract", str(effect.payload["contract"])
    return "population", str(effect.population or "")


def statement(
    ledger_id: str,
    change: Mapping[str, Any],
    actor: str,
    reason: str,
    *,
    after: str | None,
    proposal: int | None = None,
) -> str:
    """What is signed: to agree to a `proposal`, or else to ask for the change, or to do it where it takes one person.

    `after` is the hash of the entry that it follows on, so that it is good at one place of one ledger.
    """
    act = "approve" if proposal is not None else ALONE.get(change["kind"], "propose")
    said = {"ledger": ledger_id, "act": act, "actor": actor, "reason": reason, "change": change}
    return json.dumps({**said, "proposal": proposal, "after": after}, sort_keys=True, indent=1) + "\n"


def change_alone(record: Record) -> dict[str, Any]:
    """What one person did by an entry, as the statement has it."""
    payload = record.payload
    if record.kind == "external_charge":
        return spent_elsewhere(str(record.population), payload["event"], payload["blocks"])
    return lowered(str(record.population), payload["epsilon"])


def lowered(population: str, epsilon: float) -> dict[str, Any]:
    return {"kind": "lower_cap", "population": population, "epsilon": epsilon}


def spent_elsewhere(population: str, event: dict[str, Any], blocks: list[str]) -> dict[str, Any]:
    return {"kind": "external_charge", "population": population, "event": event, "blocks": blocks}


def signer_of(record: Record, seq: int, *, agreed: bool) -> Signer:
    signature = record.payload.get("signature")
    return Signer(str(record.said["owner"]), agreed, None if signature is None else key_of(signature), seq)
