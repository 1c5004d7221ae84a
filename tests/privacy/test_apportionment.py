"""Rows split by counts: exactly, within what is there."""

from hypothesis import given
from hypothesis import strategies as st

from dpsynth_assets.privacy.apportionment import apportion, apportion_within


def test_what_a_cell_lacks_goes_to_the_others_in_proportion():
    assert apportion_within({"a": 6, "b": 2, "c": 2}, {"a": 9, "b": 9, "c": 9}, 10) == {"a": 6, "b": 2, "c": 2}
    assert apportion_within({"a": 6, "b": 3, "c": 1}, {"a": 2, "b": 9, "c": 9}, 10) == {"a": 2, "b": 6, "c": 2}


def test_cells_without_a_count_come_last():
    assert apportion_within({"a": 5, "b": 0}, {"a": 4, "b": 9, "c": 3}, 4) == {"a": 4, "b": 0, "c": 0}
    assert apportion_within({"a": 5, "b": 0}, {"a": 4, "b": 9, "c": 3}, 8) == {"a": 4, "b": 3, "c": 1}
    assert apportion_within({}, {"a": 4, "b": 8}, 6) == {"a": 2, "b": 4}


counts = st.dictionaries(st.integers(0, 8), st.integers(0, 50))


@given(counts, counts, st.integers(0, 200))
def test_the_split_is_exact_and_within_what_is_there(asked, there, rows):
    given_ = apportion_within(asked, there, rows)
    assert sum(given_.values()) == min(rows, sum(there.values()))
    assert all(0 <= given_[cell] <= there[cell] for cell in there)
    if any(count and not asked.get(cell) for cell, count in given_.items()):
        assert all(given_[cell] == there[cell] for cell in there if asked.get(cell)), "the others are used up"


@given(st.dictionaries(st.integers(0, 8), st.integers(0, 50), min_size=1), st.integers(0, 200))
def test_with_enough_of_everything_it_is_the_plain_split(asked, rows):
    if sum(asked.values()):
        assert apportion_within(asked, dict.fromkeys(asked, 200), rows) == apportion(asked, rows)
