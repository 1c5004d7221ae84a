"""Contracts are loaded whenever a code location is: importing this room must cost next to nothing."""

from __future__ import annotations

import subprocess
import sys

HEAVY = ("jsonschema", "open_data_contract_standard.model", "yaml", "dagster", "torch", "pandas", "duckdb", "ledger")


def test_importing_the_room_imports_nothing_heavy() -> None:
    script = f"import sys, dpsynth_assets.contract; print([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_public_face() -> None:
    import dpsynth_assets.contract as room

    assert sorted(room.__all__) == [
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
