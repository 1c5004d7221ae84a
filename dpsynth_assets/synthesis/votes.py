"""Votes of sensitive records on drawn texts: which cluster of the candidates a record is nearest to.

After Private Evolution (Lin et al. 2024, "Differentially Private Synthetic Data via Foundation Model APIs 1"; for
texts Xie et al. 2024, "... 2: Text"): there, too, real records vote for the nearest synthetic ones in the space of an
encoder, and the histogram of votes is made noisy. Here they vote once, and for clusters, so that each count is large
beside the noise; a vote is cast for a label combination too, so that it chooses among the texts of that label.

Guarantee: none of its own. `cast` turns each record into one cell of a closed, public set; the release of those is
`dpsynth_assets.privacy.histogram.HistogramPlan.release`, epsilon-DP under adding or removing one unit. What it needs
of this module is that a record's cell depends on that record and on the ballot alone. So the ballot is made from
candidates only, which were released, before a row is read; and a text's vector must have the same bits whoever else
votes (`dpsynth_assets.classify.apart`), or a record near the border between two clusters could vote otherwise because
somebody else's record is there. Misuse that breaks it: clusters fitted to sensitive vectors, an encoder that was not
looked at, or letting cells or vectors leave the mechanism.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sklearn.cluster import KMeans

from dpsynth_assets.classify import encoder as encoders
from dpsynth_assets.classify.apart import apart
from dpsynth_assets.privacy.unit_numbers import UnitNumbers
from dpsynth_assets.progress import Progress
from dpsynth_assets.releases.release import Launch, Made, Ran, Workspace
from dpsynth_assets.releases.rows import cells_of
from dpsynth_assets.releases.votes import CANDIDATES, VOTES
from dpsynth_assets.synthesis.candidates import DRAWN
from dpsynth_assets.synthesis.errors import VotesError

if TYPE_CHECKING:
    from dpsynth_assets.classify.encoder import Encoder
    from dpsynth_assets.contract import Contract
    from dpsynth_assets.privacy.histogram import Cell, HistogramPlan
    from dpsynth_assets.releases.rows import Rows

_CENTRES, _CLUSTERS, _VOTES = "centres.npy", "clusters.npy", "votes.json"
_STARTS = 3  # of k-means, the best of which is kept


def encoder_for(contract: Contract) -> Encoder:
    """The encoder of candidates and records alike, which sees no more of a text than training does."""
    return apart(encoders.MiniLM(max_tokens=min(encoders.MAX_TOKENS, contract.privacy.text.max_tokens)))


@dataclass(frozen=True, eq=False)
class Ballot:
    """What is voted on: the candidates' clusters. A function of released texts and public constants.

    Attributes:
        centres: shape (clusters, dimensions).
        clusters: the number of the cluster that each candidate is in, shape (candidates,).
    """

    centres: np.ndarray
    clusters: np.ndarray

    @classmethod
    def of(
        cls, texts: Sequence[str], clusters: int, seed: int, encoder: Encoder, progress: Progress | None = None
    ) -> Ballot:
        """Divide *synthetic* texts into clusters (k-means); the same texts and seed give the same ballot.

        Raises:
            VotesError: there are fewer distinct texts than clusters.
        """
        if len(set(texts)) < clusters:
            raise VotesError(
                f"{len(set(texts))} distinct candidates cannot be divided into {clusters} clusters: lower "
                "releases.votes.clusters, or draw more texts"
            )
        vectors = encoder.encode(texts, progress=progress)
        centres = KMeans(clusters, n_init=_STARTS, random_state=seed).fit(vectors).cluster_centers_.astype(np.float32)
        return cls(centres, np.array([nearest(vector, centres) for vector in vectors], dtype=np.int64))

    def cast(self, labels: Sequence[Cell], texts: Sequence[str], encoder: Encoder) -> list[Cell]:
        """The cell that each sensitive record votes for: its label combination and the nearest cluster's number.

        Sensitive: for a charged mechanism's eyes only. No progress is told, since it would say how many records vote.

        Args:
            encoder: one of `encoder_for`: see the module's docstring.
        """
        vectors = encoder.encode(texts)
        return [(*label, str(nearest(vector, self.centres))) for label, vector in zip(labels, vectors, strict=True)]


def nearest(vector: np.ndarray, centres: np.ndarray) -> int:
    """The number of the centre with the smallest Euclidean distance; of equals the first."""
    return int(((centres - vector) ** 2).sum(axis=1).argmin())


@dataclass(frozen=True, eq=False)
class Votes:
    """Released votes and what they were held on.

    Attributes:
        counts: noisy votes by cell: a label combination and, last, the number of a cluster.
        scale: of their noise.
        ballot: the clusters.
        candidates: the content digest of the candidates that were voted on.
    """

    counts: Mapping[Cell, int]
    scale: float
    ballot: Ballot
    candidates: str

    def of_label(self, label: Cell) -> dict[int, int]:
        """The votes for each cluster of a label's texts; none where a count is not above the noise.

        A negative count was released as zero, so the noise of clusters that nobody voted for does not cancel out: with
        many of them it would outweigh the votes. A count below two standard deviations of the noise (2 x sqrt(2) x
        scale) is therefore taken for none. Of a cluster without votes, 3 in 100 still pass.
        """
        least = 2 * math.sqrt(2) * self.scale
        found = {cluster: self.counts.get((*label, str(cluster)), 0) for cluster in range(len(self.ballot.centres))}
        return {cluster: count if count >= least else 0 for cluster, count in found.items()}

    def save(self, folder: Path) -> None:
        np.save(folder / _CENTRES, self.ballot.centres, allow_pickle=False)
        np.save(folder / _CLUSTERS, self.ballot.clusters, allow_pickle=False)
        said = {
            "candidates": self.candidates,
            "scale": self.scale,
            "counts": [[*cell, n] for cell, n in self.counts.items()],
        }
        (folder / _VOTES).write_text(json.dumps(said), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Votes:
        said: dict[str, Any] = json.loads((folder / _VOTES).read_text(encoding="utf-8"))
        ballot = Ballot(np.load(folder / _CENTRES, allow_pickle=False), np.load(folder / _CLUSTERS, allow_pickle=False))
        counts = {tuple(cell): int(count) for *cell, count in said["counts"]}
        return cls(counts, float(said["scale"]), ballot, str(said["candidates"]))

    def require_of(self, candidates: str, clusters: int) -> None:
        """Pass if these are votes on the candidates of that digest, divided into so many clusters.

        Raises:
            VotesError: they are not: a vote says nothing of other texts.
        """
        if self.candidates != candidates:
            raise VotesError(
                "the standing votes were held on other candidates than the standing ones, and say nothing of these. "
                "Hold votes on these (materialize `votes`: a new charge), or write `proportions: histogram`"
            )
        if len(self.ballot.centres) != clusters:
            raise VotesError(
                f"the standing votes are for {len(self.ballot.centres)} clusters, the contract says {clusters}. Hold "
                "votes again (materialize `votes`: a new charge), or write the old number"
            )


@dataclass(frozen=True, eq=False)
class Ready:
    """What votes are cast with, made before a row is read."""

    ballot: Ballot
    encoder: Encoder
    candidates: Made


def check(
    contract: Contract,
    plan: HistogramPlan,
    made_from: Mapping[str, Made],
    progress: Progress,
    launch: Launch | None = None,
) -> Ready:
    """Divide the candidates into clusters.

    Raises:
        EncoderError: it cannot be loaded, or computes one text otherwise beside others.
        VotesError: there are too few candidates.
    """
    encoder, candidates = encoder_for(contract), made_from[CANDIDATES]
    drawn = pd.read_parquet(candidates.folder / DRAWN)[contract.privacy.text.column].tolist()
    clusters, seed = contract.privacy.releases[VOTES].clusters, contract.privacy.generation.seed
    return Ready(Ballot.of(drawn, clusters, seed, encoder, progress), encoder, candidates)


def run(contract: Contract, plan: HistogramPlan, rows: Rows, ready: Ready, work: Workspace) -> Ran:
    """Let every record vote, and release the noisy counts."""
    cells: list[Cell] = []
    known: dict[Cell, Cell] = {}  # equal cells are one object, so that many take little memory
    units = UnitNumbers()
    for frame in rows:
        cast = ready.ballot.cast(cells_of(frame, contract), frame["text"].tolist(), ready.encoder)
        cells += [known.setdefault(cell, cell) for cell in cast]
        units.extend(frame["unit"])
    counts = plan.release(cells, units.numbers())
    Votes(counts, plan.scale, ready.ballot, ready.candidates.digest).save(work.folder)
    facts = {"clusters": len(ready.ballot.centres), "candidates": len(ready.ballot.clusters), "noise_scale": plan.scale}
    return Ran(None if contract.without_privacy else plan.event(), facts=facts)


def votes_on(contract: Contract, candidates: Made, held: Path) -> Votes:
    """The votes that lie in a folder.

    Raises:
        VotesError: they were held on other candidates than these, or on another number of clusters.
    """
    found = Votes.load(held)
    found.require_of(candidates.digest, contract.privacy.releases[VOTES].clusters)
    return found
