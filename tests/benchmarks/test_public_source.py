"""Benchmarks try things on real rows only where those are public."""

from __future__ import annotations

import pytest

from benchmarks.public_source import public_contract


def test_a_secret_source_ends_the_benchmark(contract_path):
    with pytest.raises(SystemExit, match="not declared public: its people have one budget"):
        public_contract(contract_path)


def test_a_public_one_may_lie_elsewhere(contract_path, tmp_path):
    text = contract_path.read_text(encoding="utf-8").replace("confidential", "public").replace("restricted", "public")
    contract_path.write_text(
        text.replace(
            "          generation:",
            "          source_is_public: true\n          source_copies: [other*.parquet]\n          generation:",
        )
    )
    other = str(contract_path.parent / "other.parquet")
    assert public_contract(contract_path).source != other
    assert public_contract(contract_path, other).source == other
    with pytest.raises(SystemExit, match="is no place that contract"):
        public_contract(contract_path, str(tmp_path / "another.parquet"))
