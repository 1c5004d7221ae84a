"""What all assets of a contract share: key, group, owners, tags, version, partitions, and failures in plain words.

A contract's release variants are partitions of its assets. A body works on the contract of its partition
(`of_partition`), which is made when the body runs: that takes a second or two, which loading a code location must not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import dagster as dg

from dpsynth_assets import variants
from dpsynth_assets.assets.admission import admission, or_refused
from dpsynth_assets.assets.figures import guarantee
from dpsynth_assets.gate.refusal import told
from dpsynth_assets.publish.release import NO_GUARANTEE

if TYPE_CHECKING:
    from dpsynth_assets.contract import Contract

_CODE = "1"


def asset_key(contract: Contract, name: str) -> dg.AssetKey:
    """`<contract>/<name>`."""
    return dg.AssetKey([contract.id, name])


def partitions_of(contract: Contract) -> dg.StaticPartitionsDefinition | None:
    """The contract's release variants; None where it declares none, or is one itself."""
    if contract.privacy.variants is None or contract.base is not None:
        return None
    return dg.StaticPartitionsDefinition(list(variants.names(contract)))


def of_partition(declared: Contract, context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext) -> Contract:
    """The contract of the partition that a body runs for; the contract itself where it has no partitions.

    For bodies of partitioned assets and their checks only: in one run with these, an asset that has no partitions sees
    a partition all the same.

    Raises:
        dg.Failure: the run is for no partition or for several, or the variant cannot be made.
    """
    if partitions_of(declared) is None:
        return declared
    try:
        name = context.partition_key
    except dg.DagsterInvariantViolationError:
        text = f"{declared.id} has release variants: run one partition at a time, {', '.join(variants.names(declared))}"
        raise dg.Failure(text, allow_retries=False) from None
    with plain_failures(variants.VariantError):
        return variants.variant(declared, name)


def contract_asset(
    contract: Contract,
    name: str,
    *,
    description: str,
    kinds: set[str],
    after: tuple[str, ...] = (),
    spends: bool = False,
    follows: bool = True,
    partitioned: bool = True,
    asks: bool = True,
) -> Callable[[Callable[..., Any]], dg.AssetsDefinition]:
    """`dg.asset` with what the assets of a contract share.

    `after` names the contract's assets that this one is made from. `spends` marks a release: it passes the gate, and
    nothing automates or retries it. `follows` is off for free assets that do not follow their inputs by themselves,
    such as the snapshot. `partitioned` is off for what all release variants of a contract share. `asks` is off for what
    asks neither the ledger nor its people for leave: it has no check of its admission.
    """
    reads = spends and not contract.reads_nothing
    promise = f"Charged to the privacy ledger of population `{contract.privacy.population}`."
    free = f"Post-processing: costs nothing, and carries the guarantee of what it was made from: {guarantee(contract)}."
    partitions = partitions_of(contract) if partitioned else None
    said = [description, promise if reads else free if follows else "", _on_partitions(contract) if partitions else ""]
    key = asset_key(contract, name)
    made = dg.asset(
        key=key,
        deps=[asset_key(contract, upstream) for upstream in after],
        group_name=contract.id.replace("-", "_"),
        owners=list(contract.owners),
        description="\n\n".join(part for part in said if part),
        kinds=kinds,
        tags={
            "contract": contract.id,
            "spends_budget": "yes" if reads else "no",
            "follows_inputs": "yes" if follows and not spends else "no",
        },
        code_version=f"{_CODE}-{contract.digest[:12]}",
        metadata={"contract_version": contract.version, "contract_file": contract.path.name},
        partitions_def=partitions,
        output_required=not asks,
        check_specs=[admission(key, partitions)] if asks else None,
    )
    return (lambda body: made(or_refused(key, body))) if asks else made


def _on_partitions(contract: Contract) -> str:
    """What the description says of partitions."""
    declared = contract.privacy.variants
    unprotected = f" A partition that ends in `-none` has {NO_GUARANTEE}." if declared and declared.has_none else ""
    return (
        f"A partition for each release variant; `{variants.MAIN}` is the release described here.{unprotected} "
        f"`{variants.NOTHING}` reads no row and is charged nothing."
    )


@contextmanager
def plain_failures(*kinds: type[Exception]) -> Iterator[None]:
    """Turn the given errors, whose texts are written for people, into failures or refusals without a stack to read.

    For free assets only: what a release raises is the gate's business.
    """
    try:
        yield
    except kinds as error:
        raise told(error) from error
