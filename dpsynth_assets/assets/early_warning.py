"""Warns before a population's budget or a snapshot's time is used up: two checks, and the sensor that keeps them.

A check is evaluated when its asset is materialized. The sensor looks again every few minutes and writes a verdict
only where it has changed, so each crossing is told once. Reads the ledger's balance and when copies are to go; no row.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import dagster as dg

from dpsynth_assets.assets.common import asset_key, plain_failures
from dpsynth_assets.gate.observation import BUDGET
from ledger import LedgerError
from ledger.rounded import up
from resources.ledger import LedgerResource
from resources.sensitive_store import SensitiveStore
from resources.tabular import SourceError

if TYPE_CHECKING:
    from dpsynth_assets.contract import Contract
    from ledger import Ledger, Spending
    from resources.retention import Copy

BUDGET_LEFT, TIME_LEFT = "budget_is_left", "snapshot_is_kept"
SHARE = 0.8  # of the budget; from here on it warns
DAYS, QUARTER = 7.0, 0.25  # before a snapshot is deleted, or a quarter of its retention where that is shorter
SECONDS = 300  # between two looks


@dataclass(frozen=True)
class Outlook:
    """A verdict on what is left, for people and as figures."""

    asset: dg.AssetKey
    check: str
    passed: bool
    text: str
    figures: dict[str, float | str] = field(default_factory=dict)

    def result(self) -> dg.AssetCheckResult:
        return dg.AssetCheckResult(
            passed=self.passed, severity=dg.AssetCheckSeverity.WARN, description=self.text, metadata=self.figures
        )

    def evaluation(self) -> dg.AssetCheckEvaluation:
        return dg.AssetCheckEvaluation(
            asset_key=self.asset,
            check_name=self.check,
            passed=self.passed,
            severity=dg.AssetCheckSeverity.WARN,
            description=self.text,
            metadata=self.figures,
        )


def budget_outlook(contract: Contract, spending: Spending) -> Outlook:
    """Whether less than 80 % of the population's budget is spent."""
    spent, cap = spending.epsilon_spent, spending.epsilon_cap
    share = spent / cap if cap else 1.0
    text = (
        f"{share:.0%} of the budget of population {contract.privacy.population} is spent: ε {up(spent)} of {cap:g}. "
        f"What would still fit: `dpsynth plan {contract.file}`."
    )
    return Outlook(asset_key(contract, BUDGET), BUDGET_LEFT, share < SHARE, text, {"share_spent": share})


def time_outlook(contract: Contract, copies: Sequence[Copy], now: datetime) -> Outlook:
    """Whether the newest snapshot of a contract is kept for a while yet."""
    source = asset_key(contract, "source")
    until = [each.kept_until for each in copies if each.contract == contract.id and not each.is_check]
    if not until:
        return Outlook(source, TIME_LEFT, True, "No snapshot is kept.")
    left, margin = max(until) - now, timedelta(days=min(DAYS, QUARTER * contract.retention_days))
    text = (
        f"The snapshot is kept until {max(until):%Y-%m-%d %H:%M} UTC; then it is deleted and no release reads it. "
        f"Release what is still to come before, or materialize {contract.id}/source again."
    )
    return Outlook(source, TIME_LEFT, left > margin, text, {"kept_until": f"{max(until):%Y-%m-%d %H:%M}"})


def early_warnings(contract: Contract) -> list[dg.AssetChecksDefinition]:
    """The two checks of a contract."""

    @dg.asset_check(
        asset=asset_key(contract, BUDGET),
        name=BUDGET_LEFT,
        description=f"Warns once {SHARE:.0%} of the population's budget is spent.",
    )
    def budget_left(ledger: LedgerResource) -> dg.AssetCheckResult:
        with plain_failures(LedgerError):
            return budget_outlook(contract, ledger.open().spending(contract.privacy.population)).result()

    @dg.asset_check(
        asset=asset_key(contract, "source"),
        name=TIME_LEFT,
        description="Warns before the contract's retention ends and the snapshot is deleted.",
    )
    def time_left(sensitive_store: SensitiveStore) -> dg.AssetCheckResult:
        with plain_failures(SourceError):
            return time_outlook(contract, sensitive_store.copies(), datetime.now(UTC)).result()

    return [budget_left, time_left]


def early_warning_sensor(contracts: Sequence[Contract]) -> dg.SensorDefinition:
    """The sensor over all contracts. Its cursor is what it found the last time: whether each check passed."""

    @dg.sensor(
        name="budget_and_retention",
        minimum_interval_seconds=SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Warns once {SHARE:.0%} of a population's budget is spent, and before a snapshot is deleted.",
    )
    def budget_and_retention(
        context: dg.SensorEvaluationContext, ledger: LedgerResource, sensitive_store: SensitiveStore
    ) -> dg.SensorResult | dg.SkipReason:
        before = json.loads(context.cursor or "{}")
        try:
            found = list(_outlooks(contracts, ledger.open(), sensitive_store.copies(), datetime.now(UTC)))
        except (LedgerError, SourceError) as error:
            return dg.SkipReason(str(error))
        names = {f"{each.asset.to_user_string()}:{each.check}": each for each in found}
        crossed = [each for name, each in names.items() if each.passed != before.get(name, True)]
        for each in crossed:
            (context.log.info if each.passed else context.log.warning)(each.text)
        now = {name: each.passed for name, each in names.items()}
        return dg.SensorResult(
            asset_events=[each.evaluation() for each in crossed],
            cursor=json.dumps(now),
            skip_reason=None if crossed else dg.SkipReason("nothing has come close to its end since the last look"),
        )

    return budget_and_retention


def _outlooks(contracts: Sequence[Contract], book: Ledger, copies: Sequence[Copy], now: datetime) -> Iterator[Outlook]:
    registered = set(book.populations())
    for contract in contracts:
        if contract.privacy.population in registered:
            yield budget_outlook(contract, book.spending(contract.privacy.population))
        yield time_outlook(contract, copies, now)
