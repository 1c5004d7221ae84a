"""What `dpsynth run` leaves out, since it stands: releases that were paid for, and the snapshot that they were made of.

So the same command goes on after whatever stopped it, and charges nothing twice. Knows what stands; runs nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from dpsynth_assets.cli.console import BadInput, say
from dpsynth_assets.gate.adoption import wait_to_be_sealed
from dpsynth_assets.gate.sources import source_of
from dpsynth_assets.gate.standing import standing
from dpsynth_assets.releases.registry import inputs_of, planned, planned_names
from ledger import Ledger
from resources.artifact_store import Artifact, ArtifactStore
from resources.sensitive_store import SensitiveStore
from resources.tabular import SourceError

if TYPE_CHECKING:
    from dpsynth_assets.contract import Contract
    from resources.home import Home


def require_planned(contract: Contract, anew: Collection[str]) -> None:
    """BadInput where a release that is asked for again is not planned."""
    names = planned_names(contract)
    if unplanned := sorted(set(anew) - set(names)):
        remedy = f"name one of these, {', '.join(names)}" if names else "leave --again out"
        raise BadInput(f"--again {', '.join(unplanned)} is no release that the contract plans: {remedy}")


def standing_parts(
    contract: Contract, home: Home, size: float | None, *, anew: Collection[str], resnapshot: bool
) -> tuple[dict[str, Artifact], set[str]]:
    """What stands and is used, by name, and all the assets that a run leaves out.

    Args:
        size: the share of the units that the run is for; None for all.
        anew: releases that are made again whatever stands.
        resnapshot: whether the run was told something about the snapshot, which it then takes.
    """
    if contract.without_privacy or contract.reads_nothing or not home.has_ledger:
        return {}, set()
    artifacts, store = ArtifactStore(home=str(home.root)), SensitiveStore(home=str(home.root))
    waiting = wait_to_be_sealed(contract, size or 1.0, Ledger(home.ledger_file), store, artifacts)
    used = standing(contract, artifacts, size or 1.0, anew=anew, waiting=waiting)
    if used and not (anew or resnapshot) and _snapshot_serves(contract, store, used):
        return used, {"source", *used}
    return used, set(used)


def _snapshot_serves(contract: Contract, store: SensitiveStore, used: Mapping[str, Artifact]) -> bool:
    """Whether what is left can be made without another look at the source: from the snapshot that the rest was made
    of, as long as it may be read and is one of all units, or from no row."""
    if not source_of(contract).public and set(planned_names(contract)) <= set(used):
        return True
    with suppress(SourceError):
        snapshot = store.readable(source_of(contract))
        theirs = {each.receipt["about"].get("snapshot") for each in used.values()}
        return snapshot.size == 1.0 and snapshot.id in theirs
    return False


def to_be_made(contract: Contract, used: Collection[str]) -> set[str]:
    """The releases that a run makes where these are used as they stand, and what it makes them from."""
    names = {name for each in planned(contract) for name in (each.name, *inputs_of(contract, each))}
    return names - set(used)


def say_what_stands(used: Mapping[str, Artifact], contract: Contract) -> None:
    """Which releases are used as they stand, and how to get others."""
    releases = [release for release in planned(contract) if release.name in used]
    for release in releases:
        made = used[release.name].receipt["created"][:10]
        say(("= ", "cyan"), f"{release.title}: the one of {made} stands and is used, nothing is charged")
    if releases:
        say(f"To pay for another one from today's rows: --again {releases[-1].name}", style="dim")
