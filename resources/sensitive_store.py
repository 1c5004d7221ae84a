"""The sensitive store: the one place where sensitive rows lie, and the one door to them.

`ingest` copies an external source into a snapshot that only this user may read. `read` is the only method that returns
rows of a source that is not declared public, and it demands a *grant*: proof that the ledger has charged a release and
has handed out a single-use token for it. The store redeems the token at the ledger right before it returns anything, so
rows without a charge do not exist for anybody who goes through the platform, whichever way the run was launched.

Formal claim: each frame that `read` returns is computed from the snapshot unit by unit (thinning, filtering to the
declared label set, bounding a unit's records), so that adding or removing one unit changes that unit's rows and no
others. Misuse that breaks it: reading the files under `sensitive/` by other means. What does that here is refused in
review, and an administrator of the machine cannot be stopped by a program on it.

Nothing that depends on the rows leaves this module but what `read` returns: a snapshot's identity is a keyed
fingerprint, and no count is kept outside `sensitive/`. Copies are kept for as long as their contract says
(`resources.retention`).
"""

from __future__ import annotations

import json
import secrets
import shutil
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ledger import Grant
from resources import retention
from resources.deployed import Deployed
from resources.fingerprint_key import key_of
from resources.home import Home, private_folder, replace_atomically, write_private
from resources.known_records import KnownRecords, blocks_of
from resources.ledger import LedgerResource
from resources.tabular import (
    SourceError,
    as_rows,
    bound_units,
    figures,
    fingerprint,
    location,
    source_table,
    test_table,
    thin,
)

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from dpsynth_assets.contract import Contract
    from dpsynth_assets.contract.classifiers import PublicRows

_ROWS = "rows.parquet"
_FIGURES = "figures"  # about the rows, for the data owner alone
_SPELLED = {b"dpsynth": b"text in its one spelling"}  # in the schema of rows that were read record by record


class GrantRequiredError(Exception):
    """Somebody asked for sensitive rows without an activated grant."""


@dataclass(frozen=True)
class Snapshot:
    """What may be known of a snapshot: where it came from and its opaque identity. No count, no statistic."""

    contract: str
    id: str
    fingerprint: str
    source: str
    size: float
    contract_digest: str
    created: str
    kept_until: str
    blocks: tuple[str, ...]  # of its population
    overlaps: tuple[str, ...]  # blocks of other populations that hold the same records


class SensitiveStore(Deployed):
    """Snapshots of sensitive sources under the home folder. Holds no open files between calls."""

    def ingest(self, contract: Contract, source_override: str | None = None, size: float = 1.0) -> Snapshot:
        """Copy the declared columns of the external source into a new snapshot and make it the standing one.

        Copies of any contract that are over their time are deleted first. `size` in (0, 1] keeps that share of the
        privacy units for a quick pass, chosen by a keyed hash of each unit alone. The fingerprint covers the whole
        source, so that a part of it is still recognised as that source.

        Raises:
            SourceError: the source is missing, or lacks a declared column.
        """
        if not 0 < size <= 1:
            raise SourceError(f"size must be a share in (0, 1], not {size}")
        self.forget()
        contract = contract.with_source(source_override) if source_override else contract
        table = source_table(contract)
        key = self._key()
        known = KnownRecords(private_folder(Home.at(self.home).sensitive), key)
        texts = known.identities(table, contract)
        identity = fingerprint(table, contract, key)
        with known.locked():
            now = datetime.now(UTC)
            snapshot = Snapshot(
                contract=contract.declared.id,
                id=f"{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}",
                fingerprint=identity,
                source=location(contract, contract.source),
                size=size,
                contract_digest=contract.digest,
                created=now.isoformat(timespec="seconds"),
                kept_until=retention.deadline(now, contract.retention_days).isoformat(timespec="seconds"),
                blocks=blocks_of(contract),
                overlaps=known.overlaps(texts, contract),
            )
            kept = thin(known.in_their_blocks(table, contract), contract, size, key)
            self._write(snapshot, kept, figures(table, contract))
            known.remember(texts, contract, identity)
        return snapshot

    def settle(self, contract: Contract, snapshot: Snapshot, *, bound: bool) -> None:
        """Told whether the ledger has bound the snapshot to its population; a refused one is compared with no more."""
        known = KnownRecords(private_folder(Home.at(self.home).sensitive), self._key())
        with known.locked():
            known.settle(contract, snapshot.fingerprint, bound=bound)

    def latest(self, contract: Contract) -> Snapshot:
        """The standing snapshot of a contract; free, since it says nothing about the rows, and outlives them.

        Raises:
            SourceError: there is none, or the contract has changed since it was taken.
        """
        pointer = self._folder(contract.declared.id) / "latest"
        if not pointer.exists():
            raise SourceError(f"{contract.id} has no snapshot of its source: materialize {contract.id}/source")
        manifest = self._folder(contract.declared.id) / pointer.read_text(encoding="utf-8") / retention.MANIFEST
        stated = json.loads(manifest.read_text(encoding="utf-8"))
        snapshot = Snapshot(**stated | {name: tuple(stated[name]) for name in ("blocks", "overlaps")})
        if snapshot.contract_digest != contract.digest:
            raise SourceError(
                f"the contract {contract.id} has changed since its source was snapshotted: "
                f"materialize {contract.id}/source again"
            )
        return snapshot

    def readable(self, contract: Contract) -> Snapshot:
        """As `latest`, where its rows may still be read. Asked before a charge.

        Raises:
            SourceError: there is none, the contract has changed, or the rows are kept no longer or were read otherwise.
        """
        import pyarrow.parquet

        snapshot = self.latest(contract)
        over = datetime.fromisoformat(snapshot.kept_until) <= datetime.now(UTC)
        rows = self._folder(contract.declared.id) / snapshot.id / _ROWS
        if over or not rows.exists():
            raise SourceError(
                f"the rows of snapshot {snapshot.id} are kept no longer ({contract.id} allows "
                f"{contract.retention_days} days): materialize {contract.id}/source again"
            )
        if not _SPELLED.items() <= (pyarrow.parquet.read_schema(rows).metadata or {}).items():
            raise SourceError(
                f"snapshot {snapshot.id} was taken by a version that guessed types from all rows: "
                f"materialize {contract.id}/source again"
            )
        return snapshot

    def copies(self) -> list[retention.Copy]:
        """The sensitive copies of all contracts, the first to go first."""
        return retention.copies(Home.at(self.home).sensitive)

    def forget(self, contract_id: str | None = None) -> list[retention.Copy]:
        """Delete the copies that are over their time, or all of one contract's at once; gives what was deleted."""
        chosen = [copy for copy in self.copies() if copy.is_over() or copy.contract == contract_id]
        for copy in chosen:
            retention.delete(copy)
        return chosen

    def read(self, grant: Grant, contract: Contract) -> pd.DataFrame:
        """The sensitive rows: `unit`, `text` and the label columns, at most `max_records` records of each unit.

        The grant is redeemed at the ledger first; it works once, for its own population and this very source.

        Raises:
            GrantRequiredError: `grant` is not a grant.
            SourceError: the rows are kept no longer; the grant is not used up.
            LedgerError: the ledger does not accept it (not activated, used, finished, of another population or source).
        """
        if not isinstance(grant, Grant):
            raise GrantRequiredError(
                f"the rows of {contract.id} are read with an activated grant of the privacy ledger only, "
                f"not with {type(grant).__name__}"
            )
        snapshot = self.readable(contract)
        LedgerResource(home=self.home).open().redeem(
            grant, population=contract.privacy.population, fingerprint=snapshot.fingerprint
        )
        return self._rows(snapshot, contract)

    def read_public(self, contract: Contract) -> pd.DataFrame:
        """As `read`, without a grant: for releases without any guarantee, and only of a source declared public.

        Raises:
            GrantRequiredError: the contract does not declare its source public.
        """
        if not contract.privacy.source_is_public:
            raise GrantRequiredError(f"the source of {contract.id} is not declared public: its rows need a grant")
        return self._rows(self.readable(contract), contract)

    def beside(self, contract: Contract, kind: str) -> Path:
        """A folder by the standing snapshot for what may quote its rows; it goes when they go."""
        return private_folder(self._folder(contract.declared.id) / self.latest(contract).id / kind)

    def keep_trace(self, contract: Contract, identity: str, text: str) -> Path:
        """Keep what may quote sensitive rows by the standing snapshot, where only this user reads it."""
        path = self.beside(contract, "errors") / f"{identity}.txt"
        write_private(path, text.encode("utf-8", "replace"))
        return path

    def keep_figures(self, contract: Contract, name: str, text: str) -> Path:
        """Keep figures about the standing snapshot's rows by them, where only this user reads them."""
        path = self.beside(contract, _FIGURES) / name
        replace_atomically(path, text.encode(), mode=0o600)
        return path

    def _rows(self, snapshot: Snapshot, contract: Contract) -> pd.DataFrame:
        import pyarrow.parquet

        table = pyarrow.parquet.read_table(self._folder(contract.declared.id) / snapshot.id / _ROWS)
        return bound_units(as_rows(table, contract), contract.privacy.unit.max_records, self._key())

    def _write(self, snapshot: Snapshot, table: pa.Table, counts: dict[str, int]) -> None:
        import pyarrow.parquet

        folder = self._folder(snapshot.contract)
        temporary = private_folder(folder / f".{snapshot.id}.tmp")
        try:
            sink = temporary / _ROWS
            write_private(sink, b"")
            pyarrow.parquet.write_table(table.replace_schema_metadata(_SPELLED), sink, compression="zstd")
            write_private(private_folder(temporary / _FIGURES) / "source.json", json.dumps(counts, indent=2).encode())
            write_private(temporary / retention.MANIFEST, json.dumps(asdict(snapshot), indent=2).encode())
            temporary.rename(folder / snapshot.id)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        replace_atomically(folder / "latest", snapshot.id.encode(), mode=0o600)

    def _folder(self, contract_id: str) -> Path:
        return private_folder(private_folder(Home.at(self.home).sensitive) / contract_id)

    def _key(self) -> bytes:
        """The key of fingerprints and of thinning."""
        return key_of(Home.at(self.home))


def public_rows(contract: Contract, snapshot: Snapshot) -> pd.DataFrame:
    """The source's own rows without a grant, only where its owner has declared the source public."""
    if not contract.privacy.source_is_public:
        raise GrantRequiredError(f"the source of {contract.id} is not declared public: its rows need a grant")
    contract = contract.with_source(snapshot.source)
    return as_rows(source_table(contract), contract)


def test_rows(contract: Contract, snapshot: Snapshot) -> pd.DataFrame:
    """The rows of the test split that the contract declares public: `unit`, `text` and the label columns."""
    contract = contract.with_source(snapshot.source)
    rows = as_rows(test_table(contract), contract)
    if rows.empty:
        raise SourceError(f"the public test split of {contract.id} holds no row that the contract describes")
    return rows


def mixed_rows(contract: Contract, mix: PublicRows) -> pd.DataFrame:
    """Rows that the contract declares public, for classifiers to be trained on too, in the same columns as the test
    split's."""
    from dpsynth_assets.contract.classifiers import PublicTestSplit

    named = PublicTestSplit(**mix.model_dump())
    elsewhere = replace(contract, privacy=contract.privacy.model_copy(update={"test_split": named}))
    rows = as_rows(test_table(elsewhere), elsewhere)
    if rows.empty:
        raise SourceError(f"the public rows to mix in for {contract.id} hold none that the contract describes")
    return rows
