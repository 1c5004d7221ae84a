"""The budget, the releases that draw on it, and what each of them may cost. All numbers are public and fixed before."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from dpsynth_assets.contract.term import Positive, Share, Terms, TermsError


class Budget(Terms):
    """The cap on everything ever released about the population, over all contracts that draw on it."""

    epsilon: Annotated[Positive, Field(description="the cap on the privacy loss of all releases together")]
    delta: Annotated[
        float,
        Field(
            ge=1e-30,  # the ledger's least
            lt=0.01,
            allow_inf_nan=False,
            description="the small probability with which the epsilon bound may fail",
        ),
    ]
    rule: Annotated[
        Literal["renyi_filter", "closed_plan"],
        Field(description="what admits a release: a filter, or that it stands in a plan of all releases"),
    ] = "renyi_filter"


class Release(Terms):
    """What one release may cost: `epsilon` outright, or a `share` of the budget's epsilon."""

    epsilon: Annotated[Positive | None, Field(description="what this release may cost")] = None
    share: Annotated[Share | None, Field(description="the part of the budget's epsilon it may cost")] = None

    @model_validator(mode="after")
    def _one_price(self) -> Release:
        if (self.epsilon is None) == (self.share is None):
            said = "neither epsilon nor share is" if self.epsilon is None else "both epsilon and share are"
            raise TermsError(f"{said} given", "Give one of them")
        return self

    def epsilon_of(self, budget: Budget) -> float:
        """The epsilon this release is calibrated to, at the budget's delta."""
        if self.epsilon is not None:
            return self.epsilon
        assert self.share is not None
        return self.share * budget.epsilon


class HistogramRelease(Release):
    """Counts of records per label combination, with discrete Laplace noise."""

    mechanism: Annotated[Literal["discrete_laplace_histogram"], Field(description="how the counts are made noisy")]


class VotesRelease(HistogramRelease):
    """Votes of the sensitive records on drawn texts: how many are nearest to each cluster of them, with noise."""

    clusters: Annotated[int, Field(ge=2, le=1_000, description="into how many clusters the candidates are divided")]


class AdapterRelease(Release):
    """What is trained of the base model with DP-SGD. All numbers are public and fixed before training."""

    mechanism: Annotated[Literal["dp_sgd"], Field(description="how the adapter is trained")]
    method: Annotated[Literal["lora", "prompt", "full"], Field(description="what is trained of the base model")]
    rank: Annotated[int, Field(ge=1, le=512, description="the rank of the adapter's matrices")] = 8
    alpha: Annotated[Positive, Field(description="the adapter's scale; LoRA multiplies by alpha / rank")] = 16.0
    prompt_tokens: Annotated[int, Field(ge=1, le=512, description="how many virtual tokens stand before a text")] = 20
    expected_batch_size: Annotated[int, Field(ge=1, description="how many units a step samples on average")]
    steps: Annotated[int, Field(ge=1, le=1_000_000, description="how many noisy steps are taken")]
    clipping: Annotated[
        Literal["flat", "per_layer", "automatic"], Field(description="how a unit's gradient is bounded")
    ] = "flat"
    clipping_norm: Annotated[Positive, Field(description="no unit's gradient may be longer than this")] = 1.0
    learning_rate: Annotated[Positive, Field(description="the optimiser's step size")]
    schedule: Annotated[
        Literal["linear", "cosine", "constant"], Field(description="how the step size falls after the warm-up")
    ] = "linear"
    optimiser: Annotated[
        Literal["adam", "adam_noise_corrected", "sgd"], Field(description="how noisy gradients become steps")
    ] = "adam"
    averaging: Annotated[
        float | None,
        Field(gt=0, lt=1, allow_inf_nan=False, description="the decay of the average of the models along the way"),
    ] = None
    noise_bands: Annotated[
        int, Field(ge=1, le=64, description="over how many steps the noise is correlated; 1: not at all")
    ] = 1
    micro_batch_tokens: Annotated[
        int,
        Field(
            ge=64,
            description="how many tokens are computed at once, padding included: memory and time, not the guarantee",
        ),
    ] = 2048
    precision: Annotated[
        Literal["float32", "bfloat16"],
        Field(description="of the passes; norms, sums and noise are never rounder than float32"),
    ] = "float32"
    gradient_checkpointing: Annotated[
        bool, Field(description="activations are computed again and not kept: less memory, more time")
    ] = False

    @model_validator(mode="after")
    def _only_the_method_s_own_terms(self) -> AdapterRelease:
        for name, method in (("rank", "lora"), ("alpha", "lora"), ("prompt_tokens", "prompt")):
            if name in self.model_fields_set and self.method != method:
                raise TermsError(
                    f"`{name}` says nothing to the method `{self.method}`",
                    f"Remove it, or write `method: {method}`",
                    name,
                )
        if self.noise_bands > self.steps:
            raise TermsError(
                f"noise cannot be correlated over {self.noise_bands} steps where there are {self.steps}",
                f"Write {self.steps} or less",
                "noise_bands",
            )
        return self


class ClassifierRelease(Release):
    """A classifier trained on the sensitive rows themselves with DP-SGD."""

    mechanism: Annotated[Literal["dp_sgd"], Field(description="how the classifier is trained")] = "dp_sgd"
    classifier: Annotated[
        Literal["minilm", "word_cnn"], Field(description="a linear head on a frozen encoder, or a network over words")
    ]
    expected_batch_size: Annotated[int, Field(ge=1, description="how many units a step samples on average")]
    steps: Annotated[int, Field(ge=1, le=1_000_000, description="how many noisy steps are taken")]
    clipping_norm: Annotated[Positive, Field(description="no unit's gradient may be longer than this")] = 1.0
    learning_rate: Annotated[Positive, Field(description="the optimiser's step size")]


class Releases(Terms):
    """The releases a contract plans. Every one is charged to the population's ledger before it reads a row."""

    label_histogram: Annotated[HistogramRelease, Field(description="noisy counts per label")]
    adapter: Annotated[AdapterRelease, Field(description="the model that writes the synthetic texts")]
    labeller: Annotated[
        ClassifierRelease | None,
        Field(description="a classifier trained on the sensitive rows, by which drawn texts are chosen or labelled"),
    ] = None
    votes: Annotated[
        VotesRelease | None,
        Field(description="which clusters of drawn texts the sensitive records are nearest to, in noisy counts"),
    ] = None
    dp_baseline: Annotated[
        ClassifierRelease | None, Field(description="a classifier trained on the sensitive rows, to compare with")
    ] = None


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
