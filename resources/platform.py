"""All resources of the assets, together."""

from __future__ import annotations

import dagster as dg

from resources.artifact_store import ArtifactStore
from resources.deployed import NOTHING, NothingPasses
from resources.ledger import LedgerResource
from resources.ranks import RankLauncher
from resources.ray_workers import RayWorkers
from resources.sensitive_store import SensitiveStore
from resources.warehouse import Warehouse


def platform_resources(home: str = "") -> dict[str, dg.ResourceDefinition]:
    """The resources on `home`; $DPSYNTH_HOME or `.dpsynth` where it is empty. No run can configure any of them."""
    return {
        "ledger": LedgerResource(home=home).as_resource(),
        "sensitive_store": SensitiveStore(home=home).as_resource(),
        "artifact_store": ArtifactStore(home=home).as_resource(),
        "rank_launcher": RankLauncher().as_resource(),
        "ray_workers": RayWorkers().as_resource(),
        "warehouse": Warehouse(home=home).as_resource(),
        "io_manager": dg.IOManagerDefinition(lambda _: NothingPasses(), config_schema=NOTHING),
    }
