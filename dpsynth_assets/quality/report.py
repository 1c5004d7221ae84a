"""What a quality report says of a corpus, as plain data: distributions, figures beside public texts, samples, rules.

The same materials as the rules have: synthetic rows, and rows that the contract declares public. A public text is never
shown, only compared with. A figure that does not exist for this corpus says why. Knows no page and no store.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from dpsynth_assets.contract.expectations import TEST_SPLIT
from dpsynth_assets.quality.metrics import distances, diversity
from dpsynth_assets.quality.metrics.mauve import mauve
from dpsynth_assets.quality.metrics.vectors import frechet_distance, similarities
from dpsynth_assets.quality.metrics.words import MetricError, sample, words

if TYPE_CHECKING:
    from dpsynth_assets.contract import Contract
    from dpsynth_assets.quality.metrics.materials import Materials
    from dpsynth_assets.quality.verdict import Verdict

_BINS = 24
_VALUES = 100  # of a label; the rest is counted together
_TEXTS_OF_EACH, _SAMPLED_VALUES = 3, 24
_CHARACTERS = 300
_REPEATED, _CLOSEST = 5, 5

Quality = dict[str, Any]


def quality_report(contract: Contract, materials: Materials, verdict: Verdict) -> Quality:
    """The report of a corpus that was judged.

    Where a column is missing, which a rule says, it is the verdict alone.
    """
    order = sorted(verdict.results, key=lambda result: (result.passed, not result.blocking))
    said: Quality = {
        "title": contract.title,
        "contract": {"id": contract.id, "version": contract.version},
        "rows": verdict.rows,
        "reference": None,
        "passed": verdict.passed,
        "summary": verdict.summary(),
        "rules": [asdict(result) for result in order],
        "figures": [],
        "lengths": None,
        "labels": [],
        "neighbours": None,
        "repeated": [],
        "samples": [],
    }
    labels = {label.column: label.values for label in contract.privacy.labels}
    if not {materials.text, *labels} <= set(materials.synthetic.columns) or not materials.values(materials.text):
        return said
    reference = next((name for name in (TEST_SPLIT, *materials.references) if name in materials.references), None)
    return said | {
        "reference": None if reference is None else _side(contract, materials, reference),
        "figures": [*_of_the_corpus(materials), *(_beside(materials, reference) if reference else ())],
        "lengths": _lengths(materials, reference),
        "labels": [_shares(materials, column, values, reference) for column, values in labels.items()],
        "neighbours": _neighbours(materials, reference) if reference else None,
        "repeated": _repeated(materials.values(materials.text)),
        "samples": list(_samples(materials, next(iter(labels), None))),
    }


def _side(contract: Contract, materials: Materials, reference: str) -> dict[str, Any]:
    split = contract.privacy.test_split
    by = split.declared_public_by if split is not None and reference == TEST_SPLIT else None
    return {"name": reference, "rows": len(materials.references[reference]), "declared_public_by": by}


def _of_the_corpus(materials: Materials) -> Iterator[dict[str, Any]]:
    texts = materials.values(materials.text)
    pairs = "share of all pairs that are different ones: high is varied"
    for name, meaning, measured in (
        ("different texts", "share of the texts that are not the same as an earlier one", _different),
        ("distinct pairs of words", pairs, diversity.distinct_ngrams),
        ("self-BLEU", "how much texts are like one another, 0 to 1: low is varied", diversity.self_bleu),
        ("near duplicates", "share of the texts that have a near copy in the table", diversity.near_duplicates),
        ("median length", "words", diversity.word_count_quantile),
    ):
        yield _figure(name, meaning, partial(measured, texts))


def _beside(materials: Materials, reference: str) -> Iterator[dict[str, Any]]:
    """Figures beside a public reference, with that of two halves of the reference where chance alone is worth
    knowing."""
    text = materials.text
    ours, theirs = materials.values(text), materials.values(text, reference)
    halves = theirs[::2], theirs[1::2]
    yield _figure(
        "distance of lengths",
        "words by which texts would have to be longer or shorter on average",
        lambda: distances.length_distance(ours, theirs),
        lambda: distances.length_distance(*halves),
    )
    yield _figure(
        "eight words in a row in common",
        "share of the texts that have them with a public text: taken over, or everybody's phrase",
        lambda: distances.ngram_overlap(ours, theirs),
        lambda: distances.ngram_overlap(*halves),
    )
    for name, meaning, measured in (
        ("MAUVE", "overlap of both in meaning, 0 to 1: high is alike; of few texts it is mostly chance", mauve),
        ("Fréchet distance", "between both in meaning, 0 to 4: low is alike", frechet_distance),
    ):
        yield _figure(
            name,
            meaning,
            partial(_of_vectors, measured, materials, reference),
            partial(_of_halves, measured, materials, reference),
        )


def _of_vectors(measured: Callable[[Any, Any], Any], materials: Materials, reference: str) -> Any:
    return measured(materials.vectors(), materials.vectors(reference))


def _of_halves(measured: Callable[[Any, Any], Any], materials: Materials, reference: str) -> Any:
    """Every second public text against the others."""
    vectors = materials.vectors(reference)
    return measured(vectors[::2], vectors[1::2])


def _figure(
    name: str, meaning: str, measured: Callable[[], float], of_halves: Callable[[], float] | None = None
) -> dict[str, Any]:
    """A figure, or why there is none; beside it that of two halves of the public texts, against each other."""
    said: dict[str, Any] = {"name": name, "meaning": meaning, "value": None, "why_not": None, "of_halves": None}
    try:
        said["value"] = float(measured())
        said["of_halves"] = None if of_halves is None else float(of_halves())
    except MetricError as error:
        said["why_not"] = str(error)
    return said


def _different(texts: Sequence[str]) -> float:
    return len(set(texts)) / len(texts)


def _lengths(materials: Materials, reference: str | None) -> dict[str, Any]:
    """Shares of texts by length in words, up to the 99th percentile; the last bin holds what is longer."""
    counted = [
        np.array([len(words(text)) for text in materials.values(materials.text, side)])
        for side in (None, *((reference,) if reference else ()))
    ]
    longest = max(1, int(np.percentile(np.concatenate(counted), 99)))
    width = max(1, -(-(longest + 1) // _BINS))
    edges = [*range(0, longest + 1, width)]
    places = [np.minimum(each // width, len(edges) - 1) for each in counted]
    shares = [np.bincount(each, minlength=len(edges)) / len(each) for each in places]
    return {
        "from": edges,
        "width": width,
        "synthetic": shares[0].tolist(),
        "public": shares[1].tolist() if reference else None,
    }


def _shares(materials: Materials, column: str, values: Sequence[str], reference: str | None) -> dict[str, Any]:
    """How often each value of a label occurs, of both sides, and by how much the sides differ."""
    sides = {"synthetic": materials.values(column)}
    if reference is not None and column in materials.references[reference].columns:
        sides["public"] = materials.values(column, reference)
    counts = {side: Counter(found) for side, found in sides.items()}
    shown = [
        {"value": value, "rows": counts["synthetic"][value]}
        | {side: count[value] / max(1, count.total()) for side, count in counts.items()}
        for value in values[:_VALUES]
    ]
    distance = distances.label_distance(*sides.values()) if len(sides) == 2 and all(sides.values()) else None
    return {"column": column, "values": shown, "left_out": max(0, len(values) - _VALUES), "distance": distance}


def _neighbours(materials: Materials, reference: str) -> dict[str, Any] | None:
    """How near synthetic texts are to their nearest public ones, as shares by cosine, and those that are nearest."""
    try:
        near = _of_vectors(similarities, materials, reference)
        usual = _of_halves(similarities, materials, reference)
    except MetricError:
        return None
    edges = np.linspace(0, 1, 21)
    texts = sample(materials.values(materials.text), len(near))
    closest = np.argsort(-near, kind="stable")[:_CLOSEST]
    shares = [np.histogram(each.clip(0, 1), edges)[0] / len(each) for each in (near, usual)]
    return {
        "from": edges[:-1].round(2).tolist(),
        "synthetic": shares[0].tolist(),
        "public": shares[1].tolist(),
        "mean": float(near.mean()),
        "mean_of_halves": float(usual.mean()),
        "closest": [{"text": _short(texts[place]), "similarity": float(near[place])} for place in closest],
    }


def _repeated(texts: Sequence[str]) -> list[dict[str, Any]]:
    common = Counter(texts).most_common(_REPEATED)
    return [{"text": _short(text), "times": times} for text, times in common if times > 1]


def _samples(materials: Materials, column: str | None) -> Iterator[dict[str, Any]]:
    """A few texts of each value of the first label, spread over the table; without a label, of the table."""
    frame, text = materials.synthetic, materials.text
    groups = [("", frame)] if column is None else list(frame.groupby(column, sort=False))
    for value, rows in groups[:_SAMPLED_VALUES]:
        texts = [str(each) for each in rows[text].dropna()]
        yield {"value": str(value), "texts": [_short(each) for each in sample(texts, _TEXTS_OF_EACH)]}


def _short(text: str) -> str:
    return text if len(text) <= _CHARACTERS else text[: _CHARACTERS - 1] + "…"
