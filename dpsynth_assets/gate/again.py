"""Runs that are launched again in place of one that failed: by Dagster's own retries, or by a person's re-execution.

Such a run goes on with what was charged before, or it is refused: whoever wants a second release starts a run of its
own. Knows runs and the ledger; nothing of what a release computes.
"""

from __future__ import annotations

from collections.abc import Iterable

import dagster as dg

from ledger import Reservation

_ROOT = "dagster/root_run_id"  # the tag by which Dagster keeps together what was launched again


def earlier_runs(context: dg.AssetExecutionContext) -> frozenset[str]:
    """The runs in whose place this one was launched, and others that were; none for a run of its own."""
    run = context.run
    first = {each for each in (run.root_run_id, run.parent_run_id, run.tags.get(_ROOT)) if each is not None}
    launched_again = {
        each for root in first for each in context.instance.get_run_ids(dg.RunsFilter(tags={_ROOT: root}))
    }
    return frozenset((first | launched_again) - {run.run_id})


def require_uncharged(context: dg.AssetExecutionContext, release: str, begun: Iterable[Reservation]) -> None:
    """Pass if no earlier run was charged for the same.

    Raises:
        dg.Failure: one was, and what it paid for can neither be used nor be gone on with.
    """
    earlier = earlier_runs(context)
    for each in begun:
        if each.owner in earlier and each.state not in ("reserved", "voided"):
            raise dg.Failure(
                f"{release} was charged in run {each.owner}, in whose place this run was launched, and is "
                f"{each.state} in the ledger ({each.id}): a retry is not charged again. To pay for it anew, "
                "materialize it in a run of its own",
                allow_retries=False,
            )
