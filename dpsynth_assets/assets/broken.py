"""A contract that does not hold, as an asset: it shows in the UI with its problems, and the others load.

Without it assets would silently disappear. It has no source and no release: all that it can do is to look at its file
again. Knows the file's name and what is wrong with it.
"""

import hashlib
import re
from pathlib import Path

import dagster as dg

from dpsynth_assets.contract import ContractError, load_contract
from dpsynth_assets.markdown import escaped

GROUP = "broken_contracts"
_PREFIX = "broken-contracts"  # no contract's id has a dash


def broken_asset(path: Path, why: str) -> dg.AssetsDefinition:
    """The asset of a contract's file that does not load, with what is to be done about it."""
    listed = "\n\n".join(escaped(line) for line in why.splitlines())

    @dg.asset(
        key=dg.AssetKey([_PREFIX, _name_of(path)]),
        group_name=GROUP,
        description=(
            f"The contract `{escaped(path.name)}` does not hold, so it has no assets.\n\n{listed}\n\n"
            "Correct the file, then reload this code location (Deployment). Materializing this asset reads the file "
            "again and says what is left to do."
        ),
        kinds={"yaml"},
        tags={"spends_budget": "no", "follows_inputs": "no"},
        metadata={"contract_file": path.name, "problems": dg.MetadataValue.md(listed)},
    )
    def broken(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        try:
            load_contract(path)
        except ContractError as error:
            raise dg.Failure(str(error), allow_retries=False) from None
        return dg.MaterializeResult(metadata={"next": "By itself the file holds now: reload this code location."})

    return broken


def _name_of(path: Path) -> str:
    """The file's name as Dagster takes one; two files have two."""
    stem = path.name.removesuffix(".odcs.yaml")
    plain = re.sub(r"\W", "_", stem, flags=re.ASCII)
    return (
        plain if plain == stem else f"{plain}_{hashlib.sha256(stem.encode(errors='surrogateescape')).hexdigest()[:8]}"
    )
