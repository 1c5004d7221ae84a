"""The figures that a contract's quality rules can name, by the name of the expectation that bounds them.

A rule says `expect_column_mauve_to_be_between` with `column`, `reference` and bounds; here stands what is measured.
`dpsynth_assets.contract.expectations` lists the same names with the arguments that a contract may give.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from dpsynth_assets.quality.metrics import distances, diversity
from dpsynth_assets.quality.metrics.materials import Materials
from dpsynth_assets.quality.metrics.mauve import mauve
from dpsynth_assets.quality.metrics.vectors import frechet_distance, nearest_neighbour_similarity
from dpsynth_assets.quality.verdict import Verdict

Reference = Literal["test_split", "source"]
"""What a corpus may be compared with: the public test split, or a source that the contract declares public."""


@dataclass(frozen=True)
class Metric:
    """One figure: its unit, how it is measured on a column, its arguments with their types, and what it needs."""

    unit: str
    measure: Callable[..., float]
    parameters: Mapping[str, Any]
    needs: Literal["encoder", "base model"] | None = None

    @property
    def compares(self) -> bool:
        """Whether it compares the corpus with a reference."""
        return "reference" in self.parameters


def figures_of(verdict: Verdict) -> dict[str, float]:
    """The figures that a verdict observed, by the names of its rules."""
    return {
        result.name: float(result.observed["observed_value"])
        for result in verdict.results
        if result.expectation in METRICS and "observed_value" in result.observed
    }


def _alone(figure: Callable[..., float], unit: str, **parameters: type) -> Metric:
    return Metric(unit, lambda m, column, **given: figure(m.values(column), **given), parameters)


def _against(figure: Callable[..., float], unit: str, **parameters: type) -> Metric:
    def measure(m: Materials, column: str, reference: str, **given: Any) -> float:
        return figure(m.values(column), m.values(column, reference), **given)

    return Metric(unit, measure, {"reference": Reference, **parameters})


def _in_space(figure: Callable[..., float], unit: str) -> Metric:
    def measure(m: Materials, column: str, reference: str) -> float:
        return figure(m.vectors(), m.vectors(reference))

    return Metric(unit, measure, {"reference": Reference}, needs="encoder")


METRICS: Mapping[str, Metric] = {
    "expect_column_distinct_ngrams_to_be_between": _alone(diversity.distinct_ngrams, "share of runs of words", n=int),
    "expect_column_self_bleu_to_be_between": _alone(diversity.self_bleu, "BLEU, 0 to 1"),
    "expect_column_near_duplicates_to_be_between": _alone(
        diversity.near_duplicates, "share of texts", similarity=float
    ),
    "expect_column_word_count_quantile_to_be_between": _alone(diversity.word_count_quantile, "words", quantile=float),
    "expect_column_perplexity_to_be_between": Metric(
        "perplexity, 1 and above", lambda m, column: m.perplexity(), {}, needs="base model"
    ),
    "expect_column_length_distance_to_be_between": _against(distances.length_distance, "words"),
    "expect_column_label_distance_to_be_between": _against(distances.label_distance, "share of rows"),
    "expect_column_ngram_overlap_to_be_between": _against(distances.ngram_overlap, "share of texts", n=int),
    "expect_column_mauve_to_be_between": _in_space(mauve, "MAUVE, 0 to 1"),
    "expect_column_frechet_distance_to_be_between": _in_space(frechet_distance, "squared distance, 0 to 4"),
    "expect_column_nearest_neighbour_similarity_to_be_between": _in_space(
        nearest_neighbour_similarity, "cosine, -1 to 1"
    ),
}


@dataclass(frozen=True)
class Needs:
    """What a set of rules has to be given before it can be evaluated."""

    references: frozenset[str]
    encoder: bool
    base_model: bool


def needs_of(rules: Iterable[Any]) -> Needs:
    """What the rules need, which have an `expectation` and `kwargs`; rules about other things need nothing."""
    asked = [(METRICS[rule.expectation], rule.kwargs) for rule in rules if rule.expectation in METRICS]
    return Needs(
        references=frozenset(kwargs["reference"] for metric, kwargs in asked if metric.compares),
        encoder=any(metric.needs == "encoder" for metric, _ in asked),
        base_model=any(metric.needs == "base model" for metric, _ in asked),
    )
