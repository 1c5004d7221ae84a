"""A contract that holds: everything the platform may know about a source, frozen.

Knows no YAML and no file format. Relative paths are relative to the folder of the contract file.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from dpsynth_assets.contract.problems import Problem
from dpsynth_assets.contract.terms import PrivacyTerms

HUB = "hub:"  # prefix of a source that is a Hugging Face Hub dataset
SAME_AS_SOURCE = "source"  # how a file says that its test split lies in the source; loaded, it is the source's place


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
    """A Great Expectations expectation that the synthetic corpus must meet; blocking rules stop the publication."""

    name: str
    expectation: str
    kwargs: Mapping[str, Any]
    blocking: bool
    description: str


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
        return math.isinf(self.privacy.releases.adapter.epsilon_of(self.privacy.budget))

    @cached_property
    def cells(self) -> tuple[tuple[str, ...], ...]:
        """Every combination of label values, in the order of the contract: the histogram's public, closed domain."""
        return tuple(itertools.product(*(label.values for label in self.privacy.labels)))

    def plain_label(self, cell: tuple[str, ...]) -> str:
        """A cell as words, `topic: card lost, safety: safe`: the condition that the language model is given."""
        labels = self.privacy.labels
        pairs = ", ".join(f"{label.column}: {value}" for label, value in zip(labels, cell, strict=True))
        return pairs.replace("_", " ")  # underscores are for columns; a language model has read words

    def with_source(self, source: str | Path) -> Contract:
        """The same contract on another copy of its source (`--source FILE`); a test split in the source follows it."""
        text = str(source)
        place = text if text.startswith(HUB) else str(Path(text).expanduser().absolute())
        split = self.privacy.test_split
        if split.path != self.source:
            return replace(self, source=place)
        moved = self.privacy.model_copy(update={"test_split": split.model_copy(update={"path": place})})
        return replace(self, source=place, privacy=moved)


def resolve(path_text: str, contract: Contract) -> Path:
    """A path of the contract, relative to the folder of the contract file."""
    if path_text.startswith(HUB):
        raise ValueError(f"{path_text} is a dataset on the Hugging Face Hub, not a path")
    return (contract.path.parent / Path(path_text).expanduser()).resolve()
