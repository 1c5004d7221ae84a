"""The contract of a benchmark that tries things on real rows: only of a source that its owner declares public."""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd

from dpsynth_assets.contract import Contract, SourcePlaceError, load_contract
from dpsynth_assets.gate.sources import source_of
from resources.tabular import as_rows, table_at


def public_contract(path: Path, source: str | None = None) -> Contract:
    """The contract in a file, with another copy of its source if one is given; ends the program where the source is not
    declared public, because each try would be one more release about the same people, or names no such copy."""
    contract = load_contract(path)
    if not contract.privacy.source_is_public:
        sys.exit(f"the source of {contract.id} is not declared public: its people have one budget, not one a run")
    try:
        return contract.with_source(source) if source else contract
    except SourcePlaceError as error:
        sys.exit(str(error))


def rows_of(contract: Contract) -> pd.DataFrame:
    """All rows of such a contract's source."""
    source = source_of(contract)
    return as_rows(table_at(source.place, source.where, source.columns, source.layout), source.columns)
