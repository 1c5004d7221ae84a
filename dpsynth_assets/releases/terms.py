"""What the contract's terms of every release have: a price."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field, model_validator

from dpsynth_assets.term import Positive, Share, Terms, TermsError

if TYPE_CHECKING:
    from dpsynth_assets.contract.budget import Budget


class ReleaseTerms(Terms):
    """What one release may cost: `epsilon` outright, or a `share` of the budget's epsilon."""

    epsilon: Annotated[Positive | None, Field(description="what this release may cost")] = None
    share: Annotated[Share | None, Field(description="the part of the budget's epsilon it may cost")] = None

    @model_validator(mode="after")
    def _one_price(self) -> ReleaseTerms:
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
