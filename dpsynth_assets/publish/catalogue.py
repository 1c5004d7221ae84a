"""The catalogue: what a DuckDB database shows of the published releases.

For a contract `inbox` with a table `messages` it holds the view `inbox.messages` (the latest release), a view per
release (`inbox.messages__<release>`), and in its main schema the tables `releases` and `quality`. A release variant
`inbox--lora-3` has a schema of its own, `inbox__lora_3`. Comments on views carry the guarantee, those on columns say
that they are synthetic, and of what.

It is written from the metadata of the releases alone. Knows neither where the database lies nor who asks.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dpsynth_assets.publish.parquet import path_of
from dpsynth_assets.publish.release import synthetic_column
from dpsynth_assets.publish.sql import identifier, literal, plain, schema_of

if TYPE_CHECKING:
    from dpsynth_assets.publish.parquet import ReleaseMetadata
    from dpsynth_assets.publish.release import ReleaseRecord

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
    'Epsilon of this table alone; the ledger knows what its population spent. NULL: no privacy guarantee at all. '
    '0: no row was read for it.';
COMMENT ON COLUMN releases.unit IS 'Whom the guarantee protects: everything one of them contributed, together.';
COMMENT ON COLUMN releases.receipts IS 'The ledger''s entries for the releases this table was made from.';
COMMENT ON COLUMN releases.parquet IS 'The table''s file, below the folder of published tables.';
COMMENT ON COLUMN releases.latest IS 'Whether the view of the table''s own name shows this release.';
CREATE TABLE quality (
    contract VARCHAR NOT NULL, table_name VARCHAR NOT NULL, release_id VARCHAR NOT NULL,
    rule VARCHAR NOT NULL, passed BOOLEAN NOT NULL, blocking BOOLEAN NOT NULL,
    description VARCHAR NOT NULL, expectation VARCHAR NOT NULL, observed JSON NOT NULL
);
COMMENT ON TABLE quality IS 'The rules each release was judged by before publication, and what was observed.';
"""


def write(connection: Any, everything: Sequence[ReleaseMetadata], place: Callable[[ReleaseMetadata], str]) -> None:
    """Fill an empty database. `everything` is oldest first; `place` is SQL for where a release's file is read from."""
    connection.execute(_SCHEMA)
    latest = {(p.release.contract, p.release.table): p.release.id for p in everything}  # the last one wins
    taken = set(latest)
    for metadata in everything:
        release = metadata.release
        name = _view_of_release(release, taken)
        schema = schema_of(release.contract)
        _create_view(connection, (schema, name), metadata, place(metadata))
        current = latest[release.contract, release.table] == release.id
        if current:
            _create_view(connection, (schema, release.table), metadata, place(metadata))
        _insert(connection, metadata, plain(schema, name), current)


def tables(everything: Sequence[ReleaseMetadata]) -> list[str]:
    """The tables an analyst can ask: the latest view of each, then the catalogue's own."""
    named = sorted({(p.release.contract, p.release.table) for p in everything})
    return [*(plain(schema_of(contract), table) for contract, table in named), "releases", "quality"]


def _view_of_release(release: ReleaseRecord, taken: set[tuple[str, str]]) -> str:
    """`messages__<release>`, in letters that need no quoting, and unlike any other view's name."""
    base = f"{release.table}__{re.sub(r'[^a-z0-9]+', '_', release.id.lower())}"
    name, number = base, 2
    while (release.contract, name) in taken:
        name, number = f"{base}_{number}", number + 1
    taken.add((release.contract, name))
    return name


def _create_view(connection: Any, name: tuple[str, str], metadata: ReleaseMetadata, place: str) -> None:
    view = identifier(*name)
    columns = ", ".join(identifier(column) for column in metadata.columns)
    connection.execute(f"CREATE SCHEMA IF NOT EXISTS {identifier(name[0])}")
    connection.execute(f"CREATE VIEW {view} AS SELECT {columns} FROM read_parquet({place})")
    comment = (
        f"{metadata.guarantee}\nWhat it stands in for: {metadata.description}\n"
        f"Release {metadata.release.id}, {metadata.release.created}."
    )
    connection.execute(f"COMMENT ON VIEW {view} IS {literal(comment)}")
    for column, description in metadata.columns.items():
        connection.execute(f"COMMENT ON COLUMN {view}.{identifier(column)} IS {literal(synthetic_column(description))}")


def _insert(connection: Any, metadata: ReleaseMetadata, view: str, current: bool) -> None:
    release, verdict = metadata.release, metadata.verdict
    row = (
        *(release.id, release.contract, release.contract_version, release.table, view, current),
        *(release.population, release.unit, release.neighbouring_relation),
        *(release.epsilon, release.delta, metadata.guarantee, release.rows, release.moment),
        *(json.dumps(release.receipts), verdict.passed, verdict.summary()),
        *(verdict.corpus_digest, verdict.contract_digest, path_of(Path(), release).as_posix()),
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
