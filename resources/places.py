"""Where sources lie, and how what lies there is opened.

    /data/letters.parquet, .csv, .jsonl, .xlsx, .duckdb, .sqlite   a file; CSV and JSON Lines as .gz too
    /data/letters                                                  a folder of Parquet files
    /data/letters-*.csv                                            all files of such names, in the order of these
    hub:owner/name                                                 a data set of the Hugging Face Hub
    s3://bucket/letters-*.csv?endpoint=https://...                 the same on S3 or what speaks its protocol
    postgresql://host:5432/database                                a PostgreSQL database

A place may hold `${NAME}`: the value of an environment variable, put in when the place is opened and not before. What
is signed, logged and said in errors is the place as it is written, so that no value shows. Names and passwords stand in
no place: the clients take them from the environment (`AWS_ACCESS_KEY_ID`, `PGUSER`, `PGPASSWORD`, `~/.pgpass` and so
on), and what they say of a failure is not passed on, since it may quote them.

Knows no contract, and no record.
"""

from __future__ import annotations

import glob
import gzip
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast
from urllib.parse import parse_qs, urlsplit

from resources.cells import SourceError
from resources.source import Equalities

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

HUB = "hub:"  # before the name of a Hugging Face Hub dataset
S3 = "s3://"
POSTGRESQL = "postgresql://"
SPLIT = "split"  # on the Hub not a column but the name of the files
_VARIABLE = re.compile(r"\$\{(\w+)\}")
_LINES = (".csv", ".tsv", ".txt", ".jsonl", ".ndjson")  # formats that may be packed
_SAME = {".xlsm": ".xlsx", ".ddb": ".duckdb", ".sqlite3": ".sqlite"}


@dataclass(frozen=True)
class Stored:
    """One file or table that records are read of.

    Attributes:
        name: what errors call it.
        format: its suffix, or `postgresql`.
        open: its bytes, unpacked.
        path: of a file on this machine.
        address: of a database elsewhere.
    """

    name: str
    format: str
    open: Callable[[], BinaryIO]
    path: Path | None = None
    address: str = ""

    @classmethod
    def of(cls, path: Path, name: str | None = None) -> Stored:
        """A file on this machine."""
        format_ = _format(path.name)
        if format_ == ".db":
            format_ = _database(path) or format_

        def opened() -> BinaryIO:
            packed = path.suffix.lower() == ".gz" and format_ in _LINES
            return cast("BinaryIO", gzip.open(path)) if packed else path.open("rb")

        return cls(name or str(path), format_, opened, path)


def stored_at(place: str, where: Equalities) -> list[Stored]:
    """What lies at a place, in the order in which it is read.

    Args:
        where: the filter of rows, which on the Hub names the split.

    Raises:
        SourceError: nothing that can be read lies there; says what to do.
    """
    if place.startswith(HUB):
        return [Stored.of(path) for path in _hub_files(place, where)]
    opened = expanded(place)
    if opened.startswith(POSTGRESQL):
        return [Stored(place, "postgresql", _nothing, address=opened)]
    if opened.startswith(S3):
        return _on_s3(place, opened)
    if not Path(opened).is_absolute():
        raise SourceError(f"{place} is no absolute path: the variable that it begins with must hold one")
    return [Stored.of(path, None if opened == place else f"{place} ({path.name})") for path in _files(place, opened)]


def expanded(place: str) -> str:
    """A place with the values of its variables. Not to be shown.

    Raises:
        SourceError: one is not set.
    """
    for name in _VARIABLE.findall(place):
        value = os.environ.get(name)
        if not value:
            raise SourceError(f"{place}: the environment variable {name} is not set: set it, and run again")
        if "*" in value:
            raise SourceError(f"{place}: the environment variable {name} holds a `*`: write that into the contract")
    return _VARIABLE.sub(lambda found: os.environ[found[1]], place)


def _nothing() -> BinaryIO:
    raise AssertionError("a database has no bytes to open")


def _format(name: str) -> str:
    suffixes = [suffix.lower() for suffix in Path(name).suffixes]
    if suffixes[-1:] == [".gz"]:
        return suffixes[-2] if suffixes[-2:-1] and suffixes[-2] in _LINES else "".join(suffixes[-2:])
    return _SAME.get(suffixes[-1], suffixes[-1]) if suffixes else ""


def _database(path: Path) -> str | None:
    """What kind of database a file is by its beginning; None for none."""
    with path.open("rb") as file:
        beginning = file.read(16)
    if beginning.startswith(b"SQLite format 3\0"):
        return ".sqlite"
    return ".duckdb" if beginning[8:12] == b"DUCK" else None


def _files(place: str, opened: str) -> list[Path]:
    path = Path(opened)
    if "*" in opened:
        # Only `*` is a pattern here: other characters of one stand for themselves.
        found = sorted(map(Path, glob.glob(glob.escape(opened).replace("[*]", "*"))))  # noqa: PTH207 (absolute)
        if not found:
            raise SourceError(f"no file is called {place}: correct the pattern in the contract")
        if other := [path.name for path in found if not path.is_file()]:
            raise SourceError(f"{place} names {other[0]} too, which is no file: move it away, or write another pattern")
        return found
    if path.is_dir():
        found = sorted(path.glob("*.parquet"))
        if not found:
            raise SourceError(f"{place} holds no .parquet file: name files of other formats by a pattern, as `*.csv`")
        return found
    if not path.is_file():
        what = "is no file that can be read twice (a pipe, say)" if path.exists() else "does not exist"
        raise SourceError(f"{place} {what}: correct its path in the contract, or give the source with --source")
    return [path]


def _on_s3(place: str, opened: str) -> list[Stored]:
    from pyarrow import fs

    address = urlsplit(opened)
    endpoint = urlsplit(parse_qs(address.query).get("endpoint", [""])[0])
    options: dict[str, Any] = (
        {"endpoint_override": endpoint.netloc, "scheme": endpoint.scheme} if endpoint.netloc else {}
    )
    key = f"{address.netloc}{address.path}".rstrip("/")
    failed = None
    try:
        system = fs.S3FileSystem(**options)
        found = _keys(system, key)
    except Exception as problem:  # its own words may quote what it was given by the environment
        failed = type(problem).__name__
    if failed is not None:
        raise SourceError(
            f"{place} could not be had ({failed}): check address and network, and the credentials in the environment "
            "(AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION)"
        )
    if not found:
        raise SourceError(f"{place} holds no such file: correct its location in the contract")
    return [_object(system, each, place) for each in found]


def _keys(system: FileSystem, key: str) -> list[str]:
    """The objects of a name, a pattern or a folder of Parquet files, in the order of their names."""
    from pyarrow import fs

    if "*" not in key:
        about = system.get_file_info(key)
        if about.type == fs.FileType.File:
            return [key]
        key += "/*.parquet"
    wanted = key.split("/")
    fixed = next(place for place, part in enumerate(wanted) if "*" in part)
    below = fs.FileSelector("/".join(wanted[:fixed]), allow_not_found=True, recursive=fixed < len(wanted) - 1)
    paths = (about.path for about in system.get_file_info(below) if about.type == fs.FileType.File)
    return sorted(path for path in paths if _is_called(path.split("/"), wanted))


def _is_called(parts: list[str], wanted: list[str]) -> bool:
    return len(parts) == len(wanted) and all(map(fnmatchcase, parts, wanted))


def _object(system: FileSystem, key: str, place: str) -> Stored:
    format_ = _format(key)

    def opened() -> BinaryIO:
        if format_ not in _LINES:
            return cast("BinaryIO", system.open_input_file(key))
        stream = cast("BinaryIO", system.open_input_stream(key, compression=None, buffer_size=2**20))
        return cast("BinaryIO", gzip.GzipFile(fileobj=stream)) if key.lower().endswith(".gz") else stream

    if format_ in (".duckdb", ".sqlite"):
        raise SourceError(f"{place} is a database file, which is read from a disk only: copy it to this machine")
    return Stored(f"{place} ({key.rsplit('/', 1)[-1]})" if "*" in place else place, format_, opened)


def _hub_files(place: str, where: Equalities) -> list[Path]:
    from huggingface_hub import snapshot_download

    name, split = place.removeprefix(HUB), where.get(SPLIT)
    pattern = "*.parquet" if split is None else f"*{glob.escape(str(split))}*.parquet"
    try:
        folder = Path(snapshot_download(name, repo_type="dataset", allow_patterns=[pattern]))
    except Exception as problem:  # the Hub client raises many kinds: not found, gated, offline, proxy
        raise SourceError(
            f"{place} could not be had from the Hugging Face Hub ({type(problem).__name__}): check name and network, "
            "or give a local copy with --source"
        ) from problem
    found = sorted(folder.rglob("*.parquet"))
    if split is not None:
        found = [path for path in found if _split_of(path.relative_to(folder)) == str(split)]
    if not found:
        raise SourceError(
            f"{place} holds no Parquet file of the split {'asked for' if split is None else split!r}. The files of one "
            "are called `NAME-*.parquet` or `NAME.parquet`, or are numbered in a folder NAME; of others give a local "
            "copy with --source"
        )
    return found


def _split_of(path: Path) -> str:
    """The one split that a file is of: what its name begins with, up to `-` or `.`; or, where that is a number as in
    `train/0000.parquet`, its folder."""
    beginning = re.split(r"[-.]", path.name)[0]
    return path.parent.name if beginning.isdecimal() else beginning
