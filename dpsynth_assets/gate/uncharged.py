"""The way past the gate, for a variant without privacy: its source is declared public, so nothing is charged.

No row of a protected source comes this way: the store refuses it. Called by the gate, and by nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from dpsynth_assets.gate.approval import require_approved
from dpsynth_assets.gate.binding import bind
from dpsynth_assets.gate.passage import Stores, UnchargedPassage
from dpsynth_assets.gate.refusal import told
from dpsynth_assets.gate.sources import source_of
from dpsynth_assets.gate.spec import facts_of
from dpsynth_assets.releases.release import Plan
from ledger import LedgerError
from resources.artifact_store import Artifact, ArtifactError, Draft
from resources.sensitive_store import GrantRequiredError
from resources.snapshots import Snapshot
from resources.tabular import SourceError

if TYPE_CHECKING:
    from dpsynth_assets.contract import Contract


@contextmanager
def uncharged(
    contract: Contract,
    plan: Plan,
    stores: Stores,
    draft: Draft,
    ready: Callable[[Snapshot], None],
    made_from: Mapping[str, Artifact] | None,
) -> Iterator[UnchargedPassage]:
    """Past the gate, for a variant without privacy: two people have agreed to it, and nothing is charged. What fails in
    here may say so: the rows are public."""
    try:
        book = stores.ledger.open()
        with book.reading() as now:
            now.require_signing_key()
            require_approved(contract, now)
        snapshot = stores.sensitive.readable(source_of(contract))
        bind(contract, snapshot, book, stores.sensitive)
        ready(snapshot)
        with book.reading() as now:
            require_approved(contract, now)  # people may have signed while a model was loaded
        data = snapshot.content or snapshot.identity
        with stores.artifacts.unfinished(contract.id, draft.kind, plan.digest(), data) as folder:
            passage = UnchargedPassage(contract, stores.sensitive, draft, folder)
            yield passage
            passage.artifact = stores.artifacts.seal(
                draft, made_from=made_from, about=facts_of(snapshot, contract), protected=False
            )
    except (LedgerError, GrantRequiredError, SourceError, ArtifactError) as error:
        raise told(error) from None
