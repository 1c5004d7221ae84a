"""What a release that did not come about says: the ledger's no in figures, and of anything else its type only.

A failure is itself an output computed from the rows. So what an exception says is kept in the sensitive folder for the
operator, and what Dagster is told has no content.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import dagster as dg

from resources.sensitive_store import SensitiveStore
from resources.tabular import SourceError

if TYPE_CHECKING:
    from dpsynth_assets.contract import Contract
    from ledger import BudgetRefused, Reservation


def refused(release: str, error: BudgetRefused) -> dg.Failure:
    """The ledger's no, for people: what was spent, asked and left, and what to do."""
    text = (
        f"The privacy ledger refused {release}, since {error.why}: the budget of {error.block!r} is "
        f"epsilon {error.cap:g} at delta {error.delta:g}; spent {error.spent:.3f}, "
        f"asked {error.asked:.3f}, left {error.left:.3f}. No sensitive row was read. "
        f"The standing release stays usable without limit (`dpsynth sql`); a further one needs a larger budget "
        f"in the contract, approved by its owners, or a cheaper release within what is left (`dpsynth plan`)."
    )
    figures: dict[str, Any] = {
        "epsilon_spent": float(error.spent),
        "epsilon_asked": float(error.asked),
        "epsilon_left": float(error.left),
        "epsilon_cap": float(error.cap),
        "refused_by_privacy_ledger": True,
        "population": error.population,
    }
    return dg.Failure(text, metadata=figures, allow_retries=False)


def without_content(
    problem: BaseException, reservation: Reservation, store: SensitiveStore, contract: Contract
) -> BaseException:
    """What is raised in place of `problem`: its type, and where its text is kept."""
    name = type(problem).__name__
    kept = "no trace could be kept"
    with suppress(OSError, SourceError):
        path = store.keep_trace(
            contract, reservation.id, "".join(traceback.format_exception(problem)), reservation.source
        )
        kept = f"the trace is kept for the operator in {path}"
    if isinstance(problem, SystemExit):
        return SystemExit(problem.code if isinstance(problem.code, int) else 1)
    if not isinstance(problem, Exception):
        return _bare(type(problem))
    return dg.Failure(
        f"{contract.id}: the release failed with {name} after its budget was charged. Its text may quote sensitive "
        f"rows, so it is not shown here; {kept}. Running it again is a new charge.",
        metadata={"reservation": reservation.id, "exception": name},
        allow_retries=False,
    )


@contextmanager
def no_rows_in_failures(store: SensitiveStore, contract: Contract) -> Iterator[None]:
    """While a source is read: what is raised and not written for people says its type, and where its text is kept.

    Raises:
        dg.Failure: in place of any exception that is none.
    """
    try:
        yield
    except dg.Failure:
        raise
    except Exception as error:
        said = f"{contract.id}: the source could not be snapshotted ({type(error).__name__})."
        kept = "No trace could be kept"
        with suppress(OSError):
            path = store.keep_failure(contract, "".join(traceback.format_exception(error)))
            kept = f"The trace is kept for the operator, for a day, in {path}"
        substitute = dg.Failure(
            f"{said} Its text may quote rows, so it is not shown here. {kept}.", allow_retries=False
        )
    else:
        return
    raise substitute from None


def _bare(kind: type[BaseException]) -> BaseException:
    """An interrupt of the same kind, without its arguments."""
    try:
        return kind()
    except TypeError:
        return KeyboardInterrupt()
