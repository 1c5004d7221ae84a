"""A release that was finished and paid for, and whose process died before it was committed or sealed, is found here.

Nothing runs and no row is read: the files lie where the release wrote them, and their digest is what was written down
in the sensitive zone when it was finished. So nothing is charged for it.

Knows the ledger, the artifacts and what `resumption` keeps; nothing of what a release computes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import dagster as dg

from dpsynth_assets.gate.approval import require_approved
from dpsynth_assets.gate.refusal import told
from dpsynth_assets.gate.resumption import as_it_is, clear_ended, finished, is_sealed, locked, word_of
from dpsynth_assets.gate.spec import spec_keys
from dpsynth_assets.gate.standing import inputs
from dpsynth_assets.releases.registry import planned
from ledger import Ledger, LedgerError, Reservation
from resources.artifact_store import Artifact, ArtifactError, ArtifactStore, Draft
from resources.sensitive_store import SensitiveStore

if TYPE_CHECKING:
    from dpsynth_assets.contract import Contract
    from dpsynth_assets.gate.passage import Stores

_PAID = ("activated", "redeemed", "committed")


def adopted(
    context: dg.AssetExecutionContext,
    contract: Contract,
    keys: tuple[str, ...],
    stores: Stores,
    made_from: Mapping[str, Artifact],
) -> Artifact | None:
    """The finished release by one of these keys, committed and sealed now; None where there is none.

    Raises:
        dg.Failure: the ledger cannot be used, or does not accept it.
    """
    kind = context.asset_key.path[-1]
    try:
        book = stores.ledger.open()
        clear_ended(book, stores.sensitive)
        for found in _finished(book, contract, keys, stores.sensitive):
            checkpoints = locked(stores.sensitive, found.id)
            if checkpoints is None:
                continue
            sealed = False
            try:
                sealed = is_sealed(book, found)  # and its process died before it could tidy up
                word = word_of(stores.sensitive, found.id)
                draft = None if sealed else _draft(word, contract, kind, stores.artifacts, made_from)
                now = as_it_is(book, found)
                if draft is None or now.state not in _PAID:
                    continue
                book.require_signing_key()
                require_approved(contract, book)
                if now.state != "committed":
                    grant = book.resume(now.id, owner=context.run.run_id, replayed=None)
                    book.redeem(grant, population=now.population, fingerprint=now.source)
                    book.commit(grant, artifact_digest=draft.digest(), event=now.event)
                artifact = stores.artifacts.seal(draft, made_from=made_from, reservation=now.id, about=word["about"])
                sealed = True
                return artifact
            finally:
                checkpoints.release(discard=sealed)
    except (LedgerError, ArtifactError) as error:
        raise told(error) from None
    return None


def wait_to_be_sealed(
    contract: Contract, size: float, book: Ledger, store: SensitiveStore, artifacts: ArtifactStore
) -> set[str]:
    """The contract's releases that were finished, paid for and not sealed, made from artifacts that stand: a run that
    made these anew would lose them."""
    found = set()
    for release in planned(contract):
        if not release.made_from:
            continue
        with suppress(ArtifactError):
            origins = {name: artifact.id for name, artifact in inputs(contract, release, artifacts).items()}
            keys = spec_keys(f"{contract.id}/{release.name}", release.plan(contract, size))
            left = _finished(book, contract, keys, store)
            if any(word_of(store, each.id).get("made_from") == origins for each in left):
                found.add(release.name)
    return found


def waiting(
    book: Ledger,
    contract: Contract,
    kind: str,
    keys: tuple[str, ...],
    store: SensitiveStore,
    artifacts: ArtifactStore,
    made_from: Mapping[str, Artifact],
) -> Iterator[Reservation]:
    """The charges of finished releases by these keys that `adopted` would seal now: their files are whole, and were
    made from what stands."""
    for found in _finished(book, contract, keys, store):
        word = word_of(store, found.id)
        whole = found.state in _PAID and _draft(word, contract, kind, artifacts, made_from) is not None
        if whole and not is_sealed(book, found):
            yield found


def _finished(book: Ledger, contract: Contract, keys: tuple[str, ...], store: SensitiveStore) -> Iterator[Reservation]:
    """Charges by these keys, about the contract's people, whose release left word that it was finished; the ledger is
    asked where any did. One that an audit refuted is not sealed any more, so it would stand in every run's way."""
    if said := finished(store):
        refuted = {incident.reservation for incident in book.incidents(contract.privacy.population)}
        for key in keys:
            for each in book.reservations(key=key):
                if each.id in said - refuted and each.population == contract.privacy.population:
                    yield each


def _draft(
    record: Mapping[str, Any],
    contract: Contract,
    kind: str,
    artifacts: ArtifactStore,
    made_from: Mapping[str, Artifact],
) -> Draft | None:
    """The finished files, if they are what was written down, and were made from what stands now."""
    if record.get("made_from") != {name: artifact.id for name, artifact in made_from.items()}:
        return None
    draft = artifacts.finished(contract.id, kind, str(record.get("draft")))
    return draft if draft is not None and draft.digest() == record.get("digest") else None
