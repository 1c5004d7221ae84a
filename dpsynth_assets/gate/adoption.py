"""A release that was finished and paid for, and whose process died before it was committed or sealed, is found here.

Nothing runs and no row is read: the files lie where the release wrote them, and their digest is what was written down
in the sensitive zone when it was finished. So nothing is charged for it.

Knows the ledger, the artifacts and what `resumption` keeps; nothing of what a release computes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import dagster as dg

from dpsynth_assets.gate.approval import require_approved
from dpsynth_assets.gate.resumption import Checkpoints, as_it_is, finished, locked
from ledger import Ledger, LedgerError, Reservation
from resources.artifact_store import Artifact, ArtifactError, Draft

if TYPE_CHECKING:
    from dpsynth_assets.contract import Contract
    from dpsynth_assets.gate.passage import Stores


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
        for found in _finished(book, keys, stores):
            checkpoints = locked(stores.sensitive, found.id)
            if checkpoints is None:
                continue
            sealed = False
            try:
                sealed = _is_sealed(book, found)  # and its process died before it could tidy up
                draft = None if sealed else _draft(checkpoints, contract, kind, stores, made_from)
                now = as_it_is(book, found)
                if draft is None or now.state not in ("activated", "redeemed", "committed"):
                    continue
                book.require_signing_key()
                require_approved(contract, book)
                if now.state != "committed":
                    grant = book.resume(now.id, owner=context.run.run_id, replayed=None)
                    book.redeem(grant, population=now.population, fingerprint=now.source)
                    book.commit(grant, artifact_digest=draft.digest(), event=now.event)
                about = (checkpoints.finished() or {})["about"]
                artifact = stores.artifacts.seal(draft, made_from=made_from, reservation=now.id, about=about)
                sealed = True
                return artifact
            finally:
                checkpoints.release(discard=sealed)
    except (LedgerError, ArtifactError) as error:
        raise dg.Failure(str(error), allow_retries=False) from None
    return None


def _finished(book: Ledger, keys: tuple[str, ...], stores: Stores) -> Iterator[Reservation]:
    """Charges by these keys whose release left word that it was finished; the ledger is asked where any did."""
    if said := finished(stores.sensitive):
        for key in keys:
            yield from (each for each in book.reservations(key=key) if each.id in said)


def _is_sealed(book: Ledger, found: Reservation) -> bool:
    return any(charge.reservation == found.id for seal in book.seals(found.release) for charge in book.charges_of(seal))


def _draft(
    checkpoints: Checkpoints, contract: Contract, kind: str, stores: Stores, made_from: Mapping[str, Artifact]
) -> Draft | None:
    """The finished files, if they are what was written down, and were made from what stands now."""
    record = checkpoints.finished()
    if record is None or record.get("made_from") != {name: artifact.id for name, artifact in made_from.items()}:
        return None
    draft = stores.artifacts.finished(contract.id, kind, str(record.get("draft")))
    return draft if draft is not None and draft.digest() == record.get("digest") else None
