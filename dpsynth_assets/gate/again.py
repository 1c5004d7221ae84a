"""What a run may be charged anew: nothing that it was started to go on with.

Runs that are launched again in place of one that failed, by Dagster's own retries or by a person's re-execution, go on
with what was charged before, or are refused: whoever wants a second release starts a run of its own. So is a run whose
costs somebody agreed to, where another run was quicker and took what it would have gone on with.

Knows runs and the ledger; nothing of what a release computes.
"""

from __future__ import annotations

from collections.abc import Iterable

import dagster as dg

from ledger import Reservation

AGREED_TAG = "dpsynth/agreed"  # on a run whose costs were shown: the keys of what it is charged anew
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
        if each.owner in earlier and each.state != "voided":  # what is reserved still: that run lives
            raise dg.Failure(
                f"{release} was charged in run {each.owner}, in whose place this run was launched, and is "
                f"{each.state} in the ledger ({each.id}): a retry is not charged again. To pay for it anew, "
                "materialize it in a run of its own",
                allow_retries=False,
            )


def require_agreed(context: dg.AssetExecutionContext, release: str, key: str) -> None:
    """Pass if a new charge by this key was among what somebody agreed to, or the run was started without being asked
    about its costs.

    Raises:
        dg.Failure: it was not.
    """
    agreed = context.run.tags.get(AGREED_TAG)
    if agreed is not None and key not in agreed.split(","):
        raise dg.Failure(
            f"{release} would be charged anew, which was not among the costs that were shown for this run: another run "
            "has taken what it would have gone on with, or another snapshot. Nothing was charged for it. Run the same "
            "again: it shows the costs of now",
            allow_retries=False,
        )
