"""The corpus: rows chosen from the candidates, as the contract's curation and the releases that it asks say."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from dpsynth_assets.classify.recipes import load_classifier
from dpsynth_assets.privacy.apportionment import apportion
from dpsynth_assets.releases.classifiers import CLASSIFIER
from dpsynth_assets.releases.labeller import LABELLER
from dpsynth_assets.releases.votes import VOTES
from dpsynth_assets.synthesis.candidates import DRAWN, proportions, rows_wanted
from dpsynth_assets.synthesis.curation import Curated, curate
from dpsynth_assets.synthesis.label_histogram import released_counts
from dpsynth_assets.synthesis.votes import votes_on

if TYPE_CHECKING:
    from dpsynth_assets.classify.encoder import Encoder
    from dpsynth_assets.contract import Contract
    from dpsynth_assets.releases.release import Made

ROWS = "corpus.parquet"


def choose(
    contract: Contract,
    candidates: Made,
    histogram: Path,
    size: float,
    asked: Mapping[str, Path],
    encoder: Encoder | None = None,
) -> Curated:
    """Choose the corpus of a share of the units.

    Args:
        histogram: where the label histogram lies by which the candidates were drawn.
        asked: where the labeller and the votes lie, by their names, as far as the curation needs them.
        encoder: the packaged one unless given.

    Raises:
        CurationError: too little is left of the candidates.
        VotesError: the votes were held on others.
    """
    labeller, votes = asked.get(LABELLER.name), asked.get(VOTES.name)
    return curate(
        contract,
        pd.read_parquet(candidates.folder / DRAWN),
        apportion(proportions(contract.privacy.curation, released_counts(histogram)), rows_wanted(contract, size)),
        labeller=load_classifier(labeller / CLASSIFIER, encoder) if labeller else None,
        encoder=encoder,
        votes=votes_on(contract, candidates, votes) if votes else None,
    )


def rows_of(corpus: Path) -> pd.DataFrame:
    """The rows of the corpus in a folder."""
    return pd.read_parquet(corpus / ROWS)


def few_of_each(frame: pd.DataFrame, column: str | None, most: int) -> pd.DataFrame:
    """At most so many rows: the first of each value of a column, then those that come next. For people to look at."""
    if column is None:
        return frame.head(most)
    first = frame.groupby(column, sort=False).head(1)
    return pd.concat([first, frame.drop(first.index)]).head(most)
