"""One immutable Parquet file per release. The file carries its own metadata: receipt, guarantee, verdict.

The warehouse is rebuilt from these files alone, so a lost `warehouse.duckdb` is no loss, and a file that is copied
elsewhere still says what it is. Only post-processed rows come here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from dpsynth_assets.atomic import replacing
from dpsynth_assets.publish.release import PublishError, PublishRefused, ReleaseRecord
from dpsynth_assets.quality.digest import digest_of_table
from dpsynth_assets.quality.verdict import QualityError, Verdict

if TYPE_CHECKING:
    import pandas as pd

_KEY = b"dpsynth"
_FORMAT = 1


@dataclass(frozen=True)
class ReleaseMetadata:
    """What a release's file says about itself. `columns` are descriptions in the order of the file's columns."""

    release: ReleaseRecord
    verdict: Verdict
    guarantee: str
    description: str
    columns: Mapping[str, str]

    def to_bytes(self) -> bytes:
        data = {
            "format": _FORMAT,
            "release": self.release.to_json(),
            "verdict": self.verdict.to_json(),
            "guarantee": self.guarantee,
            "description": self.description,
            "columns": dict(self.columns),
        }
        return json.dumps(data, allow_nan=False).encode()

    @classmethod
    def from_bytes(cls, raw: bytes) -> ReleaseMetadata:
        data: dict[str, Any] = json.loads(raw)
        if data.pop("format", None) != _FORMAT:
            raise ValueError("unknown format")
        release = ReleaseRecord.from_json(data.pop("release"))
        return cls(release=release, verdict=Verdict.from_json(data.pop("verdict")), **data)


def path_of(folder: Path, release: ReleaseRecord) -> Path:
    """Where a release's file lies: parquet/<contract>/<table>/<release>.parquet."""
    return folder / release.contract / release.table / f"{release.id}.parquet"


def write(folder: Path, table: pa.Table, metadata: ReleaseMetadata) -> Path:
    """Store a release, whole or not at all. The same rows and terms again change nothing; others are refused."""
    path = path_of(folder, metadata.release)
    if path.exists():
        if _terms(read(path)) != _terms(metadata):
            raise PublishRefused(
                f"release {metadata.release.id} of {metadata.release.contract} is already published with other rows or "
                "terms; a release never changes: publish under a new id"
            )
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path, mode=0o444) as file:
        pq.write_table(table.replace_schema_metadata({_KEY: metadata.to_bytes()}), file, compression="zstd")
    return path


def _terms(metadata: ReleaseMetadata) -> tuple[object, ...]:
    """What a second publication under the same id must agree on: rows and guarantee, not its time or who judged it."""
    release = metadata.release
    return metadata.verdict.corpus_digest, release.epsilon, release.delta, release.population, release.unit


def read(path: Path, file: BinaryIO | None = None) -> ReleaseMetadata:
    """The metadata in a release's file, with its present place; refuses a file that is not one. `file`: it, opened."""
    try:
        metadata = ReleaseMetadata.from_bytes((pq.read_schema(file or path).metadata or {})[_KEY])
    except FileNotFoundError:
        raise PublishError(f"there is no release at {path}; publish it again") from None
    except (KeyError, TypeError, ValueError, QualityError, PublishError, pa.ArrowException):
        raise PublishError(
            f"{path} is not a release of this platform (its metadata is missing or unreadable); "
            "move it out of the warehouse folder"
        ) from None
    return replace(metadata, release=replace(metadata.release, parquet=str(path.absolute())))


def load(path: Path) -> pd.DataFrame:
    """The rows of a published release, refused unless they are those that passed: what classifiers are trained on."""
    metadata = read(path)
    try:
        with pq.ParquetFile(path) as file:
            table = file.read()
    except (OSError, pa.ArrowException):
        raise PublishError(f"{path}: its rows cannot be read; publish the release again") from None
    if digest_of_table(table) != metadata.verdict.corpus_digest:
        raise PublishError(f"{path}: its rows are not those that passed the quality rules; publish the release again")
    return table.to_pandas()


def files(folder: Path) -> list[Path]:
    """What lies where releases lie, be it one or not."""
    return [path for path in sorted(folder.glob("*/*/*.parquet")) if not path.name.startswith(".")]


def stored(folder: Path, believed: Callable[[Path], bool]) -> Iterator[ReleaseMetadata]:
    """The metadata of every release in the folder that is believed and lies in its own place, oldest first."""
    found = [read(path) for path in files(folder) if believed(path)]
    proper = [each for each in found if Path(each.release.parquet) == path_of(folder, each.release).absolute()]
    yield from sorted(proper, key=lambda metadata: (metadata.release.moment, metadata.release.id))


def verify(folder: Path) -> list[str]:
    """What is wrong with the stored releases, reading every row again; empty when all are as they were judged."""
    problems = []
    for path in files(folder):
        try:
            load(path)
            proper = path_of(folder, read(path).release)
        except PublishError as error:
            problems.append(str(error))
            continue
        if path != proper:
            problems.append(f"{path}: its metadata belongs at {proper}")
    return problems
