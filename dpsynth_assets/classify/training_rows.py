"""What classifiers are trained on: synthetic rows, augmented, mixed with public ones.

Every row here is *synthetic or declared public*, and so is whatever is decided from it. Texts, not rows, are split: a
text that stands twice lies on one side, or what is decided would be judged on what was learned by heart. For the same
reason rows are added after a split, to the side that is trained on.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from dpsynth_assets.classify.spelling import disguised

SAFE, UNSAFE = "safe", "unsafe"


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
class TrainingSet:
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

    def of(self, rows: Iterable[int]) -> TrainingSet:
        """The same about some of the texts, without additions."""
        chosen = [int(row) for row in rows]
        texts, labels = ([every[row] for row in chosen] for every in (self.texts, self.labels))
        return TrainingSet(texts, labels, self.classes, targets=None if self.targets is None else self.targets[chosen])

    def beside(self, train: Iterable[int], judged: Iterable[int], seed: int) -> Labelled:
        """What is added to the texts at some places, where those at others are judged by."""
        own = self.of(train)
        return self.additions.beside(Labelled([*own.texts], [*own.labels]), self.of(judged).texts, seed)
