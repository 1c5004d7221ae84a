"""`labeller`: a classifier trained on the sensitive rows, by which drawn texts are chosen or labelled."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from dpsynth_assets.releases.classifiers import EXAMPLES, PLANNER, WORK, ClassifierTerms, describe, fits
from dpsynth_assets.releases.label_histogram import LABEL_HISTOGRAM
from dpsynth_assets.releases.release import Release
from dpsynth_assets.term import Fault

if TYPE_CHECKING:
    from dpsynth_assets.contract import Contract
    from dpsynth_assets.contract.parts import Parts


TheLabeller = Literal["labeller"]  # how a contract asks for this release as a teacher


def _describe(contract: Contract) -> str:
    return describe(contract, contract.privacy.releases[LABELLER], "Drawn texts are chosen or labelled by it.")


def _rules(parts: Parts) -> Iterator[Fault]:
    terms, curation = parts.release(LABELLER), parts.curation
    if terms is not None:
        yield from fits(LABELLER.name, terms, parts)
    if curation is None:
        return
    if terms is None and curation.needs_labeller and not parts.stands(LABELLER):
        yield Fault(
            ("curation",),
            "the labeller is to judge the drawn texts, and no release `labeller` is planned",
            "Plan `releases.labeller`, or write `labels: asked` and no `confidence`",
        )
    elif terms is not None and not curation.needs_labeller:
        yield Fault(
            ("releases", LABELLER.name),
            "this release is paid for and not used",
            "Write `curation: {labels: relabelled}` or `agreed`, or remove it",
            "warning",
        )


LABELLER = Release(
    name="labeller",
    terms=ClassifierTerms,
    meaning="a classifier trained on the sensitive rows, by which drawn texts are chosen or labelled",
    title="Labeller, trained on the source with DP-SGD",
    result="a classifier that was trained on a sensitive source",
    describe=_describe,
    planner=PLANNER,
    work=WORK,
    technologies=frozenset({"pytorch"}),
    after=(LABEL_HISTOGRAM.name,),
    rules=_rules,
    examples=EXAMPLES,
)
