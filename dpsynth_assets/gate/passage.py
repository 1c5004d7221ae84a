"""What a release gets inside the gate: the right to read the rows once, a folder to write in, and the duty to say what
ran.

Knows the sensitive store, and how it is asked for rows; not when the gate opens, nor what a release computes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from dpsynth_assets.gate.sources import source_of
from ledger.events import repetitions
from resources.artifact_store import Artifact, ArtifactStore, Draft
from resources.ledger import LedgerResource
from resources.sensitive_store import SensitiveStore

if TYPE_CHECKING:
    from dpsynth_assets.contract import Contract
    from dpsynth_assets.releases.rows import Rows
    from ledger import Event, Grant


@dataclass(frozen=True)
class Stores:
    """What a release is charged to, reads from, and leaves its artifact in."""

    ledger: LedgerResource
    sensitive: SensitiveStore
    artifacts: ArtifactStore


class Passage(Protocol):
    """One passage through the gate.

    Attributes:
        folder: where the release writes what it lets out.
        checkpoints: a folder in the sensitive zone for what a killed run leaves.
        artifact: there when the gate has closed: the sealed folder with its receipt.
    """

    folder: Path
    checkpoints: Path
    artifact: Artifact

    def rows(self) -> Rows:
        """The sensitive rows, read as they are asked for. Works once."""

    def finish(self, event: Event | None, replayed: Event | None = None) -> None:
        """State what really ran, and what of it ran more than once."""


class ChargedPassage:
    """The rows under a grant. A release that ends without `finish` is forfeited."""

    artifact: Artifact

    def __init__(self, contract: Contract, grant: Grant, store: SensitiveStore, draft: Draft, left: Path) -> None:
        self._contract, self._grant, self._store = contract, grant, store
        self.folder, self.checkpoints = draft.folder, left
        self.event: Event | None = None
        self.replayed: Event | None = None

    def rows(self) -> Rows:
        return self._store.batches(self._grant, source_of(self._contract))

    def finish(self, event: Event | None, replayed: Event | None = None) -> None:
        self.event, self.replayed = event, replayed

    def misstated(self, charged_again: int) -> Exception | None:
        """What is wrong with what was stated, where `charged_again` steps are charged to run a second time."""
        if self.event is None:
            return RuntimeError("the release ended without stating what ran")
        if repetitions(self.replayed) > charged_again:
            return RuntimeError("more steps ran a second time than were charged")
        return None


class UnchargedPassage:
    """The rows of a source that its owner declares public, for what no guarantee is given of."""

    artifact: Artifact

    def __init__(self, contract: Contract, store: SensitiveStore, draft: Draft, left: Path) -> None:
        self._contract, self._store = contract, store
        self.folder, self.checkpoints = draft.folder, left

    def rows(self) -> Rows:
        return self._store.public_batches(source_of(self._contract))

    def finish(self, event: Event | None, replayed: Event | None = None) -> None:
        """Nothing ran that there would be a charge for.

        Raises:
            RuntimeError: something did.
        """
        if event is not None or replayed is not None:
            raise RuntimeError(f"{event or replayed} ran where no mechanism was to run: nothing would account for it")
