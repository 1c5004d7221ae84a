"""`dp_baseline`: a classifier trained on the sensitive rows, with which those of synthetic rows are compared.

It reads nothing of the other releases, and comes after them: a comparison must not take what the synthetic table needs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from dpsynth_assets.releases.classifiers import EXAMPLES, PLANNER, WORK, ClassifierTerms, describe, fits
from dpsynth_assets.releases.label_histogram import LABEL_HISTOGRAM
from dpsynth_assets.releases.labeller import LABELLER
from dpsynth_assets.releases.release import Release
from dpsynth_assets.releases.votes import VOTES
from dpsynth_assets.term import Fault

if TYPE_CHECKING:
    from dpsynth_assets.contract import Contract
    from dpsynth_assets.contract.parts import Parts


def _describe(contract: Contract) -> str:
    purpose = "The bar that classifiers trained on synthetic rows are held against."
    return describe(contract, contract.privacy.releases[DP_BASELINE], purpose)


def _rules(parts: Parts) -> Iterator[Fault]:
    terms, classifier = parts.release(DP_BASELINE), parts.classifier
    if terms is None:
        return
    yield from fits(DP_BASELINE.name, terms, parts)
    kinds = ", ".join(f"`{kind}`" for kind in classifier.kinds) if classifier is not None else ""
    if classifier is not None and terms.classifier not in classifier.kinds:
        yield Fault(
            ("releases", DP_BASELINE.name, "classifier"),
            f"no {terms.classifier} is trained on the synthetic table: the baseline has nothing to be compared with",
            f"Add {terms.classifier} to classifier.kinds, or choose one of {kinds}",
            "warning",
        )
    if parts.untested:
        yield Fault(
            ("releases", DP_BASELINE.name),
            "this release is paid for and compared with nothing: the contract names no public test split",
            "Add `test_split`, or remove the release",
            "warning",
        )


DP_BASELINE = Release(
    name="dp_baseline",
    terms=ClassifierTerms,
    meaning="a classifier trained on the sensitive rows, to compare with",
    title="Classifier, trained on the source with DP-SGD",
    result="a classifier that was trained on a sensitive source",
    describe=_describe,
    planner=PLANNER,
    work=WORK,
    technologies=frozenset({"pytorch"}),
    after=(LABEL_HISTOGRAM.name, LABELLER.name, VOTES.name),
    in_variants=False,
    rules=_rules,
    examples=EXAMPLES,
)
