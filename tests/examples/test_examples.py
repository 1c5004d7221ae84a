"""The scripts under examples/ run, and say what they promise."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).parents[2] / "examples"


def printed_by(name: str, capsys: pytest.CaptureFixture[str]) -> str:
    runpy.run_path(str(EXAMPLES / name), run_name="__main__")
    return capsys.readouterr().out


def test_a_model_is_trained_within_the_epsilon_that_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    out = printed_by("private_training.py", capsys)
    epsilon = float(out.split("(")[1].split(",")[0])
    assert 1.9 < epsilon <= 2.0
    assert "for adding or removing one person" in out


def test_a_budget_is_spent_until_the_ledger_refuses(capsys: pytest.CaptureFixture[str]) -> None:
    out = printed_by("budget.py", capsys)
    assert "month 9: refused, since it does not fit into what is left" in out
    assert "what is wrong with the ledger: nothing" in out
