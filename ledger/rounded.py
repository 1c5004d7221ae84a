"""Figures of a budget as people read them: nobody reads that less was spent, or that more is left, than the ledger has.

Knows numbers alone. What is computed with stays exact.
"""

from __future__ import annotations

import math
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal


def up(value: float | None, digits: int = 3) -> str:
    """What was spent, asked or promised: not below the value."""
    return _rounded(value, digits, ROUND_CEILING)


def down(value: float | None, digits: int = 3) -> str:
    """What is left: not above the value."""
    return _rounded(value, digits, ROUND_FLOOR)


def _rounded(value: float | None, digits: int, direction: str) -> str:
    if value is None or math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞"
    return str(Decimal(repr(float(value))).quantize(Decimal(1).scaleb(-digits), rounding=direction))
