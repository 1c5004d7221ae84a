"""Rows that are mapped: all of them, in order, in a file that nobody finds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dpsynth_assets.mapped import mapped

NONE = np.empty((0, 3), np.float32)


def test_the_rows_are_those_of_the_parts_in_order(tmp_path):
    parts = [
        np.arange(first, first + 3 * rows, dtype=np.float32).reshape(rows, 3)
        for first, rows in ((1, 2), (9, 0), (20, 5))
    ]
    found = mapped(iter(parts), NONE, tmp_path)
    assert found.tolist() == np.concatenate(parts).tolist()
    assert found.dtype == np.float32


def test_no_row_is_an_empty_array(tmp_path):
    assert mapped([], NONE, tmp_path).shape == mapped([NONE, NONE], NONE, tmp_path).shape == (0, 3)


def test_a_part_of_another_width_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="width"):
        mapped([np.zeros((3, 2), np.float32)], NONE, tmp_path)


def test_the_file_is_in_the_folder_without_a_name_and_goes_with_the_array(tmp_path):
    def files(place: str) -> list[str]:
        """What this process has open, or mapped, in the folder."""
        if place == "fd":
            found = [str(each.readlink()) for each in Path("/proc/self/fd").iterdir() if each.is_symlink()]
        else:
            found = [line.split(maxsplit=5)[-1].strip() for line in Path("/proc/self/maps").read_text().splitlines()]
        return [each for each in found if each.startswith(str(tmp_path))]

    def parts():
        yield np.zeros((4, 3), np.float32)
        [opened] = files("fd")
        assert opened.endswith("(deleted)")
        yield np.ones((1, 3), np.float32)

    found = mapped(parts(), NONE, tmp_path / "sensitive")
    assert list((tmp_path / "sensitive").iterdir()) == []
    [own] = files("maps")
    assert own.endswith("(deleted)")
    del found
    assert files("maps") == files("fd") == []
