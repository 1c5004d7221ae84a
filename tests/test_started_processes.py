"""Every Python that the program starts is told to import nothing from the working directory: it may be another's."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OPEN = re.compile(r'sys\.executable(?!\))(?!, "-[PI]")')  # `dirname(sys.executable)` starts nothing


@pytest.mark.parametrize("package", ["dpsynth_assets", "ledger", "resources"])
def test_a_started_python_is_safe(package):
    modules = list((ROOT / package).rglob("*.py"))
    assert modules
    assert [module for module in modules if OPEN.search(module.read_text(encoding="utf-8"))] == []
