"""What `dpsynth run` leaves out, since it stands: releases that were paid for, and the snapshot that they were made of.

So the same command goes on after whatever stopped it, and charges nothing twice. Knows what stands; runs nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from dpsynth_assets.cli.console import say
from dpsynth_assets.cli.running import title_of
from dpsynth_assets.gate.sources import source_of
from dpsynth_assets.gate.standing import standing
from dpsynth_assets.releases.registry import planned_names
from resources.artifact_store import Artifact, ArtifactStore
from resources.sensitive_store import SensitiveStore
from resources.tabular import SourceError

if TYPE_CHECKING:
    from dpsynth_assets.contract import Contract
    from resources.home import Home


def standing_parts(
    contract: Contract, home: Home, size: float | None, *, anew: Collection[str], resnapshot: bool
) -> tuple[dict[str, Artifact], set[str]]:
    """What stands and is used, by name, and all the assets that a run leaves out.

    Args:
        size: the share of the units that the run is for; None for all.
        anew: releases that are made again whatever stands.
        resnapshot: whether the run was told something about the snapshot, which it then takes.
    """
    if contract.without_privacy or contract.reads_nothing:
        return {}, set()
    used = standing(contract, ArtifactStore(home=str(home.root)), size or 1.0, anew=anew)
    if used and not (anew or resnapshot) and _snapshot_serves(contract, home, used):
        return used, {"source", *used}
    return used, set(used)


def _snapshot_serves(contract: Contract, home: Home, used: Mapping[str, Artifact]) -> bool:
    """Whether what is left can be made without another look at the source: from the snapshot that the rest was made
    of, as long as it may be read, or from no row."""
    if not source_of(contract).public and set(planned_names(contract)) <= set(used):
        return True
    with suppress(SourceError):
        snapshot = SensitiveStore(home=str(home.root)).readable(source_of(contract))
        return any(each.receipt["about"].get("snapshot") == snapshot.id for each in used.values())
    return False


def say_what_stands(used: Mapping[str, Artifact], contract: Contract) -> None:
    """Which releases are used as they stand, and how to get others."""
    releases = [name for name in planned_names(contract) if name in used]
    for name in releases:
        made = used[name].receipt["created"][:10]
        say(("= ", "cyan"), f"{title_of(name)}: the one of {made} stands and is used, nothing is charged")
    if releases:
        say(f"To pay for another one from today's rows: --again {releases[-1]}", style="dim")
