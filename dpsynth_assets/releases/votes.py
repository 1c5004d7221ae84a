"""`votes`: which of the candidates' clusters the sensitive records are nearest to, in noisy counts.

The clusters are made of released texts before a row is read; what is let out is a histogram over label combinations and
clusters, and nothing else of the records.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Final, Literal

from pydantic import Field

from dpsynth_assets.releases.label_histogram import LABEL_HISTOGRAM, MECHANISM, HistogramTerms
from dpsynth_assets.releases.release import Release, by_labels
from dpsynth_assets.term import Fault

if TYPE_CHECKING:
    from dpsynth_assets.contract import Contract
    from dpsynth_assets.contract.parts import Parts

ByVotes = Literal["votes"]  # how a contract asks for proportions by this release
BY_VOTES: Final = "votes"
CANDIDATES = "candidates"  # the artifact that is voted on
_MOST_CELLS = 100_000


class VotesTerms(HistogramTerms):
    """Votes of the sensitive records on drawn texts: how many are nearest to each cluster of them, with noise."""

    clusters: Annotated[int, Field(ge=2, le=1_000, description="into how many clusters the candidates are divided")]


def _describe(contract: Contract) -> str:
    both = f"{by_labels(contract)} and" if contract.privacy.labels else ""
    return (
        f"Noisy counts of sensitive records{both} per nearest of "
        f"{contract.privacy.releases[VOTES].clusters} clusters of the candidates (discrete Laplace noise). They say "
        "which candidates become the corpus. Held on the standing candidates: other ones need other votes."
    )


def _rules(parts: Parts) -> Iterator[Fault]:
    terms, curation = parts.release(VOTES), parts.curation
    asked = curation is not None and curation.needs_votes
    if terms is None and asked and not parts.stands(VOTES):
        yield Fault(
            ("curation",),
            "votes are to say which drawn texts are taken, and no release `votes` is planned",
            "Plan `releases.votes`, or write `proportions: histogram`",
        )
    if terms is None:
        return
    if curation is not None and not asked:
        yield Fault(
            ("releases", VOTES.name),
            "this release is paid for and not used",
            "Write `curation: {proportions: votes}`, or remove it",
            "warning",
        )
    cells = math.prod(len(label.values) for _, label in parts.labels)
    if cells <= _MOST_CELLS < cells * terms.clusters:
        yield Fault(
            ("releases", VOTES.name, "clusters"),
            f"{terms.clusters} clusters of each of {cells} label combinations are more than {_MOST_CELLS:,} cells",
            f"Write at most {_MOST_CELLS // cells}",
        )


VOTES = Release(
    name=BY_VOTES,
    terms=VotesTerms,
    meaning="which clusters of drawn texts the sensitive records are nearest to, in noisy counts",
    title="Noisy votes on the candidates",
    result="noisy counts of a sensitive source's records by cluster",
    describe=_describe,
    planner="dpsynth_assets.privacy.histogram:votes_plan",
    work="dpsynth_assets.synthesis.votes",
    technologies=frozenset({"huggingface", "scikitlearn"}),
    after=(LABEL_HISTOGRAM.name,),
    made_from=(CANDIDATES,),
    rules=_rules,
    examples={"mechanism": MECHANISM, "clusters": "50"},
)
