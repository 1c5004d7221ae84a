"""Release variants: a contract's whole release again, with another method or for another epsilon.

A variant is a contract like any other: the same source, population, curation and checks, and releases whose costs
compose to the variant's epsilon. So everything that takes a contract takes a variant. The releases other than the
one that writes the texts keep their proportion of the price, and that one gets all that composition then leaves.

Its id is the contract's with the variant's name behind it, `ag_news--lora-3`: what is made of it is kept and published
apart. What was approved, and the source, are the contract's.

Variants about the same people add up in the ledger like any other releases. One with epsilon `none`, for sources
declared public, trains without noise and is charged nothing, since it promises nothing.

Every contract has one more, `nothing`, whether it declares variants or not: texts of the same base model, asked for by
the same labels, without any release. No row is read for it, so its epsilon is 0. What a release adds is the difference.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

from dpsynth_assets.releases import registry
from dpsynth_assets.releases.adapter import ADAPTER, AdapterTerms
from dpsynth_assets.releases.evolution import EVOLUTION, VOTED, EvolutionTerms
from dpsynth_assets.releases.key_phrases import BY_PHRASES, KEY_PHRASES, KeyPhrasesTerms
from ledger import Composed, Event, LedgerError
from ledger.accounting import calibrate
from ledger.accounting import epsilon as epsilon_of

if TYPE_CHECKING:
    from dpsynth_assets.contract import Contract
    from dpsynth_assets.contract.terms import PrivacyTerms
    from dpsynth_assets.contract.variants import VariantMethod
    from dpsynth_assets.releases.release import Release
    from dpsynth_assets.releases.terms import ReleaseTerms

MAIN = "main"  # the contract as it stands
NOTHING = "nothing"  # the same without any release
_NO_MORE = 1e-4  # the adapter's epsilon is rounded down to a multiple of this


class VariantError(ValueError):
    """There is no such variant, or what else it releases leaves nothing for its adapter."""


def names(contract: Contract) -> tuple[str, ...]:
    """`main` and the contract's variants, such as `lora-3` or `full-none`, with `nothing` where it declares some."""
    terms = contract.privacy.variants
    if terms is None:
        return (MAIN,)
    return (MAIN, *(_name(method, epsilon) for method in terms.methods for epsilon in terms.epsilons), NOTHING)


@lru_cache(maxsize=256)
def variant(contract: Contract, name: str) -> Contract:
    """The contract of that variant; the contract itself for `main`.

    Raises:
        VariantError: the contract declares no such variant, or its epsilon is too small for what it plans.
    """
    if name == MAIN:
        return contract
    if name == NOTHING:
        return replace(contract, id=f"{contract.id}--{name}", privacy=_reading_nothing(contract), base=contract)
    for method in contract.privacy.variants.methods if contract.privacy.variants else ():
        for epsilon in contract.privacy.variants.epsilons if contract.privacy.variants else ():
            if _name(method, epsilon) == name:
                terms = _at(contract, method, math.inf if isinstance(epsilon, str) else epsilon)
                return replace(contract, id=f"{contract.id}--{name}", privacy=terms, base=contract)
    raise VariantError(f"{contract.id} has no variant {name!r}: it has {', '.join(names(contract))}")


def name_of(contract: Contract) -> str:
    """Which variant a contract is; `main` for one that people wrote."""
    return MAIN if contract.base is None else contract.id.removeprefix(f"{contract.base.id}--")


def _name(method: VariantMethod, epsilon: float | str) -> str:
    return f"{method.method}-{epsilon if isinstance(epsilon, str) else f'{epsilon:g}'}"


def _at(contract: Contract, method: VariantMethod, epsilon: float) -> PrivacyTerms:
    """The contract's terms with releases that compose to `epsilon`, and without those that variants do not have. One
    release writes the texts, and gets what the others leave."""
    terms, (writer, own) = contract.privacy, _writer(contract, method)
    planned = {release: terms.releases[release] for release in registry.planned(contract) if release.in_variants}
    whole = sum(release.epsilon_of(terms.budget) for release in planned.values())
    priced = terms.releases
    for release in registry.planned(contract):
        kept = release in planned and release is not writer
        share = planned[release].epsilon_of(terms.budget) / whole if kept else 0.0
        stated = planned[release].model_copy(update=_price(epsilon * share)) if kept else None
        priced = priced.but(release, stated)

    def written_at(price: float) -> PrivacyTerms:
        return terms.model_copy(update={"releases": priced.but(writer, own.model_copy(update=_price(price)))})

    if math.isinf(epsilon):
        return written_at(math.inf)
    return written_at(_left_for(writer, replace(contract, privacy=written_at(epsilon)), epsilon))


def _reading_nothing(contract: Contract) -> PrivacyTerms:
    """The contract's terms at a price of 0, without the releases that cannot be had for it and what is asked of them:
    nobody judges, teaches or votes."""
    terms, safety = contract.privacy, contract.privacy.safety_classifier
    classifier = terms.classifier
    releases = terms.releases
    for release in registry.planned(contract):
        free = None if release.unread is None else releases[release].model_copy(update=_price(0.0))
        releases = releases.but(release, free)
    unasked: dict[str, Any] = {"labels": "asked", "confidence": None, "proportions": "histogram"}
    if terms.curation.near_duplicates is None:
        unasked["drawn"] = 1.0  # nothing is chosen, so no more is drawn than is kept
    untaught = {"teacher": None}
    return terms.model_copy(
        update={
            "releases": releases,
            "curation": terms.curation.model_copy(update=unasked),
            "classifier": classifier and classifier.model_copy(update=untaught),
            "safety_classifier": safety.model_copy(update=untaught) if safety and safety.taught_by_labeller else safety,
        }
    )


def _left_for(writer: Release[Any], contract: Contract, epsilon: float) -> float:
    """That release's own epsilon with which all releases of the contract compose to `epsilon`, rounded down."""
    delta = contract.privacy.budget.delta
    shape: Any = cast("Any", writer.plan(contract, 1.0)).mechanism
    others = [release.plan(contract, 1.0).event() for release in registry.planned(contract) if release is not writer]

    def together(noise: float) -> Event:
        return Composed((*others, replace(shape, noise_multiplier=noise).event()))

    try:
        noise = calibrate(together, epsilon, delta)
    except LedgerError as error:
        raise VariantError(
            f"the other releases of {contract.id} leave nothing of epsilon {epsilon:g} for {writer.name}: {error}"
        ) from None
    alone = epsilon_of(replace(shape, noise_multiplier=noise).event(), delta)
    return math.floor(alone / _NO_MORE) / round(1 / _NO_MORE)


def _writer(contract: Contract, method: VariantMethod) -> tuple[Release[Any], ReleaseTerms]:
    """The release that writes a variant's texts, with its terms: the contract's, where it plans the same, and what the
    variant says otherwise."""
    said: dict[str, Any] = method.model_dump(exclude_none=True)
    if method.method in (VOTED, BY_PHRASES):
        del said["method"]
    if method.method == BY_PHRASES:
        return KEY_PHRASES, KeyPhrasesTerms(**_given(contract.privacy.releases[KEY_PHRASES]) | said)
    if method.method == VOTED:
        return EVOLUTION, EvolutionTerms(**_given(contract.privacy.releases[EVOLUTION]) | said)
    adapter = contract.privacy.releases[ADAPTER]
    given = _given(adapter)
    if method.method != adapter.method:
        given = {key: value for key, value in given.items() if key not in ("rank", "alpha", "prompt_tokens")}
    return ADAPTER, AdapterTerms(**given | said)


def _given(terms: ReleaseTerms) -> dict[str, Any]:
    return terms.model_dump(exclude_unset=True)


def _price(epsilon: float) -> dict[str, float | None]:
    return {"epsilon": epsilon, "share": None}
