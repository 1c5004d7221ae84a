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

from dpsynth_assets.contract.addresses import (
    as_it_is_now,
    as_pattern,
    has_tables,
    is_address,
    is_fixed,
    is_plain_address,
    split_endpoint,
    without_secret,
)
from dpsynth_assets.contract.problems import Problem
from dpsynth_assets.contract.terms import PrivacyTerms
from dpsynth_assets.releases.registry import writers

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
    stored_as: str | None = None  # what the source calls it, where that is not its name


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
    stored_as: str | None = None  # what a database or a workbook calls the table, where that is not its name
    database_schema: str | None = None  # in which schema of a database it is, if not in the usual one
    base: Contract | None = None  # of a release variant: the contract that declares it (`dpsynth_assets.variants`)

    def __hash__(self) -> int:
        return hash((self.digest, self.source, self.id))

    @property
    def title(self) -> str:
        return self.name

    @property
    def file(self) -> str:
        """Its file as a command takes it here: from the working directory where it lies below that."""
        path = self.path.absolute()
        return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)

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
    def stored(self) -> dict[str, Any]:
        """What the source calls the columns, and where it holds several tables, which one is read."""
        columns = {column.name: column.stored_as for column in self.columns if column.stored_as}
        said: dict[str, Any] = {"columns": columns} if columns else {}
        if any(map(has_tables, (self.source, *self.privacy.source_copies))):
            said["table"] = self.stored_as or self.table
            said |= {"schema": self.database_schema} if self.database_schema else {}
        return said

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
        """A cell as words, `topic: card lost, safety: safe`: the condition that the language model is given. Without
        labels it is what the table is called."""
        labels = self.privacy.labels
        pairs = ", ".join(f"{label.column}: {value}" for label, value in zip(labels, cell, strict=True))
        return (pairs or self.table).replace("_", " ")  # underscores are for columns; a language model has read words

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
        if split is None or split.path != self.source:
            return replace(self, source=place)
        moved = self.privacy.model_copy(update={"test_split": split.model_copy(update={"path": place})})
        return replace(self, source=place, privacy=moved)

    def _named(self, text: str) -> str:
        """The place as it is opened, if it is the source's or one of its copies'. A variable in it is read only where
        the contract itself has it: else whoever asks would choose which variable is sent where."""
        if is_fixed(text) and text in (self.source, *self.privacy.source_copies):
            return text
        given = {text} if is_fixed(text) else {_absolute(text, Path.cwd()), os.path.realpath(Path(text).expanduser())}
        folder = Path(glob.escape(str(self.path.parent.resolve())))
        named = [as_pattern(self.source), *self.privacy.source_copies]
        patterns = [each if is_fixed(each) else _absolute(each, folder) for each in named]
        for place in sorted(given) if "$" not in text else ():
            for pattern in patterns[: 1 if "*" in place else None]:  # several files are the source only, no copy of it
                if place == pattern or _matches(place, as_it_is_now(pattern)):
                    return place
        copies = ", ".join(self.privacy.source_copies) or "nowhere"
        raise SourcePlaceError(
            f"{without_secret(text)} is no place that contract {self.id} names: its source is {self.source}, and "
            f"copies of it may lie at: {copies}. Add the place to privacy.source_copies in {self.file}; an owner "
            f"and an approver then sign for it, each with `dpsynth approve {self.file} --as NAME --reason TEXT`. "
            "Nothing was read"
        )

    def seen_from(self, folder: Path) -> Contract:
        """The same contract with its relative places written as seen from `folder`.

        In this form they are signed: what a copy of the contract's file in another folder names are other places, and
        a deployment that is moved as a whole names the same ones.
        """

        def seen(text: str) -> str:
            if is_fixed(text) or Path(text).expanduser().is_absolute():
                return text if is_fixed(text) else _absolute(text, Path("/"))
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
    if is_address(path_text):
        raise ValueError(f"{path_text} is an address, not a path")
    return Path(_absolute(path_text, contract.path.parent.resolve()))


def _absolute(text: str, folder: Path) -> str:
    return os.path.normpath(folder / Path(text).expanduser())


def _matches(place: str, pattern: str) -> bool:
    """Part by part: a `*` stands for the rest of one name, never for folders or a server."""
    if is_address(place) != is_address(pattern):
        return False
    if is_address(place):
        (place, server), (pattern, named) = split_endpoint(place), split_endpoint(pattern)
        if server != named or not is_plain_address(place) or ".." in place.split("/"):
            return False
    parts, wanted = place.split("/"), pattern.split("/")
    return len(parts) == len(wanted) and all(map(fnmatchcase, parts, wanted))
