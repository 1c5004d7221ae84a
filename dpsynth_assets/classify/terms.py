"""What a contract says of its classifiers. Loads next to nothing: assets are declared with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dpsynth_assets.contract import Contract
    from dpsynth_assets.contract.classifiers import Classifier


def terms_of(contract: Contract) -> Classifier:
    """The terms of the classifiers, of a contract that has labels."""
    terms = contract.privacy.classifier
    assert terms is not None, "nobody asks otherwise"
    return terms
