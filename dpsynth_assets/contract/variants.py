"""The release variants of a contract: further versions of the whole release, by method and epsilon."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from dpsynth_assets.term import Positive, Terms, TermsError


class VariantMethod(Terms):
    """How a variant's adapter is trained where that differs from `releases.adapter`; everything else is as there."""

    method: Annotated[Literal["lora", "prompt", "full"], Field(description="what is trained of the base model")]
    learning_rate: Annotated[Positive, Field(description="the optimiser's step size")]
    rank: Annotated[int | None, Field(ge=1, le=512, description="the rank of the adapter's matrices")] = None
    alpha: Annotated[Positive | None, Field(description="the adapter's scale; LoRA multiplies by alpha / rank")] = None
    prompt_tokens: Annotated[
        int | None, Field(ge=1, le=512, description="how many virtual tokens stand before a text")
    ] = None


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
