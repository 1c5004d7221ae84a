"""`budget`: what the population's ledger says, as numbers that Dagster plots. Reads the ledger and nothing else.

The gate adds an observation to this asset at every charge and every refusal, so the plots need no schedule.
"""

import dagster as dg

from dpsynth_assets.assets.common import contract_asset, plain_failures
from dpsynth_assets.assets.figures import guarantee
from dpsynth_assets.contract import Contract
from dpsynth_assets.gate.observation import BUDGET, balance_figures
from dpsynth_assets.releases.registry import planned_names
from ledger import LedgerError
from resources.ledger import LedgerResource


def budget_asset(contract: Contract) -> dg.AssetsDefinition:
    """The budget asset of a contract."""

    @contract_asset(
        contract,
        BUDGET,
        description=(
            f"The privacy budget of population `{contract.privacy.population}`: {guarantee(contract)}.\n\n"
            "Cap, spent, reserved and remaining epsilon, plotted under Plots."
        ),
        kinds={"duckdb"},
        follows=False,
        after=planned_names(contract),
        partitioned=False,
    )
    def budget(context: dg.AssetExecutionContext, ledger: LedgerResource) -> dg.MaterializeResult[None]:
        with plain_failures(LedgerError):
            spending = ledger.open().spending(contract.privacy.population)
        return dg.MaterializeResult(
            metadata={**balance_figures(spending), "guarantee": dg.MetadataValue.md(guarantee(contract))}
        )

    return budget
