"""How many texts are drawn of each label, and how many of them are wanted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dpsynth_assets.contract import Contract
    from dpsynth_assets.contract.synthesis import Curation


def rows_wanted(contract: Contract, size: float) -> int:
    """The rows of the corpus, of a quick pass over a share of the units the same share."""
    return max(1, round(contract.privacy.generation.rows * size))


def rows_drawn(contract: Contract, size: float) -> int:
    """The candidates that are drawn for so many rows."""
    return round(rows_wanted(contract, size) * contract.privacy.curation.drawn)


def proportions(terms: Curation, counts: Mapping[tuple[str, ...], int]) -> dict[tuple[str, ...], int]:
    """In which proportions labels are drawn and kept."""
    return dict.fromkeys(counts, 1) if terms.proportions == "even" else dict(counts)
