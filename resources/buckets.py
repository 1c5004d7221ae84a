"""Folders that are put into a bucket: what was released, to be given away from there.

    s3://bucket/prefix?endpoint=https://...     S3, or what speaks its protocol
    gs://bucket/prefix                          Google Cloud Storage
    abfs://container@account.dfs.core.windows.net/prefix   Azure

An object is there whole or not at all, and the one that is named last comes when all others are there: so whoever finds
it finds everything. Nothing is written over. Credentials come from the environment, as the clients have them, and what
they say of a failure is not passed on, since it may quote them.

Knows files, not what is in them. The stores of a home are folders: they rest on renaming, which buckets do not have.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

_ADDRESS = re.compile(r"(?:s3|gs|abfss?)://[\w.@-]+/[\w.=-][\w./=-]*(?:\?endpoint=https?://[\w.:-]+)?", re.ASCII)
_KINDS = "s3://BUCKET/PREFIX, gs://BUCKET/PREFIX or abfs://CONTAINER@ACCOUNT.dfs.core.windows.net/PREFIX"


class BucketError(RuntimeError):
    """A bucket cannot be written to; says where, and what to do."""


def require_address(text: str) -> str:
    """The address of a place in a bucket.

    Raises:
        BucketError: it is none. It is not repeated, since it may hold a secret.
    """
    if not _ADDRESS.fullmatch(text) or ("?" in text and not text.startswith("s3://")):
        raise BucketError(
            f"this is no place in a bucket: write {_KINDS}, without credentials, which come from the environment"
        )
    return text.rstrip("/")


def put(folder: Path, address: str, last: str) -> int:
    """Put all files of a folder below an address, and the one called `last` when all others are there; how many.

    Raises:
        BucketError: something is there already, or the bucket cannot be written to.
    """
    files = sorted((path for path in folder.rglob("*") if path.is_file()), key=lambda path: path.name == last)
    failed, there = None, False
    try:
        system, key = _opened(address)
        there = _is_taken(system, key)
        for file in () if there else files:
            name = f"{key}/{file.relative_to(folder).as_posix()}"
            with file.open("rb") as source, system.open_output_stream(name) as sink:
                shutil.copyfileobj(source, sink)
    except Exception as problem:  # its own words may quote what it was given by the environment
        failed = type(problem).__name__
    if failed is not None:
        raise BucketError(
            f"{address} could not be written ({failed}): check address and network, and the credentials in the "
            f"environment. Where {last} is missing there, remove what was written and give the same command again"
        )
    if there:
        raise BucketError(f"something lies at {address} already: name another place")
    return len(files)


def _opened(address: str) -> tuple[FileSystem, str]:
    """The bucket's file system, and the path in it."""
    from pyarrow import fs

    at = urlsplit(address)
    if at.scheme != "s3":
        system, key = fs.FileSystem.from_uri(address)
        return system, str(key)
    endpoint = urlsplit(parse_qs(at.query).get("endpoint", [""])[0])
    options: dict[str, Any] = (
        {"endpoint_override": endpoint.netloc, "scheme": endpoint.scheme} if endpoint.netloc else {}
    )
    return fs.S3FileSystem(**options), f"{at.netloc}{at.path}"


def _is_taken(system: FileSystem, key: str) -> bool:
    from pyarrow import fs

    if system.get_file_info(key).type == fs.FileType.File:
        return True
    below = fs.FileSelector(key, allow_not_found=True, recursive=True)
    return any(about.type == fs.FileType.File for about in system.get_file_info(below))
