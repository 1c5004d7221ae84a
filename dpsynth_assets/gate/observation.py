"""The balance on the budget asset, so that Dagster plots every charge and every refusal."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import dagster as dg

from ledger import Ledger, Spending

if TYPE_CHECKING:
    from dpsynth_assets.contract import Contract

BUDGET = "budget"


def observe(context: dg.AssetExecutionContext, contract: Contract, book: Ledger) -> None:
    """Leave an observation of the balance as it stands now."""
    with suppress(Exception):  # a picture that is missing must not replace the reason of a failure
        figures = balance_figures(book.spending(contract.privacy.population))
        context.log_event(dg.AssetObservation([contract.declared.id, BUDGET], metadata=figures))


def balance_figures(spending: Spending) -> dict[str, Any]:
    """A balance as numbers; Dagster plots each of them over time."""
    return {name: float(value) for name, value in asdict(spending).items()}
