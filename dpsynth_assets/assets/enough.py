"""Whether there is enough to learn from: what the standing label histogram says, before a charge or a drawing.

The histogram was charged and released, so looking at it is post-processing and free: whether the next release stops is
one more thing that is computed from those counts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dpsynth_assets.releases.label_histogram import LABEL_HISTOGRAM
from dpsynth_assets.synthesis.label_histogram import released_counts, require_rows

if TYPE_CHECKING:
    from dpsynth_assets.contract import Contract
    from resources.artifact_store import Artifact, ArtifactStore
    from resources.snapshots import Snapshot


def require_rows_of(contract: Contract, snapshot: Snapshot, artifacts: ArtifactStore) -> None:
    """Pass unless the label histogram of this very snapshot stands, and says that there is next to nothing in it.

    Raises:
        NoRowsError: it does.
        ArtifactError: it is not the one that was sealed.
    """
    histogram = artifacts.find(contract.id, LABEL_HISTOGRAM.name)
    if histogram is not None and histogram.receipt["about"].get("snapshot") == snapshot.id:
        require_rows_by(contract, histogram)


def require_rows_by(contract: Contract, histogram: Artifact) -> None:
    """Pass unless this label histogram says that there is next to nothing.

    Raises:
        NoRowsError: it does.
    """
    if contract.reads_nothing:  # nobody was counted
        return
    size = float(histogram.receipt["about"].get("size", 1.0))
    require_rows(contract, released_counts(histogram.folder), size)
