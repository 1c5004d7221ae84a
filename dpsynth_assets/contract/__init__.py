"""What a contract says: the public face of this package.

A contract is an ODCS 3.x file with strict privacy terms. Nothing here opens a source, draws a random number or knows
what runs later.
"""

from dpsynth_assets.contract.model import Column, Contract, QualityRule, SourcePlaceError, resolve
from dpsynth_assets.contract.odcs import lint_contract, load_contract, names_in
from dpsynth_assets.contract.problems import ContractError, Problem

__all__ = [
    "Column",
    "Contract",
    "ContractError",
    "Problem",
    "QualityRule",
    "SourcePlaceError",
    "lint_contract",
    "load_contract",
    "names_in",
    "resolve",
]
