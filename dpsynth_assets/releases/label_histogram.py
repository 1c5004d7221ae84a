"""`label_histogram`: how many records each label combination has, with noise.

It decides how many synthetic rows of each label are generated. It comes first: what is trained on the rows stops where
these counts say that there are next to none (`dpsynth_assets.assets.enough`): nothing dear is spent on nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from dpsynth_assets.releases.release import Release, by_labels
from dpsynth_assets.releases.terms import ReleaseTerms

if TYPE_CHECKING:
    from dpsynth_assets.contract import Contract

MECHANISM = "discrete_laplace_histogram"


class HistogramTerms(ReleaseTerms):
    """Counts of records per label combination, with discrete Laplace noise."""

    mechanism: Annotated[Literal["discrete_laplace_histogram"], Field(description="how the counts are made noisy")]


def _describe(contract: Contract) -> str:
    if not contract.privacy.labels:
        return (
            "A noisy count of all records (discrete Laplace noise). Where it says that there are next to none, nothing "
            "else is charged."
        )
    return (
        f"Noisy counts of records{by_labels(contract)} (discrete Laplace noise). "
        "They decide how many synthetic rows of each label are generated."
    )


LABEL_HISTOGRAM = Release(
    name="label_histogram",
    terms=HistogramTerms,
    meaning="noisy counts per label",
    title="Noisy label histogram",
    result="noisy counts of a sensitive source's records by label",
    describe=_describe,
    planner="dpsynth_assets.privacy.histogram:label_plan",
    work="dpsynth_assets.synthesis.label_histogram",
    technologies=frozenset({"python"}),
    unread="dpsynth_assets.synthesis.label_histogram:even",
    optional=False,
    examples={"": "{mechanism: discrete_laplace_histogram, epsilon: 0.5}", "mechanism": MECHANISM},
)
