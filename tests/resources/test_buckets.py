"""A folder in a bucket: whole and in order, over nothing, and no credential in what is said."""

from __future__ import annotations

import pytest

from resources.buckets import BucketError, put, require_address
from tests.bucket import KEY, WRITER, bucket


@pytest.fixture
def served(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", WRITER)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", KEY)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with bucket() as running:
        yield running


@pytest.fixture
def folder(tmp_path):
    for name, content in (("README.md", b"read"), ("card/card.json", b"{}"), ("rows.parquet", b"x" * 11_000_000)):
        path = tmp_path / "out" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tmp_path / "out"


def test_all_files_are_there_and_the_one_that_says_so_comes_last(served, folder):
    assert put(folder, f"s3://released/in/box{served.endpoint}", last="README.md") == 3
    assert list(served.objects)[-1] == "in/box/README.md"
    assert {name: len(body) for name, body in served.objects.items()} == {
        "in/box/README.md": 4,
        "in/box/card/card.json": 2,
        "in/box/rows.parquet": 11_000_000,
    }


@pytest.mark.parametrize("there", ["in/box", "in/box/else.txt"])
def test_nothing_is_written_over(served, folder, there):
    served.objects[there] = b"mine"
    with pytest.raises(BucketError, match="something lies at"):
        put(folder, f"s3://released/in/box{served.endpoint}", last="README.md")
    assert served.objects == {there: b"mine"}


def test_a_place_whose_name_only_begins_alike_is_another(served, folder):
    served.objects["in/box-2/README.md"] = b"mine"
    assert put(folder, f"s3://released/in/box{served.endpoint}", last="README.md") == 3


def test_what_was_cut_off_lacks_the_last(served, folder):
    served.full = 2
    with pytest.raises(BucketError, match=r"Where README.md is missing"):
        put(folder, f"s3://released/in/box{served.endpoint}", last="README.md")
    assert "in/box/README.md" not in served.objects


def test_a_failure_names_no_credential(served, folder, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "stranger")
    with pytest.raises(BucketError, match="could not be written") as caught:
        put(folder, f"s3://released/in/box{served.endpoint}", last="README.md")
    assert caught.value.__context__ is None
    assert KEY not in str(caught.value)
    assert "stranger" not in str(caught.value)
    assert served.objects == {}


@pytest.mark.parametrize(
    "address",
    [
        "/a/folder",
        "s3:/bucket/a",
        "s3://bucket",
        "s3://bucket/",
        "s3://me:hunter2-XYZZY@bucket/a",
        "s3://bucket/a?access_key=hunter2-XYZZY",
        "gs://bucket/a?endpoint=http://127.0.0.1:1",
        "file:///etc/passwd",
        "http://bucket/a",
    ],
)
def test_what_is_no_place_in_a_bucket_is_not_repeated(address):
    with pytest.raises(BucketError, match="no place in a bucket") as caught:
        require_address(address)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "address",
    [
        "s3://b/a",
        "s3://b/a/b=1/?endpoint=https://minio.example.org:9000",
        "gs://b/a",
        "abfs://c@a.dfs.core.windows.net/a",
    ],
)
def test_places_in_buckets(address):
    assert require_address(address)
