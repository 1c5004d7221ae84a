"""What all assets of a contract share: key, group, owners, tags, version, and failures in plain words."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import dagster as dg

from dpsynth_assets.approval import optional_releases
from dpsynth_assets.assets.figures import guarantee

if TYPE_CHECKING:
    from dpsynth_assets.contract import Contract

_CODE = "1"


def asset_key(contract: Contract, name: str) -> dg.AssetKey:
    """`<contract>/<name>`."""
    return dg.AssetKey([contract.id, name])


def contract_asset(
    contract: Contract,
    name: str,
    *,
    description: str,
    kinds: set[str],
    after: tuple[str, ...] = (),
    spends: bool = False,
    follows: bool = True,
) -> Callable[[Callable[..., Any]], dg.AssetsDefinition]:
    """`dg.asset` with what the assets of a contract share.

    `after` names the contract's assets that this one is made from. `spends` marks a release: it passes the gate, and
    nothing automates or retries it. `follows` is off for free assets that do not follow their inputs by themselves,
    such as the snapshot.
    """
    promise = f"Charged to the privacy ledger of population `{contract.privacy.population}`."
    free = f"Post-processing: costs nothing, and carries the guarantee of what it was made from: {guarantee(contract)}."
    return dg.asset(
        key=asset_key(contract, name),
        deps=[asset_key(contract, upstream) for upstream in after],
        group_name=contract.id.replace("-", "_"),
        owners=list(contract.owners),
        description=f"{description}\n\n{promise if spends else free if follows else ''}".strip(),
        kinds=kinds,
        tags={
            "contract": contract.id,
            "spends_budget": "yes" if spends else "no",
            "follows_inputs": "yes" if follows and not spends else "no",
        },
        code_version=f"{_CODE}-{contract.digest[:12]}",
        metadata={"contract_version": contract.version, "contract_file": contract.path.name},
    )


def releases_of(contract: Contract) -> tuple[str, ...]:
    """The contract's assets that spend budget, in the order they are made."""
    return ("adapter", "label_histogram", *optional_releases(contract))


@contextmanager
def plain_failures(*kinds: type[Exception]) -> Iterator[None]:
    """Turn the given errors, whose texts are written for people, into failures without a stack to read through.

    For free assets only: what a release raises is the gate's business.
    """
    try:
        yield
    except kinds as error:
        raise dg.Failure(str(error), allow_retries=False) from error
