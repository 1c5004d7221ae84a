"""The code location: every contract under `contracts/` (or $DPSYNTH_CONTRACTS) as assets.

A contract that does not hold stops the whole location, with all problems of all contracts at once: assets that silently
disappear would be worse than none.
"""

from __future__ import annotations

import os
from pathlib import Path

import dagster as dg

from dpsynth_assets.automation import retention, retention_schedule
from dpsynth_assets.contract import Contract, ContractError, load_contract
from dpsynth_assets.factory import build_contract_defs
from resources.home import nobody_else_writes
from resources.platform import platform_resources


class ContractsError(Exception):
    """Some contracts do not hold; the message has every problem of each."""


def contracts_folder() -> Path:
    """$DPSYNTH_CONTRACTS, or `contracts` in the working directory, or the one beside this package."""
    if chosen := os.environ.get("DPSYNTH_CONTRACTS"):
        return Path(chosen)
    here = Path("contracts")
    return here if here.is_dir() else Path(__file__).parent.parent / "contracts"


def load_contracts(folder: Path) -> list[Contract]:
    """All contracts of a folder.

    Raises:
        ContractsError: some do not hold, or two of them have the same id.
    """
    contracts: dict[str, Contract] = {}
    problems: list[str] = []
    for path in sorted(folder.glob("*.odcs.yaml")):
        try:
            contract = load_contract(path)
        except ContractError as error:
            problems.append(f"{path}:\n{error}")
            continue
        if contract.id in contracts:
            problems.append(f"{path}: the id {contract.id} is taken by {contracts[contract.id].path}; ids must differ")
        contracts[contract.id] = contract
    if problems:
        raise ContractsError("\n\n".join(problems))
    return list(contracts.values())


def executor() -> dg.ExecutorDefinition:
    """One process per run, or $DPSYNTH_EXECUTOR=multiprocess for a process per asset.

    A run may configure how many processes there are, and nothing else: Dagster's executors would also let it go on
    behind a step that failed, and name modules to import.
    """
    processes = {"max_concurrent": dg.Field(int, default_value=0, description="Assets at once; 0: one for each core.")}
    kinds = {
        "in_process": dg.in_process_executor.configured(lambda _: {}, config_schema={}),
        "multiprocess": dg.multiprocess_executor.configured(lambda config: config, config_schema=processes),
    }
    chosen = os.environ.get("DPSYNTH_EXECUTOR", "in_process")
    if chosen not in kinds:
        raise ValueError(f"DPSYNTH_EXECUTOR is {chosen!r}; choose one of {', '.join(kinds)}")
    return kinds[chosen]


nobody_else_writes()  # the processes of Dagster's runs load this
defs = dg.Definitions.merge(
    *(build_contract_defs(contract) for contract in load_contracts(contracts_folder())),
    dg.Definitions(
        jobs=[retention], schedules=[retention_schedule], resources=platform_resources(), executor=executor()
    ),
)
