"""The base model's corpus compared with the source's records, as part of the adapter's release.

Comparing takes rows, so it takes a grant: these are the very rows that training sees. The share of records that overlap
is a figure about them. For a source that its owner has declared public it goes with the adapter. For any other it is
kept beside the snapshot in the sensitive store, for the data owner to read there, and nothing that leaves depends on
it.

Decision 11 says why there is no charged release of it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dpsynth_assets.contract import resolve
from dpsynth_assets.contract.synthesis import EMBEDDED, INDEX_SUFFIX
from dpsynth_assets.language.base_model import EMBEDDED_FOLDER
from dpsynth_assets.language.contamination.facts import FACTS
from dpsynth_assets.language.contamination.index import CorpusIndex
from dpsynth_assets.language.contamination.overlap import Overlap, measure

if TYPE_CHECKING:
    import pandas as pd

    from dpsynth_assets.contract import Contract
    from dpsynth_assets.releases.rows import Rows


def corpus_index(contract: Contract) -> CorpusIndex | None:
    """The index of the base model's corpus, if there is one: the embedded model's own, or a file that the contract
    names as `corpus`.

    Raises:
        CorpusIndexError: the file is missing or not an index.
    """
    base = contract.privacy.base_model
    if base.name == EMBEDDED:
        return CorpusIndex.load(EMBEDDED_FOLDER / f"corpus{INDEX_SUFFIX}")
    if base.corpus is not None and base.corpus.endswith(INDEX_SUFFIX):
        return CorpusIndex.load(resolve(base.corpus, contract))
    return None


def compared(
    contract: Contract,
    rows: Rows,
    index: CorpusIndex | None,
    folder: Path,
    keep: Callable[[str, str], object],
) -> Iterator[pd.DataFrame]:
    """Inside the gate: the very rows, which are compared as they pass. After the last one all figures are kept beside
    the rows (`keep`), and the release's folder gets what may be known. Without an index nothing is compared."""
    overlap = Overlap(0, 0, 0.0)
    for frame in rows:
        if index is not None:
            overlap += measure(frame["text"].tolist(), index)
        yield frame
    if index is not None:
        _state(contract, overlap, index, folder, keep)


def _state(
    contract: Contract, overlap: Overlap, index: CorpusIndex, folder: Path, keep: Callable[[str, str], object]
) -> None:
    known: dict[str, Any] = {
        "corpus": index.about.corpus,
        "sha256": index.about.sha256,
        "found_for_certain": index.shape.found_for_certain,
    }
    shares = {"share": overlap.share, "by_chance": overlap.share_by_chance}
    internal = known | shares | {"records": overlap.records, "overlapping": overlap.overlapping}
    keep(FACTS, json.dumps(internal, indent=2))
    public = known | shares if contract.privacy.source_is_public else known
    (folder / FACTS).write_text(json.dumps(public, indent=2), encoding="utf-8")
