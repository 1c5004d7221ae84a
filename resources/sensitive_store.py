"""The sensitive store: the one place where sensitive rows lie, and the one door to them.

`ingest` copies an external source into a snapshot that only this user may read. `batches` is the only method that hands
out rows of a source that is not declared public (`read` is all of its frames at once), and it demands a *grant*: proof
that the ledger has charged a release and has handed out a single-use token for it. The store redeems the token at the
ledger right before it returns anything, so rows without a charge do not exist for anybody who goes through the
platform, whichever way the run was launched.

Formal claim: the rows that a grant is given are computed from the snapshot unit by unit (thinning, filtering to the
declared label set, bounding a unit's records, cutting texts), so that adding or removing one unit changes that unit's
rows and no others; where one frame ends and the next begins depends on all of them, and nothing may be made of it.
Misuse that breaks it: reading the files under `sensitive/` by other means. What does that here is refused in review,
and an administrator of the machine cannot be stopped by a program on it.

Records come and go batch by batch. Of all at once no more is held in memory than numbers: a few bytes for each.

Nothing that depends on the rows leaves this module but what a grant is given: the identity by which the ledger knows a
snapshot is drawn at random, and no count is kept outside `sensitive/`. Which snapshot stands is `resources.snapshots`'
business, what is remembered of the records `resources.known_records`', and how long copies are kept
`resources.retention`'s.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import compress
from pathlib import Path
from typing import TYPE_CHECKING

from ledger import Grant
from resources import retention
from resources.bounding import bound_units
from resources.deployed import Deployed
from resources.fingerprint_key import key_of
from resources.home import Home, private_folder, replace_atomically, write_private
from resources.ingestion import ProtectedRowsError as ProtectedRowsError
from resources.ingestion import are_protected, ingest_into
from resources.known_records import KnownRecords
from resources.ledger import LedgerResource
from resources.snapshots import FIGURES, Snapshot, Snapshots, new_names
from resources.source import Source
from resources.tabular import SourceError, described, frame_of, present, shortened

if TYPE_CHECKING:
    import pandas as pd


class GrantRequiredError(Exception):
    """Somebody asked for sensitive rows without an activated grant."""


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
        known, snapshots = self._known(), self._snapshots()
        with known.locked():
            for left in known.pending(source):
                self._withdraw(source, left)
            now = datetime.now(UTC)
            id_, identity = new_names(now)
            try:
                with snapshots.draft(source.contract, id_, source.columns) as draft:
                    copied = ingest_into(draft, source, size, identity, known, self._key())
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
                        blocks=copied.blocks,
                        overlaps=copied.overlaps,
                        content=copied.content,
                    )
                    draft.finish(snapshot, copied.kept, copied.counts)
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

    def batches(self, grant: Grant, source: Source, most: int | None = None) -> Iterator[pd.DataFrame]:
        """The sensitive rows: `unit`, `text` and the label columns, at most `max_records` records of each unit, and of
        each text its first `max_characters`; in the order of the source, in frames of at most `most` rows, of which
        where one ends says nothing. They are read as they are asked for.

        They are those of the snapshot that the grant was given for, which need not stand any more. The grant is
        redeemed at the ledger first, by the call itself; it works once, for its own population and this very source.

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
        return self._batches(snapshot, source, most)

    def read(self, grant: Grant, source: Source) -> pd.DataFrame:
        """All of `batches` at once, for rows that fit into memory. Raises what it does."""
        return _joined(self.batches(grant, source), source)

    def public_batches(self, source: Source) -> Iterator[pd.DataFrame]:
        """As `batches`, without a grant: for releases without any guarantee, and only of a source declared public.

        Raises:
            GrantRequiredError: the source is not declared public.
            ProtectedRowsError: its rows are records of a source that is not.
        """
        require_public(source)
        snapshot = self.readable(source)
        stored = self._snapshots().batches(snapshot)  # by whole texts records are known again
        whole = (text for batch in stored for text in present(batch, source.columns.text))
        self.require_unprotected(whole, source, "the source")
        return self._batches(snapshot, source)

    def read_public(self, source: Source) -> pd.DataFrame:
        """All of `public_batches` at once. Raises what it does."""
        return _joined(self.public_batches(source), source)

    def require_unprotected(self, texts: Iterable[str | None], source: Source, what: str) -> None:
        """Pass if these texts, which the contract of the source declares public, are not known as records of a
        protected source.

        Raises:
            ProtectedRowsError: they are.
        """
        known = self._known()
        if known.protected(known.identities(texts), source):
            raise are_protected(source, what)

    def require_new(self, texts: Iterable[str | None], what: str) -> None:
        """Pass if these texts, for which nobody is charged, are not in substantial part records of a source that was
        read here, of whichever contract: those are read under a charge. A few that were written again are none.

        Raises:
            ProtectedRowsError: they are.
        """
        known = self._known()
        if known.hold(known.identities(texts)):
            raise ProtectedRowsError(
                f"{what} is a source that was read here, or a copy or a part of one, and not new texts: its rows are "
                "read under a charge, and for nothing else. Give texts that were not in a source, without those that "
                "were"
            )

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
        return _joined(self._batches(snapshot, source), source)

    def _batches(self, snapshot: Snapshot, source: Source, most: int | None = None) -> Iterator[pd.DataFrame]:
        """What all releases are handed: the one place where texts are cut, each by itself."""
        folder = self._snapshots().folder(snapshot)
        used = bound_units(self._described(snapshot, source), source.max_records, self._key(), folder)
        start = 0
        for rows in self._described(snapshot, source, most):
            chosen = list(compress(rows, used[start : start + len(rows)]))
            start += len(rows)
            if chosen:
                yield shortened(frame_of(chosen, source.columns), source.max_characters)

    def _described(
        self, snapshot: Snapshot, source: Source, most: int | None = None
    ) -> Iterator[list[tuple[str, ...]]]:
        start = 0
        for batch in self._snapshots().batches(snapshot, most):
            yield described(batch, source.columns, start)
            start += len(batch)

    def _snapshots(self) -> Snapshots:
        return Snapshots(Home.at(self.home).sensitive)

    def _known(self) -> KnownRecords:
        return KnownRecords(private_folder(Home.at(self.home).sensitive), self._key())

    def _key(self) -> bytes:
        """The key of fingerprints and of thinning."""
        return key_of(Home.at(self.home))


def _joined(frames: Iterable[pd.DataFrame], source: Source) -> pd.DataFrame:
    import pandas as pd

    return pd.concat([frame_of([], source.columns), *frames], ignore_index=True)


def require_public(source: Source) -> None:
    """Pass if its owner declares the source public.

    Raises:
        GrantRequiredError: it does not.
    """
    if not source.public:
        raise GrantRequiredError(f"the source of {source.contract} is not declared public: its rows need a grant")


def _require_all(left: list[str]) -> None:
    if left:
        raise SourceError(
            f"sensitive copies may be kept longer than their contracts allow, since this account cannot look at or "
            f"delete {', '.join(left)}: let the account do it that they belong to, or delete by "
            "hand what is damaged"
        )
