"""`adapter`: what is trained of the base model with DP-SGD. It writes the synthetic texts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from dpsynth_assets.releases.classifiers import batch_fits
from dpsynth_assets.releases.label_histogram import LABEL_HISTOGRAM
from dpsynth_assets.releases.release import Release
from dpsynth_assets.releases.terms import ReleaseTerms
from dpsynth_assets.term import Fault, Positive, TermsError

if TYPE_CHECKING:
    from dpsynth_assets.contract import Contract
    from dpsynth_assets.contract.parts import Parts


LEAST_CANARIES = 40  # with fewer, guesses that are all right refute next to nothing


class AdapterTerms(ReleaseTerms):
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
    canaries: Annotated[
        int, Field(ge=0, le=10_000, description="made-up units by which training is audited before it is used; 0: none")
    ] = 0
    micro_batch_tokens: Annotated[
        int,
        Field(
            ge=64,
            le=2**24,
            description="how many tokens are computed at once, padding included: memory and time, not the guarantee",
        ),
    ] = 2048
    precision: Annotated[
        Literal["float32", "bfloat16"],
        Field(description="of the passes, drawing included; norms, sums and noise are never rounder than float32"),
    ] = "float32"
    engine: Annotated[
        Literal["own", "opacus"],
        Field(description="what computes a record's gradient in a layer that has no rule of ours: nothing, or Opacus"),
    ] = "own"
    gradient_checkpointing: Annotated[
        bool, Field(description="activations are computed again and not kept: less memory, more time")
    ] = False

    @model_validator(mode="after")
    def _only_the_method_s_own_terms(self) -> AdapterTerms:
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


def _describe(contract: Contract) -> str:
    terms, unit = contract.privacy.releases[ADAPTER], contract.privacy.unit.name
    noise = f", noise correlated over {terms.noise_bands} steps" if terms.noise_bands > 1 else ""
    return (
        f"{_what_is_trained(terms)} of base model {contract.privacy.base_model.name}, trained with DP-SGD: "
        f"Poisson-sampled batches of {terms.expected_batch_size} {unit}s expected, {terms.steps} steps, each unit's "
        f"gradient clipped to {terms.clipping_norm:g}{noise}.{_asked(contract)}"
    )


def _asked(contract: Contract) -> str:
    prompt = contract.privacy.prompt
    return "" if prompt is None else f" A text is asked for by: {prompt.template}"


def _what_is_trained(terms: AdapterTerms) -> str:
    if terms.method == "lora":
        return f"A low-rank adapter (rank {terms.rank})"
    return f"A prompt of {terms.prompt_tokens} virtual tokens" if terms.method == "prompt" else "All weights"


def _rules(parts: Parts) -> Iterator[Fault]:
    terms, unit, text = parts.release(ADAPTER), parts.unit, parts.text
    if parts.stands(ADAPTER) and parts.base_model is not None and parts.base_model.endpoint is not None:
        yield Fault(
            ("base_model", "endpoint"),
            "an adapter is trained with a model's weights, which an endpoint does not give away",
            "Leave `endpoint` out and name a model that is loaded here, or plan no `adapter`",
        )
    if terms is None:
        return
    place = ("releases", ADAPTER.name)
    yield from batch_fits(ADAPTER.name, terms, parts)
    batch, bands = terms.expected_batch_size, terms.noise_bands
    if unit is not None and batch <= unit.public_count < batch * bands:
        yield Fault(
            (*place, "noise_bands"),
            f"a step samples one of {bands} groups of units, some {unit.public_count // bands} of "
            f"{unit.public_count}: too few for a batch of {batch}",
            f"Write at most {unit.public_count // batch}, or lower expected_batch_size",
        )
    if 0 < terms.canaries < LEAST_CANARIES:
        yield Fault(
            (*place, "canaries"),
            f"{terms.canaries} canaries are too few: however the guesses about them fall, they say nothing",
            f"Write at least {LEAST_CANARIES}, better 200; or 0 for no audit",
        )
    if text is not None and terms.micro_batch_tokens < text.max_tokens:
        yield Fault(
            (*place, "micro_batch_tokens"),
            f"{terms.micro_batch_tokens} tokens at once cannot hold one text of {text.max_tokens}",
            f"Write at least {text.max_tokens}",
        )


ADAPTER = Release(
    name="adapter",
    terms=AdapterTerms,
    meaning="the model that writes the synthetic texts",
    title="Adapter, trained with DP-SGD",
    result="a language model's adapter that was trained on a sensitive source",
    describe=_describe,
    planner="dpsynth_assets.privacy.plan:adapter_plan",
    work="dpsynth_assets.language.adapter",
    technologies=frozenset({"pytorch", "huggingface"}),
    after=(LABEL_HISTOGRAM.name,),
    unread="dpsynth_assets.language.untouched:untouched",
    rules=_rules,
    examples={
        "": "{mechanism: dp_sgd, method: lora, epsilon: 7.0, ...}",
        "mechanism": "dp_sgd",
        "method": "lora",
        "expected_batch_size": "160",
        "steps": "100",
        "learning_rate": "0.002",
    },
)
