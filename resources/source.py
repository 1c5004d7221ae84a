"""What a store is told of a source: where it lies, what is read of it, and the terms under which it is kept.

Constants all of them, which the platform takes from a contract. Knows no contract, and nothing of what the records say.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from resources.canonical import BOOLEAN, INTEGER, NUMBER, STRING, TEXT

Equalities = Mapping[str, str | int | bool]


@dataclass(frozen=True)
class Label:
    """A column with a closed set of values: what a stored text stands for, and what a stored number does."""

    column: str
    texts: Mapping[str, str]
    codes: Mapping[str, str]


@dataclass(frozen=True)
class Layout:
    """How records are stored, where the format of a file leaves it open.

    Attributes:
        delimiter: of the cells of a CSV file; None: a comma, in a `.tsv` file a tab.
        encoding: of a CSV file.
        table: what the table of a database is called.
        schema: the schema of a database in which it is; None: the usual one.
        sheet: of a workbook; None: its only one.
    """

    delimiter: str | None = None
    encoding: str = "utf-8"
    table: str = ""
    schema: str | None = None
    sheet: str | None = None


@dataclass(frozen=True)
class Columns:
    """What is read of each record, and how.

    Attributes:
        types: the declared type of each column that has one.
        stored: what the source calls a column, where that is not its name.
        unit: None where each record is a unit of its own.
        block: None in a population that is not divided; `blocks` are those that the source holds.
    """

    text: str
    labels: tuple[Label, ...]
    types: Mapping[str, str]
    unit: str | None
    block: str | None
    blocks: tuple[str, ...]
    stored: Mapping[str, str] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """The columns that are copied into the sensitive store: unit, block, text and labels, and no others."""
        names = (self.unit, self.block, self.text, *(label.column for label in self.labels))
        return list(dict.fromkeys(name for name in names if name))

    def kind(self, column: str) -> str:
        """The declared type of a column, as `resources.canonical` has it."""
        if column == self.text:
            return TEXT
        declared = self.types.get(column)
        return declared if declared in (INTEGER, NUMBER, BOOLEAN) else STRING


@dataclass(frozen=True)
class Source:
    """One source, by the contract that describes it.

    Attributes:
        contract: its id.
        file: where it lies; `digest` is its content's.
        place: an absolute path or pattern, or an address (`resources.places`), as the contract writes it.
        layout: how its records are stored there.
        copy: the place again, where it is not the contract's own.
        public: whether its owner declares it so.
        max_records: of one unit.
        max_characters: of one text, as it is handed out; the copy keeps more of it, by which it is known again.
    """

    contract: str
    file: Path
    digest: str
    population: str
    place: str
    layout: Layout
    copy: str | None
    where: Equalities
    columns: Columns
    public: bool
    max_records: int
    max_characters: int
    retention_days: int

    @property
    def reading(self) -> str:
        """By which it is told whether a record means the same: what is read of each, which are, and how many of a unit.
        Not where they lie, nor how they are stored there."""
        columns = {name: said for name, said in asdict(self.columns).items() if name != "stored" or said}
        said = [dict(self.where), columns, self.max_records, self.max_characters]
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:32]
