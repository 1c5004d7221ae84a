"""What may run by itself, decided in one place for all assets.

Post-processing follows its inputs. Nothing that spends budget ever runs by itself: a charge is somebody's decision.
"""

from __future__ import annotations

import dagster as dg

SPENDS, FOLLOWS = "spends_budget", "follows_inputs"


def automated(asset: dg.AssetsDefinition) -> dg.AssetsDefinition:
    """The asset with its automation condition: eager for post-processing, none for everything else."""
    return asset.map_asset_specs(_automated_spec)


def _automated_spec(spec: dg.AssetSpec) -> dg.AssetSpec:
    free = spec.tags.get(FOLLOWS) == "yes" and spec.tags.get(SPENDS) == "no"
    return spec.replace_attributes(automation_condition=dg.AutomationCondition.eager()) if free else spec
