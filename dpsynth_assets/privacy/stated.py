"""A plan's identity: its public constants as plain values, and a digest over them. Knows no mechanism."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def digest_of(stated: dict[str, Any]) -> str:
    """SHA-256 over the canonical JSON of public constants."""
    return hashlib.sha256(json.dumps(stated, sort_keys=True).encode()).hexdigest()


class Stated:
    """What every plan has that is a dataclass of public constants. A charge, a checkpoint and a receipt carry its
    digest."""

    def describe(self: DataclassInstance) -> dict[str, Any]:
        """The plan as plain values, all public."""
        return asdict(self)

    def digest(self) -> str:
        """Identity of the plan."""
        return digest_of(self.describe())  # type: ignore[misc]

    def former_digests(self) -> tuple[str, ...]:
        """What former versions of this program would have called the same plan: releases that they began are found
        by it and finished."""
        return ()
