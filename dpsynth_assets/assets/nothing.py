"""What stands in the place of releases where no row is read (`variants.NOTHING`). Charged nothing, promises epsilon 0.

It is made by functions of the contract alone (`Release.unread`): there is no gate here, no grant, and nothing that has
rows to give. The ledger seals it as having read nothing of the contract's population. A release that has no such
function is left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dagster as dg

from dpsynth_assets.assets.figures import receipts_metadata
from dpsynth_assets.publish.release import READ_NOTHING

if TYPE_CHECKING:
    from dpsynth_assets.contract import Contract
    from dpsynth_assets.releases.release import Release
    from resources.artifact_store import ArtifactStore


def made_of_nothing(
    contract: Contract, release: Release[Any], artifacts: ArtifactStore, size: float
) -> dg.MaterializeResult[None]:
    """Make and seal it. `size` says of what share of the rows that the contract asks for a table is going to be.

    Raises:
        dg.Failure: it cannot be made.
        ArtifactError: it cannot be sealed.
    """
    if release.unread is None:
        return dg.MaterializeResult(metadata={"left_out": f"{release.name} would read rows, and here none is read"})
    with artifacts.draft(contract.id, release.name) as draft:
        try:
            facts = release.without_rows(contract, draft.folder)
        except Exception as error:  # it has seen no row, so it may say why
            why = str(error) or type(error).__name__
            raise dg.Failure(f"{contract.id}/{release.name} cannot be made: {why}", allow_retries=False) from error
        artifact = artifacts.seal(draft, about={"size": size}, nothing_of=contract.privacy.population)
    return dg.MaterializeResult(
        metadata={
            "epsilon": 0.0,
            "delta": 0.0,
            "guarantee": READ_NOTHING,
            **facts,
            "dagster/uri": str(artifact.folder),
            **receipts_metadata(artifact),
        }
    )
