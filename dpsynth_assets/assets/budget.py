"""`budget`: what the population's ledger says, in one picture and as numbers that Dagster plots. Reads nothing else.

The gate adds an observation to this asset at every charge and every refusal, so the plots need no schedule; the picture
is drawn of those.
"""

from collections.abc import Iterator
from datetime import UTC, datetime

import dagster as dg

from dpsynth_assets.assets.balance_picture import DRAWN, Balance, balance_picture
from dpsynth_assets.assets.common import contract_asset, plain_failures
from dpsynth_assets.assets.figures import guarantee
from dpsynth_assets.contract import Contract
from dpsynth_assets.gate.observation import BUDGET, balance_figures
from dpsynth_assets.releases.registry import planned_names
from ledger import LedgerError, Spending
from resources.ledger import LedgerResource


def budget_asset(contract: Contract) -> dg.AssetsDefinition:
    """The budget asset of a contract."""

    @contract_asset(
        contract,
        BUDGET,
        description=(
            f"The privacy budget of population `{contract.privacy.population}`: {guarantee(contract)}.\n\n"
            "Spent and remaining epsilon in one picture, as of every charge and refusal of this contract; each figure "
            "by itself under Plots."
        ),
        kinds={"duckdb"},
        follows=False,
        after=planned_names(contract),
        partitioned=False,
        asks=False,
    )
    def budget(context: dg.AssetExecutionContext, ledger: LedgerResource) -> dg.MaterializeResult[None]:
        with plain_failures(LedgerError):
            spending = ledger.open().spending(contract.privacy.population)
        balances = [*_before(context), Balance.of(spending, datetime.now(UTC))]
        return dg.MaterializeResult(
            metadata={
                "spent_and_remaining": dg.MetadataValue.md(balance_picture(balances)),
                **balance_figures(spending),
                "guarantee": dg.MetadataValue.md(guarantee(contract)),
            }
        )

    return budget


def _before(context: dg.AssetExecutionContext) -> Iterator[Balance]:
    """The balances that the gate left, the oldest first."""
    found = context.instance.fetch_observations(context.asset_key, limit=DRAWN).records
    for record in reversed(found):
        left = record.asset_observation
        figures = {name: value.value for name, value in left.metadata.items()} if left else {}
        if figures.keys() == Spending.__dataclass_fields__.keys():
            yield Balance.of(Spending(**figures), datetime.fromtimestamp(record.timestamp, UTC))
