"""Drawn texts become a corpus: chosen or labelled by a released classifier, thinned of near repetitions, cut to size,
as the histogram says or as released votes say.

Reads synthetic texts and releases only, so it costs nothing more: but what a labeller or votes have touched rests on
their charge too. Which steps pay is measured by `python -m benchmarks.curation`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dpsynth_assets.classify import encoder as encoders
from dpsynth_assets.contract.synthesis import Curation
from dpsynth_assets.privacy.apportionment import apportion_within
from dpsynth_assets.synthesis.errors import CurationError

if TYPE_CHECKING:
    import pandas as pd

    from dpsynth_assets.classify.encoder import Encoder
    from dpsynth_assets.classify.evaluation import Classifier
    from dpsynth_assets.contract import Contract
    from dpsynth_assets.privacy.histogram import Cell
    from dpsynth_assets.synthesis.votes import Votes


@dataclass(frozen=True)
class Curated:
    """A corpus and how it came about. All of it is synthetic.

    Attributes:
        frame: as drawn, fewer rows, labels replaced where the contract says so.
        facts: how many rows each step left; `labeller_agrees`, the share of the drawn texts for which the labeller says
            what they were asked for, tells how well the generator follows its labels; `without_votes` is how many
            rows are of clusters that no vote asked for, since the others were used up.
        wanted: how many rows there were to be.
        short: labels, in words, of which fewer rows are left than were wanted.
    """

    frame: pd.DataFrame
    facts: dict[str, float]
    wanted: int
    short: tuple[str, ...] = ()

    @property
    def complaint(self) -> str | None:
        """What to say of a corpus that has fewer rows than were wanted; None of a full one."""
        if not self.short:
            return None
        return (
            f"{len(self.frame):,} of {self.wanted:,} rows: the drawn texts hold too few that are "
            f"{' or '.join(map(repr, self.short))}. A larger `curation.drawn` draws more; only votes, where "
            "the contract plans them, are then held and charged anew."
        )


def curate(
    contract: Contract,
    frame: pd.DataFrame,
    wanted: Mapping[Cell, int],
    *,
    labeller: Classifier | None = None,
    encoder: Encoder | None = None,
    votes: Votes | None = None,
) -> Curated:
    """Apply the contract's `curation` to drawn texts.

    Args:
        frame: the text column and one column for each label, in random order: what is cut off is cut off its end.
        wanted: at most so many rows for each combination of labels.
        labeller: judges `classifier.target`; needed where `curation.needs_labeller`.
        encoder: tells how alike texts are; the packaged one unless given.
        votes: held on these very texts; needed for `proportions: votes`.

    Raises:
        CurationError: nothing is left of a label of which rows are wanted, or the labeller predicts another label.
    """
    terms = contract.privacy.curation
    facts: dict[str, float] = {"drawn": len(frame)}
    asked = sum(wanted.values())
    if terms == Curation(drawn=terms.drawn) and len(frame) <= asked:  # no more than wanted were drawn
        return Curated(frame, {**facts, "rows": len(frame)}, asked)
    frame = frame.reset_index(drop=True)  # its places are those that the votes name
    if terms.needs_labeller:
        target = contract.privacy.target
        assert labeller is not None, "a contract that needs a labeller plans one"
        if tuple(labeller.classes) != contract.privacy.classes:
            raise CurationError(
                f"the standing labeller does not predict `{target}` as the contract has it: make it again"
            )
        chances = labeller.predict_proba(frame[contract.privacy.text.column].tolist())
        said = np.asarray(labeller.classes, dtype=object)[chances.argmax(1)]
        agrees = said == frame[target].to_numpy(dtype=object)
        facts["labeller_agrees"] = float(agrees.mean())
        kept = np.ones(len(frame), dtype=bool) if terms.labels != "agreed" else agrees
        if terms.confidence is not None:
            kept &= chances.max(1) >= terms.confidence
        if terms.labels == "relabelled":
            frame = frame.assign(**{target: said})
        frame = frame[kept]
        facts["left_by_labeller"] = len(frame)
    if terms.near_duplicates is not None:
        frame = frame[_distinct(_vectors(contract, frame, encoder), terms.near_duplicates)]
        facts["left_by_distinctness"] = len(frame)
    columns = [label.column for label in contract.privacy.labels]
    cells = list(frame[columns].itertuples(index=False, name=None))
    kinds: list[tuple[Cell, int]] = [(cell, 0) for cell in cells]
    room = {(cell, 0): count for cell, count in wanted.items()}
    if terms.needs_votes:
        assert votes is not None, "a contract that goes by votes plans them"
        kinds = list(zip(cells, votes.ballot.clusters[frame.index].tolist(), strict=True))
        room, facts["without_votes"] = _by_votes(kinds, wanted, votes)
    taken: Counter[tuple[Cell, int]] = Counter()
    places = []
    for place, kind in enumerate(kinds):
        if taken[kind] < room[kind]:
            taken[kind] += 1
            places.append(place)
    counts = Counter(cells[place] for place in places)
    for cell, count in wanted.items():
        if count and not counts[cell]:
            raise CurationError(
                f"no text is left that is {contract.plain_label(cell)!r}: raise curation.drawn, or ask less of texts"
            )
    frame = frame.iloc[places].reset_index(drop=True)
    short = tuple(contract.plain_label(cell) for cell, count in wanted.items() if counts[cell] < count)
    return Curated(frame, {**facts, "rows": len(frame)}, asked, short)


def _by_votes(
    kinds: Sequence[tuple[Cell, int]], wanted: Mapping[Cell, int], votes: Votes
) -> tuple[dict[tuple[Cell, int], int], float]:
    """How many rows of each label and cluster: each label's in proportion to its votes, as far as there are any such
    texts; and how many of all these are of clusters without votes."""
    there: dict[Cell, Counter[int]] = {cell: Counter() for cell in wanted}
    for cell, cluster in kinds:
        there[cell][cluster] += 1
    room, without = {}, 0
    for cell, rows in wanted.items():
        asked = votes.of_label(cell)
        given = apportion_within(asked, there[cell], rows)
        room.update({(cell, cluster): count for cluster, count in given.items()})
        without += sum(count for cluster, count in given.items() if not asked[cluster])
    return room, float(without)


def _vectors(contract: Contract, frame: pd.DataFrame, encoder: Encoder | None) -> np.ndarray:
    return (encoder or encoders.MiniLM()).encode(frame[contract.privacy.text.column].tolist())


def _distinct(vectors: np.ndarray, bound: float) -> np.ndarray:
    """Which rows are no more alike (cosine) than `bound` to any earlier one that is kept, shape (rows,)."""
    kept = np.zeros(len(vectors), dtype=bool)
    chosen = np.empty_like(vectors)
    count = 0
    for place, vector in enumerate(vectors):
        if count == 0 or float((chosen[:count] @ vector).max()) <= bound:
            kept[place] = True
            chosen[count] = vector
            count += 1
    return kept
