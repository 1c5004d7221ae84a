"""What a contract says of its safety classifier. Loads next to nothing: assets are declared with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dpsynth_assets.contract import Contract
    from dpsynth_assets.contract.classifiers import SafetyClassifier


def terms_of(contract: Contract) -> SafetyClassifier:
    """The terms of the safety classifier, of a contract that asks for one."""
    terms = contract.privacy.safety_classifier
    assert terms is not None, "nobody asks otherwise"
    return terms
