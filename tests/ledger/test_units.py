"""By what units are told apart: entries of before state no type, and their columns may be called anything."""

from __future__ import annotations

import pytest

from ledger.units import is_typed, same_unit_by


@pytest.mark.parametrize(
    ("unit_by", "typed"),
    [
        (None, False),
        ("column sold", False),
        ("column sold as new", False),
        ("column sold as string", True),
        ("column sold as new as integer", True),
    ],
)
def test_only_a_type_that_a_contract_can_state_is_one(unit_by: str | None, typed: bool) -> None:
    assert is_typed(unit_by) is typed


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("column sold as new", "column sold as new as string", True),
        ("column sold as new", "column sold", False),
        ("column sold as string", "column sold as integer", False),
        ("column sold", "column sold as integer", True),
        (None, "column sold", False),
    ],
)
def test_the_column_decides_where_one_side_states_no_type(one: str | None, other: str | None, same: bool) -> None:
    assert same_unit_by(one, other) is same
    assert same_unit_by(other, one) is same
