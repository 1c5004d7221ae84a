"""The warehouse: one DuckDB file of views over the published Parquet, replaced as a whole on every publication.

For a contract `inbox` with a table `messages` it holds the view `inbox.messages` (the latest release), a view per
release (`inbox.messages__<release>`), and in its main schema the tables `releases` and `quality`. A release variant
`inbox--lora-3` has a schema of its own, `inbox__lora_3`. Comments on views and columns carry the guarantee. Whoever has
the old file open keeps reading it; whoever opens it next sees the new one.

Nothing gets in without a passing verdict on exactly these rows under exactly this contract, and no file has a view
unless it is as it was sealed. The order is: the Parquet file, its seal in the ledger, the database. A file that a kill
left without a seal is nobody's, and publishing again writes it anew. It knows neither the source nor the ledger's file;
charges arrive as receipts, and `Tables` says what is sealed.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from dpsynth_assets.publish import parquet
from dpsynth_assets.publish.parquet import Papers
from dpsynth_assets.publish.release import PublishRefused, QueryError, ReleaseRecord, guarantee
from dpsynth_assets.publish.sql import first_lines, identifier, literal, plain, schema_of, unknown_table
from dpsynth_assets.quality.digest import digest_of_table
from dpsynth_assets.quality.rules import columns_of, rules_of
from dpsynth_assets.quality.verdict import Verdict

if TYPE_CHECKING:
    import pyarrow as pa

    from dpsynth_assets.contract import Contract

DATABASE = "warehouse.duckdb"
PARQUET = "parquet"

# Names that DuckDB gives a meaning of its own; a contract's schema under one of them would be ambiguous.
_RESERVED = frozenset({"main", "temp", "system", "memory", "warehouse", "information_schema", "pg_catalog"})

_SCHEMA = """
CREATE TABLE releases (
    release_id VARCHAR NOT NULL, contract VARCHAR NOT NULL, contract_version VARCHAR NOT NULL,
    table_name VARCHAR NOT NULL, view_name VARCHAR NOT NULL, latest BOOLEAN NOT NULL,
    population VARCHAR NOT NULL, unit VARCHAR NOT NULL, neighbouring_relation VARCHAR NOT NULL,
    epsilon DOUBLE, delta DOUBLE, guarantee VARCHAR NOT NULL,
    row_count BIGINT NOT NULL, created TIMESTAMP NOT NULL, receipts JSON NOT NULL,
    quality_passed BOOLEAN NOT NULL, quality_summary VARCHAR NOT NULL,
    corpus_digest VARCHAR NOT NULL, contract_digest VARCHAR NOT NULL, parquet VARCHAR NOT NULL,
    PRIMARY KEY (contract, table_name, release_id)
);
COMMENT ON TABLE releases IS 'Every published synthetic table: its guarantee, receipts and verdict. Times are UTC.';
COMMENT ON COLUMN releases.epsilon IS
    'Epsilon of this table alone; the ledger knows what its population spent. NULL: no privacy guarantee at all.';
COMMENT ON COLUMN releases.unit IS 'Whom the guarantee protects: everything one of them contributed, together.';
COMMENT ON COLUMN releases.receipts IS 'The ledger''s entries for the releases this table was made from.';
COMMENT ON COLUMN releases.latest IS 'Whether the view of the table''s own name shows this release.';
CREATE TABLE quality (
    contract VARCHAR NOT NULL, table_name VARCHAR NOT NULL, release_id VARCHAR NOT NULL,
    rule VARCHAR NOT NULL, passed BOOLEAN NOT NULL, blocking BOOLEAN NOT NULL,
    description VARCHAR NOT NULL, expectation VARCHAR NOT NULL, observed JSON NOT NULL
);
COMMENT ON TABLE quality IS 'The rules each release was judged by before publication, and what was observed.';
"""


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
    papers = Papers(
        release=replace(release, parquet=""),
        verdict=verdict,
        guarantee=guarantee(release, contract),
        description=contract.description or contract.name,
        columns=_descriptions(contract),
    )
    with _single_publisher(home_warehouse):
        _refuse_taken_schema(home_warehouse, release, tables)
        _make_room(parquet.path_of(home_warehouse / PARQUET, release), tables)
        path = parquet.write(home_warehouse / PARQUET, table, papers)
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


def releases(home_warehouse: Path, tables: Tables) -> list[ReleaseRecord]:
    """Every published release that is as it was sealed, oldest first, from the files themselves."""
    return [papers.release for papers in _papers(home_warehouse, tables)]


def left_out(home_warehouse: Path, tables: Tables) -> list[Path]:
    """Files that lie among the published ones and have no view: they are not as they were sealed, or never were."""
    has_view = {Path(release.parquet) for release in releases(home_warehouse, tables)}
    return [path for path in parquet.files(home_warehouse / PARQUET) if path.absolute() not in has_view]


def differences(home_warehouse: Path, tables: Tables) -> list[str]:
    """How the database differs from what the sealed files make, in words; empty where it is that, or is not there."""
    from dpsynth_assets.publish.contents import contents

    database = home_warehouse / DATABASE
    if not database.exists():
        return []
    with _single_publisher(home_warehouse):
        due = _rebuild(home_warehouse, tables, f".{uuid.uuid4().hex}.expected")
        try:
            files = [Path(release.parquet) for release in releases(home_warehouse, tables)]
            expected, found = contents(due, files), contents(database, files)
        finally:
            due.unlink(missing_ok=True)
    return [
        f"{database}: {name} is not what the published tables make it; publish again, which rebuilds it"
        for name in sorted(expected.keys() | found.keys())
        if expected.get(name) != found.get(name)
    ]


def _papers(home_warehouse: Path, tables: Tables) -> list[Papers]:
    return list(parquet.stored(home_warehouse / PARQUET, lambda path: tables.state(path) == "sealed"))


def query(home_warehouse: Path, sql: str) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Answer one SELECT (or DESCRIBE, SUMMARIZE, SHOW, PIVOT) on the synthetic tables: column names, rows.

    Read-only, and closed to any file but the published ones: a query cannot read the sensitive store.
    """
    import duckdb

    _refuse_other_statements(sql)
    with _reader(home_warehouse) as connection:
        try:
            cursor = connection.execute(sql)
            return [column[0] for column in cursor.description], cursor.fetchall()
        except duckdb.CatalogException as error:
            message = unknown_table(str(error), _tables(connection)) or first_lines(str(error))
            raise QueryError(message) from None
        except duckdb.IOException as error:
            raise QueryError(
                f"{first_lines(str(error))}. If the folder has moved, publish again: the views name the old place"
            ) from None
        except duckdb.PermissionException:
            raise QueryError(
                "queries read the published tables only, no other files; `SHOW ALL TABLES` lists what there is"
            ) from None
        except duckdb.Error as error:
            raise QueryError(first_lines(str(error))) from None


def _read_rows(path: Path) -> pa.Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

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
    if schema_of(contract.id).lower() in _RESERVED:
        raise PublishRefused(
            f"contract id {contract.id!r} is a name that DuckDB reserves; give the contract another id"
        )


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
    """One publication at a time: two rebuilds at once could each miss the other's release."""
    from filelock import FileLock

    home_warehouse.mkdir(parents=True, exist_ok=True)
    with FileLock(home_warehouse / ".publish.lock"):
        yield


def _rebuild(home_warehouse: Path, tables: Tables, name: str = DATABASE) -> Path:
    """Build the database beside the old one and rename it into place: readers see the old or the new, never a half."""
    import duckdb

    target = home_warehouse / name
    temporary = home_warehouse / f".{uuid.uuid4().hex}.duckdb"
    everything = _papers(home_warehouse, tables)
    latest = {
        (p.release.contract, p.release.table): p.release.id for p in everything
    }  # oldest first: the last one wins
    try:
        with closing(duckdb.connect(str(temporary))) as connection:
            connection.execute(_SCHEMA)
            taken = set(latest)
            for papers in everything:
                release = papers.release
                name = _view_of_release(release, taken)
                schema = schema_of(release.contract)
                _create_view(connection, (schema, name), papers)
                current = latest[release.contract, release.table] == release.id
                if current:
                    _create_view(connection, (schema, release.table), papers)
                _insert(connection, papers, plain(schema, name), current)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
        temporary.with_name(temporary.name + ".wal").unlink(missing_ok=True)
    return target


def _view_of_release(release: ReleaseRecord, taken: set[tuple[str, str]]) -> str:
    """`messages__<release>`, in letters that need no quoting, and unlike any other view's name."""
    base = f"{release.table}__{re.sub(r'[^a-z0-9]+', '_', release.id.lower())}"
    name, number = base, 2
    while (release.contract, name) in taken:
        name, number = f"{base}_{number}", number + 1
    taken.add((release.contract, name))
    return name


def _create_view(connection: Any, name: tuple[str, str], papers: Papers) -> None:
    view = identifier(*name)
    columns = ", ".join(identifier(column) for column in papers.columns)
    connection.execute(f"CREATE SCHEMA IF NOT EXISTS {identifier(name[0])}")
    connection.execute(f"CREATE VIEW {view} AS SELECT {columns} FROM read_parquet({literal(papers.release.parquet)})")
    comment = f"{papers.description}\n{papers.guarantee}\nRelease {papers.release.id}, {papers.release.created}."
    connection.execute(f"COMMENT ON VIEW {view} IS {literal(comment)}")
    for column, description in papers.columns.items():
        words = f"{description} (synthetic)".strip()
        connection.execute(f"COMMENT ON COLUMN {view}.{identifier(column)} IS {literal(words)}")


def _insert(connection: Any, papers: Papers, view: str, current: bool) -> None:
    release, verdict = papers.release, papers.verdict
    row = (
        *(release.id, release.contract, release.contract_version, release.table, view, current),
        *(release.population, release.unit, release.neighbouring_relation),
        *(release.epsilon, release.delta, papers.guarantee, release.rows, release.moment),
        *(json.dumps(release.receipts), verdict.passed, verdict.summary()),
        *(verdict.corpus_digest, verdict.contract_digest, release.parquet),
    )
    connection.execute(f"INSERT INTO releases VALUES ({', '.join('?' * len(row))})", row)
    for result in verdict.results:
        connection.execute(
            "INSERT INTO quality VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *(release.contract, release.table, release.id, result.name, result.passed, result.blocking),
                *(result.description, result.expectation, json.dumps(dict(result.observed))),
            ),
        )


def _refuse_other_statements(sql: str) -> None:
    """One reading statement, nothing else: the database is read-only, but COPY could still write to a release file."""
    import duckdb

    try:
        statements = duckdb.extract_statements(sql)
    except duckdb.Error as error:
        raise QueryError(first_lines(str(error))) from None
    if len(statements) != 1:
        raise QueryError("give exactly one SQL statement, for example: SELECT * FROM releases")
    # DESCRIBE, SUMMARIZE and SHOW count as SELECT; PIVOT is a MULTI.
    if statements[0].type not in (duckdb.StatementType.SELECT, duckdb.StatementType.MULTI):
        raise QueryError("the warehouse only answers questions: use SELECT, DESCRIBE, SUMMARIZE, SHOW or PIVOT")


@contextmanager
def _reader(home_warehouse: Path) -> Iterator[Any]:
    """A connection that sees the current file read-only, and of the file system the published releases alone."""
    import duckdb

    database = (home_warehouse / DATABASE).absolute()
    if not database.exists():
        raise QueryError(f"there is no warehouse at {database} yet; publish a release first: `dpsynth run CONTRACT`")
    # Attached to a database of its own: DuckDB would otherwise reuse an instance that this process has open on the
    # same path, and with it the file from before a publication.
    with closing(duckdb.connect(":memory:")) as connection:
        try:
            connection.execute(f"ATTACH {literal(str(database))} AS warehouse (READ_ONLY)")
        except duckdb.Error as error:
            if "lock" in str(error):
                what = "is open for writing in another program; close it there, or open it read-only"
            else:
                what = "cannot be opened as a warehouse; publish again, which rebuilds it"
            raise QueryError(f"{database} {what}") from None
        connection.execute("USE warehouse")
        paths = [row[0] for row in connection.execute("SELECT parquet FROM releases").fetchall()]
        connection.execute(f"SET allowed_paths = [{', '.join(map(literal, paths))}]")
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        yield connection


def _tables(connection: Any) -> list[str]:
    """The tables an analyst can ask: the latest view of each, then the catalogue."""
    rows = connection.execute("SELECT DISTINCT contract, table_name FROM releases ORDER BY ALL").fetchall()
    return [*(plain(schema_of(contract), table) for contract, table in rows), "releases", "quality"]
