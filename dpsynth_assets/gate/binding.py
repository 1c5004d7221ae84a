"""Which people's records a snapshot holds, said in the ledger once for all, before anything of it may be charged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dpsynth_assets.gate.sources import source_of
from ledger import Ledger
from resources.sensitive_store import SensitiveStore
from resources.snapshots import Snapshot

if TYPE_CHECKING:
    from dpsynth_assets.contract import Contract


def bind(contract: Contract, snapshot: Snapshot, book: Ledger, store: SensitiveStore) -> None:
    """Say in the ledger of which blocks a snapshot is made, and in the store whether the ledger took it, so that it
    stands.

    Raises:
        TermsConflict: the blocks are not the population's, or it holds records of a population that protects another
            unit.
        SourceError: another snapshot of the contract was taken meanwhile.
    """
    try:
        book.bind_source(
            contract.privacy.population, snapshot.identity, blocks=snapshot.blocks, overlaps=snapshot.overlaps
        )
    except BaseException:
        store.settle(source_of(contract), snapshot, bound=False)
        raise
    store.settle(source_of(contract), snapshot, bound=True)
