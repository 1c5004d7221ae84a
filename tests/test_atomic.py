"""Files that appear whole or not at all."""

import os

import pytest

from dpsynth_assets.atomic import replacing
from resources.home import replace_atomically


class DiskFullError(Exception):
    pass


def fails_half_way(path):
    with replacing(path) as file:
        file.write(b"half")
        raise DiskFullError


def replaces(path, content):
    with replacing(path) as file:
        file.write(content)


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "figures.json"
    path.write_bytes(b"old")
    with pytest.raises(DiskFullError):
        fails_half_way(path)
    assert path.read_bytes() == b"old"
    with replacing(path) as file:
        file.write(b"new")
        assert path.read_bytes() == b"old", "until the block ends"
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path], "nothing else is left"


@pytest.mark.parametrize("write", [replaces, replace_atomically])
def test_content_is_on_the_disk_before_its_name(write, tmp_path, monkeypatch):
    done = []
    sync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda handle: (done.append(os.fstat(handle).st_ino), sync(handle)))
    monkeypatch.setattr(os, "replace", lambda *paths: (done.append("named"), replace(*paths)))
    write(tmp_path / "x", b"12345")
    assert done == [(tmp_path / "x").stat().st_ino, "named", tmp_path.stat().st_ino]


def test_nobody_else_reads_what_is_private_not_even_while_it_is_written(tmp_path):
    with replacing(tmp_path / "x", mode=0o600) as file:
        assert os.fstat(file.fileno()).st_mode & 0o777 == 0o600
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o600
