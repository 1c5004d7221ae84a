"""What classifiers are trained on and judged by: synthetic rows, filtered, augmented, mixed with public ones.

Every row here is *synthetic or declared public*, and so is whatever is decided from it. Texts, not rows, are split: a
text that stands twice lies on one side, or what is decided would be judged on what was learned by heart. For the same
reason rows are added after a split, to the side that is trained on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dpsynth_assets.classify.errors import ClassifierError
from dpsynth_assets.classify.holdout import split
from dpsynth_assets.classify.spelling import disguised

if TYPE_CHECKING:
    import numpy as np

    from dpsynth_assets.classify.encoder import Encoder

Teacher = Callable[["Labelled"], "np.ndarray"]
"""For each of some rows, how likely it is unsafe, shape (rows,)."""

SAFE, UNSAFE = "safe", "unsafe"
CLASSES = (SAFE, UNSAFE)

_HELD_OUT = 0.3  # of the distinct synthetic texts, where they set the thresholds
_CALIBRATION = 1 / 3  # of the validation rows; the others certify
_LEAST = 6  # texts of a kind, by which each part that is cut from them has some
_DOUBTFUL = 0.1  # a label that the other rows give less than this chance is taken for a slip of the generator


@dataclass(frozen=True, eq=False)
class Labelled:
    """Distinct texts and their labels."""

    texts: list[str]
    labels: list[str]

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def unsafe(self) -> np.ndarray:
        """Of rows labelled safe and unsafe: which are unsafe, shape (texts,)."""
        import numpy as np

        return np.array([label == UNSAFE for label in self.labels], dtype=bool)

    def at(self, places: Iterable[int]) -> Labelled:
        chosen = [int(place) for place in places]
        return Labelled([self.texts[place] for place in chosen], [self.labels[place] for place in chosen])

    def without(self, texts: Iterable[str]) -> Labelled:
        """The rows with other texts than these."""
        known = set(texts)
        return self.at(place for place, text in enumerate(self.texts) if text not in known)

    def and_then(self, more: Labelled) -> Labelled:
        """These, and those of `more` whose texts are new."""
        new = more.without(self.texts)
        return Labelled([*self.texts, *new.texts], [*self.labels, *new.labels])


def labelled(texts: Sequence[str], values: Sequence[str], unsafe: str | None = None) -> Labelled:
    """Rows of a table, each distinct text once. One that is labelled in two ways is left out: nothing can be learned.

    With `unsafe`, that value is called unsafe and all others safe, whatever they are.
    """
    if unsafe is not None:
        values = [UNSAFE if value == unsafe else SAFE for value in values]
    said: dict[str, set[str]] = {}
    for text, value in zip(texts, values, strict=True):
        said.setdefault(text, set()).add(value)
    kept = {text: next(iter(found)) for text, found in said.items() if len(found) == 1}
    return Labelled(list(kept), list(kept.values()))


@dataclass(frozen=True, eq=False)
class Additions:
    """What is trained on beside the rows that are: it never reaches the rows that anything is judged by.

    Attributes:
        mix: public rows.
        augmentation: add each training text once more with spelling tricks in it.
    """

    mix: Labelled | None = None
    augmentation: bool = False

    def __bool__(self) -> bool:
        return self.mix is not None or self.augmentation

    def to(self, train: Labelled, judged: Iterable[str], seed: int) -> Labelled:
        """The training side of a split with everything added: first its own rows, then those that are new. None has a
        text of `judged`, the other side."""
        judged = set(judged)
        if self.mix is not None:
            train = train.and_then(self.mix.without(judged))
        if self.augmentation:
            copies = labelled([disguised(text, seed) for text in train.texts], train.labels)
            train = train.and_then(copies.without(judged))
        return train

    def beside(self, train: Labelled, judged: Iterable[str], seed: int) -> Labelled:
        """What `to` adds."""
        whole = self.to(train, judged, seed)
        return whole.at(range(len(train), len(whole)))


NOTHING = Additions()


@dataclass(frozen=True, eq=False)
class Lesson:
    """What a classifier is to learn.

    Attributes:
        labels: one for each text.
        classes: all labels that there are, whether or not a text has one.
        additions: what is trained on beside the texts, and is never held out to judge by.
        targets: probabilities to learn in place of the labels, shape (texts, classes).
    """

    texts: Sequence[str]
    labels: Sequence[str]
    classes: Sequence[str]
    additions: Additions = NOTHING
    targets: np.ndarray | None = None

    def of(self, rows: Iterable[int]) -> Lesson:
        """The same about some of the texts, without additions."""
        chosen = [int(row) for row in rows]
        texts, labels = ([every[row] for row in chosen] for every in (self.texts, self.labels))
        return Lesson(texts, labels, self.classes, targets=None if self.targets is None else self.targets[chosen])

    def beside(self, train: Iterable[int], judged: Iterable[int], seed: int) -> Labelled:
        """What is added to the texts at some places, where those at others are judged by."""
        own = self.of(train)
        return self.additions.beside(Labelled([*own.texts], [*own.labels]), self.of(judged).texts, seed)


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
        import numpy as np

        if not self.chances:
            return None
        own = zip(self.train.texts, self.train.unsafe, strict=True)
        unsafe = np.array([self.chances.get(text, float(label)) for text, label in own])
        return np.stack([1 - unsafe, unsafe], axis=1)

    @property
    def validation(self) -> Labelled:
        return self.calibration.and_then(self.certification)


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
    import numpy as np
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    from dpsynth_assets.classify import encoder as encoders

    smaller = int(min(rows.unsafe.sum(), (~rows.unsafe).sum()))
    if smaller < 2:
        return rows
    vectors = (encoder or encoders.MiniLM()).encode(rows.texts)
    folds = StratifiedKFold(min(5, smaller), shuffle=True, random_state=seed)
    model = LogisticRegression(C=10.0, class_weight="balanced", max_iter=2_000)
    chances = cross_val_predict(model, vectors, rows.unsafe.astype(int), cv=folds, method="predict_proba")
    own = chances[np.arange(len(rows)), rows.unsafe.astype(int)]
    return rows.at(np.flatnonzero(own >= _DOUBTFUL))


def halves(texts: Sequence[str]) -> np.ndarray:
    """Which texts of a public split set thresholds (True) and which test, shape (texts,): half by half, by a hash of
    the text, so that the same text is on the same side in every run and every contract."""
    import numpy as np

    return np.array(
        [hashlib.sha256(t.encode("utf-8", "surrogatepass")).digest()[0] % 2 == 0 for t in texts], dtype=bool
    )
