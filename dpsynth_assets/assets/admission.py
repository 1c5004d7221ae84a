"""A refused asset in a state of its own: skipped, with a check that says who refused it and what to do.

Dagster paints an asset red when its last run failed, and with it everything that the run would have made. A refusal
breaks nothing: the release that stands is as good as before. So the asset ends without a materialization, what follows
from it is skipped, its check `admitted` warns with the reason, and the run carries a tag. Nothing here decides: the
gate does, before.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import dagster as dg

from dpsynth_assets.gate.refusal import Refused

ADMITTED = "admitted"
REFUSED_TAG = "dpsynth/refused"  # on the run; its value is the asset

_Result = dg.MaterializeResult[None] | dg.AssetCheckResult


def admission(key: dg.AssetKey, partitions: dg.PartitionsDefinition[str] | None) -> dg.AssetCheckSpec:
    """The check of an asset that asks for leave."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.PreviewWarning)  # Dagster's word for checks that are partitioned
        return dg.AssetCheckSpec(
            ADMITTED,
            asset=key,
            description="The privacy ledger and the people who sign for its population admitted the last run of it. "
            "Where they did not, nothing was made and what stood before stands.",
            partitions_def=partitions,
        )


def or_refused(key: dg.AssetKey, body: Callable[..., dg.MaterializeResult[None]]) -> Callable[..., Iterator[_Result]]:
    """The body as Dagster calls it, with what it is refused as a verdict instead of a failure."""

    @functools.wraps(body)
    def asked(context: dg.AssetExecutionContext, **given: Any) -> Iterator[_Result]:
        try:
            made = body(context, **given)
        except Refused as refusal:
            context.log.warning(refusal.description)
            context.instance.add_run_tags(context.run.run_id, {REFUSED_TAG: key.to_user_string()})
            yield dg.AssetCheckResult(
                passed=False,
                check_name=ADMITTED,
                severity=dg.AssetCheckSeverity.WARN,
                description=refusal.description,
                metadata=refusal.metadata,
            )
            return
        yield made
        yield dg.AssetCheckResult(passed=True, check_name=ADMITTED)

    return asked
