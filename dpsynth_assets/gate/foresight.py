"""What a run would be charged, release by release, before it starts: what is found, what is gone on with, what is new.

Asks what the gate asks when a run comes to a release, reads no row and charges nothing. The gate alone decides: another
run may have been quicker by then.

Knows the ledger, the artifacts and what dead runs left; not who asks.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dpsynth_assets.gate.adoption import waiting
from dpsynth_assets.gate.resumption import unfinished
from dpsynth_assets.gate.spec import spec_keys
from dpsynth_assets.gate.standing import inputs
from dpsynth_assets.releases.registry import inputs_of, planned
from resources.artifact_store import ArtifactError

if TYPE_CHECKING:
    from dpsynth_assets.contract import Contract
    from dpsynth_assets.releases.release import Plan, Release
    from ledger import Event, Ledger, Reservation
    from resources.artifact_store import Artifact, ArtifactStore
    from resources.sensitive_store import SensitiveStore


@dataclass(frozen=True)
class Due:
    """A release that a run comes to.

    Attributes:
        name: what it is charged under.
        title: what its work is called.
        plan: of it.
        event: what is charged for it now; None for nothing.
        former: the charge of a run that ended, which this one goes on with; it stands already.
        finished: whether that run finished the release, so that it is only sealed now.
    """

    name: str
    title: str
    plan: Plan
    event: Event | None
    former: Reservation | None = None
    finished: bool = False


def foresee(
    contract: Contract,
    size: float,
    making: Collection[str],
    book: Ledger,
    store: SensitiveStore,
    artifacts: ArtifactStore,
) -> tuple[Due, ...]:
    """The releases among the assets that a run makes, in the order in which it comes to them.

    Args:
        size: the share of the units, in (0, 1], that would be released.
        making: names of the assets that the run makes.

    Raises:
        LedgerError: the ledger cannot be read.
        OSError: what dead runs left cannot be looked at.
    """
    if contract.without_privacy or contract.reads_nothing:
        return ()
    return tuple(
        _due(contract, release, release.plan(contract, size), making, book, store, artifacts)
        for release in planned(contract)
        if release.name in making
    )


def _due(
    contract: Contract,
    release: Release[Any],
    plan: Plan,
    making: Collection[str],
    book: Ledger,
    store: SensitiveStore,
    artifacts: ArtifactStore,
) -> Due:
    name = f"{contract.id}/{release.name}"
    made_from = _made_from(contract, release, making, artifacts)
    if made_from is not None:
        keys = spec_keys(name, plan)
        for found in waiting(book, contract, release.name, keys, store, artifacts, made_from):
            return Due(name, release.title, plan, None, found, finished=True)
        for found, again in _gone_on_with(contract, plan, keys, book, store, made_from):
            return Due(name, release.title, plan, again, found)
    return Due(name, release.title, plan, plan.event())


def _made_from(
    contract: Contract, release: Release[Any], making: Collection[str], artifacts: ArtifactStore
) -> dict[str, Artifact] | None:
    """What the release is made from, if that stands until the run comes to it."""
    if set(inputs_of(contract, release)) & set(making):
        return None
    try:
        return inputs(contract, release, artifacts)
    except ArtifactError:
        return None


def _gone_on_with(
    contract: Contract,
    plan: Plan,
    keys: tuple[str, ...],
    book: Ledger,
    store: SensitiveStore,
    made_from: dict[str, Artifact],
) -> Iterator[tuple[Reservation, Event | None]]:
    """The unfinished charge that the gate would take over, and what would be charged on top: at most one. None where
    its checkpoints cannot be read: the gate gives it up then, and another is charged in full."""
    begun = [each for key in keys for each in book.reservations(key=key)]
    replay = getattr(plan, "replay", None)
    origins = {name: artifact.id for name, artifact in made_from.items()}
    left = unfinished(begun, book, store, contract, replay, origins)
    if left is None:
        return
    found, checkpoints = left
    try:
        again = None
        if replay is not None and found.redeemed:
            from dpsynth_assets.privacy.checkpoint import CheckpointError

            try:
                again = replay(checkpoints.folder, found.replayed)
            except CheckpointError:
                return
    finally:
        checkpoints.release(discard=False)
    yield found, again
