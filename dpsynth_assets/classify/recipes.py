"""The kinds of classifiers there are, how each is trained on *synthetic* rows, and how a stored one is read back.

A recipe is the public settings of one kind; training is its method, so that a sweep over settings is a list of recipes.

| kind | what it is |
|---|---|
| `minilm` | a frozen sentence encoder with a linear head |
| `minilm_tuned` | the same encoder with all layers fine-tuned |
| `word_cnn` | a convolutional network over hashed words, from scratch |
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from dpsynth_assets.classify import encoder as encoders
from dpsynth_assets.classify import storage
from dpsynth_assets.classify.encoder import Encoder
from dpsynth_assets.classify.errors import ClassifierError
from dpsynth_assets.classify.evaluation import Classifier
from dpsynth_assets.classify.head import KIND as MINILM
from dpsynth_assets.classify.head import STRENGTHS, Head, train_head
from dpsynth_assets.classify.neural import Neural, Schedule, train_network
from dpsynth_assets.classify.training_rows import TrainingSet
from dpsynth_assets.classify.tuned import BATCH, MAX_STEPS, MAX_TOKENS, TunedMiniLM
from dpsynth_assets.classify.word_cnn import CnnShape, WordCnn
from dpsynth_assets.progress import Progress

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

MINILM_TUNED, WORD_CNN = "minilm_tuned", "word_cnn"


class StoredClassifier(Classifier, Protocol):
    """A classifier of texts that can be kept."""

    @property
    def kind(self) -> str: ...

    @property
    def facts(self) -> Mapping[str, Any]: ...

    def save(self, folder: Path) -> None: ...


class Recipe(Protocol):
    """The settings of one kind of classifier. Public constants."""

    def train(
        self,
        training_set: TrainingSet,
        seed: int,
        *,
        encoder: Encoder | None = None,
        progress: Progress | None = None,
        provenance: Mapping[str, str] | None = None,
    ) -> StoredClassifier:
        """Train on *synthetic or public* texts; the same training set and seed give the same classifier.

        Args:
            encoder: for kinds that build on the frozen encoder: one that may remember what it encoded.
            progress: told (done, of how many), of the longest part.
            provenance: names for the record, such as the release that the rows are of.

        Raises:
            ClassifierError: the rows cannot train a classifier.
        """


@dataclass(frozen=True, eq=False)
class Frozen:
    """The frozen encoder with a head: texts in, chances out."""

    head: Head
    encoder: Encoder
    kind: str = MINILM

    @property
    def classes(self) -> tuple[str, ...]:
        return self.head.classes

    @property
    def facts(self) -> Mapping[str, Any]:
        return self.head.facts

    def predict_proba(self, texts: Sequence[str]) -> np.ndarray:
        """One row per text, one column per class."""
        return self.head.predict_proba(self.encoder.encode(texts))

    def save(self, folder: Path) -> None:
        """The head; the encoder is the package's."""
        self.head.save(folder)


@dataclass(frozen=True)
class FrozenRecipe:
    """`strengths`: inverse regularisations to choose from by cross-validation."""

    strengths: tuple[float, ...] = STRENGTHS

    def train(
        self,
        training_set: TrainingSet,
        seed: int,
        *,
        encoder: Encoder | None = None,
        progress: Progress | None = None,
        provenance: Mapping[str, str] | None = None,
    ) -> Frozen:
        encoder = encoder or encoders.MiniLM()
        vectors = encoder.encode(training_set.texts, progress=progress)
        remembered = encoders.Remembered(encoder)

        def beside(train: Sequence[int], judged: Sequence[int]) -> tuple[np.ndarray, Sequence[str]]:
            rows = training_set.beside(train, judged, seed)
            return remembered.encode(rows.texts), rows.labels

        head = train_head(
            vectors,
            training_set.labels,
            training_set.classes,
            seed,
            strengths=self.strengths,
            provenance=provenance,
            beside=beside if training_set.additions else None,
            targets=training_set.targets,
        )
        return Frozen(head, encoder)


@dataclass(frozen=True)
class TunedRecipe:
    """Settings of the fine-tuned encoder; its bounds stand in `dpsynth_assets.classify.tuned`."""

    learning_rate: float = 5e-5
    epochs: int = 3

    def train(
        self,
        training_set: TrainingSet,
        seed: int,
        *,
        encoder: Encoder | None = None,
        progress: Progress | None = None,
        provenance: Mapping[str, str] | None = None,
    ) -> Neural:
        def build(rows: np.ndarray) -> nn.Module:
            own = training_set.of(rows)
            vectors = (encoder or encoders.MiniLM(max_tokens=MAX_TOKENS)).encode(own.texts)
            head = train_head(vectors, own.labels, own.classes, seed, targets=own.targets)
            return TunedMiniLM(encoders.MiniLM(max_tokens=MAX_TOKENS), len(own.classes), head)

        schedule = Schedule(self.learning_rate, BATCH, self.epochs, MAX_STEPS, patience=2)
        return train_network(
            MINILM_TUNED,
            build,
            training_set,
            seed,
            schedule,
            progress=progress,
            provenance=provenance,
        )


@dataclass(frozen=True)
class CnnRecipe:
    """Settings of the word-CNN; `dimension` and `filters` as in `dpsynth_assets.classify.word_cnn.CnnShape`."""

    learning_rate: float = 1e-3
    dropout: float = 0.5
    dimension: int = 100
    filters: int = 100
    epochs: int = 20

    def train(
        self,
        training_set: TrainingSet,
        seed: int,
        *,
        encoder: Encoder | None = None,
        progress: Progress | None = None,
        provenance: Mapping[str, str] | None = None,
    ) -> Neural:
        shape = CnnShape(dimension=self.dimension, filters=self.filters)
        schedule = Schedule(self.learning_rate, batch_size=64, epochs=self.epochs, max_steps=3_000, patience=3)
        return train_network(
            WORD_CNN,
            lambda _: WordCnn(shape, len(training_set.classes), self.dropout),
            training_set,
            seed,
            schedule,
            progress=progress,
            provenance=provenance,
        )


RECIPES: dict[str, Recipe] = {MINILM: FrozenRecipe(), MINILM_TUNED: TunedRecipe(), WORD_CNN: CnnRecipe()}


def load_classifier(folder: Path, encoder: Encoder | None = None) -> StoredClassifier:
    """The classifier in a folder, of whatever kind. `encoder` is used by kinds that build on the frozen one, cut to the
    length that the classifier was trained at.

    Raises:
        ClassifierError: there is none, or its files cannot be used.
    """
    _, about = storage.load(folder)
    kind = about.get("kind")
    if kind == MINILM:
        head = Head.load(folder)
        length = head.facts.get("max_tokens", encoders.MAX_TOKENS)
        return Frozen(head, encoder.cut_to(length) if encoder else encoders.MiniLM(max_tokens=length))
    if kind == MINILM_TUNED:
        return Neural.load(
            folder, lambda said, classes: TunedMiniLM(encoders.MiniLM(max_tokens=said["max_tokens"]), classes)
        )
    if kind == WORD_CNN:
        from dpsynth_assets.classify.word_cnn import WordCnn, shape_of

        return Neural.load(folder, lambda said, classes: WordCnn(shape_of(said), classes))
    raise ClassifierError(f"{folder} holds a classifier of an unknown kind; train it again")
