"""The classifiers of a contract: of each kind and seed that it names, trained on its published table.

Reads synthetic and declared-public rows only, and a labeller, which is a release.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dpsynth_assets.classify import encoder as encoders
from dpsynth_assets.classify.encoder import Encoder, Remembered
from dpsynth_assets.classify.errors import ClassifierError
from dpsynth_assets.classify.recipes import RECIPES, StoredClassifier, load_classifier
from dpsynth_assets.classify.terms import terms_of
from dpsynth_assets.classify.training_rows import Additions, TrainingSet, labelled
from dpsynth_assets.progress import Progress
from dpsynth_assets.releases.classifiers import CLASSIFIER

if TYPE_CHECKING:
    import pandas as pd

    from dpsynth_assets.contract import Contract


def seeds(contract: Contract) -> range:
    """The seeds of the contract's classifiers."""
    first = contract.privacy.generation.seed
    return range(first, first + terms_of(contract).seeds)


def folder_of(classifiers: Path, kind: str, seed: int) -> Path:
    """Where among a contract's classifiers one of them lies."""
    return classifiers / kind / str(seed)


def additions(contract: Contract, mix: pd.DataFrame | None, tested: Iterable[str]) -> Additions:
    """What the contract's classifiers are trained on beside the rows of a table: `mix`, public rows without the texts
    that test, and spelling tricks."""
    terms = terms_of(contract)
    if mix is None:
        return Additions(None, terms.augmentation)
    rows = labelled(mix["text"].tolist(), mix[terms.target].tolist())
    return Additions(rows.without(tested), terms.augmentation)


def load_teacher(contract: Contract, labeller: Path, encoder: Encoder) -> StoredClassifier:
    """The labeller in a folder, for classifiers to learn from.

    Raises:
        ClassifierError: it predicts another label than the contract does now.
    """
    found = load_classifier(labeller / CLASSIFIER, encoder)
    if found.classes != contract.privacy.classes:
        raise ClassifierError("the corpus' labeller predicts another label than the contract asks for now")
    return found


def train(
    contract: Contract,
    frame: pd.DataFrame,
    more: Additions,
    folder: Path,
    *,
    release: str,
    labeller: Path | None,
    report: Callable[[str], Progress],
) -> dict[str, Any]:
    """Train them on the rows of a published table, and keep each in its place in `folder`; what there is to say of
    each, by kind and seed.

    Args:
        release: the corpus that the table was made of, for the record.
        labeller: where the one lies that teaches, in place of the rows' labels.
        report: makes a progress callback of a title.

    Raises:
        ClassifierError: the rows cannot train one of them.
    """
    terms = terms_of(contract)
    texts, labels = frame[contract.privacy.text.column].tolist(), frame[terms.target].tolist()
    encoder = Remembered(encoders.MiniLM())
    targets = None if labeller is None else load_teacher(contract, labeller, encoder).predict_proba(texts)
    training_set = TrainingSet(texts, labels, contract.privacy.classes, more, targets)
    provenance = {"release": release, "taught_by": terms.teacher or "labels"}
    facts = {}
    for kind in terms.kinds:
        for seed in seeds(contract):
            progress = report(f"Training {kind} on synthetic records")
            trained = RECIPES[kind].train(training_set, seed, encoder=encoder, progress=progress, provenance=provenance)
            trained.save(folder_of(folder, kind, seed))
            facts[f"{kind}/{seed}"] = dict(trained.facts)
    return facts
