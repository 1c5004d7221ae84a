"""Who may ask for a change and who may agree to it, by name and, where one was enrolled, by public key.

A value that stands in entries; who stands for what at some point of a ledger is read off them by `authority`. Names
are ASCII, because letters of other scripts look like these, and are compared by `person` everywhere.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ledger.errors import LedgerError
from ledger.signatures import public_key

MOST = 200  # people of one population


def person(name: str) -> str:
    """A person's name as it is compared: letter case, blanks and forms of one letter make nobody somebody else."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


@dataclass(frozen=True)
class People:
    """Owners may ask; approvers may ask, and agree to what somebody else asked. `keys` are ed25519 public keys by name.

    Once somebody has a key, what is done in this name must be signed by it.
    """

    owners: tuple[str, ...]
    approvers: tuple[str, ...]
    keys: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for group in (self.owners, self.approvers):
            if len(group) > MOST or len({person(_name(name)) for name in group}) != len(group):
                raise LedgerError(f"owners and approvers are each at most {MOST} different people")
        if not self.approvers or len({*map(person, (*self.owners, *self.approvers))}) < 2:
            raise LedgerError("it takes an approver, and somebody else to ask: name two different people at least")
        listed = (*self.owners, *self.approvers)
        keys = {name: public_key(key) for name, key in sorted(self.keys.items())}
        if any(name not in listed for name in keys) or len({person(name) for name in keys}) != len(keys):
            raise LedgerError("a key belongs to somebody who is listed, under the name that is listed, one each")
        if len(set(keys.values())) != len(keys):
            raise LedgerError("two people have the same key, so they are one person: each needs a key of their own")
        object.__setattr__(self, "keys", keys)

    def to_json(self) -> dict[str, Any]:
        return {"owners": list(self.owners), "approvers": list(self.approvers), "keys": dict(self.keys)}

    @classmethod
    def from_json(cls, stated: Any) -> People:
        """As `to_json` wrote it, and nothing else."""
        if not isinstance(stated, dict) or stated.keys() != {"owners", "approvers", "keys"}:
            raise LedgerError("people are stated by owners, approvers and keys")
        owners, approvers, keys = stated["owners"], stated["approvers"], stated["keys"]
        if not (isinstance(owners, list) and isinstance(approvers, list) and isinstance(keys, dict)):
            raise LedgerError("owners and approvers are lists of names, keys go by name")
        people = cls(tuple(owners), tuple(approvers), keys)
        if people.to_json() != stated:
            raise LedgerError("a public key is not written as the ledger writes it")
        return people

    @property
    def names(self) -> tuple[str, ...]:
        """Everybody once."""
        return tuple(dict.fromkeys((*self.owners, *self.approvers)))

    def may_ask(self, actor: str) -> bool:
        return person(actor) in map(person, (*self.owners, *self.approvers))

    def may_approve(self, actor: str) -> bool:
        return person(actor) in map(person, self.approvers)

    def key_of(self, actor: str) -> str | None:
        return next((key for name, key in self.keys.items() if person(name) == person(actor)), None)

    def with_key(self, actor: str, key: str | None) -> People:
        """The same people with another key of one of them, or without one."""
        kept = {name: each for name, each in self.keys.items() if person(name) != person(actor)}
        listed = [name for name in (*self.owners, *self.approvers) if person(name) == person(actor)]
        if not listed:
            raise LedgerError(f"{actor} is neither an owner nor an approver here")
        return People(self.owners, self.approvers, kept if key is None else {**kept, listed[0]: key})

    def __str__(self) -> str:
        return f"owners {', '.join(self.owners) or 'none'}; approvers {', '.join(self.approvers)}"


def _name(value: object) -> str:
    plain = isinstance(value, str) and value.isascii() and value.isprintable() and value == value.strip()
    if not (plain and isinstance(value, str) and 0 < len(value) <= 200):
        raise LedgerError(
            f"a person's name is {value!r}: it must be 1 to 200 ASCII characters, such as an e-mail address, since "
            "letters of other scripts look like these"
        )
    return value
