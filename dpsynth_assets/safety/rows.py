"""What a safety classifier is trained on and judged by: rows to train on, to calibrate on, to certify thresholds on.

Every row here is *synthetic or declared public*, and so is whatever is decided from it. No text is in two parts, or
what is decided would be judged on what was learned by heart.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from dpsynth_assets.classify import encoder as encoders
from dpsynth_assets.classify.encoder import Encoder
from dpsynth_assets.classify.errors import ClassifierError
from dpsynth_assets.classify.holdout import split
from dpsynth_assets.classify.spelling import disguised
from dpsynth_assets.classify.training_rows import SAFE, UNSAFE, Additions, Labelled, labelled
from dpsynth_assets.safety.terms import terms_of

if TYPE_CHECKING:
    import pandas as pd

    from dpsynth_assets.contract import Contract

Teacher = Callable[[Labelled], np.ndarray]
"""For each of some rows, how likely it is unsafe, shape (rows,)."""

CLASSES = (SAFE, UNSAFE)

_HELD_OUT = 0.3  # of the distinct synthetic texts, where they set the thresholds
_CALIBRATION = 1 / 3  # of the validation rows; the others certify
_LEAST = 6  # texts of a kind, by which each part that is cut from them has some
_DOUBTFUL = 0.1  # a label that the other rows give less than this chance is taken for a slip of the generator


@dataclass(frozen=True, eq=False)
class Prepared:
    """Rows to train on, to calibrate on and to certify thresholds on; no text is in two of them.

    `chances` are what a teacher says of training texts: how likely they are unsafe.
    """

    train: Labelled
    calibration: Labelled
    certification: Labelled
    chances: Mapping[str, float] = field(default_factory=dict)

    @property
    def targets(self) -> np.ndarray | None:
        """What students learn of the training rows, shape (texts, 2), safe and unsafe; None where no teacher was asked.
        Of texts that no teacher has read, their label."""
        if not self.chances:
            return None
        own = zip(self.train.texts, self.train.unsafe, strict=True)
        unsafe = np.array([self.chances.get(text, float(label)) for text, label in own])
        return np.stack([1 - unsafe, unsafe], axis=1)

    @property
    def validation(self) -> Labelled:
        return self.calibration.and_then(self.certification)


def labelled_rows(contract: Contract, frame: pd.DataFrame, text: str = "text") -> Labelled:
    """The rows of a frame as the contract calls them: unsafe, and all others safe."""
    terms = terms_of(contract)
    return labelled(frame[text].tolist(), frame[terms.target].tolist(), terms.unsafe)


def prepared(
    contract: Contract,
    own: Labelled,
    validation: Labelled | None,
    mix: pd.DataFrame | None,
    encoder: Encoder,
    teacher: Teacher | None = None,
) -> Prepared:
    """The rows that the contract's safety classifiers are trained on and judged by (see `prepare`).

    Args:
        own: synthetic rows, or others in their place, for a comparison.
    """
    terms = terms_of(contract)
    return prepare(
        own,
        contract.privacy.generation.seed,
        validation=validation,
        mix=None if mix is None else labelled_rows(contract, mix),
        filtering=terms.filtering,
        augmentation=terms.augmentation,
        encoder=encoder,
        teacher=teacher,
    )


def prepare(
    synthetic: Labelled,
    seed: int,
    *,
    validation: Labelled | None = None,
    mix: Labelled | None = None,
    filtering: bool = False,
    augmentation: bool = False,
    encoder: Encoder | None = None,
    teacher: Teacher | None = None,
) -> Prepared:
    """Split, filter, mix and augment.

    Args:
        validation: public rows to set thresholds on; otherwise a part of the synthetic ones is held out for it.
        mix: public rows to train on beside the synthetic ones; never validated on.
        filtering: leave out synthetic training rows whose label the others contradict.
        augmentation: add each training text once more with spelling tricks in it.
        encoder: for filtering.
        teacher: asked about the synthetic training rows. What it says of a text holds of its augmented copy too, which
            it could not read; public rows keep their labels, which somebody has checked.

    Raises:
        ClassifierError: too few rows of one of the two kinds.
    """
    _both_kinds(synthetic, "in the synthetic table")
    if validation is None:
        train_places, held_out = split(synthetic.unsafe.astype(int), _HELD_OUT, seed)
        train, validation = synthetic.at(train_places), synthetic.at(held_out)
    else:
        train = synthetic
    _both_kinds(validation, "to set thresholds on")
    certify, calibrate = split(validation.unsafe.astype(int), _CALIBRATION, seed)
    calibration, certification = validation.at(calibrate), validation.at(certify)
    train = train.without(validation.texts)
    if filtering:
        train = _filtered(train, seed, encoder)
    _both_kinds(Additions(mix).to(train, validation.texts, seed), "to train on")
    chances = {} if teacher is None else dict(zip(train.texts, map(float, teacher(train)), strict=True))
    if augmentation:
        chances = {disguised(text, seed): chance for text, chance in chances.items()} | chances
    everything = Additions(mix, augmentation).to(train, validation.texts, seed)
    return Prepared(everything, calibration, certification, chances)


def _both_kinds(rows: Labelled, purpose: str) -> None:
    least = min(int(rows.unsafe.sum()), int((~rows.unsafe).sum()))
    if least < _LEAST:
        raise ClassifierError(
            f"{len(rows)} distinct texts {purpose}, and only {least} of the rarer kind: a safety classifier needs "
            f"{_LEAST} safe and {_LEAST} unsafe ones at least; generate more rows"
        )


def _filtered(rows: Labelled, seed: int, encoder: Encoder | None) -> Labelled:
    """Without rows whose label a head fitted to the other folds finds unlikely (Northcutt et al. 2021, "Confident
    Learning", with a fixed bound for the estimated ones)."""
    smaller = int(min(rows.unsafe.sum(), (~rows.unsafe).sum()))
    if smaller < 2:
        return rows
    vectors = (encoder or encoders.MiniLM()).encode(rows.texts)
    folds = StratifiedKFold(min(5, smaller), shuffle=True, random_state=seed)
    model = LogisticRegression(C=10.0, class_weight="balanced", max_iter=2_000)
    chances = cross_val_predict(model, vectors, rows.unsafe.astype(int), cv=folds, method="predict_proba")
    own = chances[np.arange(len(rows)), rows.unsafe.astype(int)]
    return rows.at(np.flatnonzero(own >= _DOUBTFUL))


def public_halves(contract: Contract, tested: pd.DataFrame) -> tuple[Labelled | None, Labelled, pd.DataFrame]:
    """Of the public test split, the rows to set thresholds on, where the contract wants that, the rows to test on, and
    those with all their labels. The halves have no text in common."""
    rows, whole = labelled_rows(contract, tested), tested.drop_duplicates("text").set_index("text", drop=False)
    if terms_of(contract).validation == "synthetic":
        return None, rows, whole.loc[rows.texts]
    first = halves(rows.texts)
    second = rows.at(np.flatnonzero(~first))
    return rows.at(np.flatnonzero(first)), second, whole.loc[second.texts]


def halves(texts: Sequence[str]) -> np.ndarray:
    """Which texts of a public split set thresholds (True) and which test, shape (texts,): half by half, by a hash of
    the text, so that the same text is on the same side in every run and every contract."""
    return np.array(
        [hashlib.sha256(t.encode("utf-8", "surrogatepass")).digest()[0] % 2 == 0 for t in texts], dtype=bool
    )
