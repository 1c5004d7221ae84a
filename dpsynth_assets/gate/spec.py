"""What a release is called in the ledger and on its receipt. Knows neither when it is charged nor what it computes."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import dagster as dg

from dpsynth_assets.gate.sources import source_of
from dpsynth_assets.releases.release import Plan
from resources.snapshots import Snapshot

if TYPE_CHECKING:
    from dpsynth_assets.contract import Contract


def release_name(context: dg.AssetExecutionContext, contract: Contract) -> str:
    """What a release is charged under, as `inbox--lora-3/adapter`: the contract of the partition, and the asset."""
    return f"{contract.id}/{context.asset_key.path[-1]}"


def spec_keys(release: str, plan: Plan) -> tuple[str, ...]:
    """What is released: asset and partition, as the release's name has them, and plan. Not the run: another run
    is a new charge. The first is the key of now, the others are those of former versions of this program."""
    digests = (plan.digest(), *plan.former_digests())
    return tuple(hashlib.sha256(f"{release}\0{digest}".encode()).hexdigest() for digest in digests)


def facts_of(snapshot: Snapshot, contract: Contract) -> dict[str, Any]:
    """What the receipt says of the rows."""
    return {"snapshot": snapshot.id, "size": snapshot.size, "reading": source_of(contract).reading}
