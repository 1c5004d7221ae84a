"""Snapshots of sensitive sources: what may be known of one, and which of a contract's stands.

    sensitive/<contract>/<snapshot>/rows.parquet    the rows, until their retention is over
    sensitive/<contract>/<snapshot>/manifest.json   what may be known of them
    sensitive/<contract>/latest                     which snapshot stands

A snapshot is written first and stands later, once the ledger has bound it: until then the former one stands, and one
that the ledger refuses is deleted. Knows folders and manifests; neither the ledger nor who may read.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from resources import retention
from resources.formats import opened_parquet
from resources.home import private_folder, replace_atomically, write_private
from resources.source import Columns, Source
from resources.tabular import SourceError, schema_of

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet
    from numpy.typing import NDArray

_ROWS = "rows.parquet"
FIGURES = "figures"  # about the rows, for the data owner alone
_MOST = 2**14  # rows that are read at once
_BATCH = 2**7  # values that are written at once: the longest ones that there may be fit into a page many times


@dataclass(frozen=True)
class Snapshot:
    """What may be known of a snapshot: where it came from and its opaque identity. No count, no statistic.

    Attributes:
        identity: by which the ledger knows it; drawn at random, so that it says nothing of the rows.
        source: where it was read, for people.
        copy: the place in place of the contract's own, None where that was read.
        seen_at: the folder of the contract's file, as seen from the home folder.
        blocks: of its population.
        overlaps: blocks of other populations that hold the same records.
        content: of a source that is declared public, a keyed fingerprint of its rows; of any other nothing.
    """

    contract: str
    id: str
    identity: str
    source: str
    copy: str | None
    size: float
    contract_digest: str
    seen_at: str
    created: str
    kept_until: str
    blocks: tuple[str, ...]
    overlaps: tuple[str, ...]
    content: str | None = None


def new_names(now: datetime) -> tuple[str, str]:
    """A new snapshot's id and identity."""
    return f"{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}", secrets.token_hex(32)


class Draft:
    """A snapshot that is being written, in a hidden folder. Made by `Snapshots.draft`."""

    def __init__(self, folder: Path, schema: pa.Schema) -> None:
        self.folder, self._schema = folder, schema
        self._rows = folder / _ROWS
        self._writer = self._new_writer()

    def add(self, batch: pa.RecordBatch) -> None:
        """Write the next records, as a row group of their own: no more of them is ever held in memory."""
        import pyarrow as pa

        self._writer.write_table(pa.Table.from_batches([batch]))

    def finish(self, snapshot: Snapshot, kept: NDArray[np.bool_], counts: Mapping[str, int]) -> None:
        """Keep it, with those of its rows that are to be kept and what its owner alone may know of them. It does not
        stand yet."""
        self._writer.close()
        if not kept.all():
            self._keep(kept)
        write_private(private_folder(self.folder / FIGURES) / "source.json", json.dumps(counts, indent=2).encode())
        write_private(self.folder / retention.MANIFEST, json.dumps(asdict(snapshot), indent=2).encode())
        self.folder.rename(self.folder.with_name(snapshot.id))

    def close(self) -> None:
        self._writer.close()

    def _keep(self, kept: NDArray[np.bool_]) -> None:
        import pyarrow as pa

        everything, start = self._rows.rename(self.folder / "everything.parquet"), 0
        with self._new_writer() as self._writer:
            for batch in _batches(everything, None):
                chosen = batch.filter(pa.array(kept[start : start + len(batch)]))
                start += len(batch)
                if len(chosen):
                    self.add(chosen)
        everything.unlink()

    def _new_writer(self) -> pyarrow.parquet.ParquetWriter:
        import pyarrow.parquet

        write_private(self._rows, b"")
        return pyarrow.parquet.ParquetWriter(self._rows, self._schema, compression="zstd", write_batch_size=_BATCH)


class Snapshots:
    """The snapshots below a sensitive folder."""

    def __init__(self, sensitive: Path) -> None:
        self._sensitive = private_folder(sensitive)

    @contextmanager
    def draft(self, contract_id: str, snapshot_id: str, columns: Columns) -> Iterator[Draft]:
        """A snapshot that is being written: kept if it is finished, and else deleted."""
        folder = private_folder(self._of(contract_id) / f".{snapshot_id}.tmp")
        try:
            with closing(Draft(folder, schema_of(columns))) as draft:
                yield draft
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def keep_failure(self, contract_id: str, text: str) -> Path:
        """Keep what an ingestion that failed said, which may quote rows, as the rest of one that was killed is kept."""
        id_, _ = new_names(datetime.now(UTC))
        path = private_folder(self._of(contract_id) / f".{id_}.tmp") / "error.txt"
        write_private(path, text.encode("utf-8", "replace"))
        return path

    def stand(self, snapshot: Snapshot) -> None:
        """From here on it is the contract's standing snapshot."""
        if not self.has(snapshot):
            raise SourceError(
                f"another snapshot of {snapshot.contract} was taken before this one was bound: materialize "
                f"{snapshot.contract}/source again"
            )
        replace_atomically(self._of(snapshot.contract) / "latest", snapshot.id.encode(), mode=0o600)

    def discard(self, contract_id: str, *identities: str) -> None:
        """Delete snapshots that never stood, known by the beginnings of their identities."""
        for snapshot in list(self._all(contract_id)):
            if snapshot.identity.startswith(identities):
                shutil.rmtree(self.folder(snapshot))

    def has(self, snapshot: Snapshot) -> bool:
        return (self.folder(snapshot) / retention.MANIFEST).exists()

    def folder(self, snapshot: Snapshot) -> Path:
        return self._of(snapshot.contract) / snapshot.id

    def rows(self, snapshot: Snapshot) -> Path:
        return self.folder(snapshot) / _ROWS

    def batches(self, snapshot: Snapshot, most: int | None = None) -> Iterator[pa.RecordBatch]:
        """Its rows, at most so many at once; None: as they were read."""
        return _batches(self.rows(snapshot), most)

    def standing(self, source: Source) -> Snapshot:
        """The standing snapshot of a source, under its contract as it is now.

        Raises:
            SourceError: there is none, or the contract has changed since it was taken, or lies elsewhere.
        """
        again = f"materialize {source.contract}/source again"
        pointer = self._of(source.contract) / "latest"
        if not pointer.exists():
            raise SourceError(f"{source.contract} has no snapshot of its source: materialize {source.contract}/source")
        snapshot = _read(pointer.with_name(pointer.read_text(encoding="utf-8")) / retention.MANIFEST)
        if snapshot is None:
            raise SourceError(
                f"the snapshot of {source.contract} was taken by another version of the platform: {again}"
            )
        if snapshot.contract_digest != source.digest:
            raise SourceError(f"the contract {source.contract} has changed since its source was snapshotted: {again}")
        if snapshot.seen_at != self.seen_at(source):
            raise SourceError(
                f"{source.file} lies in another folder than when its source was snapshotted, where its places are "
                f"others: {again}"
            )
        return snapshot

    def by_identity(self, source: Source, identity: str) -> Snapshot | None:
        """The source's snapshot that the ledger knows by this identity, standing or not, under the same terms."""
        for snapshot in self._all(source.contract):
            same = (snapshot.identity, snapshot.contract_digest) == (identity, source.digest)
            if same and snapshot.seen_at == self.seen_at(source):
                return snapshot
        return None

    def are_kept(self, snapshot: Snapshot) -> bool:
        """Whether its rows are there, and their retention is not over."""
        return datetime.fromisoformat(snapshot.kept_until) > datetime.now(UTC) and self.rows(snapshot).exists()

    def seen_at(self, source: Source) -> str:
        """Where the contract's file lies, as seen from the home folder: the same after both were moved together."""
        return os.path.relpath(source.file.parent.resolve(), self._sensitive.parent.resolve())

    def _all(self, contract_id: str) -> Iterator[Snapshot]:
        """The newest first."""
        for manifest in sorted(self._of(contract_id).glob(f"[!.]*/{retention.MANIFEST}"), reverse=True):
            if (snapshot := _read(manifest)) is not None:
                yield snapshot

    def _of(self, contract_id: str) -> Path:
        return private_folder(self._sensitive / contract_id)


def _batches(file: Path, most: int | None) -> Iterator[pa.RecordBatch]:
    """The rows of a file, no more at once than were written at once."""
    with opened_parquet(file) as opened:
        for group in range(opened.num_row_groups):
            yield from opened.iter_batches(most or _MOST, row_groups=[group])


def _read(manifest: Path) -> Snapshot | None:
    """None for one that another version of the platform wrote."""
    stated = json.loads(manifest.read_text(encoding="utf-8"))
    if stated.keys() != {field.name for field in fields(Snapshot)}:
        return None
    return Snapshot(**stated | {name: tuple(stated[name]) for name in ("blocks", "overlaps")})
