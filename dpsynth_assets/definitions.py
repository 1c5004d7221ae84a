"""The code location: every contract that lies where contracts do (`contracts_folder`) as assets.

A contract that does not hold is an asset of its own that says why, and the others load: assets that silently disappear
would be worse than none, and one owner's slip of the pen must not stop the others.
"""

from __future__ import annotations

import os
from pathlib import Path

import dagster as dg

from dpsynth_assets.assets.broken import broken_asset
from dpsynth_assets.assets.early_warning import early_warning_sensor
from dpsynth_assets.automation import retention, retention_schedule
from dpsynth_assets.contract import Contract, ContractError, load_contract, names_in
from dpsynth_assets.contracts_folder import contracts_folder
from dpsynth_assets.factory import build_contract_defs
from dpsynth_assets.lost_runs import lost_runs, told_apart
from resources.own_process import keep_to_itself
from resources.platform import platform_resources


def loaded_folder() -> Path:
    """Where contracts lie; those of the checkout where nobody says and none are there."""
    folder = contracts_folder()
    said = bool(os.environ.get("DPSYNTH_CONTRACTS"))
    return folder if said or folder.is_dir() else Path(__file__).parent.parent / "contracts"


def load_contracts(folder: Path) -> tuple[list[Contract], dict[Path, str]]:
    """The contracts of a folder that hold, and what is wrong with each of the other files.

    Of two with one id none is loaded: nobody can tell which of them its people signed for.
    """
    read: dict[Path, Contract] = {}
    broken: dict[Path, str] = {}
    for path in sorted(folder.glob("*.odcs.yaml")):
        try:
            read[path] = load_contract(path)
        except ContractError as error:
            broken[path] = str(error)
    sharing: dict[str, list[Path]] = {}
    for path, contract in read.items():
        sharing.setdefault(contract.id, []).append(path)
    for path in tuple(broken):  # nor is one loaded whose id a file has that does not hold: it may be the one signed for
        for name in names_in(path) & sharing.keys():
            sharing[name].append(path)
    for id_, paths in sharing.items():
        for path in paths if len(paths) > 1 else ():
            others = ", ".join(other.name for other in paths if other != path)
            said = f"the id {id_} is that of {others} too: give each contract an id of its own"
            broken[path] = f"{broken[path]}\n{said}" if path in broken else said
    return [contract for path, contract in read.items() if path not in broken], broken


def definitions_in(folder: Path) -> dg.Definitions:
    """The assets of all contracts of a folder, and the sensor that warns of them; of those that do not hold, an asset
    each that says why."""
    contracts, broken = load_contracts(folder)
    parts, loaded = [], []
    for contract in contracts:
        try:
            parts.append(build_contract_defs(contract))
            loaded.append(contract)
        except Exception as error:  # whatever it is, it concerns this contract: the others must load
            broken[contract.path] = f"its assets cannot be made ({type(error).__name__}): {error}"
    stand_ins = [broken_asset(path, why) for path, why in broken.items()]
    parts.append(dg.Definitions(assets=stand_ins, sensors=[early_warning_sensor(loaded)]))
    return dg.Definitions.merge(*parts)


def executor() -> dg.ExecutorDefinition:
    """One process per run, or $DPSYNTH_EXECUTOR=multiprocess for a process per asset.

    A run may configure how many processes there are, and nothing else: Dagster's executors would also let it go on
    behind a step that failed, and name modules to import.
    """
    processes = {"max_concurrent": dg.Field(int, default_value=0, description="Assets at once; 0: one for each core.")}
    kinds = {
        "in_process": told_apart(dg.in_process_executor).configured(lambda _: {}, config_schema={}),
        "multiprocess": told_apart(dg.multiprocess_executor).configured(lambda config: config, config_schema=processes),
    }
    chosen = os.environ.get("DPSYNTH_EXECUTOR", "in_process")
    if chosen not in kinds:
        raise ValueError(f"DPSYNTH_EXECUTOR is {chosen!r}; choose one of {', '.join(kinds)}")
    return kinds[chosen]


keep_to_itself()  # the processes of Dagster's runs load this
defs = dg.Definitions.merge(
    definitions_in(loaded_folder()),
    dg.Definitions(
        jobs=[retention],
        schedules=[retention_schedule],
        sensors=[lost_runs],
        resources=platform_resources(),
        executor=executor(),
    ),
)
