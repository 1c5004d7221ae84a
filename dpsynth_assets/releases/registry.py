"""Which releases there are, in the order in which they are made.

That order is the order in which they are planned and charged, and in which a run makes them. Everything that goes
through all releases asks here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from dpsynth_assets.releases.adapter import ADAPTER
from dpsynth_assets.releases.dp_baseline import DP_BASELINE
from dpsynth_assets.releases.evolution import EVOLUTION
from dpsynth_assets.releases.key_phrases import KEY_PHRASES
from dpsynth_assets.releases.label_histogram import LABEL_HISTOGRAM
from dpsynth_assets.releases.labeller import LABELLER
from dpsynth_assets.releases.release import Plan, Release
from dpsynth_assets.releases.votes import VOTES

if TYPE_CHECKING:
    from dpsynth_assets.contract import Contract

# In the order in which they are made.
_releases: tuple[Release[Any], ...] = (
    LABEL_HISTOGRAM,
    KEY_PHRASES,
    ADAPTER,
    EVOLUTION,
    LABELLER,
    VOTES,
    DP_BASELINE,
)
# In the order in which ledgers hold the plans of populations, for good.
_as_registered: tuple[Release[Any], ...] = (
    ADAPTER,
    LABEL_HISTOGRAM,
    LABELLER,
    VOTES,
    DP_BASELINE,
    EVOLUTION,
    KEY_PHRASES,
)


def releases() -> tuple[Release[Any], ...]:
    """All releases that a contract may plan."""
    return _releases


@contextmanager
def registered(release: Release[Any]) -> Iterator[None]:
    """One release more, as the last, while the block runs. Its name must be a new one."""
    global _releases
    if any(release.name == known.name for known in _releases):
        raise ValueError(f"there is a release {release.name!r} already")
    before = _releases
    _releases = (*before, release)
    try:
        yield
    finally:
        _releases = before


def planned(contract: Contract) -> tuple[Release[Any], ...]:
    """The releases that a contract plans."""
    return tuple(release for release in _releases if contract.privacy.releases.get(release) is not None)


def writers(contract: Contract) -> tuple[Release[Any], ...]:
    """The releases that the contract's texts are drawn from, one at least: an adapter, an evolution, or an evolution of
    what an adapter writes; and the key phrases that they are asked to be about."""
    all_: tuple[Release[Any], ...] = (ADAPTER, EVOLUTION, KEY_PHRASES)
    return tuple(release for release in all_ if contract.privacy.releases.get(release) is not None)


def inputs_of(contract: Contract, release: Release[Any]) -> tuple[str, ...]:
    """The artifacts that a release of the contract is made from beside the rows."""
    left_out = {each.name for each in _releases} - set(planned_names(contract))
    return tuple(name for name in release.made_from if name not in left_out)


def planned_names(contract: Contract) -> tuple[str, ...]:
    """The names of the releases that a contract plans."""
    return tuple(release.name for release in planned(contract))


def place_in_scope(name: str) -> int:
    """Where a release stands in the plan that a population is registered with; new ones come last."""
    names = [release.name for release in _as_registered]
    return names.index(name) if name in names else len(names)


def plans(contract: Contract, size: float = 1.0) -> dict[str, Plan]:
    """What each release that the contract plans is going to do, by the name that it is charged under.

    Args:
        size: in (0, 1]; plans a quick pass over that share of the units.
    """
    return {f"{contract.id}/{release.name}": release.plan(contract, size) for release in planned(contract)}
