"""What a release or snapshot that did not come about says: the ledger's no in figures, of anything else its type only.

A no of the ledger, or of the people who sign, is `Refused`: nothing is broken, and what stands goes on standing. The
assets end with it as skipped, and not as failed (`assets.admission`).

A failure is itself an output computed from the rows. So what an exception says is kept in the sensitive folder for the
operator, and what Dagster is told has no content.
"""

from __future__ import annotations

import math
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from dpsynth_assets.gate.approval import ApprovalNeededError
from dpsynth_assets.gate.sources import source_of
from dpsynth_assets.releases.release import AwayError
from ledger import LedgerError, TermsConflict
from ledger.rounded import down, up
from resources.sensitive_store import SensitiveStore
from resources.tabular import SourceError

if TYPE_CHECKING:
    from dpsynth_assets.contract import Contract
    from ledger import BudgetRefused, Grant


class Refused(dg.Failure):
    """Not admitted: over the budget, not signed for, or against terms that stand. Never tried again."""

    def __init__(self, text: str, metadata: dict[str, Any] | None = None) -> None:
        super().__init__(text, metadata=metadata, allow_retries=False)


def told(error: Exception) -> dg.Failure:
    """An error whose text is written for people, without a stack to read through: `Refused` where it is a no."""
    if isinstance(error, ApprovalNeededError | TermsConflict):
        return Refused(str(error))
    return dg.Failure(str(error), allow_retries=False)


def refused(error: BudgetRefused, *, was_read: bool) -> Refused:
    """The ledger's no, for people: what was spent, asked and left, and what to do.

    `was_read` says that an earlier run began the release, whose steps that were lost would now run a second time.
    """
    so_far = (
        "An earlier run began it: what that read stays charged, what it left is kept, and no row was read now. "
        if was_read
        else "No sensitive row was read. "
    )
    text = (
        f"The privacy ledger refused {error.release}, since {error.why}: the budget of {error.block!r} is "
        f"epsilon {error.cap:g} at delta {error.delta:g}; spent {up(error.spent)}, "
        f"asked {up(error.asked)}, left {down(error.left)}; with it {up(error.would_be)} would be spent. "
        f"{_counts_for_more(error)}{so_far}"
        f"The standing release stays usable without limit (`dpsynth sql`); a further one needs a larger budget "
        f"in the contract, approved by its owners, or a cheaper release within what is left (`dpsynth plan`)."
    )
    figures: dict[str, Any] = {
        "epsilon_spent": float(error.spent),
        "epsilon_asked": float(error.asked),
        "epsilon_left": float(error.left),
        "epsilon_would_be": float(error.would_be) if math.isfinite(error.would_be) else "none",
        "epsilon_cap": float(error.cap),
        "refused_by_privacy_ledger": True,
        "was_read_before": was_read,
        "refused_release": error.release,
        "population": error.population,
    }
    return Refused(text, figures)


def _counts_for_more(error: BudgetRefused) -> str:
    """Why a charge is refused that is by itself less than what is left."""
    if error.asked > error.left:
        return ""
    return (
        "By itself it asks less than is left, but charges add up at the Rényi orders that the budget was planned for, "
        "and one that differs much from that plan counts for more there. "
    )


def without_content(
    problem: BaseException, grant: Grant, store: SensitiveStore, contract: Contract, *, goes_on: bool
) -> BaseException:
    """What is raised in place of `problem`: its type, and where its text is kept. What is away is told in its own
    words: they come from code that has seen no row."""
    if isinstance(problem, AwayError):
        then = (
            "goes on where it stopped: run the same again" if goes_on else "is forfeited: another run is a new charge"
        )
        text = f"{contract.id}: {problem}. The release was charged, and {then}."
        return dg.Failure(text, metadata={"reservation": grant.reservation_id}, allow_retries=False)
    kept = _kept(lambda text: store.keep_trace(source_of(contract), grant.reservation_id, text, grant.source), problem)
    name = type(problem).__name__
    failure = dg.Failure(
        f"{contract.id}: the release failed with {name} after its budget was charged. Its text may quote sensitive "
        f"rows, so it is not shown here; {kept}. "
        + ("Run the same again: it goes on." if goes_on else "Running it again is a new charge."),
        metadata={"reservation": grant.reservation_id, "exception": name},
        allow_retries=False,
    )
    return _as_raised(problem, failure)


@contextmanager
def reading_without_content(store: SensitiveStore, contract: Contract, what: str, after: str) -> Iterator[None]:
    """What rows are read in without a charge, as for a snapshot: refusals of the ledger and of the source, which are
    written for people, fail in their own words; anything else says its type, and where its text is kept.

    Args:
        what: has failed then, such as `the snapshot`.
        after: says how things stand.

    Raises:
        dg.Failure: in place of any exception; interrupts stay interrupts, without arguments.
    """
    problem: BaseException | None = None
    try:
        yield
    except BaseException as error:
        problem = error
    if problem is None:
        return
    if isinstance(problem, LedgerError | SourceError):
        substitute: BaseException = told(problem)
    else:
        kept = _kept(lambda text: store.keep_failure(contract.declared.id, text), problem)
        name = type(problem).__name__
        failure = dg.Failure(
            f"{contract.id}: {what} failed with {name}. Its text may quote sensitive rows, so it is not shown "
            f"here; {kept}. {after}",
            metadata={"exception": name},
            allow_retries=False,
        )
        substitute = _as_raised(problem, failure)
    problem = None
    raise substitute from None


def _kept(keep: Callable[[str], Path], problem: BaseException) -> str:
    """Where the whole trace lies now."""
    with suppress(OSError, SourceError):
        return f"the trace is kept for the operator in {keep(''.join(traceback.format_exception(problem)))}"
    return "no trace could be kept"


def _as_raised(problem: BaseException, failure: dg.Failure) -> BaseException:
    """The failure; or, in place of an interrupt, one of the same kind without its arguments."""
    if isinstance(problem, Exception):
        return failure
    if isinstance(problem, SystemExit):
        return SystemExit(problem.code if isinstance(problem.code, int) else 1)
    try:
        return type(problem)()
    except TypeError:
        return KeyboardInterrupt()
