"""What is read without a grant may be no source, whatever its server is called."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dpsynth_assets.contract import SourcePlaceError
from dpsynth_assets.gate.sources import is_protected


def contract(source: str, *copies: str) -> Any:
    def with_source(place: str) -> None:
        raise SourcePlaceError(place)

    made = SimpleNamespace(source=source, privacy=SimpleNamespace(source_copies=copies), with_source=with_source)
    made.declared = made
    return made


@pytest.mark.parametrize(
    ("place", "protected"),
    [
        ("postgresql://127.0.0.1:5432/bank", True),
        ("postgresql://localhost/%62ank/", True),
        ("postgresql://localhost/other", False),
        ("s3://bank/letters.parquet", False),
    ],
)
@pytest.mark.parametrize("source", ["postgresql://localhost/bank", "postgresql://${BANK_HOST}/bank"])
def test_a_server_by_another_name_is_the_source(monkeypatch, source, place, protected):
    monkeypatch.setenv("BANK_HOST", "db.internal")
    assert is_protected(place, contract(source), Path()) is protected
    assert is_protected(place, contract("letters.csv", source), Path()) is protected
