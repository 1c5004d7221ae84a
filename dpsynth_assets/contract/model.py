"""A contract that holds: everything the platform may know about a source, frozen.

Knows no YAML and no file format. Relative paths are relative to the folder of the contract file.
"""

from __future__ import annotations

import glob
import itertools
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import Any

from dpsynth_assets.contract.problems import Problem
from dpsynth_assets.contract.terms import PrivacyTerms
from dpsynth_assets.releases.registry import writers

HUB = "hub:"  # prefix of a source that is a Hugging Face Hub dataset
SAME_AS_SOURCE = "source"  # how a file says that its test split lies in the source; loaded, it is the source's place


class SourcePlaceError(ValueError):
    """A source was asked for at a place that the contract does not name."""


@dataclass(frozen=True)
class Column:
    """A column of the source table."""

    name: str
    logical_type: str
    required: bool
    description: str
    classification: str | None


@dataclass(frozen=True)
class QualityRule:
    """A Great Expectations expectation that the synthetic corpus must meet; blocking rules stop the publication.

    The contract declares some and the platform adds its own (`quality.rules`); a contract's rule of the name of a
    `replaceable` one stands for it.
    """

    name: str
    expectation: str
    kwargs: Mapping[str, Any]
    blocking: bool
    description: str
    replaceable: bool = False


@dataclass(frozen=True)
class Contract:
    """What a data owner says about one sensitive text source. `load_contract` makes it; nothing measures it."""

    id: str
    version: str
    name: str
    description: str
    path: Path
    digest: str
    owners: tuple[str, ...]
    approvers: tuple[str, ...]
    retention_days: int
    table: str
    columns: tuple[Column, ...]
    source: str
    privacy: PrivacyTerms
    quality: tuple[QualityRule, ...]
    intent: Mapping[str, str] = field(default_factory=dict)  # what the standard's `description` says, by its keys
    warnings: tuple[Problem, ...] = ()
    base: Contract | None = None  # of a release variant: the contract that declares it (`dpsynth_assets.variants`)

    def __hash__(self) -> int:
        return hash((self.digest, self.source, self.id))

    @property
    def title(self) -> str:
        return self.name

    @property
    def declared(self) -> Contract:
        """The contract that people wrote and approved, whose source is read: this one, or what it is a variant of."""
        return self.base or self

    @property
    def without_privacy(self) -> bool:
        """A variant with an infinite epsilon: no noise, no charge, no guarantee. For sources declared public only."""
        return math.isinf(self._price_of_writing)

    @property
    def reads_nothing(self) -> bool:
        """A variant whose texts may cost nothing: no row is read for it, and it has learned nothing from any."""
        return self._price_of_writing == 0.0

    @property
    def _price_of_writing(self) -> float:
        release = writers(self)[0]  # a variant has one price for all of them: some epsilon, none, or nothing
        epsilon: float = self.privacy.releases[release].epsilon_of(self.privacy.budget)
        return epsilon

    def logical_type(self, column: str) -> str:
        """The declared type by which a column's values are read and compared; `string` where nothing is declared."""
        return next((known.logical_type for known in self.columns if known.name == column), "") or "string"

    @property
    def unit_by(self) -> str | None:
        """By what one unit is told from another, as the ledger keeps it for good; None where each record is one.

        The column's type belongs to it: as whole numbers `7` and `007` are one customer, as text they are two.
        """
        column = self.privacy.unit.column
        return f"column {column} as {self.logical_type(column)}" if column else None

    @cached_property
    def cells(self) -> tuple[tuple[str, ...], ...]:
        """Every combination of label values, in the order of the contract: the histogram's public, closed domain."""
        return tuple(itertools.product(*(label.values for label in self.privacy.labels)))

    def plain_label(self, cell: tuple[str, ...]) -> str:
        """A cell as words, `topic: card lost, safety: safe`: the condition that the language model is given."""
        labels = self.privacy.labels
        pairs = ", ".join(f"{label.column}: {value}" for label, value in zip(labels, cell, strict=True))
        return pairs.replace("_", " ")  # underscores are for columns; a language model has read words

    def asking(self, cell: tuple[str, ...]) -> str:
        """What the language model is asked for a text of a cell: the contract's prompt, or the plain label."""
        terms = self.privacy
        if terms.prompt is None:
            return self.plain_label(cell)
        return terms.prompt.asking({label.column: each for label, each in zip(terms.labels, cell, strict=True)})

    def with_source(self, source: str | Path) -> Contract:
        """The same contract on another copy of its source (`--source FILE`); a test split in the source follows it.

        A relative path is relative to the working directory.

        Raises:
            SourcePlaceError: the contract names no such place. Which places it names is a term that two people sign.
        """
        place = self._named(str(source))
        split = self.privacy.test_split
        if split.path != self.source:
            return replace(self, source=place)
        moved = self.privacy.model_copy(update={"test_split": split.model_copy(update={"path": place})})
        return replace(self, source=place, privacy=moved)

    def _named(self, text: str) -> str:
        """The place as it is opened, if it is the source's or one of its copies'."""
        given = (
            {text} if text.startswith(HUB) else {_absolute(text, Path.cwd()), os.path.realpath(Path(text).expanduser())}
        )
        folder = Path(glob.escape(str(self.path.parent.resolve())))
        named = [_literal(self.source), *self.privacy.source_copies]
        patterns = [each if each.startswith(HUB) else _absolute(each, folder) for each in named]
        for place in sorted(given):
            if any(_matches(place, pattern) for pattern in patterns):
                return place
        copies = ", ".join(self.privacy.source_copies) or "nowhere"
        raise SourcePlaceError(
            f"{text} is no place that contract {self.id} names: its source is {self.source}, and copies of it may lie "
            f"at: {copies}. Add the place to privacy.source_copies in {self.path.name}; an owner and an approver then "
            f"sign for it, each with `dpsynth approve {self.path.name} --as NAME --reason TEXT`. Nothing was read"
        )

    def seen_from(self, folder: Path) -> Contract:
        """The same contract with its relative places written as seen from `folder`.

        In this form they are signed: what a copy of the contract's file in another folder names are other places, and
        a deployment that is moved as a whole names the same ones.
        """

        def seen(text: str) -> str:
            if text.startswith(HUB) or Path(text).expanduser().is_absolute():
                return text if text.startswith(HUB) else _absolute(text, Path("/"))
            return os.path.relpath(_absolute(text, self.path.parent.resolve()), folder.resolve())

        def moved(part: Any) -> Any:
            return part and part.model_copy(update={"path": seen(part.path)})

        def mixing(part: Any) -> Any:
            return part and part.model_copy(update={"mix": moved(part.mix)})

        terms = self.privacy
        base = terms.base_model
        places = {
            "base_model": base.model_copy(update={"name": seen(base.name)}) if base.is_path else base,
            "source_copies": tuple(map(seen, terms.source_copies)),
            "test_split": moved(terms.test_split),
            "classifier": mixing(terms.classifier),
            "safety_classifier": mixing(terms.safety_classifier),
        }
        return replace(self, source=seen(self.source), privacy=terms.model_copy(update=places))


def resolve(path_text: str, contract: Contract) -> Path:
    """A path of the contract, relative to the folder of the contract file.

    Links are followed up to that folder only: what people sign is the name, and whoever keeps the place decides what
    lies there.
    """
    if path_text.startswith(HUB):
        raise ValueError(f"{path_text} is a dataset on the Hugging Face Hub, not a path")
    return Path(_absolute(path_text, contract.path.parent.resolve()))


def _absolute(text: str, folder: Path) -> str:
    return os.path.normpath(folder / Path(text).expanduser())


def _literal(text: str) -> str:
    """A place as a pattern of itself."""
    return text if text.startswith(HUB) else glob.escape(text)


def _matches(place: str, pattern: str) -> bool:
    """Part by part: a `*` stands for the rest of one name, never for folders. A Hub name stands for itself."""
    if HUB in (place[: len(HUB)], pattern[: len(HUB)]):
        return place == pattern
    parts, wanted = Path(place).parts, Path(pattern).parts
    return len(parts) == len(wanted) and all(map(fnmatchcase, parts, wanted))
