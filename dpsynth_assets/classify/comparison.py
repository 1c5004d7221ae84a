"""A contract's classifiers on its public test split: those of synthetic rows, beside those of real ones.

Everything measured here is measured on public rows. Classifiers of real rows are a release with DP-SGD, or stand here
because the owner declares the source public.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from dpsynth_assets.classify import encoder as encoders
from dpsynth_assets.classify.contracted import folder_of, seeds
from dpsynth_assets.classify.encoder import Remembered
from dpsynth_assets.classify.evaluation import Classifier, evaluate, over_seeds
from dpsynth_assets.classify.recipes import RECIPES, load_classifier
from dpsynth_assets.classify.results import FIGURES, REAL, REAL_WITH_DP, SYNTHETIC, Result
from dpsynth_assets.classify.terms import terms_of
from dpsynth_assets.classify.training_rows import Additions, TrainingSet
from dpsynth_assets.progress import Progress
from dpsynth_assets.releases.classifiers import CLASSIFIER

if TYPE_CHECKING:
    import pandas as pd

    from dpsynth_assets.contract import Contract


def compare(
    contract: Contract,
    tested: pd.DataFrame,
    classifiers: Path,
    *,
    baseline: Path | None,
    real: tuple[pd.DataFrame, int, Additions] | None,
    report: Callable[[str], Progress],
) -> list[Result]:
    """One result for each kind of classifier and each kind of rows that it was trained on. The first one is of the
    contract's first kind, on synthetic rows.

    Args:
        tested: the public test split.
        classifiers: those of the published table.
        baseline: one that was trained on the real rows with DP-SGD.
        real: the rows of a source declared public, on how many of which classifiers are trained for comparison, and
            what they are trained on beside them.
        report: makes a progress callback of a title.
    """
    terms, encoder = terms_of(contract), Remembered(encoders.MiniLM())
    texts, labels = tested["text"].tolist(), tested[terms.target].tolist()
    encoder.encode(texts, progress=report("Embedding public test records"))

    def result(kind: str, trained_on: str, found: Iterable[Classifier]) -> Result:
        runs = [evaluate(classifier, texts, labels) for classifier in found]
        return {"classifier": kind, "trained_on": trained_on, **over_seeds(runs)}

    results = []
    for kind in terms.kinds:
        folders = (folder_of(classifiers, kind, seed) for seed in seeds(contract))
        results.append(result(kind, SYNTHETIC, (load_classifier(folder, encoder) for folder in folders)))
    if baseline is not None:
        trained = load_classifier(baseline / CLASSIFIER)  # its own encoder, which cuts texts as its plan says
        if trained.classes == contract.privacy.classes:  # or it is of a time when the contract had another label
            results.append(result(trained.kind, REAL_WITH_DP, [trained]))
    if real is not None:
        progress = report("Training on real records, declared public")
        for kind in terms.kinds:
            results.append(result(kind, REAL, _on_real(contract, kind, *real, encoder, progress)))
    return results


def _on_real(
    contract: Contract,
    kind: str,
    rows: pd.DataFrame,
    count: int,
    more: Additions,
    encoder: Remembered,
    progress: Progress,
) -> Iterator[Classifier]:
    """The recipe of the synthetic rows on as many real ones, with the same additions."""
    for seed in seeds(contract):
        drawn = rows.sample(n=min(count, len(rows)), random_state=seed)
        labels = drawn[contract.privacy.target].tolist()
        training_set = TrainingSet(drawn["text"].tolist(), labels, contract.privacy.classes, more)
        yield RECIPES[kind].train(training_set, seed, encoder=encoder, progress=progress)


def save(results: list[Result], folder: Path) -> None:
    """Keep the results in a folder."""
    (folder / FIGURES).write_text(json.dumps(results, indent=2), encoding="utf-8")
