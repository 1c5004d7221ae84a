"""Nobody reads that less was spent, or that more is left, than the ledger has."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.rounded import down, up


@given(st.floats(min_value=0, max_value=1e6), st.integers(min_value=0, max_value=6))
def test_what_was_spent_is_not_understated_and_what_is_left_not_overstated(value, digits):
    assert float(down(value, digits)) <= value <= float(up(value, digits))
    assert float(up(value, digits)) - float(down(value, digits)) <= 1.01 * 10**-digits


@pytest.mark.parametrize(
    ("value", "spent", "left"),
    [
        (7.3103, "7.311", "7.310"),
        (8.0, "8.000", "8.000"),
        (0.0, "0.000", "0.000"),
        (math.inf, "∞", "∞"),
        (None, "–", "–"),
    ],
)
def test_figures_as_people_read_them(value, spent, left):
    assert (up(value), down(value)) == (spent, left)
