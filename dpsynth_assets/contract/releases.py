"""The releases that a contract plans: one term for each of the registry, made from what the registry says of it."""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Any

from pydantic import Field, PlainSerializer, PlainValidator, SerializationInfo, create_model

from dpsynth_assets.releases import registry
from dpsynth_assets.releases.release import Release, T
from dpsynth_assets.term import Terms


class Releases(Terms):
    """The releases a contract plans. Every one is charged to the population's ledger before it reads a row.

    `releases[ADAPTER]` is what the contract says of one that it plans, `releases.get(VOTES)` of one that it may plan.
    """

    def __getitem__(self, release: Release[T]) -> T:
        found = self.get(release)
        if found is None:
            raise KeyError(f"the contract plans no release {release.name!r}")
        return found

    def get(self, release: Release[T]) -> T | None:
        found: T | None = getattr(self, release.name, None)
        return found

    def but(self, release: Release[T], terms: T | None) -> Releases:
        """The same with other terms of one release, or without it."""
        return self.model_copy(update={release.name: terms})


def releases_model() -> type[Releases]:
    """The model of all releases that there are now."""
    return _model(registry.releases())


@lru_cache(maxsize=8)
def _model(releases: tuple[Release[Any], ...]) -> type[Releases]:
    fields: dict[str, Any] = {
        release.name: (
            (Annotated[release.terms | None, Field(description=release.meaning)], None)
            if release.optional
            else (Annotated[release.terms, Field(description=release.meaning)], ...)
        )
        for release in sorted(releases, key=lambda release: release.optional)
    }
    return create_model("Releases", __base__=Releases, __doc__=Releases.__doc__, **fields)


def _validated(raw: Any) -> Releases:
    return raw if isinstance(raw, Releases) else releases_model().model_validate(raw)


def _dumped(planned: Releases, info: SerializationInfo) -> dict[str, Any]:
    """Of the model that it is: the field's own is the one without releases."""
    return planned.model_dump(
        mode=info.mode,
        exclude_unset=info.exclude_unset,
        exclude_defaults=info.exclude_defaults,
        exclude_none=info.exclude_none,
    )


# Made when a contract is read, so that it has the releases that are registered then.
PlannedReleases = Annotated[Releases, PlainValidator(_validated), PlainSerializer(_dumped)]
