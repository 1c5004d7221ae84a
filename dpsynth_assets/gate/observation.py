"""The balance on the budget asset, so that Dagster plots every charge and every refusal."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import dagster as dg

from ledger import Balance, Ledger

if TYPE_CHECKING:
    from dpsynth_assets.contract import Contract

BUDGET = "budget"


def observe(context: dg.AssetExecutionContext, contract: Contract, book: Ledger) -> None:
    """Leave an observation of the balance as it stands now."""
    with suppress(Exception):  # a picture that is missing must not replace the reason of a failure
        figures = balance_figures(book.balance(contract.privacy.population, with_pld=False))
        context.log_event(dg.AssetObservation([contract.declared.id, BUDGET], metadata=figures))


def balance_figures(balance: Balance) -> dict[str, Any]:
    """A balance as numbers; Dagster plots each of them over time."""
    return {
        "epsilon_cap": float(balance.epsilon_cap),
        "epsilon_spent": float(balance.epsilon_spent),
        "epsilon_reserved": float(balance.epsilon_reserved),
        "epsilon_remaining": float(balance.epsilon_remaining),
        "delta": float(balance.delta),
    }
