"""The release variants of a contract: further versions of the whole release, by method and epsilon."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from dpsynth_assets.releases.evolution import VOTED
from dpsynth_assets.releases.key_phrases import BY_PHRASES
from dpsynth_assets.term import Positive, Terms, TermsError


class VariantMethod(Terms):
    """How a variant's texts come about where that differs from `releases`; everything else is as there."""

    method: Annotated[
        Literal["lora", "prompt", "full", "private_evolution", "key_phrases"],
        Field(description="what is trained of the base model, that its texts are voted on, or what they are about"),
    ]
    learning_rate: Annotated[Positive | None, Field(description="the optimiser's step size, where one trains")] = None
    rank: Annotated[int | None, Field(ge=1, le=512, description="the rank of the adapter's matrices")] = None
    alpha: Annotated[Positive | None, Field(description="the adapter's scale; LoRA multiplies by alpha / rank")] = None
    prompt_tokens: Annotated[
        int | None, Field(ge=1, le=512, description="how many virtual tokens stand before a text")
    ] = None
    rounds: Annotated[int | None, Field(ge=1, le=100, description="how often is voted, if texts are voted on")] = None
    texts: Annotated[
        int | None, Field(ge=2, le=10_000, description="how many texts of each label combination are voted on")
    ] = None

    @model_validator(mode="after")
    def _the_method_s_own_terms(self) -> VariantMethod:
        trained, voted = ("learning_rate", "rank", "alpha", "prompt_tokens"), ("rounds", "texts")
        for name in {VOTED: trained, BY_PHRASES: (*trained, *voted)}.get(self.method, voted):
            if getattr(self, name) is not None:
                raise TermsError(f"`{name}` says nothing to the method `{self.method}`", "Remove it", name)
        if self.method not in (VOTED, BY_PHRASES) and self.learning_rate is None:
            raise TermsError("`learning_rate` is missing", "Write for example 0.002", "learning_rate")
        return self


class Variants(Terms):
    """Further versions of the whole release, one for each method and epsilon, to be compared with each other.

    Each is charged for what it releases: all of them together are one large release about the population.
    """

    methods: Annotated[
        tuple[VariantMethod, ...], Field(min_length=1, strict=False, description="how the variants' adapters are made")
    ]
    epsilons: Annotated[
        tuple[Positive | Literal["none"], ...],
        Field(
            min_length=1,
            strict=False,
            description="what everything in a variant may cost together; none: no privacy, for public sources",
        ),
    ]

    @model_validator(mode="after")
    def _distinct(self) -> Variants:
        if len({each.method for each in self.methods}) != len(self.methods):
            raise TermsError("two variants have the same method", "Keep one entry for each method", "methods")
        if len(set(self.epsilons)) != len(self.epsilons):
            raise TermsError("the epsilons are not distinct", "Keep each once", "epsilons")
        return self

    @property
    def has_none(self) -> bool:
        """Whether some are released without privacy."""
        return "none" in self.epsilons
