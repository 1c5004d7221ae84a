"""What may be known of the comparison of a base model's corpus with the source, as the adapter carries it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

FACTS = "contamination.json"


@dataclass(frozen=True)
class Facts:
    """What may be known of a comparison. The figures are None unless the source is declared public.

    Attributes:
        corpus: what the index says it is of.
        sha256: of the index.
        found_for_certain: shared runs of so many words are always found.
        share: of the records, those that share a fingerprint with the corpus.
        by_chance: the share that would seem to if none did.
    """

    corpus: str
    sha256: str
    found_for_certain: int
    share: float | None = None
    by_chance: float | None = None

    @classmethod
    def of(cls, adapter_folder: Path) -> Facts | None:
        """Those that an adapter carries; None where nothing was compared."""
        path = adapter_folder / FACTS
        return cls(**json.loads(path.read_text(encoding="utf-8"))) if path.exists() else None
