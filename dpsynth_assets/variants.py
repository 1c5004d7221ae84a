"""Release variants: a contract's whole release again, with another method or for another epsilon.

A variant is a contract like any other: the same source, population, curation and checks, and releases whose costs
compose to the variant's epsilon. So everything that takes a contract takes a variant. The releases other than the
adapter keep their proportion of the price, and the adapter gets all that composition then leaves.

Its id is the contract's with the variant's name behind it, `ag_news--lora-3`: what is made of it is kept and published
apart. What was approved, and the source, are the contract's.

Variants about the same people add up in the ledger like any other releases. One with epsilon `none`, for sources
declared public, trains without noise and is charged nothing, since it promises nothing.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dpsynth_assets.contract import Contract
    from dpsynth_assets.contract.releases import AdapterRelease, Releases, VariantMethod
    from dpsynth_assets.contract.terms import PrivacyTerms

MAIN = "main"  # the contract as it stands
_NO_MORE = 1e-4  # the adapter's epsilon is rounded down to a multiple of this


class VariantError(ValueError):
    """There is no such variant, or what else it releases leaves nothing for its adapter."""


def names(contract: Contract) -> tuple[str, ...]:
    """`main` and the contract's variants, such as `lora-3` or `full-none`."""
    terms = contract.privacy.variants
    if terms is None:
        return (MAIN,)
    return (MAIN, *(_name(method, epsilon) for method in terms.methods for epsilon in terms.epsilons))


@lru_cache(maxsize=256)
def variant(contract: Contract, name: str) -> Contract:
    """The contract of that variant; the contract itself for `main`.

    Raises:
        VariantError: the contract declares no such variant, or its epsilon is too small for what it plans.
    """
    if name == MAIN:
        return contract
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
    """The contract's terms with releases that compose to `epsilon`, and without a baseline."""
    terms = contract.privacy
    others = {
        name: release
        for name in type(terms.releases).model_fields
        if name not in ("adapter", "dp_baseline") and (release := getattr(terms.releases, name)) is not None
    }
    adapter = _adapter(terms.releases.adapter, method)
    whole = sum(release.epsilon_of(terms.budget) for release in (*others.values(), terms.releases.adapter))
    prices = {name: epsilon * release.epsilon_of(terms.budget) / whole for name, release in others.items()}

    def releases(price: float) -> Releases:
        priced = {name: release.model_copy(update=_price(prices[name])) for name, release in others.items()}
        return terms.releases.model_copy(
            update={**priced, "adapter": adapter.model_copy(update=_price(price)), "dp_baseline": None}
        )

    def with_releases(price: float) -> PrivacyTerms:
        return terms.model_copy(update={"releases": releases(price)})

    if math.isinf(epsilon):
        return with_releases(math.inf)
    return with_releases(_left_for_the_adapter(replace(contract, privacy=with_releases(epsilon)), epsilon))


def _left_for_the_adapter(contract: Contract, epsilon: float) -> float:
    """The adapter's own epsilon with which all releases of the contract compose to `epsilon`, rounded down."""
    from dpsynth_assets.approval import release_plans
    from dpsynth_assets.privacy.plan import TrainingPlan
    from ledger import Composed, Event, LedgerError
    from ledger.accounting import calibrate
    from ledger.accounting import epsilon as epsilon_of

    delta = contract.privacy.budget.delta
    plans = release_plans(contract).values()
    shape = next(plan.mechanism for plan in plans if isinstance(plan, TrainingPlan))
    others = [plan.event() for plan in plans if not isinstance(plan, TrainingPlan)]

    def together(noise: float) -> Event:
        return Composed((*others, replace(shape, noise_multiplier=noise).event()))

    try:
        noise = calibrate(together, epsilon, delta)
    except LedgerError as error:
        raise VariantError(
            f"the other releases of {contract.id} leave nothing of epsilon {epsilon:g} for an adapter: {error}"
        ) from None
    alone = epsilon_of(replace(shape, noise_multiplier=noise).event(), delta)
    return math.floor(alone / _NO_MORE) / round(1 / _NO_MORE)


def _adapter(release: AdapterRelease, method: VariantMethod) -> AdapterRelease:
    """The contract's adapter release, trained by the variant's method."""
    given: dict[str, Any] = release.model_dump(exclude_unset=True)
    if method.method != release.method:
        given = {key: value for key, value in given.items() if key not in ("rank", "alpha", "prompt_tokens")}
    return type(release)(**given | method.model_dump(exclude_none=True))


def _price(epsilon: float) -> dict[str, float | None]:
    return {"epsilon": epsilon, "share": None}
