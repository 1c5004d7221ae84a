"""The demo contract."""

from __future__ import annotations

from pathlib import Path

import pytest

from dpsynth_assets.contract import load_contract

CONTRACTS = Path(__file__).parents[2] / "contracts"


@pytest.fixture(scope="session")
def inbox():
    return load_contract(CONTRACTS / "inbox.odcs.yaml")
