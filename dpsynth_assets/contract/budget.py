"""The budget: the cap on everything that is ever released about a population. Public, and fixed before."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from dpsynth_assets.term import Positive, Terms


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
