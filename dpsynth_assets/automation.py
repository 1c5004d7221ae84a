"""What may run by itself, decided in one place: post-processing that follows its inputs, and deleting.

Nothing that spends budget ever runs by itself: a charge is somebody's decision. Sensitive copies whose retention is
over are deleted every hour while Dagster's daemon runs, because their contract has decided that already.
"""

import dagster as dg

from resources.sensitive_store import SensitiveStore

SPENDS, FOLLOWS = "spends_budget", "follows_inputs"


def automated(asset: dg.AssetsDefinition) -> dg.AssetsDefinition:
    """The asset with its automation condition: eager for post-processing, none for everything else."""
    return asset.map_asset_specs(_automated_spec)


def _automated_spec(spec: dg.AssetSpec) -> dg.AssetSpec:
    free = spec.tags.get(FOLLOWS) == "yes" and spec.tags.get(SPENDS) == "no"
    return spec.replace_attributes(automation_condition=dg.AutomationCondition.eager()) if free else spec


@dg.op(description="Deletes snapshots that their contracts allow to be kept no longer, with the traces beside them.")
def delete_what_is_over(context: dg.OpExecutionContext, sensitive_store: SensitiveStore) -> None:
    """As `dpsynth forget`."""
    for copy in sensitive_store.forget():
        context.log.info(f"Deleted snapshot {copy.snapshot} of {copy.contract}")


@dg.job(description="Sensitive copies are kept for as long as their contract's `retention` says.")
def retention() -> None:
    """One step, so that the deployment's executor does not matter."""
    delete_what_is_over()


@dg.schedule(
    job=retention,
    cron_schedule="@hourly",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Deletes sensitive copies that their contracts allow to be kept no longer.",
)
def retention_schedule(sensitive_store: SensitiveStore) -> dg.RunRequest | dg.SkipReason:
    """A run where a copy is over its time."""
    if any(copy.is_over() for copy in sensitive_store.copies()):
        return dg.RunRequest()
    return dg.SkipReason("no sensitive copy is over its time")
