"""The warehouse: one DuckDB file of views over the published Parquet, replaced as a whole on every publication.

What it shows is written by `catalogue`. Whoever has the old file open keeps reading it; whoever opens it next sees the
new one. It is for other tools: `dpsynth sql` asks the Parquet files themselves (`query`), since a DuckDB file holds SQL
text, which whoever opens it runs. It names the Parquet files by their place beside it, so that a copy of a home never
shows another home's: who asks says where that is, by the variable `warehouse_folder`, or works in that folder.

Nothing gets in without a passing verdict on exactly these rows under exactly this contract, and no file has a view
unless it is as it was sealed. The order is: the Parquet file, its seal in the ledger, the database. A file that a kill
left without a seal is nobody's, and publishing again writes it anew. It knows neither the source nor the ledger's file;
charges arrive as receipts, and `Tables` says what is sealed.
"""

from __future__ import annotations

import os
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock

from dpsynth_assets.publish import catalogue, parquet
from dpsynth_assets.publish.contents import Unusable, contents
from dpsynth_assets.publish.parquet import ReleaseMetadata
from dpsynth_assets.publish.release import PublishError, PublishRefused, ReleaseRecord, guarantee
from dpsynth_assets.publish.sql import literal, schema_of
from dpsynth_assets.quality.digest import digest_of_table
from dpsynth_assets.quality.rules import columns_of, rules_of
from dpsynth_assets.quality.verdict import Verdict
from ledger.duckdb_files import trouble

if TYPE_CHECKING:
    from dpsynth_assets.contract import Contract

DATABASE = "warehouse.duckdb"
PARQUET = "parquet"
FOLDER = "warehouse_folder"


class Tables(Protocol):
    """Which published files are as they were sealed."""

    def state(self, path: Path) -> str:
        """`sealed`; `changed`, where the release of this place was sealed with another file; or `unsealed`."""

    def seal(self, path: Path) -> None:
        """Seal the file that lies there, unless it is sealed."""


def publish(
    home_warehouse: Path,
    frame_parquet: Path,
    *,
    contract: Contract,
    release: ReleaseRecord,
    verdict: Verdict,
    tables: Tables,
) -> Path:
    """Publish a judged corpus and return its release file. The rows are read from storage and digested again."""
    table = _read_rows(frame_parquet)
    _refuse_unless_fit(table, contract, release, verdict)
    metadata = ReleaseMetadata(
        release=replace(release, parquet=""),
        verdict=verdict,
        guarantee=guarantee(release, contract),
        description=contract.description or contract.name,
        columns=_descriptions(contract),
    )
    with _single_publisher(home_warehouse):
        _refuse_taken_schema(home_warehouse, release, tables)
        _make_room(parquet.path_of(home_warehouse / PARQUET, release), tables)
        path = parquet.write(home_warehouse / PARQUET, table, metadata)
        tables.seal(path)
        _rebuild(home_warehouse, tables)
    return path


def _make_room(path: Path, tables: Tables) -> None:
    """Remove what lies in a release's place without ever having been sealed; refuse what was changed since."""
    if not path.exists() and not path.is_symlink():
        return
    state = tables.state(path)
    if state == "changed":
        raise PublishRefused(
            f"{path} is not the table that was sealed: it was changed after it was published. Move it out of the "
            "warehouse folder, look into how that came, and publish again"
        )
    if state == "unsealed":
        path.unlink()


def rebuild(home_warehouse: Path, tables: Tables) -> Path:
    """Make `warehouse.duckdb` anew from the Parquet releases, say after the folder has moved."""
    with _single_publisher(home_warehouse):
        return _rebuild(home_warehouse, tables)


def put_right(home_warehouse: Path, tables: Tables) -> Path | None:
    """Make the database anew where it is missing or not what the sealed tables make it; where it then lies, or None
    where there was nothing to do."""
    database = home_warehouse / DATABASE
    whole = database.is_file() and not database.is_symlink()
    if not (home_warehouse / PARQUET).is_dir() or (whole and not differences(home_warehouse, tables)):
        return None
    return rebuild(home_warehouse, tables)


def releases(home_warehouse: Path, tables: Tables) -> list[ReleaseRecord]:
    """Every published release that is as it was sealed, oldest first, from the files themselves."""
    return [metadata.release for metadata in _papers(home_warehouse, tables)]


def left_out(home_warehouse: Path, tables: Tables) -> list[Path]:
    """Files that lie among the published ones and have no view: they are not as they were sealed, or never were."""
    has_view = {Path(release.parquet) for release in releases(home_warehouse, tables)}
    return [path for path in parquet.files(home_warehouse / PARQUET) if path.absolute() not in has_view]


def differences(home_warehouse: Path, tables: Tables) -> list[str]:
    """How the database differs from what the sealed files make, in words; empty where it is that, or is not there."""
    database = home_warehouse / DATABASE
    if not database.exists():
        return []
    with _single_publisher(home_warehouse), tempfile.TemporaryDirectory() as elsewhere:
        due = _build(home_warehouse, tables, Path(elsewhere) / DATABASE)
        try:
            expected, found = contents(due), contents(database)
        except Unusable as error:
            return [f"{error}. `dpsynth audit seal` makes it anew"]
    return [
        f"{database}: {name} is not what the published tables make it, as after one of them was moved, or under "
        "another version of this program; `dpsynth audit seal` makes it anew"
        for name in sorted(expected.keys() | found.keys())
        if expected.get(name) != found.get(name)
    ]


def _papers(home_warehouse: Path, tables: Tables) -> list[ReleaseMetadata]:
    return list(parquet.stored(home_warehouse / PARQUET, lambda path: tables.state(path) == "sealed"))


def _read_rows(path: Path) -> pa.Table:
    try:
        with pq.ParquetFile(path) as file:
            return file.read()
    except FileNotFoundError:
        raise PublishRefused(f"there is no corpus at {path}; generate it first") from None
    except (OSError, pa.ArrowException):
        raise PublishRefused(f"the corpus at {path} cannot be read as Parquet; generate it again") from None


def _refuse_unless_fit(table: pa.Table, contract: Contract, release: ReleaseRecord, verdict: Verdict) -> None:
    """Every reason not to publish, the gravest first."""
    if not verdict.passed:
        failed = ", ".join(result.name for result in verdict.failures)
        raise PublishRefused(f"the corpus failed its quality rules ({failed}); mend the corpus or the contract's rules")
    if verdict.contract_digest != contract.digest:
        raise PublishRefused(
            f"the verdict was reached under another version of contract {contract.id}; run the quality checks again"
        )
    if digest_of_table(table) != verdict.corpus_digest:
        raise PublishRefused(
            "the corpus is not the one the verdict was reached on (its rows have changed); run the quality checks again"
        )
    unjudged = {rule.name for rule in rules_of(contract)} - {result.name for result in verdict.results}
    if unjudged:
        raise PublishRefused(
            f"the verdict does not cover the rules {', '.join(sorted(unjudged))}; run the quality checks again"
        )
    if set(table.column_names) != set(columns_of(contract)):
        raise PublishRefused(f"the corpus must have exactly the columns {', '.join(columns_of(contract))}")
    terms = contract.privacy
    declared = {
        "contract": (release.contract, contract.id),
        "contract_version": (release.contract_version, contract.version),
        "table": (release.table, contract.table),
        "population": (release.population, terms.population),
        "unit": (release.unit, terms.unit.name),
        "neighbouring_relation": (release.neighbouring_relation, terms.unit.neighbouring_relation),
        "rows": (release.rows, table.num_rows),
    }
    for name, (says, expected) in declared.items():
        if says != expected:
            raise PublishRefused(f"the release record's {name} is {says!r}, but should be {expected!r}")


def _refuse_taken_schema(home_warehouse: Path, release: ReleaseRecord, tables: Tables) -> None:
    """Two contracts in one schema would hide each other's tables: contract `inbox__lora_3` and a variant of `inbox`."""
    schema = schema_of(release.contract).lower()
    for other in releases(home_warehouse, tables):
        if other.contract != release.contract and schema_of(other.contract).lower() == schema:
            raise PublishRefused(
                f"{release.contract} and {other.contract} would share the SQL schema {schema}: give one another id"
            )


def _descriptions(contract: Contract) -> dict[str, str]:
    declared = {column.name: column.description for column in contract.columns}
    return {name: declared.get(name) or "" for name in columns_of(contract)}


@contextmanager
def _single_publisher(home_warehouse: Path) -> Iterator[None]:
    """One publication at a time: two rebuilds at once could each miss the other's release. Where nobody may write,
    nobody publishes."""
    home_warehouse.mkdir(parents=True, exist_ok=True)
    if not os.access(home_warehouse, os.W_OK):
        yield
        return
    with FileLock(home_warehouse / ".publish.lock"):
        yield


def _rebuild(home_warehouse: Path, tables: Tables) -> Path:
    """Build the database beside the old one and rename it into place: readers see the old or the new, never a half."""
    target = home_warehouse / DATABASE
    temporary = home_warehouse / f".{uuid.uuid4().hex}.duckdb"
    try:
        _build(home_warehouse, tables, temporary)
        temporary.chmod(temporary.stat().st_mode & ~0o222)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
        temporary.with_name(temporary.name + ".wal").unlink(missing_ok=True)
    return target


def _build(home_warehouse: Path, tables: Tables, target: Path) -> Path:
    """The database that the sealed tables make, as a new file.

    Raises:
        PublishError: it cannot be written.
    """
    everything = _papers(home_warehouse, tables)
    try:
        with closing(duckdb.connect(str(target))) as connection:
            connection.execute(f"SET VARIABLE {FOLDER} = {literal(str(home_warehouse.absolute()))}")
            catalogue.write(connection, everything, _beside)
    except duckdb.Error as error:
        raise PublishError(
            f"{target} {trouble(target, error).said}, so the database over the published tables was not made: see that "
            "its disk has room, then make it by `dpsynth audit seal`, which is free"
        ) from error
    return target


def _beside(metadata: ReleaseMetadata) -> str:
    """Where a view reads a release: below the folder that a variable names, or else the one that is worked in."""
    place = parquet.path_of(Path(PARQUET), metadata.release).as_posix()
    return f"coalesce(getvariable({literal(FOLDER)}) || '/', '') || {literal(place)}"
