"""Which releases of a contract stand already, of the very plan that would be charged: what a run can go on with.

Not by the rows: whether the source holds others today is asked by nobody, since the answer would be an output. A
release of today's rows is asked for by its name.

Knows contracts, artifacts and the charges that they rest on; not who asks.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from dpsynth_assets.gate.sources import source_of
from dpsynth_assets.releases.registry import inputs_of, planned, planned_names
from dpsynth_assets.releases.release import Plan, Release
from resources.artifact_store import Artifact, ArtifactError, ArtifactMissingError, ArtifactStore

if TYPE_CHECKING:
    from dpsynth_assets.contract import Contract


class OtherInputsError(ArtifactError):
    """What a release is made from was made from something that does not stand any more, or of other people."""


def inputs(contract: Contract, release: Release[Any], artifacts: ArtifactStore) -> dict[str, Artifact]:
    """The standing artifacts that a release is made from, each made from standing ones: nothing is spent on others.

    Raises:
        ArtifactMissingError: there is none.
        OtherInputsError: it was made from something that does not stand any more, or rests on other people's charges.
        ArtifactError: it cannot be had.
    """
    found = {name: artifacts.latest(contract.id, name) for name in inputs_of(contract, release)}
    for name, artifact in found.items():
        charged = {charge.population for charge in artifact.charges} - {contract.privacy.population}
        if charged:
            raise OtherInputsError(
                f"the standing {name} of {contract.id} rest on charges of population {', '.join(sorted(charged))}, and "
                f"the contract is about {contract.privacy.population} now: make its releases anew. Nothing was charged"
            )
        for before, identity in artifact.receipt["about"].items():
            if before in artifact.seal.made_from and artifacts.latest(contract.id, before).id != identity:
                raise OtherInputsError(
                    f"the standing {name} of {contract.id} were made from another {before} than the standing one: "
                    f"materialize {contract.id}/{name} first. Nothing was charged"
                )
    return found


def standing(
    contract: Contract,
    artifacts: ArtifactStore,
    size: float = 1.0,
    *,
    anew: Collection[str] = (),
    waiting: Collection[str] = (),
) -> dict[str, Artifact]:
    """What stands of the contract's releases, and the artifacts that these were made from, by name.

    Args:
        size: the share of the units, in (0, 1], that would be released.
        anew: releases that are made again whatever stands, and with them what was made from them.
        waiting: releases that are found when a run comes to them, as long as what they were made from stands.

    Raises:
        ArtifactError: the files of one are not those that were sealed, or the ledger cannot be read.
    """
    found: dict[str, Artifact] = {}
    for release in planned(contract):
        stands = (
            None
            if release.name in anew
            else standing_release(contract, release, release.plan(contract, size), artifacts, size)
        )
        if stands is None and (release.name in anew or release.name not in waiting):
            continue
        made = inputs(contract, release, artifacts)
        rests_on = {name for each in made.values() for name in each.seal.made_from}
        if rests_on & set(planned_names(contract)) <= set(found):
            found |= made if stands is None else made | {release.name: stands}
    return found


def standing_release(
    contract: Contract, release: Release[Any], plan: Plan, artifacts: ArtifactStore, size: float
) -> Artifact | None:
    """The standing artifact of a release, if it was charged for this very plan and made from what stands now, of
    records that are read as the contract says now and of no smaller a share of the units."""
    try:
        found = artifacts.latest(contract.id, release.name)
        now = inputs(contract, release, artifacts)
    except (ArtifactMissingError, OtherInputsError):
        return None
    name, digests = f"{contract.id}/{release.name}", (plan.digest(), *plan.former_digests())
    own = [charge for charge in found.charges if charge.release == name and charge.plan_digest in digests]
    about_them = all(charge.population == contract.privacy.population for charge in found.charges)
    reading, about = source_of(contract).reading, found.receipt["about"]
    same_records = about.get("reading", reading) == reading  # older receipts do not say
    of_as_many = float(about.get("size", 1.0)) >= size
    of_these = all(about.get(each) == artifact.id for each, artifact in now.items())
    return found if own and about_them and same_records and of_as_many and of_these else None
