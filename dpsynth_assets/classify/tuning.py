"""Choosing a classifier's settings on synthetic rows, and how well that agrees with choosing them on real ones.

Synthetic rows are there without limit, so settings can be tried on them without a charge; on sensitive rows every try
would be a release (Kurakin et al. 2023 tune their classifiers so). Whether the order of settings is the same is asked
here of rows that are *public*: each candidate is trained on synthetic rows once, and judged twice.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import spearmanr

from dpsynth_assets.classify.errors import ClassifierError
from dpsynth_assets.classify.evaluation import evaluate
from dpsynth_assets.classify.holdout import class_codes, split
from dpsynth_assets.classify.recipes import CnnRecipe, FrozenRecipe, Recipe, TunedRecipe
from dpsynth_assets.classify.training_rows import TrainingSet
from dpsynth_assets.markdown import table
from dpsynth_assets.progress import Progress

if TYPE_CHECKING:
    from dpsynth_assets.classify.encoder import Encoder

Rows = tuple[Sequence[str], Sequence[str]]  # texts and their labels

_HELD_OUT = 0.2  # share of the synthetic rows that candidates are judged by

# A small sweep for each kind: around the defaults, and far enough from them to do badly.
SWEEPS: dict[str, dict[str, Recipe]] = {
    "minilm": {f"strength {c:g}": FrozenRecipe((c,)) for c in (0.001, 0.01, 0.1, 1.0, 10.0, 100.0, 1000.0)},
    "minilm_tuned": {f"rate {rate:g}": TunedRecipe(rate) for rate in (1e-6, 1e-5, 5e-5, 2e-4, 1e-3)},
    "word_cnn": {
        f"rate {rate:g}, dropout {dropout:g}": CnnRecipe(rate, dropout)
        for rate in (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
        for dropout in (0.0, 0.5)
    },
}


@dataclass(frozen=True)
class Judged:
    """A candidate's accuracy on held-out synthetic rows and on real, public ones: means over the seeds."""

    name: str
    on_synthetic: float
    on_real: float


@dataclass(frozen=True)
class Ranking:
    """All candidates, the best on synthetic rows first.

    Attributes:
        correlation: Spearman's, between both accuracies, in [-1, 1]; None where one of them tells no two apart.
    """

    candidates: tuple[Judged, ...]
    correlation: float | None

    @property
    def chosen(self) -> Judged:
        """The candidate that synthetic rows choose."""
        return self.candidates[0]

    @property
    def regret(self) -> float:
        """How much accuracy on real rows the best candidate there has over the chosen one."""
        return max(candidate.on_real for candidate in self.candidates) - self.chosen.on_real

    def markdown(self) -> str:
        """The candidates as a table, and below it what they come to."""
        rows = [(each.name, f"{each.on_synthetic:.1%}", f"{each.on_real:.1%}") for each in self.candidates]
        correlation = "none: all do alike" if self.correlation is None else f"{self.correlation:.2f}"
        return "\n".join(
            [
                table(["settings", "on synthetic rows", "on real rows"], rows, "lr"),
                "",
                f"Spearman's rank correlation over {len(self.candidates)} settings: {correlation}. The one chosen on "
                f"synthetic rows is {100 * self.regret:.1f} points below the best on real rows.",
            ]
        )


def rank(
    candidates: dict[str, Recipe],
    synthetic: Rows,
    public: Rows,
    classes: Sequence[str],
    seeds: Sequence[int],
    *,
    encoder: Encoder | None = None,
    progress: Progress | None = None,
) -> Ranking:
    """Train each candidate on a part of the synthetic rows, and judge it by the rest of them and by public real rows.

    Args:
        candidates: recipes by name.
        seeds: each cuts the synthetic rows anew and trains every candidate once.
        encoder: one that remembers what it encoded saves most of the time.
        progress: told (trainings done, of how many).

    Raises:
        ClassifierError: there are fewer than two candidates, or rows that cannot train them.
    """
    if len(candidates) < 2 or not seeds:
        raise ClassifierError("a ranking needs at least two candidates and one seed")
    texts, labels = synthetic
    codes = class_codes(labels, classes)
    accuracies: dict[str, list[tuple[float, float]]] = {name: [] for name in candidates}
    for number, seed in enumerate(seeds):
        train, held_out = split(codes, _HELD_OUT, seed)
        judges = ([texts[row] for row in held_out], [labels[row] for row in held_out]), public
        for place, (name, recipe) in enumerate(candidates.items(), start=1):
            classifier = recipe.train(TrainingSet(texts, labels, classes).of(train), seed, encoder=encoder)
            on_synthetic, on_real = (float(evaluate(classifier, *rows)["accuracy"]) for rows in judges)
            accuracies[name].append((on_synthetic, on_real))
            if progress is not None:
                progress(number * len(candidates) + place, len(seeds) * len(candidates))
    means = {name: np.mean(found, axis=0) for name, found in accuracies.items()}
    judged = [Judged(name, float(synthetic), float(real)) for name, (synthetic, real) in means.items()]
    judged.sort(key=lambda each: each.on_synthetic, reverse=True)  # of equals, the one named first
    return Ranking(tuple(judged), _spearman(judged))


def _spearman(judged: Sequence[Judged]) -> float | None:
    synthetic, real = [each.on_synthetic for each in judged], [each.on_real for each in judged]
    if len(set(synthetic)) == 1 or len(set(real)) == 1:
        return None
    correlation = float(spearmanr(synthetic, real).statistic)
    return None if math.isnan(correlation) else correlation
