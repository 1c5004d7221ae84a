"""One batch of new texts beside the synthetic table, as plain data: what differs, by how much, and what it looks like.

A difference counts where chance does not explain it and it is larger than is allowed. The chance that any counts of a
batch that is like the table is `false_alarm` at most, shared out evenly. Everything in a comparison but the table's
side is a statistic of sensitive texts: see the package.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from dpsynth_assets.contract.monitoring import LABELS, LENGTHS, VECTORS, WORDS
from dpsynth_assets.monitoring.distances import Deals, Distance, word_counts
from dpsynth_assets.quality.metrics.vectors import similarities
from dpsynth_assets.quality.metrics.words import words

if TYPE_CHECKING:
    from numpy.typing import NDArray

FEWEST = 20  # texts: of fewer nothing is said
TOO_FAR = 1 / 3  # of the scale: a table that is farther from texts without drift stays as far while texts move a lot
NO_LABEL = "(no declared value)"
_BINS = 24
_MOVED = 12  # words on each side
_MEANINGS = {
    LABELS: "share of texts whose label would have to change",
    LENGTHS: "largest difference between the shares of texts up to some length in words",
    WORDS: "how differently often words are used, 0 to 1",
    VECTORS: "how far apart the texts are in meaning, 0 to 1",
}

Key = tuple[str, str]  # an expectation, and the column it is about


@dataclass(frozen=True)
class Texts:
    """One side.

    Attributes:
        texts: independent of each other.
        labels: what each text has there, by column; `NO_LABEL` for all but declared values.
        vectors: of length one, shape (texts, dimensions); None until they are embedded.
    """

    texts: Sequence[str]
    labels: Mapping[str, Sequence[str]] = field(default_factory=dict)
    vectors: NDArray[Any] | None = None

    def at_most(self, size: int) -> Texts:
        """So many of them at most, drawn at random; the same ones every time."""
        if len(self.texts) <= size:
            return self
        places = sorted(random.Random(0).sample(range(len(self.texts)), size))
        labels = {column: [values[place] for place in places] for column, values in self.labels.items()}
        return Texts([self.texts[place] for place in places], labels)


@dataclass(frozen=True)
class Comparison:
    """How far two sides are apart, by expectation and column, and what they look like side by side."""

    distances: Mapping[Key, Distance]
    shown: dict[str, Any]


def compare(batch: Texts, table: Texts, text_column: str, false_alarm: float) -> Comparison:
    """The batch beside the table, both embedded. Labels are compared that both sides have.

    Args:
        false_alarm: the probability with which chance may exceed any one of the `by_chance`, in (0, 1).
    """
    columns = [column for column in table.labels if column in batch.labels]
    deals = Deals(len(batch.texts), len(table.texts), false_alarm / (len(columns) + 3))
    lengths = [np.array([len(words(text)) for text in side.texts]) for side in (batch, table)]
    counts, names = word_counts([*batch.texts, *table.texts])
    assert batch.vectors is not None
    assert table.vectors is not None
    distances = {
        **{(LABELS, column): deals.of_labels([*batch.labels[column], *table.labels[column]]) for column in columns},
        (LENGTHS, text_column): deals.of_lengths(np.concatenate(lengths)),
        (WORDS, text_column): deals.of_words(counts),
        (VECTORS, text_column): deals.of_vectors(np.concatenate([batch.vectors, table.vectors])),
    }
    shown = {
        "lengths": _lengths(*lengths),
        "labels": [_shares(column, batch.labels[column], table.labels[column]) for column in columns],
        "neighbours": _neighbours(batch.vectors, table.vectors),
        "words": _moved(counts, names, len(batch.texts)),
    }
    return Comparison(distances, shown)


def judge(
    found: Mapping[Key, Distance], allowed: Mapping[Key, float], own: Mapping[Key, float]
) -> list[dict[str, Any]]:
    """Each distance with what is allowed, whether it is drift, and whether that there is none could be told.

    Args:
        allowed: by how much more than the table's own error the batch may differ.
        own: how far apart table and texts without drift are. Where that is not known yet nothing is drift.
    """
    limits = {key: own[key] + allowed[key] if key in own else None for key in found}
    return [
        {
            "expectation": expectation,
            "column": column,
            "meaning": _MEANINGS[expectation],
            **asdict(distance),
            "limit": limit,
            "told": limit is not None and limit < 1 and own[expectation, column] <= TOO_FAR,
            "drifted": limit is not None and not distance.is_chance and distance.size > limit,
        }
        for ((expectation, column), distance), limit in zip(found.items(), limits.values(), strict=True)
    ]


def _lengths(batch: NDArray[Any], table: NDArray[Any]) -> dict[str, Any]:
    """Shares of texts by length in words; the last bin holds what is longer than the 99th percentile."""
    longest = max(1, int(np.percentile(np.concatenate([batch, table]), 99)))
    width = max(1, -(-(longest + 1) // _BINS))
    edges = [*range(0, longest + 1, width)]
    shares = [
        np.bincount(np.minimum(side // width, len(edges) - 1), minlength=len(edges)) / len(side)
        for side in (batch, table)
    ]
    return {"from": edges, "batch": shares[0].tolist(), "table": shares[1].tolist()}


def _shares(column: str, batch: Sequence[str], table: Sequence[str]) -> dict[str, Any]:
    values = sorted({*batch, *table}, key=lambda value: (value == NO_LABEL, value))
    of = {value: (list(batch).count(value) / len(batch), list(table).count(value) / len(table)) for value in values}
    return {
        "column": column,
        "values": [{"value": value, "batch": mine, "table": theirs} for value, (mine, theirs) in of.items()],
    }


def _neighbours(batch: NDArray[Any], table: NDArray[Any]) -> dict[str, Any]:
    """Shares of texts by the cosine to the nearest text of one half of the table: of the batch, and of the other
    half."""
    edges = np.linspace(0, 1, 21)
    near = similarities(batch, table[::2]), similarities(table[1::2], table[::2])
    shares = [np.histogram(each.clip(0, 1), edges)[0] / len(each) for each in near]
    return {"from": edges[:-1].round(2).tolist(), "batch": shares[0].tolist(), "table": shares[1].tolist()}


def _moved(counts: Any, names: Sequence[str], batch: int) -> list[dict[str, Any]]:
    """The words whose shares differ most, by what each adds to the Jensen-Shannon divergence: those that the batch has
    more of first."""
    of = [np.asarray(side.sum(axis=0)).ravel() / side.sum() for side in (counts[:batch], counts[batch:])]
    middle = (of[0] + of[1]) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = [np.where(share > 0, share * np.log2(share / middle), 0.0) for share in of]
    by_weight = np.argsort(-(parts[0] + parts[1]), kind="stable")
    more = [place for place in by_weight if names[place] and of[0][place] > of[1][place]][:_MOVED]
    fewer = [place for place in by_weight if names[place] and of[0][place] < of[1][place]][:_MOVED]
    return [
        {"word": str(names[place]), "batch": float(of[0][place]), "table": float(of[1][place])}
        for place in (*more, *fewer)
    ]
