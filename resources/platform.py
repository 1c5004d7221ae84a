"""All resources of the assets, together."""

from __future__ import annotations

from resources.artifact_store import ArtifactStore
from resources.ledger import LedgerResource
from resources.sensitive_store import SensitiveStore
from resources.warehouse import Warehouse


def platform_resources(home: str = "") -> dict[str, object]:
    """The resources on `home`; $DPSYNTH_HOME or `.dpsynth` where it is empty."""
    return {
        "ledger": LedgerResource(home=home),
        "sensitive_store": SensitiveStore(home=home),
        "artifact_store": ArtifactStore(home=home),
        "warehouse": Warehouse(home=home),
    }
