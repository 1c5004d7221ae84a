"""Units by number: whoever comes first has the lower one, and nobody's records are another's."""

from __future__ import annotations

import numpy as np
import pytest

from dpsynth_assets.privacy.unit_numbers import Groups, UnitNumbers, require_bounded

NAMES = ["b", "a", "b", "", "a\0", "a", "b"]


def test_units_are_numbered_as_they_first_appear():
    units = UnitNumbers()
    assert units.extend(NAMES[:3]).tolist() == [0, 1, 0]
    units.append(NAMES[3])
    assert units.extend(NAMES[4:]).tolist() == [3, 1, 0]
    assert units.numbers().tolist() == [0, 1, 0, 2, 3, 1, 0]
    assert UnitNumbers().numbers().tolist() == []


def test_groups_are_the_records_of_each_unit():
    units = UnitNumbers()
    units.extend(NAMES)
    assert list(Groups(units.numbers())) == [[0, 2, 6], [1, 5], [3], [4]]
    assert list(Groups(np.array([], np.int64))) == []


@pytest.mark.parametrize("kept", [list, lambda names: _numbers(names)])
def test_a_unit_with_more_records_than_are_bounded_is_refused(kept):
    require_bounded(kept(NAMES), 3)
    require_bounded(kept([]), 1)
    with pytest.raises(ValueError, match=r"more than max_records \(2\)"):
        require_bounded(kept(NAMES), 2)


def _numbers(names):
    units = UnitNumbers()
    units.extend(names)
    return units.numbers()
