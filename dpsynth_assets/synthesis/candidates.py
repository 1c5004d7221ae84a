"""Candidates: how many texts are drawn of each label, how many of them are wanted, and drawing them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from dpsynth_assets.progress import Progress
from dpsynth_assets.releases.evolution import EVOLUTION
from dpsynth_assets.releases.key_phrases import KEY_PHRASES
from dpsynth_assets.synthesis.label_histogram import released_counts

if TYPE_CHECKING:
    import pandas as pd

    from dpsynth_assets.contract import Contract
    from dpsynth_assets.contract.synthesis import Curation
    from dpsynth_assets.releases.release import Made
    from dpsynth_assets.shards import Pool

DRAWN = "candidates.parquet"


def rows_wanted(contract: Contract, size: float) -> int:
    """The rows of the corpus, of a quick pass over a share of the units the same share."""
    return max(1, round(contract.privacy.generation.rows * size))


def rows_drawn(contract: Contract, size: float) -> int:
    """The candidates that are drawn for so many rows."""
    return round(rows_wanted(contract, size) * contract.privacy.curation.drawn)


def proportions(terms: Curation, counts: Mapping[tuple[str, ...], int]) -> dict[tuple[str, ...], int]:
    """In which proportions labels are drawn and kept."""
    return dict.fromkeys(counts, 1) if terms.proportions == "even" else dict(counts)


def draw(
    contract: Contract,
    drawn_from: Mapping[str, Made],
    histogram: Path,
    size: float,
    progress: Progress,
    shards: Path,
    pool: Pool | None = None,
) -> pd.DataFrame:
    """Draw the candidates of a share of the units.

    Args:
        drawn_from: the releases that texts come from, by their names, the one that writes them first.
        histogram: where the label histogram lies.
        shards: keeps what is drawn, for a call that goes on.
        pool: draws, where a model of this machine writes; this process unless given.
    """
    from dpsynth_assets.language import generation  # torch: whoever only counts rows does without
    from dpsynth_assets.synthesis import evolution, key_phrases

    counts = proportions(contract.privacy.curation, released_counts(histogram))
    rows = rows_drawn(contract, size)
    evolved = drawn_from.get(EVOLUTION.name)
    how = None
    if evolved is not None and not contract.reads_nothing:
        how = evolution.drawing(contract, evolved.folder, drawn_from, pool)
    elif KEY_PHRASES.name in drawn_from and not contract.reads_nothing:
        how = key_phrases.drawing(contract, drawn_from, pool)
    folder = next(iter(drawn_from.values())).folder
    return generation.generate_corpus(
        contract, folder, counts, rows=rows, progress=progress, shards=shards, draw=how, pool=pool
    )
