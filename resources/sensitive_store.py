"""The sensitive store: the one place where sensitive rows lie, and the one door to them.

`ingest` copies an external source into a snapshot that only this user may read. `read` is the only method that returns
rows of a source that is not declared public, and it demands a *grant*: proof that the ledger has charged a release and
has handed out a single-use token for it. The store redeems the token at the ledger right before it returns anything, so
rows without a charge do not exist for anybody who goes through the platform, whichever way the run was launched.

Formal claim: each frame that `read` returns is computed from the snapshot unit by unit (thinning, filtering to the
declared label set, bounding a unit's records, cutting texts), so that adding or removing one unit changes that unit's
rows and no others. Misuse that breaks it: reading the files under `sensitive/` by other means. What does that here is
refused in review, and an administrator of the machine cannot be stopped by a program on it.

Nothing that depends on the rows leaves this module but what `read` returns: the identity by which the ledger knows a
snapshot is drawn at random, and no count is kept outside `sensitive/`. Which snapshot stands is `resources.snapshots`'
business, what is remembered of the records `resources.known_records`', and how long copies are kept
`resources.retention`'s.
"""

from __future__ import annotations

from collections.abc import Iterable
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
from resources.snapshots import FIGURES, Snapshot, Snapshots, new_names
from resources.source import Source
from resources.tabular import (
    SourceError,
    as_rows,
    bound_units,
    figures,
    fingerprint,
    present,
    shortened,
    table_at,
    thin,
)

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


class GrantRequiredError(Exception):
    """Somebody asked for sensitive rows without an activated grant."""


class ProtectedRowsError(SourceError):
    """Rows that are declared public are records of a source that is not."""


class SensitiveStore(Deployed):
    """Snapshots of sensitive sources under the home folder. Holds no open files between calls."""

    def ingest(self, source: Source, size: float = 1.0) -> Snapshot:
        """Copy the declared columns of the external source into a new snapshot. It stands when it is settled as bound.

        Copies of any contract that are over their time are deleted first, and snapshots of this one that were never
        bound. `size` in (0, 1] keeps that share of the privacy units for a quick pass, chosen by a keyed hash of each
        unit alone; what is remembered covers the whole source, so that a part of it is still recognised.

        Raises:
            SourceError: the source is missing, lacks a declared column, or is declared public and holds records of a
                protected one.
        """
        if not 0 < size <= 1:
            raise SourceError(f"size must be a share in (0, 1], not {size}")
        self.forget()
        table = table_at(source.place, source.where, source.columns)
        key, known, snapshots = self._key(), self._known(), self._snapshots()
        with known.locked():
            for left in known.pending(source):
                self._withdraw(source, left)
            read, placed = known.in_their_blocks(table, source)
            records = known.records(table, read, source)
            if source.public and known.protected(records.all_texts(), source):
                raise _are_protected(source, "the source")
            now = datetime.now(UTC)
            id_, identity = new_names(now)
            snapshot = Snapshot(
                contract=source.contract,
                id=id_,
                identity=identity,
                source=source.place,
                copy=source.copy,
                size=size,
                contract_digest=source.digest,
                seen_at=snapshots.seen_at(source),
                created=now.isoformat(timespec="seconds"),
                kept_until=retention.deadline(now, source.retention_days).isoformat(timespec="seconds"),
                blocks=tuple(sorted({*blocks_of(source), *known.other_blocks(records)})),
                overlaps=known.overlaps(records),
                content=fingerprint(table, source, key) if source.public else None,
            )
            known.remember(records, identity, placed)
            try:
                snapshots.write(snapshot, thin(read, source.columns, size, key), figures(table, source.columns))
            except BaseException:
                self._withdraw(source, identity)
                raise
        return snapshot

    def settle(self, source: Source, snapshot: Snapshot, *, bound: bool) -> None:
        """Told whether the ledger has bound the snapshot to its population: then it stands. A refused one is deleted,
        puts no unit into a block, and is compared with no more.

        Raises:
            SourceError: another snapshot of the contract was taken before this one was bound.
        """
        known, snapshots = self._known(), self._snapshots()
        with known.locked():
            if known.is_pending(source.population, snapshot.identity):
                if bound:
                    known.settle(source.population, snapshot.identity, bound=True)
                    snapshots.stand(snapshot)
                else:
                    self._withdraw(source, snapshot.identity)
            elif bound and not snapshots.has(snapshot):
                snapshots.stand(snapshot)  # says why not

    def latest(self, source: Source) -> Snapshot:
        """The standing snapshot of a source; free, since it says nothing about the rows, and outlives them.

        Raises:
            SourceError: there is none, or the contract has changed since it was taken.
        """
        return self._snapshots().standing(source)

    def readable(self, source: Source, identity: str | None = None) -> Snapshot:
        """As `latest`, where its rows may still be read; or the snapshot that the ledger knows by `identity`. Asked
        before a charge.

        Raises:
            SourceError: there is none, the contract has changed, or the rows are kept no longer.
        """
        snapshots = self._snapshots()
        earlier = identity and snapshots.by_identity(source, identity)
        snapshot = earlier or self.latest(source)
        if (identity and not earlier) or not snapshots.are_kept(snapshot):
            raise SourceError(
                f"the rows of snapshot {snapshot.id} are kept no longer ({source.contract} allows "
                f"{source.retention_days} days): materialize {source.contract}/source again"
            )
        return snapshot

    def copies(self) -> list[retention.Copy]:
        """The sensitive copies of all contracts, the first to go first.

        Raises:
            SourceError: some cannot be looked at; says where.
        """
        found, unread = retention.copies(Home.at(self.home).sensitive)
        _require_all(unread)
        return found

    def forget(self, contract_id: str | None = None) -> list[retention.Copy]:
        """Delete the copies that are over their time, or all of one contract's at once; gives what was deleted.

        Raises:
            SourceError: some cannot be looked at or deleted; says which. All others are deleted all the same.
        """
        found, left = retention.copies(Home.at(self.home).sensitive)
        chosen = [copy for copy in found if copy.is_over() or copy.contract == contract_id]
        for copy in chosen:
            try:
                retention.delete(copy)
            except OSError as error:
                left.append(f"{copy.folder} ({error.strerror})")
        _require_all(left)
        return chosen

    def read(self, grant: Grant, source: Source) -> pd.DataFrame:
        """The sensitive rows: `unit`, `text` and the label columns, at most `max_records` records of each unit, and of
        each text its first `max_characters`.

        They are those of the snapshot that the grant was given for, which need not stand any more. The grant is
        redeemed at the ledger first; it works once, for its own population and this very source.

        Raises:
            GrantRequiredError: `grant` is not a grant.
            SourceError: the rows are kept no longer; the grant is not used up.
            LedgerError: the ledger does not accept it (not activated, used, finished, of another population or source).
        """
        if not isinstance(grant, Grant):
            raise GrantRequiredError(
                f"the rows of {source.contract} are read with an activated grant of the privacy ledger only, "
                f"not with {type(grant).__name__}"
            )
        own = self._snapshots().by_identity(source, grant.source)
        snapshot = self.readable(source, own.identity if own else None)
        LedgerResource(home=self.home).open().redeem(grant, population=source.population, fingerprint=snapshot.identity)
        return self._rows(snapshot, source)

    def read_public(self, source: Source) -> pd.DataFrame:
        """As `read`, without a grant: for releases without any guarantee, and only of a source declared public.

        Raises:
            GrantRequiredError: the source is not declared public.
            ProtectedRowsError: its rows are records of a source that is not.
        """
        require_public(source)
        snapshot = self.readable(source)
        whole = present(self._table(snapshot), source.columns.text)  # by whole texts records are known again
        self.require_unprotected(whole, source, "the source")
        return self._rows(snapshot, source)

    def require_unprotected(self, texts: Iterable[str | None], source: Source, what: str) -> None:
        """Pass if these texts, which the contract of the source declares public, are not known as records of a
        protected source.

        Raises:
            ProtectedRowsError: they are.
        """
        known = self._known()
        if known.protected(known.identities(texts), source):
            raise _are_protected(source, what)

    def beside(self, source: Source, kind: str, identity: str | None = None) -> Path:
        """A folder by the standing snapshot, or by the one of that identity, for what may quote its rows; it goes when
        they go."""
        snapshots = self._snapshots()
        snapshot = (identity and snapshots.by_identity(source, identity)) or self.latest(source)
        return private_folder(snapshots.folder(snapshot) / kind)

    def keep_trace(self, source: Source, name: str, text: str, identity: str | None = None) -> Path:
        """Keep what may quote sensitive rows by their snapshot, where only this user reads it."""
        path = self.beside(source, "errors", identity) / f"{name}.txt"
        write_private(path, text.encode("utf-8", "replace"))
        return path

    def keep_failure(self, contract_id: str, text: str) -> Path:
        """As `keep_trace`, of an ingestion that left no snapshot: for a day."""
        return self._snapshots().keep_failure(contract_id, text)

    def keep_figures(self, source: Source, name: str, text: str) -> Path:
        """Keep figures about the standing snapshot's rows by them, where only this user reads them."""
        path = self.beside(source, FIGURES) / name
        replace_atomically(path, text.encode(), mode=0o600)
        return path

    def _withdraw(self, source: Source, identity: str) -> None:
        """Forget a pending snapshot, known by the beginning of its identity."""
        self._snapshots().discard(source.contract, identity)
        self._known().settle(source.population, identity, bound=False)

    def _rows(self, snapshot: Snapshot, source: Source) -> pd.DataFrame:
        """What all releases are handed: the one place where texts are cut, each by itself."""
        rows = bound_units(as_rows(self._table(snapshot), source.columns), source.max_records, self._key())
        return shortened(rows, source.max_characters)

    def _table(self, snapshot: Snapshot) -> pa.Table:
        import pyarrow.parquet

        return pyarrow.parquet.read_table(self._snapshots().rows(snapshot))

    def _snapshots(self) -> Snapshots:
        return Snapshots(Home.at(self.home).sensitive)

    def _known(self) -> KnownRecords:
        return KnownRecords(private_folder(Home.at(self.home).sensitive), self._key())

    def _key(self) -> bytes:
        """The key of fingerprints and of thinning."""
        return key_of(Home.at(self.home))


def require_public(source: Source) -> None:
    """Pass if its owner declares the source public.

    Raises:
        GrantRequiredError: it does not.
    """
    if not source.public:
        raise GrantRequiredError(f"the source of {source.contract} is not declared public: its rows need a grant")


def _are_protected(source: Source, what: str) -> ProtectedRowsError:
    return ProtectedRowsError(
        f"{what} of {source.contract} is declared public, but records of a source that is protected are in it: they "
        "are read with a grant of the privacy ledger only. Take them out, or name another place"
    )


def _require_all(left: list[str]) -> None:
    if left:
        raise SourceError(
            f"sensitive copies may be kept longer than their contracts allow, since this account cannot look at or "
            f"delete {', '.join(left)}: let the account do it that they belong to, or delete by "
            "hand what is damaged"
        )
