"""What the classifiers that are trained on the sensitive rows with DP-SGD have in common: their terms and words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from dpsynth_assets.releases.terms import ReleaseTerms
from dpsynth_assets.term import Fault, Positive

if TYPE_CHECKING:
    from typing import Protocol

    from dpsynth_assets.contract import Contract
    from dpsynth_assets.contract.parts import Parts

    class Batches(Protocol):
        @property
        def expected_batch_size(self) -> int: ...


PLANNER = "dpsynth_assets.classify.dp_plan:classifier_plan"
WORK = "dpsynth_assets.classify.dp_training"
CLASSIFIER = "classifier"  # the folder that such a release holds
EXAMPLES = {"classifier": "minilm", "expected_batch_size": "400", "steps": "100", "learning_rate": "0.05"}
_WHAT = {"minilm": "A linear head on a frozen sentence encoder", "word_cnn": "A convolutional network over words"}


class ClassifierTerms(ReleaseTerms):
    """A classifier trained on the sensitive rows themselves with DP-SGD."""

    mechanism: Annotated[Literal["dp_sgd"], Field(description="how the classifier is trained")] = "dp_sgd"
    classifier: Annotated[
        Literal["minilm", "word_cnn"], Field(description="a linear head on a frozen encoder, or a network over words")
    ]
    expected_batch_size: Annotated[int, Field(ge=1, description="how many units a step samples on average")]
    steps: Annotated[int, Field(ge=1, le=1_000_000, description="how many noisy steps are taken")]
    clipping_norm: Annotated[Positive, Field(description="no unit's gradient may be longer than this")] = 1.0
    learning_rate: Annotated[Positive, Field(description="the optimiser's step size")]


def describe(contract: Contract, terms: ClassifierTerms, purpose: str) -> str:
    unit = contract.privacy.unit.name
    return (
        f"{_WHAT[terms.classifier]} that predicts {contract.privacy.target}, trained on the sensitive "
        f"rows with DP-SGD: Poisson-sampled batches of {terms.expected_batch_size} {unit}s expected, "
        f"{terms.steps} steps, each unit's gradient clipped to {terms.clipping_norm:g}. {purpose}"
    )


def fits(name: str, terms: Batches, parts: Parts) -> Iterator[Fault]:
    """There is a label to predict, and a batch cannot exceed the population."""
    if parts.all_labels_hold and not parts.labels:
        what = "a classifier is to predict a label, and the contract has none"
        yield Fault(("releases", name), what, "Name the column under `labels`, or leave this release out")
    yield from batch_fits(name, terms, parts)


def batch_fits(name: str, terms: Batches, parts: Parts) -> Iterator[Fault]:
    """A batch cannot exceed the population."""
    if parts.unit is not None and terms.expected_batch_size > parts.unit.public_count:
        yield Fault(
            ("releases", name, "expected_batch_size"),
            f"a batch of {terms.expected_batch_size} units out of {parts.unit.public_count}",
            f"Write {parts.unit.public_count // 10 or 1}, a tenth of unit.public_count, or at most all of it",
        )
